/* SPDX-License-Identifier: ISC */
/* Retiring sessions of old configurations: one timer a reload. */
#include "engine/retire.h"

#include "base/cleanup.h"
#include "base/log/log.h"
#include "session/admin/query.h"

#define RETIRE_GRACE_MS 30000 /* for commands to be answered */

struct retirement {
    struct list link;
    struct loop_timer timer;
    struct session_env *env;
    uint64_t generation, rate, per;
};

static void retirement_free(struct retirement *r)
{
    loop_timer_cancel(r->env->loop, &r->timer);
    list_del(&r->link);
    free(r);
}

static void on_retire(struct loop_timer *t)
{
    struct retirement *r = CONTAINER_OF(t, struct retirement, timer);
    const struct session_kill_spec spec = {.kind = REPLY_SHUTDOWN,
                                           .text =
                                               "The configuration has changed, please reconnect.",
                                           .grace_ms = RETIRE_GRACE_MS,
                                           .rate = r->rate,
                                           .per = r->per,
                                           .generation = r->generation};
    int err = session_kill_here(r->env, &spec);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "sessions-not-retired", KV_ERR("error", err));
    retirement_free(r);
}

int retire_start(struct session_env *env, struct list *pending, const struct snapshot *snapshot,
                 size_t n_workers)
{
    struct retirement *r = calloc(1, sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    *r = (struct retirement){.env = env,
                             .generation = snapshot->generation,
                             .rate = snapshot->config->shutdown_rate,
                             .per = n_workers};
    loop_timer_init(&r->timer, on_retire);
    list_add_tail(pending, &r->link);
    loop_timer_set(env->loop, &r->timer, snapshot->config->reload_session_timeout_ms);
    return 0;
}

void retire_cancel(struct list *pending)
{
    LIST_FOREACH_SAFE (it, pending)
        retirement_free(LIST_ITEM(it, struct retirement, link));
}
