/* SPDX-License-Identifier: ISC */
/* Retiring sessions of old configurations: one timer a reload. */
#include "engine/retire.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "session/query.h"

#define RETIRE_GRACE_MS 5000 /* to reach a response boundary */

struct retirement {
    struct list link;
    struct loop_timer timer;
    struct session_env *env;
    uint64_t generation;
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
    int err = session_retire(r->env, r->generation,
                             "The configuration has changed, please reconnect.", RETIRE_GRACE_MS);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "sessions-not-retired", KV_ERR("error", err));
    retirement_free(r);
}

int retire_start(struct session_env *env, struct list *pending, uint64_t generation,
                 uint64_t delay_ms)
{
    struct retirement *r = calloc(1, sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    *r = (struct retirement){.env = env, .generation = generation};
    loop_timer_init(&r->timer, on_retire);
    list_add_tail(pending, &r->link);
    loop_timer_set(env->loop, &r->timer, delay_ms);
    return 0;
}

void retire_cancel(struct list *pending)
{
    LIST_FOREACH_SAFE (it, pending)
        retirement_free(LIST_ITEM(it, struct retirement, link));
}
