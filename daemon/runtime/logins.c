/* SPDX-License-Identifier: ISC */
/* Batches of last logins. */
#include "runtime/logins.h"

#include "base/log/log.h"
#include "runtime/state.h"

#define LOGINS_DELAY_MS 1000
#define LOGINS_RETRY_MS 10000 /* after the store failed */
#define LOGINS_BATCH 1000     /* so many go at once: a storm of logins is no long turn */
#define LOGINS_MAX 100000     /* users kept while the store does not take them */

struct login_entry {
    uint64_t at_ms;
    char name[];
};

/* Under way to the store. */
struct login_batch {
    struct work work;
    struct logins *logins; /* NULL: written by somebody else, or written already */
    struct store_login *rows;
    size_t n;
};

struct logins {
    struct control *control;
    struct map pending; /* name -> struct login_entry */
    struct loop_timer timer;
    struct login_batch *batch; /* one at a time; NULL = none */
    bool is_failing;           /* said once */
};

/* ---- what waits ---- */

static void logins_put(struct logins *l, const char *user, uint64_t at_ms)
{
    struct str name = str_of(user);
    struct login_entry *e = map_get(&l->pending, name);
    if (e) {
        e->at_ms = at_ms > e->at_ms ? at_ms : e->at_ms;
        return;
    }
    if (l->pending.count >= LOGINS_MAX || !(e = malloc(sizeof(*e) + name.n + 1)))
        return;
    e->at_ms = at_ms;
    memcpy(e->name, user, name.n + 1);
    if (map_put(&l->pending, name, e, NULL) < 0)
        free(e);
}

/* Moves everything into rows; -ERR_NOMEM leaves it. */
static int logins_take(struct logins *l, struct store_login **ret, size_t *ret_n)
{
    struct store_login *rows = calloc(l->pending.count + 1, sizeof(*rows));
    size_t pos = 0, n = 0;
    struct str key;
    void *value;
    if (!rows)
        return -ERR_NOMEM;
    while (map_next(&l->pending, &pos, &key, &value)) {
        const struct login_entry *e = value;
        rows[n++] = (struct store_login){.name = e->name, .at_ms = e->at_ms};
    }
    map_fini(&l->pending);
    l->pending = (struct map){0};
    *ret = rows;
    *ret_n = n;
    return 0;
}

static void logins_free_rows(struct store_login *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free((char *)rows[i].name - offsetof(struct login_entry, name));
    free(rows);
}

/* ---- batches ---- */

static int logins_run(struct work *w)
{
    const struct login_batch *b = CONTAINER_OF(w, struct login_batch, work);
    return store_user_logins(work_control(w)->host->store, b->rows, b->n);
}

static void logins_said(struct logins *l, int err)
{
    if (err < 0 && !l->is_failing)
        LOG_EVENT(LOG_LEVEL_ERROR, "last-logins-not-stored", KV_ERR("error", err));
    l->is_failing = err < 0;
}

static void logins_send(struct logins *l);

static void logins_done(struct work *w)
{
    struct login_batch *b = CONTAINER_OF(w, struct login_batch, work);
    struct logins *l = b->logins;
    if (!l)
        return;
    logins_said(l, w->err);
    if (w->err == 0) {
        b->logins = NULL;
        l->batch = NULL;
    }
    if (w->err == 0 && l->pending.count >= LOGINS_BATCH)
        logins_send(l);
    else if (w->err < 0 || l->pending.count > 0)
        loop_timer_set(l->control->host->loop, &l->timer,
                       w->err < 0 ? LOGINS_RETRY_MS : LOGINS_DELAY_MS);
}

/* What was not written waits again, also when the job threads ended before its turn. */
static void logins_fini(struct work *w)
{
    struct login_batch *b = CONTAINER_OF(w, struct login_batch, work);
    if (b->logins) {
        b->logins->batch = NULL;
        for (size_t i = 0; i < b->n; i++)
            logins_put(b->logins, b->rows[i].name, b->rows[i].at_ms);
    }
    logins_free_rows(b->rows, b->n);
}

static void logins_send(struct logins *l)
{
    if (l->batch || l->pending.count == 0)
        return;
    struct login_batch *b =
        work_new(&l->control->rpc, NULL, sizeof(*b), logins_run, logins_done, logins_fini);
    if (!b || logins_take(l, &b->rows, &b->n) < 0) {
        if (b)
            work_free(&b->work);
        loop_timer_set(l->control->host->loop, &l->timer, LOGINS_RETRY_MS);
        return;
    }
    b->logins = l;
    l->batch = b;
    work_post(&b->work, NULL);
}

static void on_logins_timer(struct loop_timer *t)
{
    logins_send(CONTAINER_OF(t, struct logins, timer));
}

/* ---- life ---- */

int logins_new(struct control *c, struct logins **ret)
{
    struct logins *l = calloc(1, sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    l->control = c;
    loop_timer_init(&l->timer, on_logins_timer);
    *ret = l;
    return 0;
}

void logins_note(struct logins *l, const char *user, uint64_t at_ms)
{
    bool is_first = l->pending.count == 0;
    logins_put(l, user, at_ms);
    if (l->batch || l->is_failing)
        return;
    if (l->pending.count >= LOGINS_BATCH)
        logins_send(l);
    else if (is_first)
        loop_timer_set(l->control->host->loop, &l->timer, LOGINS_DELAY_MS);
}

static void logins_flush(struct logins *l, const struct store_login *rows, size_t n)
{
    if (n > 0)
        logins_said(l, store_user_logins(l->control->host->store, rows, n));
}

/* A batch under way may or may not have been written: it is written here (twice does no harm), and
 * its job finds nobody to tell. */
void logins_free(struct logins *l)
{
    struct store_login *rows;
    size_t n;
    if (!l)
        return;
    loop_timer_cancel(l->control->host->loop, &l->timer);
    l->is_failing = false;
    if (l->batch) {
        logins_flush(l, l->batch->rows, l->batch->n);
        l->batch->logins = NULL;
    }
    if (l->pending.count > 0 && logins_take(l, &rows, &n) == 0) {
        logins_flush(l, rows, n);
        logins_free_rows(rows, n);
    }
    size_t pos = 0;
    struct str key;
    void *e;
    while (map_next(&l->pending, &pos, &key, &e))
        free(e);
    map_fini(&l->pending);
    free(l);
}
