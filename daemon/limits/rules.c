/* SPDX-License-Identifier: ISC */
/* Rules by subject. */
#include "limits/rules.h"

/* Key of a rule: family, length and address, or "u" and the name. */
struct rule_key {
    char bytes[1 + 256];
    size_t n;
};

static struct rule_key rule_key_net(const uint8_t ip[16], unsigned bits, uint8_t family)
{
    struct rule_key k = {.n = 19};
    k.bytes[0] = 'n';
    k.bytes[1] = (char)family;
    k.bytes[2] = (char)bits;
    memcpy(k.bytes + 3, ip, 16);
    return k;
}

static struct rule_key rule_key_user(struct str user)
{
    struct rule_key k = {.bytes = {'u'}};
    size_t n = user.n < sizeof(k.bytes) - 1 ? user.n : sizeof(k.bytes) - 1;
    if (n > 0)
        memcpy(k.bytes + 1, user.p, n);
    k.n = n + 1;
    return k;
}

static struct rule_key rule_key_of(const struct limit_target *s)
{
    return s->kind == LIMIT_TARGET_USER ? rule_key_user(str_of(s->user))
                                        : rule_key_net(s->net.ip, s->net.bits, s->net.family);
}

static struct rule *rules_get(const struct rules *r, const struct rule_key *k)
{
    return map_get(&r->by_key, str_n(k->bytes, k->n));
}

void rules_init(struct rules *r, size_t max_automatic, uint64_t now_ms)
{
    *r = (struct rules){.max_automatic = max_automatic};
    list_init(&r->all);
    list_init(&r->walks);
    wheel_init(&r->wheel, now_ms);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* A crowd of askers must not keep a ban from being made. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&r->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
}

static void rule_free(struct rule *r)
{
    free(r->user);
    free(r->text);
    free(r->by);
    free(r);
}

void rules_fini(struct rules *r)
{
    LIST_FOREACH_SAFE (it, &r->all)
        rule_free(LIST_ITEM(it, struct rule, link));
    map_fini(&r->by_key);
    list_init(&r->all);
    pthread_rwlock_destroy(&r->lock);
}

size_t rules_count(const struct rules *r)
{
    return r->by_key.count;
}

void rule_subject(const struct rule *r, struct limit_target *ret)
{
    *ret = (struct limit_target){.kind = r->kind, .net = r->net};
    (void)str_copy(ret->user, sizeof(ret->user), str_of(r->user));
}

static void rules_tally(struct rules *r, const struct rule *rule, int n)
{
    bool is_user = rule->kind == LIMIT_TARGET_USER;
    if (!is_user)
        r->n_bits[rule->net.bits] += (size_t)n;
    atomic_fetch_add_explicit(is_user ? &r->n_users : &r->n_networks, (size_t)n,
                              memory_order_relaxed);
    if (rule->is_automatic)
        r->n_automatic += (size_t)n;
}

/* Under the lock. */
static void rules_unlink(struct rules *r, struct rule *rule)
{
    wheel_cancel(&r->wheel, &rule->timer);
    safe_iters_skip(&r->walks, &rule->link);
    list_del(&rule->link);
    rules_tally(r, rule, -1);
}

void rules_remove(struct rules *r, struct rule *rule)
{
    struct limit_target s;
    rule_subject(rule, &s);
    const struct rule_key k = rule_key_of(&s);
    pthread_rwlock_wrlock(&r->lock);
    (void)map_del(&r->by_key, str_n(k.bytes, k.n));
    rules_unlink(r, rule);
    pthread_rwlock_unlock(&r->lock);
    rule_free(rule);
}

static void rules_end(struct rules *r, struct rule *rule, enum rule_end why)
{
    if (r->gone)
        r->gone(r->arg, rule, why);
    rules_remove(r, rule);
}

/* Those with the same length of life end in the order of their making. */
static void rules_make_room(struct rules *r)
{
    if (r->n_automatic < r->max_automatic)
        return;
    LIST_FOREACH (it, &r->all) {
        struct rule *rule = LIST_ITEM(it, struct rule, link);
        if (rule->is_automatic) {
            rules_end(r, rule, RULE_EVICTED);
            return;
        }
    }
}

static struct rule *rule_new(const struct rule_spec *spec)
{
    bool is_user = spec->subject.kind == LIMIT_TARGET_USER;
    struct rule *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    *r = (struct rule){.kind = spec->subject.kind,
                       .is_automatic = spec->is_automatic,
                       .net = spec->subject.net,
                       .user = is_user ? str_dup_c(spec->subject.user) : NULL,
                       .created_ms = spec->created_ms,
                       .until_ms = spec->until_ms,
                       .text = str_dup_c(spec->text),
                       .by = str_dup_c(spec->by),
                       .sessions = spec->sessions,
                       .login_rate = spec->login_rate,
                       .failures = spec->failures};
    list_init(&r->link);
    wheel_timer_init(&r->timer);
    if ((is_user && !r->user) || (spec->text && !r->text) || (spec->by && !r->by)) {
        rule_free(r);
        return NULL;
    }
    return r;
}

static void rules_set_timer(struct rules *r, struct rule *rule, const struct rules_time *now)
{
    uint64_t left = rule->until_ms > now->wall_ms ? rule->until_ms - now->wall_ms : 1;
    if (rule->until_ms)
        wheel_set(&r->wheel, &rule->timer, now->ms + left);
}

int rules_put(struct rules *r, const struct rule_spec *spec, const struct rules_time *now,
              struct rule **ret)
{
    const struct rule_key k = rule_key_of(&spec->subject);
    struct rule *old = rules_get(r, &k), *rule = rule_new(spec);
    if (!rule)
        return -ERR_NOMEM;
    if (!old && spec->is_automatic)
        rules_make_room(r);
    pthread_rwlock_wrlock(&r->lock);
    int err = map_put(&r->by_key, str_n(k.bytes, k.n), rule, NULL);
    if (err == 0) {
        if (old)
            rules_unlink(r, old);
        list_add_tail(&r->all, &rule->link);
        rules_tally(r, rule, 1);
        rules_set_timer(r, rule, now);
    }
    pthread_rwlock_unlock(&r->lock);
    if (err < 0) {
        rule_free(rule);
        return err;
    }
    if (old) {
        rule->hits = old->hits;
        rule_free(old);
    }
    *ret = rule;
    return 0;
}

struct rule *rules_find(const struct rules *r, const struct limit_target *s)
{
    const struct rule_key k = rule_key_of(s);
    return rules_get(r, &k);
}

struct rule *rules_match_addr(const struct rules *r, const struct addr *a)
{
    unsigned least = a->family == AF_INET ? 96 : 0;
    if (atomic_load_explicit(&r->n_networks, memory_order_relaxed) == 0)
        return NULL;
    struct addr key = *a;
    if (a->family == AF_UNIX)
        memset(key.ip, 0, sizeof(key.ip));
    for (unsigned bits = 129; bits-- > least;) {
        if (r->n_bits[bits] == 0)
            continue;
        addr_mask(key.ip, bits);
        const struct rule_key k = rule_key_net(key.ip, bits, key.family);
        struct rule *rule = rules_get(r, &k);
        if (rule)
            return rule;
    }
    return NULL;
}

struct rule *rules_match_user(const struct rules *r, const char *user)
{
    if (!user || !*user || atomic_load_explicit(&r->n_users, memory_order_relaxed) == 0)
        return NULL;
    const struct rule_key k = rule_key_user(str_of(user));
    return rules_get(r, &k);
}

/* ---- any thread ---- */

bool rule_is_news(_Atomic uint64_t *last_ms, uint64_t now_ms)
{
    uint64_t last = atomic_load_explicit(last_ms, memory_order_relaxed);
    if (last && now_ms < last + RULE_NEWS_MS)
        return false;
    return atomic_compare_exchange_strong_explicit(last_ms, &last, now_ms ? now_ms : 1,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* Nothing to look for: then nobody has to wait for who changes the table. */
static bool rules_may_match(struct rules *r, bool has_user)
{
    return atomic_load_explicit(&r->n_networks, memory_order_relaxed) > 0 ||
           (has_user && atomic_load_explicit(&r->n_users, memory_order_relaxed) > 0);
}

bool rules_hit(struct rules *r, const struct addr *a, const char *user, uint64_t now_ms,
               struct rule_hit *ret)
{
    if (!rules_may_match(r, user && *user))
        return false;
    pthread_rwlock_rdlock(&r->lock);
    struct rule *rule = rules_match_user(r, user);
    if (!rule)
        rule = rules_match_addr(r, a);
    if (rule) {
        atomic_fetch_add_explicit(&rule->hits, 1, memory_order_relaxed);
        ret->is_news = rule_is_news(&rule->hit_ms, now_ms);
        (void)str_copy(ret->text, sizeof(ret->text), str_of(rule->text));
    }
    pthread_rwlock_unlock(&r->lock);
    return rule != NULL;
}

static struct rule_values rule_values(const struct rule *r)
{
    return r ? (struct rule_values){r->sessions, r->login_rate, r->failures}
             : (struct rule_values){RULE_KEEP, RULE_KEEP, RULE_KEEP};
}

struct rule_values rules_values_of_addr(struct rules *r, const struct addr *a)
{
    if (!rules_may_match(r, false))
        return rule_values(NULL);
    pthread_rwlock_rdlock(&r->lock);
    struct rule_values v = rule_values(rules_match_addr(r, a));
    pthread_rwlock_unlock(&r->lock);
    return v;
}

struct rule_values rules_values_of_user(struct rules *r, const char *user)
{
    if (!rules_may_match(r, true))
        return rule_values(NULL);
    pthread_rwlock_rdlock(&r->lock);
    struct rule_values v = rule_values(rules_match_user(r, user));
    pthread_rwlock_unlock(&r->lock);
    return v;
}

void rules_expire(struct rules *r, const struct rules_time *now)
{
    struct list expired;
    list_init(&expired);
    wheel_advance(&r->wheel, now->ms, &expired); /* the wheel is the owner's alone */
    LIST_FOREACH_SAFE (it, &expired) {
        struct rule *rule = CONTAINER_OF(it, struct rule, timer.link);
        list_del(it);
        if (rule->until_ms > now->wall_ms) /* the wall clock was set back */
            rules_set_timer(r, rule, now);
        else
            rules_end(r, rule, RULE_EXPIRED);
    }
}
