/* SPDX-License-Identifier: ISC */
/* Conflicts: their events, and a paced end. */
#include "fleet/conflicts.h"

#include "base/log/log.h"
#include "base/zalloc.h"
#include "ops/kill.h"
#include "runtime/state.h"

#define CONFLICTS_TICK_MS 1000
#define CONFLICTS_TOLD_MAX 200 /* of a tick */
#define CONFLICTS_ENDED_MAX 20 /* users, of a tick */

struct conflicts {
    struct control *control;
    struct pins_shared *pins;
    struct loop_timer timer;
};

/* Copies made under the table's lock. */
struct conflicts_part {
    size_t n, most;
    struct conflict {
        char user[256], pool[PIN_NAME_SIZE], pinned[PIN_NAME_SIZE], backend[PIN_NAME_SIZE];
        uint32_t sessions;
        uint64_t gen;
    } v[CONFLICTS_TOLD_MAX];
};

static bool on_pin_conflict(void *arg, const struct pin_conflict *c)
{
    struct conflicts_part *part = arg;
    if (part->n == ARRAY_LEN(part->v))
        return false;
    struct conflict *to = &part->v[part->n++];
    (void)str_copy(to->user, sizeof(to->user), str_of(c->user));
    (void)str_copy(to->pool, sizeof(to->pool), str_of(c->pool));
    (void)str_copy(to->pinned, sizeof(to->pinned), str_of(c->pinned));
    (void)str_copy(to->backend, sizeof(to->backend), str_of(c->backend));
    to->sessions = c->sessions;
    to->gen = c->gen;
    return part->n < part->most;
}

static void conflict_tell(struct conflicts *c, const struct conflict *one)
{
    AUTO_FREE char *text =
        str_printf("%u session%s here on %s/%s while the user belongs on %s (generation %llu)",
                   one->sessions, one->sessions == 1 ? "" : "s", one->pool, one->backend,
                   one->pinned, (unsigned long long)one->gen);
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-conflict", KV_STR("user", one->user),
              KV_STR("pool", one->pool), KV_STR("backend", one->backend),
              KV_STR("pinned", one->pinned), KV_U64("sessions", one->sessions));
    control_event(c->control, "fleet", NULL, NULL, one->user, NULL, one->backend, text);
}

static void conflict_end(struct conflicts *c, const struct conflict *one)
{
    const struct filter_is terms[] = {
        {.id = SESSION_FIELD_USER, .values = (const char *[]){one->user}, .n_values = 1},
        {.id = SESSION_FIELD_POOL, .values = (const char *[]){one->pool}, .n_values = 1},
        {.id = SESSION_FIELD_BACKEND, .values = (const char *[]){one->backend}, .n_values = 1}};
    const struct kill_spec spec = {
        .kind = REPLY_KICKED, .text = "Please connect again.", .grace_ms = KILL_GRACE_MS};
    int err = kill_start_terms(c->control, &spec, terms, ARRAY_LEN(terms));
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-conflict-end", KV_STR("user", one->user),
                  KV_ERR("error", err));
}

static void conflicts_each(struct conflicts *c, enum pin_conflict_pick pick, size_t most,
                           void (*fn)(struct conflicts *c, const struct conflict *one))
{
    AUTO_FREE struct conflicts_part *part = zalloc(sizeof(*part));
    if (!part)
        return; /* the next tick has them */
    part->most = most;
    pin_conflicts(&c->pins->table, pick, on_pin_conflict, part);
    for (size_t i = 0; i < part->n; i++)
        fn(c, &part->v[i]);
}

static void on_conflicts_tick(struct loop_timer *t)
{
    struct conflicts *c = CONTAINER_OF(t, struct conflicts, timer);
    loop_timer_set(c->control->host->loop, &c->timer, CONFLICTS_TICK_MS);
    if (atomic_load_explicit(&c->pins->table.n_misplaced, memory_order_relaxed) == 0)
        return;
    conflicts_each(c, PIN_CONFLICTS_UNTOLD, CONFLICTS_TOLD_MAX, conflict_tell);
    if (control_snapshot(c->control)->config->fleet.ends_conflicts)
        conflicts_each(c, PIN_CONFLICTS_NOT_ENDED, CONFLICTS_ENDED_MAX, conflict_end);
}

int conflicts_new(struct control *c, struct pins_shared *pins, struct conflicts **ret)
{
    struct conflicts *k = zalloc(sizeof(*k));
    if (!k)
        return -ERR_NOMEM;
    k->control = c;
    k->pins = pins;
    loop_timer_init(&k->timer, on_conflicts_tick);
    loop_timer_set(c->host->loop, &k->timer, CONFLICTS_TICK_MS);
    *ret = k;
    return 0;
}

void conflicts_free(struct conflicts *c)
{
    if (!c)
        return;
    loop_timer_cancel(c->control->host->loop, &c->timer);
    free(c);
}
