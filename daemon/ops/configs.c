/* SPDX-License-Identifier: ISC */
/* config reload and confirm: a new configuration is built and checked as a whole, then published.
 */
#include "ops/configs.h"

#include "base/log/log.h"
#include "base/units.h"
#include "ops/reload_impact.h"
#include "runtime/config_rows.h"
#include "runtime/listener_pause.h"
#include "runtime/live_pools.h"
#include "runtime/live_routes.h"
#include "runtime/runtime.h"
#include "runtime/runtime_absorb.h"
#include "runtime/state.h"
#include "runtime/trouble.h"

#define PROBLEMS_SHOWN 4000 /* bytes of an answer */

struct configs {
    struct control *control;
    struct config *started; /* NULL before the first snapshot */
    bool is_waiting;        /* for the confirmation of a reload, which else is taken back */
    struct loop_timer confirm;
    uint64_t confirm_until_ms; /* loop's clock; while it waits */
};

struct reload {
    struct work work;
    struct config *started, *config;
    struct snapshot *before, *snapshot; /* in force; what is to follow it */
    struct config_problems problems;
    struct config_changes changes;
    struct reload_impact impact;
    uint64_t confirm_ms;
    bool is_going_back;
};

/* ---- what changes ---- */

/* Keeps the changes that need a restart, or the others. */
static void changes_keep(struct config_changes *c, bool is_restart)
{
    struct config_changes dropped = {.v = calloc(c->n + 1, sizeof(*c->v))};
    size_t n = 0;
    for (size_t i = 0; dropped.v && i < c->n; i++)
        if ((c->v[i].effect == CONFIG_RESTART) == is_restart)
            c->v[n++] = c->v[i];
        else
            dropped.v[dropped.n++] = c->v[i];
    c->n = dropped.v ? n : c->n;
    config_changes_fini(&dropped);
}

static int changes_append(struct config_changes *to, struct config_changes *from)
{
    struct config_change *v = realloc(to->v, (to->n + from->n + 1) * sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    if (from->n)
        memcpy(v + to->n, from->v, from->n * sizeof(*v));
    to->v = v;
    to->n += from->n;
    from->n = 0;
    return 0;
}

int configs_changes(const struct config *started, const struct config *running,
                    const struct config *file, struct config_changes *ret)
{
    CLEANUP(config_changes_fini) struct config_changes soon = {0};
    CLEANUP(config_changes_fini) struct config_changes later = {0};
    int err = config_diff(running, file, &soon);
    if (err == 0)
        err = config_diff(started, file, &later);
    changes_keep(&soon, false);
    changes_keep(&later, true);
    if (err == 0)
        err = changes_append(&soon, &later);
    if (err == 0) {
        *ret = soon;
        soon = (struct config_changes){0};
    }
    return err;
}

/* ---- the one to come back with ---- */

/* Nobody goes back behind this configuration. */
static void configs_accept(struct control *c)
{
    c->host->keep_last_good_config(c->host->arg);
    runtime_absorb_post(c);
    live_routes_absorb(c);
    live_pools_absorb(c);
}

/* What is in force after a failure beside the file. */
struct kept {
    struct work work;
    struct config *config, *disk;
    struct config_problems problems;
    struct config_changes changes;
};

static int kept_run(struct work *w)
{
    struct kept *k = CONTAINER_OF(w, struct kept, work);
    const struct engine_api *h = work_control(w)->host;
    int err = h->read_config(h->arg, CONTROL_READ_CHECK, &k->disk, &k->problems, &w->error);
    return err < 0 ? err : config_diff(k->config, k->disk, &k->changes);
}

static void kept_done(struct work *w)
{
    const struct kept *k = CONTAINER_OF(w, struct kept, work);
    if (w->err == 0 && k->changes.n == 0)
        return;
    AUTO_FREE char *text =
        w->err < 0 ? str_printf("the engine died; its configuration goes on, the file cannot be "
                                "loaded: config check tells")
                   : str_printf("the engine died; its configuration goes on, the file differs in "
                                "%zu: config diff tells",
                                k->changes.n);
    LOG_EVENT(LOG_LEVEL_WARN, "config-kept", KV_STR("detail", text));
    control_event(work_control(w), "config", NULL, NULL, NULL, NULL, NULL, text);
}

static void kept_fini(struct work *w)
{
    struct kept *k = CONTAINER_OF(w, struct kept, work);
    config_unref(k->config);
    config_unref(k->disk);
    config_problems_fini(&k->problems);
    config_changes_fini(&k->changes);
}

void configs_note_start(struct control *c, bool is_kept)
{
    c->configs->started = config_ref(control_snapshot(c)->config);
    configs_accept(c);
    if (is_kept) {
        struct kept *k = work_new(&c->rpc, NULL, sizeof(*k), kept_run, kept_done, kept_fini);
        if (k) {
            k->config = config_ref(control_snapshot(c)->config);
            work_post(&k->work, NULL);
        }
    }
}

struct config *configs_started(const struct control *c)
{
    struct config *started = c->configs->started;
    return config_ref(started ? started : control_snapshot(c)->config);
}

/* ---- reload ---- */

static int reload_start(struct work *w)
{
    struct reload *l = CONTAINER_OF(w, struct reload, work);
    l->before = snapshot_ref(control_snapshot(work_control(w)));
    l->started = configs_started(work_control(w));
    return 0;
}

int config_refuse(struct work *w, const struct config_problems *problems, int err)
{
    AUTO_BUF text = BUF_INIT;
    if (config_problems_format(problems, &text) == 0 && text.len > 0) {
        if (text.len > PROBLEMS_SHOWN)
            text.len = PROBLEMS_SHOWN;
        free(w->error);
        w->error = str_dup(str_trim(buf_str(&text)));
    }
    return err;
}

/* An editor may empty a file before it writes it: one without listeners is hardly what was meant.
 */
static int reload_read(struct reload *l)
{
    const struct engine_api *h = work_control(&l->work)->host;
    int err = h->read_config(h->arg, l->is_going_back ? CONTROL_READ_BACK : CONTROL_READ_RELOAD,
                             &l->config, &l->problems, &l->work.error);
    if (err < 0)
        return config_refuse(&l->work, &l->problems, err);
    const struct config *running = l->before->config;
    if (l->config->n_listeners > 0 || running->n_listeners == 0)
        return 0;
    l->work.error = str_printf("%s has no listeners: no client could connect any more; nothing was "
                               "changed",
                               running->path);
    return -ERR_CONFIG;
}

/* What operators changed of a pool, and what could be applied up to now, is not lost in silence. */
static int configs_keep_pools(struct work *w, struct config *config, const struct snapshot *before)
{
    struct pool_changes *changes = backend_registry_changes(work_control(w)->host->registry);
    int err = 0;
    for (size_t i = 0; changes && i < changes->n && err == 0; i++) {
        AUTO_FREE char *fault = pool_change_fault(&changes->v[i], config);
        AUTO_FREE char *earlier = fault ? pool_change_fault(&changes->v[i], before->config) : NULL;
        if (!fault || earlier)
            continue;
        err = -ERR_CONFIG;
        w->error =
            str_printf("%s; nothing was changed: pool set, pool reset or pool remove first", fault);
    }
    pool_changes_unref(changes);
    return err;
}

int configs_snapshot(struct work *w, struct config *config, const struct snapshot *before,
                     struct snapshot **ret)
{
    size_t n;
    struct pools *pools = NULL;
    const struct pool_edit *edits = runtime_edits(work_control(w)->runtime, &n);
    int err = configs_keep_pools(w, config, before);
    if (err == 0)
        err = pools_build(config, edits, n, work_control(w)->host->registry, &pools, &w->error);
    return err < 0 ? err : snapshot_new(config_ref(config), pools, before, ret, &w->error);
}

static int reload_run(struct work *w)
{
    struct reload *l = CONTAINER_OF(w, struct reload, work);
    int err = reload_read(l);
    if (err == 0)
        err = configs_changes(l->started, l->before->config, l->config, &l->changes);
    if (err == 0)
        err = configs_snapshot(w, l->config, l->before, &l->snapshot);
    if (err < 0 || !w->request)
        return err;
    /* Only words of the answer: a store that cannot be read keeps no file from its place. */
    int unknown = reload_impact_find(l->before, l->config, l->snapshot->pools,
                                     work_control(w)->host->store, &l->impact);
    if (unknown < 0)
        LOG_EVENT(LOG_LEVEL_WARN, "config-reload-impact-unknown", KV_ERR("error", unknown));
    return 0;
}

static void reload_fini(struct work *w)
{
    struct reload *l = CONTAINER_OF(w, struct reload, work);
    config_unref(l->started);
    config_unref(l->config);
    snapshot_unref(l->before);
    snapshot_unref(l->snapshot);
    config_problems_fini(&l->problems);
    config_changes_fini(&l->changes);
    reload_impact_fini(&l->impact);
}

/* ---- going back unless it is confirmed ---- */

static void configs_forget(struct configs *c)
{
    loop_timer_cancel(c->control->host->loop, &c->confirm);
    c->is_waiting = false;
}

static void reload_post(struct control *c, struct request *r, bool is_going_back,
                        uint64_t confirm_ms);

static void on_unconfirmed(struct loop_timer *t)
{
    struct configs *c = CONTAINER_OF(t, struct configs, confirm);
    LOG_EVENT(LOG_LEVEL_WARN, "config-unconfirmed");
    c->is_waiting = false;
    reload_post(c->control, NULL, true, 0);
}

int configs_new(struct control *control, struct configs **ret)
{
    struct configs *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->control = control;
    loop_timer_init(&c->confirm, on_unconfirmed);
    *ret = c;
    return 0;
}

void configs_free(struct configs *c)
{
    if (!c)
        return;
    configs_forget(c);
    config_unref(c->started);
    free(c);
}

bool configs_is_waiting(const struct control *c)
{
    return c->configs->is_waiting;
}

uint64_t configs_confirm_left_ms(const struct control *control)
{
    const struct configs *c = control->configs;
    uint64_t now = loop_now_ms(control->host->loop);
    if (!c->is_waiting)
        return 0;
    return c->confirm_until_ms > now ? c->confirm_until_ms - now : 1;
}

void configs_request_confirm(struct request *r)
{
    struct configs *c = request_control(r)->configs;
    bool is_waiting = c->is_waiting;
    configs_forget(c);
    if (is_waiting)
        configs_accept(request_control(r));
    request_done(r, is_waiting, is_waiting, NULL);
}

/* ---- the answer ---- */

struct reload_counts {
    size_t changed, hidden, by_effect[CONFIG_RESTART + 1];
};

static json_t *reload_rows(const struct reload *l, struct reload_counts *n)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < l->changes.n; i++) {
        const struct config_change *ch = &l->changes.v[i];
        enum config_hidden hidden = config_change_hidden(work_control(&l->work), l->config, ch);
        n->changed++;
        if (hidden == CONFIG_HIDDEN_NONE)
            n->by_effect[ch->effect]++;
        n->hidden += hidden == CONFIG_HIDDEN_HIDDEN;
        (void)json_array_append_new(rows, config_change_row(ch, hidden));
    }
    reload_impact_rows(&l->impact, rows);
    return rows;
}

static char *reload_sentence(const struct reload *l, const struct reload_counts *n)
{
    AUTO_BUF text = BUF_INIT;
    char wait[32];
    int err = n->changed == 0 ? buf_append_c(&text, "no changes; certificates were read again")
                              : buf_printf(&text, "%zu changed", n->changed);
    const struct {
        size_t n;
        const char *words;
    } parts[] = {
        {n->by_effect[CONFIG_LIVE], "at once"},
        {n->by_effect[CONFIG_NEW_SESSIONS], "for new sessions"},
        {n->by_effect[CONFIG_RESTART], "after a restart only"},
        {n->hidden, "hidden by runtime edits (backend reset ends them)"},
    };
    const char *before = ": ";
    for (size_t i = 0; i < ARRAY_LEN(parts) && err == 0; i++)
        if (parts[i].n > 0) {
            err = buf_printf(&text, "%s%zu %s", before, parts[i].n, parts[i].words);
            before = ", ";
        }
    AUTO_FREE char *impact = reload_impact_text(&l->impact);
    if (err == 0 && impact)
        err = buf_printf(&text, "; %s", impact);
    if (err == 0 && l->impact.end_ms > 0) {
        units_format_duration(wait, l->impact.end_ms);
        err = buf_printf(&text, "; sessions of before end in %s", wait);
    }
    if (err == 0 && l->confirm_ms > 0) {
        units_format_duration(wait, l->confirm_ms);
        err = buf_printf(&text, "; config confirm keeps it, else it ends in %s", wait);
    }
    return err == 0 ? buf_steal(&text) : NULL;
}

static void reload_answer(struct reload *l)
{
    struct reload_counts n = {0};
    json_t *rows = reload_rows(l, &n);
    AUTO_FREE char *text = reload_sentence(l, &n);
    struct request *r = l->work.request;
    LOG_EVENT(LOG_LEVEL_NOTICE, l->is_going_back ? "config-rolled-back" : "config-reloaded",
              KV_U64("changed", n.changed), KV_U64("restart_needed", n.by_effect[CONFIG_RESTART]),
              KV_U64("hidden", n.hidden));
    control_event(work_control(&l->work), "config", NULL, NULL, NULL, NULL, NULL,
                  l->is_going_back ? "the reload was not confirmed: rolled back" : text);
    config_problems_log(&l->problems);
    if (!r) {
        json_decref(rows);
        return;
    }
    r->count = n.changed;
    json_t *result = json_pack("{s:o, s:b, s:I, s:b}", "rows", rows, "more", 0, "count",
                               (json_int_t)n.changed, "changed", n.changed > 0);
    request_set_text(result, "message", text);
    request_answer(r, result);
}

static void reload_done(struct work *w)
{
    struct reload *l = CONTAINER_OF(w, struct reload, work);
    const struct engine_api *h = work_control(w)->host;
    if (w->err == 0)
        w->err = h->publish_config(h->arg, STEAL(l->snapshot), &w->error);
    else
        h->drop_config(h->arg);
    if (w->err < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "config-reload-failed", KV_ERR("error", w->err),
                  KV_STR("detail", w->error));
        (void)work_fail(w);
        return;
    }
    struct configs *c = work_control(w)->configs;
    if (l->confirm_ms == 0) {
        configs_forget(c);
        configs_accept(work_control(w));
    } else {
        c->is_waiting = true;
        c->confirm_until_ms = loop_now_ms(c->control->host->loop) + l->confirm_ms;
        loop_timer_set(c->control->host->loop, &c->confirm, l->confirm_ms);
    }
    listener_pauses_restore(work_control(w)->pauses);
    h->forget_user(h->arg, NULL);
    trouble_set_certificates(work_control(w)->trouble, NULL); /* all were read */
    reload_answer(l);
}

static void reload_post(struct control *c, struct request *r, bool is_going_back,
                        uint64_t confirm_ms)
{
    struct reload *l = work_new(&c->rpc, r, sizeof(*l), reload_run, reload_done, reload_fini);
    if (!l) {
        LOG_EVENT(LOG_LEVEL_ERROR, "config-reload-failed", KV_ERR("error", -ERR_NOMEM));
        return;
    }
    l->work.start = reload_start;
    l->is_going_back = is_going_back;
    l->confirm_ms = confirm_ms;
    work_post(&l->work, &c->config_queue);
}

void configs_reload(struct control *c)
{
    reload_post(c, NULL, false, 0);
}

void configs_request_reload(struct request *r)
{
    reload_post(request_control(r), r, false, request_number(r, "confirm", 0));
}
