/* SPDX-License-Identifier: ISC */
/* Bans for failures: those that fell due here, and those of other nodes of a fleet. */
#include "limits/limits_priv.h"

/* Failures that led to a ban do not count for the next one. */
static void ban_settle(struct limits *l, const struct config_limits *c, const struct addr *a,
                       uint64_t now_ms)
{
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = limit_source_find(t, &from);
    if (s && s->past) {
        s->past->ban_due_ms = 0;
        limit_past_clear_failures(s->past);
    }
    if (s)
        limits_settle_source(l, t, s, c, now_ms);
    else
        pthread_mutex_unlock(&t->lock);
}

bool limits_ban(struct limits *l, const struct config_limits *c, const struct addr *a,
                const struct rules_time *now, struct rule **ret)
{
    struct rule_spec spec = {.is_automatic = true,
                             .created_ms = now->wall_ms,
                             .until_ms = c->ban_ms ? now->wall_ms + c->ban_ms : 0};
    limit_target_of_addr(&spec.subject, a);
    bool is_made = !rules_match_addr(&l->bans, a) && rules_put(&l->bans, &spec, now, ret) == 0;
    ban_settle(l, c, a, now->ms);
    return is_made;
}

/* Is there a ban that holds as long? One that an operator made stays as it is. */
static bool ban_is_covered(const struct rule *r, const struct limit_ban *b)
{
    return r && (!r->is_automatic || r->until_ms == 0 ||
                 (b->until_ms != 0 && r->until_ms >= b->until_ms));
}

int limits_take_ban(struct limits *l, const struct config_limits *c, const struct limit_ban *b,
                    const struct rules_time *now, struct rule **ret)
{
    struct addr a = {.family = b->subject.net.family};
    struct limit_target usual;
    memcpy(a.ip, b->subject.net.ip, sizeof(a.ip));
    limit_target_of_addr(&usual, &a);
    bool is_single = b->subject.kind == usual.kind && b->subject.net.bits == usual.net.bits;
    if (!is_single || !limits_are_counted(&a))
        return -ERR_INVAL;
    if (b->until_ms && b->until_ms <= now->wall_ms)
        return -ERR_EXISTS;
    uint64_t most = limits_failures(l, c, &a);
    if (most == 0 || (most == RULE_KEEP && c->users_before_ban == 0))
        return -ERR_PERM;
    if (ban_is_covered(rules_find(&l->bans, &b->subject), b))
        return -ERR_EXISTS;
    const struct rule_spec spec = {.subject = b->subject,
                                   .is_automatic = true,
                                   .created_ms = b->created_ms,
                                   .until_ms = b->until_ms,
                                   .by = b->node};
    int err = rules_put(&l->bans, &spec, now, ret);
    if (err == 0)
        ban_settle(l, c, &a, now->ms);
    return err;
}

bool limits_is_lifted(const struct rule *r, uint64_t created_ms)
{
    return r && r->is_automatic && r->created_ms <= created_ms;
}
