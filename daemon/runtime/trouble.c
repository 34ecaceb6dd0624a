/* SPDX-License-Identifier: ISC */
/* Looking after what stands beside the way of the mail, and telling what is wrong with it. */
#include "runtime/trouble.h"

#include "base/log/log.h"
#include "rpc/work.h"
#include "runtime/state.h"

#define TROUBLE_LOOK_MS 2000

struct trouble {
    struct control *control;
    struct loop_timer timer;
    struct trouble_look *look; /* under way, NULL = none */
    char *store;               /* what is wrong with it, NULL = nothing */
    char *log;                 /* with the logs */
    char *certificates;        /* with files that changed */
    char *fleet;
    char *text; /* all of it */
};

/* A file system may hang. */
struct trouble_look {
    struct work work;
    struct trouble *trouble; /* NULL: it has ended */
    char *store;
};

/* ---- the sentences ---- */

/* Takes text over. Each change is an event. */
static void trouble_set(struct trouble *t, char **place, char *text, const char *well)
{
    if (text && *place ? strcmp(text, *place) == 0 : text == *place) {
        free(text);
        return;
    }
    free(*place);
    *place = text;
    const char *const parts[] = {t->store, t->log, t->certificates, t->fleet};
    AUTO_BUF all = BUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i])
            (void)!buf_printf(&all, "%s%s", all.len ? "; " : "", parts[i]);
    free(t->text);
    t->text = all.len ? buf_steal(&all) : NULL;
    control_event(t->control, "trouble", NULL, NULL, NULL, NULL, NULL, text ? text : well);
}

struct trouble_parts trouble_parts(const struct trouble *t)
{
    return (struct trouble_parts){
        .store = t->store, .log = t->log, .certificates = t->certificates, .fleet = t->fleet};
}

void trouble_look(struct trouble *t)
{
    struct log_state v[LOG_SINKS_MAX];
    AUTO_BUF text = BUF_INIT;
    size_t n = log_states(v, ARRAY_LEN(v));
    for (size_t i = 0; i < n && i < ARRAY_LEN(v); i++)
        if (v[i].trouble)
            (void)!buf_printf(&text, "%slog %s %s: %s", text.len ? "; " : "",
                              v[i].path[0] ? v[i].path : "stderr", v[i].trouble, v[i].reason);
    trouble_set(t, &t->log, text.len ? buf_steal(&text) : NULL, "all logs are written again");
}

void trouble_set_certificates(struct trouble *t, char *text)
{
    trouble_set(t, &t->certificates, text, "all certificates on the disk are in use");
}

void trouble_set_fleet(struct trouble *t, char *text)
{
    trouble_set(t, &t->fleet, text, "this node has its part in the fleet again");
}

/* ---- looking ---- */

static int trouble_look_run(struct work *w)
{
    struct trouble_look *look = CONTAINER_OF(w, struct trouble_look, work);
    return store_check(work_control(w)->host->store, &look->store);
}

static void look_done(struct work *w)
{
    struct trouble_look *look = CONTAINER_OF(w, struct trouble_look, work);
    struct trouble *t = look->trouble;
    if (!t)
        return;
    char *store = STEAL(look->store);
    if (w->err < 0 && !store)
        store = str_dup_c(err_text(w->err));
    trouble_set(t, &t->store, store, "the store takes changes again");
    loop_timer_set(t->control->host->loop, &t->timer, TROUBLE_LOOK_MS);
}

static void trouble_look_fini(struct work *w)
{
    struct trouble_look *look = CONTAINER_OF(w, struct trouble_look, work);
    if (look->trouble)
        look->trouble->look = NULL;
    free(look->store);
}

static void on_trouble_timer(struct loop_timer *timer)
{
    struct trouble *t = CONTAINER_OF(timer, struct trouble, timer);
    trouble_look(t);
    struct trouble_look *look = work_new(&t->control->rpc, NULL, sizeof(*look), trouble_look_run,
                                         look_done, trouble_look_fini);
    if (!look) {
        loop_timer_set(t->control->host->loop, &t->timer, TROUBLE_LOOK_MS);
        return;
    }
    look->trouble = t;
    t->look = look;
    work_post(&look->work, NULL);
}

/* ---- life ---- */

int trouble_new(struct control *c, struct trouble **ret)
{
    struct trouble *t = calloc(1, sizeof(*t));
    if (!t)
        return -ERR_NOMEM;
    t->control = c;
    loop_timer_init(&t->timer, on_trouble_timer);
    loop_timer_set(c->host->loop, &t->timer, TROUBLE_LOOK_MS);
    *ret = t;
    return 0;
}

void trouble_free(struct trouble *t)
{
    if (!t)
        return;
    loop_timer_cancel(t->control->host->loop, &t->timer);
    if (t->look)
        t->look->trouble = NULL;
    free(t->store);
    free(t->log);
    free(t->certificates);
    free(t->fleet);
    free(t->text);
    free(t);
}

const char *trouble_text(const struct trouble *t)
{
    return t->text;
}
