/* SPDX-License-Identifier: ISC */
/* Holds of single users by this worker: while a user is moved, no login of theirs goes on, and none
 * that was judged before the move ends goes to the old place. */
#include "base/container/map.h"
#include "session/session_priv.h"

#define HOLD_KEPT_MS (10 * 60 * UINT64_C(1000)) /* longer than any judging takes */

struct hold {
    struct list link; /* of holds.over */
    bool is_on;
    uint64_t count, over_ms; /* when it ended: its number, and the time */
    char user[];
};

struct holds {
    struct map by_user;
    struct list over; /* oldest first */
    uint64_t count;   /* that ended */
};

void holds_free(struct holds *h)
{
    size_t pos = 0;
    struct str key;
    void *one;
    if (!h)
        return;
    while (map_next(&h->by_user, &pos, &key, &one))
        free(one);
    map_fini(&h->by_user);
    free(h);
}

static void holds_expire(struct holds *h, uint64_t now)
{
    while (!list_is_empty(&h->over)) {
        struct hold *one = LIST_ITEM(h->over.next, struct hold, link);
        if (one->over_ms + HOLD_KEPT_MS > now)
            return;
        list_del(&one->link);
        (void)map_del(&h->by_user, str_of(one->user));
        free(one);
    }
}

uint64_t hold_count(const struct session_env *env)
{
    return env->holds ? env->holds->count : 0;
}

enum hold_state hold_state_of(const struct session *s)
{
    const struct holds *h = s->env->holds;
    const struct hold *one = h && s->user ? map_get(&h->by_user, str_of(s->user)) : NULL;
    if (!one)
        return HOLD_NONE;
    if (one->is_on)
        return HOLD_ON;
    return s->pre->judged < one->count ? HOLD_STALE : HOLD_NONE;
}

int hold_begin(struct session_env *env, const char *user)
{
    struct holds *h = env->holds;
    if (!h) {
        env->holds = h = calloc(1, sizeof(*h));
        if (!h)
            return -ERR_NOMEM;
        list_init(&h->over);
    }
    holds_expire(h, loop_now_ms(env->loop));
    struct hold *one = map_get(&h->by_user, str_of(user));
    size_t n = strlen(user) + 1;
    if (!one) {
        one = calloc(1, sizeof(*one) + n);
        if (!one)
            return -ERR_NOMEM;
        list_init(&one->link);
        memcpy(one->user, user, n);
        if (map_put(&h->by_user, str_of(one->user), one, NULL) < 0) {
            free(one);
            return -ERR_NOMEM;
        }
    }
    list_del(&one->link);
    one->is_on = true;
    return 0;
}

void session_judge_anew(struct session_env *env, const char *user)
{
    const struct hold *one = env->holds ? map_get(&env->holds->by_user, str_of(user)) : NULL;
    bool is_on = one && one->is_on; /* its end will do */
    if (!is_on && hold_begin(env, user) == 0)
        (void)!hold_end(env, user);
}

bool hold_end(struct session_env *env, const char *user)
{
    struct holds *h = env->holds;
    if (!h)
        return false;
    holds_expire(h, loop_now_ms(env->loop));
    struct hold *one = map_get(&h->by_user, str_of(user));
    if (!one || !one->is_on)
        return false;
    one->is_on = false;
    one->count = ++h->count;
    one->over_ms = loop_now_ms(env->loop);
    list_add_tail(&h->over, &one->link);
    return true;
}
