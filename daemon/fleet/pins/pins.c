/* SPDX-License-Identifier: ISC */
/* Asking the store for a login's backend, and what is done without its answer. */
#include "fleet/pins/pins.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log/log.h"
#include "base/zalloc.h"
#include "fleet/pins/pin_scripts.h"
#include "io/crypto.h"

#define PINS_TTL_MS (60 * 60 * UINT64_C(1000)) /* at least; claims renew it three times an hour */
#define PINS_USER_SIZE 256

struct pins {
    struct loop *loop;
    struct pins_shared *shared;
    struct crypto_hmac *hmac; /* with the secret */
    struct redis_client *redis;
    char retention[24], ttl[24], lease[24]; /* ms, as the scripts get them */
    struct list calls;
    struct list lost; /* calls whose client went */
    struct loop_deferred lost_later;
    char backend[PIN_NAME_SIZE]; /* of the last answer */
};

enum pins_kind { PINS_ASK, PINS_LEAVE };

/* Something that the store was asked, and has not answered. */
struct pins_call {
    struct list link; /* of pins.calls or pins.lost */
    struct pins *pins;
    struct pin *pin;
    enum pins_kind kind;
    pins_fn *fn; /* NULL: nobody wants the answer any more */
    void *arg;
    bool is_strict, is_fixed;
    bool is_counted;              /* in the store, since an earlier answer for the same login */
    char proposal[PIN_NAME_SIZE]; /* the asker's */
    char known[PIN_NAME_SIZE];    /* where the user was last as far as is known here; "" */
};

/* ---- what is shared ---- */

int pins_shared_new(const struct pins_shared_spec *spec, struct pins_shared **ret)
{
    struct pins_shared *s = zalloc(sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    pin_table_init(&s->table, PIN_STRIPES, PIN_IDLE_MAX);
    s->prefix = str_printf("mp:%s:", spec->fleet);
    s->nodes = str_printf("mp:%s:nodes", spec->fleet);
    s->epoch = str_printf("mp:%s:epoch", spec->fleet);
    memcpy(s->secret, spec->secret, sizeof(s->secret));
    s->lease_ms = spec->lease_ms;
    int err = s->prefix && s->nodes && s->epoch ? 0 : -ERR_NOMEM;
    if (err == 0 && (!str_copy(s->holder, sizeof(s->holder), str_of(spec->holder)) ||
                     strlen(s->prefix) + 2 + 2 * PIN_HASH_BYTES >= PINS_KEY_SIZE))
        err = -ERR_TOO_LONG;
    if (err < 0) {
        pins_shared_free(s);
        return err;
    }
    pin_scripts_init();
    *ret = s;
    return 0;
}

void pins_shared_free(struct pins_shared *s)
{
    if (!s)
        return;
    pin_table_fini(&s->table);
    free(s->prefix);
    free(s->nodes);
    free(s->epoch);
    explicit_bzero(s->secret, sizeof(s->secret));
    free(s);
}

/* The name in lower case, in a place of the caller's. */
static struct str user_text(const char *user, char name[PINS_USER_SIZE])
{
    struct str text = str_of(user);
    if (str_copy(name, PINS_USER_SIZE, text)) {
        str_lower(name);
        text.p = name;
    }
    return text;
}

void pins_hash_user(const struct pins_shared *s, const char *user, uint8_t ret[PIN_HASH_BYTES])
{
    char name[PINS_USER_SIZE];
    uint8_t mac[32];
    crypto_sasl()->hmac_sha256(str_n(s->secret, sizeof(s->secret)), user_text(user, name), mac);
    memcpy(ret, mac, PIN_HASH_BYTES);
}

void pins_set_epoch(struct pins_shared *s, const char *epoch)
{
    atomic_store_explicit(&s->known_epoch, *epoch ? hash_stable(str_of(epoch)) : 0,
                          memory_order_relaxed);
}

void pins_note_epoch(struct pins_shared *s, struct str epoch)
{
    uint64_t known = atomic_load_explicit(&s->known_epoch, memory_order_relaxed);
    if (known != 0 && hash_stable(epoch) != known)
        atomic_store_explicit(&s->is_epoch_other, true, memory_order_relaxed);
}

bool pins_take_other_epoch(struct pins_shared *s)
{
    return atomic_exchange_explicit(&s->is_epoch_other, false, memory_order_relaxed);
}

void pins_user_key(const struct pins_shared *s, const uint8_t user[PIN_HASH_BYTES],
                   char ret[PINS_KEY_SIZE])
{
    size_t n = strlen(s->prefix);
    memcpy(ret, s->prefix, n);
    memcpy(ret + n, "u:", 2);
    str_hex(ret + n + 2, user, PIN_HASH_BYTES);
}

/* ---- calls ---- */

static struct pins_call *call_new(struct pins *p, enum pins_kind kind, struct pin *pin)
{
    struct pins_call *c = zalloc(sizeof(*c));
    if (!c)
        return NULL;
    c->pins = p;
    c->kind = kind;
    c->pin = pin;
    list_init(&c->link);
    return c;
}

static void call_free(struct pins_call *c)
{
    list_del(&c->link);
    free(c);
}

static uint64_t pins_now(const struct pins *p)
{
    return loop_now_ms(p->loop);
}

static void on_left(void *arg, const struct redis_result *r)
{
    struct pins_call *c = arg;
    pin_changed(&c->pins->shared->table, c->pin, r->err == 0, pins_now(c->pins));
    call_free(c);
}

/* The store has one less: a change that has begun (pin_change). Nobody waits; where it cannot be
 * told now, a claim will tell it. */
static void pins_tell_left(struct pins *p, struct pin *pin, bool is_void)
{
    struct pins_shared *s = p->shared;
    char key[PINS_KEY_SIZE];
    struct pins_call *c = p->redis ? call_new(p, PINS_LEAVE, pin) : NULL;
    pins_user_key(s, (const uint8_t *)pin->key, key);
    const struct str words[] = {str_of(key), str_of(s->holder),
                                str_n(pin->key + PIN_HASH_BYTES, pin->pool_len), str_of(p->ttl),
                                is_void ? STR("v") : STR("-")};
    if (c && redis_eval(p->redis, &pin_script_leave, words, ARRAY_LEN(words), 1, 0, on_left, c,
                        NULL) == 0) {
        list_add_tail(&p->calls, &c->link);
        return;
    }
    free(c);
    pin_changed(&s->table, pin, false, pins_now(p));
}

void pins_leave(struct pins *p, struct pin_backend *held, bool is_void)
{
    if (!held)
        return;
    struct pin *pin = held->pin;
    pin_change(&p->shared->table, pin);
    pin_leave(&p->shared->table, held, is_void, pins_now(p));
    pins_tell_left(p, pin, is_void);
}

/* ---- answers ---- */

/* The login gets no backend. */
static struct pins_answer answer_refuse(struct pins *p, struct pin *pin, enum pins_verdict verdict,
                                        const char *why)
{
    static const enum pin_count counts[] = {
        [PINS_LIMIT] = PIN_COUNT_LIMITED, [PINS_UNAVAILABLE] = PIN_COUNT_FAILED_SHUT};
    pin_give_up(&p->shared->table, pin, pins_now(p));
    pin_table_count(&p->shared->table, counts[verdict]);
    return (struct pins_answer){.verdict = verdict, .why = why};
}

static struct pins_answer answer_here(struct pins *p, struct pin *pin, uint64_t gen,
                                      enum pin_source source)
{
    struct pins_answer a = {.verdict = PINS_HERE, .backend = p->backend};
    a.held = pin_settle(&p->shared->table, pin, p->backend, gen, source, clock_wall_ms());
    return a.held ? a : answer_refuse(p, pin, PINS_UNAVAILABLE, err_text(ERR_NOMEM));
}

/* Nobody could be asked: the login goes where the user's sessions here are or were, else where the
 * asker would have put it; unless the pool is strict. What an operator fixed holds on every node.
 */
static struct pins_answer answer_open(struct pins *p, const struct pins_call *c, const char *why)
{
    if (c->is_strict && !c->is_fixed)
        return answer_refuse(p, c->pin, PINS_UNAVAILABLE, why);
    pin_table_count(&p->shared->table, PIN_COUNT_FAILED_OPEN);
    (void)str_copy(p->backend, sizeof(p->backend),
                   str_of(c->known[0] && !c->is_fixed ? c->known : c->proposal));
    struct pins_answer a = answer_here(p, c->pin, 0, c->is_fixed ? PIN_FIXED : PIN_BALANCED);
    a.is_open = true;
    a.why = why;
    return a;
}

static bool reply_is(const struct redisReply *r, size_t i, int type)
{
    return i < r->elements && r->element[i]->type == type;
}

static struct str call_reply_text(const struct redisReply *r, size_t i)
{
    return str_n(r->element[i]->str, r->element[i]->len);
}

/* Nothing of it is trusted: a store that says something else is as good as away. */
static bool reply_is_good(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY && reply_is(r, 0, REDIS_REPLY_STRING) &&
           reply_is(r, 1, REDIS_REPLY_STRING) && reply_is(r, 2, REDIS_REPLY_INTEGER) &&
           reply_is(r, 3, REDIS_REPLY_INTEGER) && reply_is(r, 4, REDIS_REPLY_STRING) &&
           reply_is(r, 5, REDIS_REPLY_STRING) && r->element[1]->len < PIN_NAME_SIZE &&
           r->element[2]->integer >= 0 && !str_has_crlf_nul(call_reply_text(r, 1));
}

static struct pins_answer answer_read(struct pins *p, const struct pins_call *c,
                                      const struct redisReply *r)
{
    struct str status = call_reply_text(r, 0);
    pins_note_epoch(p->shared, call_reply_text(r, 5));
    if (str_eq(status, STR("limit")))
        return answer_refuse(p, c->pin, PINS_LIMIT, NULL);
    if (str_eq(status, STR("busy"))) {
        if (c->is_counted) {
            pin_change(&p->shared->table, c->pin);
            pins_tell_left(p, c->pin, false);
        }
        return answer_refuse(p, c->pin, PINS_UNAVAILABLE,
                             "sessions of the user are on a backend that cannot be used here");
    }
    if (str_eq(status, STR("moved")))
        pin_table_count(&p->shared->table, PIN_COUNT_MOVED);
    (void)str_copy(p->backend, sizeof(p->backend), call_reply_text(r, 1));
    return answer_here(p, c->pin, (uint64_t)r->element[2]->integer,
                       pin_source_find(call_reply_text(r, 4)));
}

static void call_answer(struct pins_call *c, const struct redis_result *r)
{
    struct pins *p = c->pins;
    struct pin_table *t = &p->shared->table;
    struct pins_answer a = {0};
    bool is_sure = r->err == 0 && reply_is_good(r->reply);
    if (c->fn && is_sure) {
        a = answer_read(p, c, r->reply);
    } else if (c->fn) {
        a = answer_open(p, c, r->err < 0 ? err_text(r->err) : err_text(ERR_PROTOCOL));
    } else { /* whose login is gone: what it was given goes back */
        if (is_sure) {
            pin_change(t, c->pin);
            pins_tell_left(p, c->pin, false);
        }
        pin_give_up(t, c->pin, pins_now(p));
    }
    /* Without an answer nobody knows whether it counts there; the claim that follows does. */
    pin_changed(t, c->pin, is_sure, pins_now(p));
    pins_fn *fn = c->fn;
    void *arg = c->arg;
    call_free(c);
    if (fn)
        fn(arg, &a);
}

static void on_pins_asked(void *arg, const struct redis_result *r)
{
    call_answer(arg, r);
}

/* ---- questions ---- */

static int ask_send(struct pins_call *c, const struct pins_request *q, const struct pin_view *v)
{
    const struct pins *p = c->pins;
    const struct pins_shared *s = p->shared;
    char key[PINS_KEY_SIZE], max[24], known[24], flags[4] = "-";
    size_t n = 0;
    /* What of this engine's knowledge goes along: sessions that are here make their backend the
     * proposal, which matters where the store has lost it. */
    bool is_bound = v->current > 0 && !q->is_fixed && !(q->avoid && str_eq_c(v->backend, q->avoid));
    bool is_same = v->current > 0 && strcmp(v->backend, q->proposal) == 0;
    uint64_t gen = is_bound || is_same ? v->gen : 0;
    struct str proposal = str_of(is_bound ? v->backend : q->proposal);
    *str_put_number(max, q->max_sessions, 10, 0) = '\0';
    *str_put_number(known, gen, 10, 0) = '\0';
    if (q->held)
        flags[n++] = 'c';
    if (q->is_fixed)
        flags[n++] = 'f';
    if (q->is_strict)
        flags[n++] = 's';
    pins_user_key(s, (const uint8_t *)c->pin->key, key);
    const struct str words[] = {
        str_of(key),      str_of(s->nodes), str_of(s->epoch), str_of(s->holder),    str_of(q->pool),
        proposal,         str_of(q->avoid), str_of(max),      str_of(p->retention), str_of(p->ttl),
        str_of(p->lease), str_of(known),    str_of(flags)};
    return redis_eval(p->redis, &pin_script_ask, words, ARRAY_LEN(words), 3, q->timeout_ms,
                      on_pins_asked, c, NULL);
}

/* The pin of the login, which counts as one that asks. */
static struct pin *pins_ask_begin(struct pins *p, const struct pins_request *q,
                                  struct pin_view *ret)
{
    struct pin_key key = {.pool = q->pool};
    char name[PINS_USER_SIZE];
    uint8_t mac[32];
    if (q->held)
        return pin_again(&p->shared->table, q->held, ret);
    crypto_hmac_of(p->hmac, user_text(q->user, name), mac); /* as pins_hash_user */
    memcpy(key.user, mac, PIN_HASH_BYTES);
    return pin_begin(&p->shared->table, &key, q->user, pins_now(p), ret);
}

struct pins_call *pins_ask(struct pins *p, const struct pins_request *q, pins_fn *fn, void *arg,
                           struct pins_answer *ret)
{
    struct pin_view view;
    struct pin_table *t = &p->shared->table;
    struct pin *pin = pins_ask_begin(p, q, &view);
    struct pins_call *c = pin ? call_new(p, PINS_ASK, pin) : NULL;
    if (!c) {
        if (pin) {
            pin_change(t, pin);
            pin_give_up(t, pin, pins_now(p));
            pin_changed(t, pin, false, pins_now(p));
        }
        *ret = (struct pins_answer){.verdict = PINS_UNAVAILABLE, .why = err_text(ERR_NOMEM)};
        return NULL;
    }
    pin_table_count(t, PIN_COUNT_ASKS);
    c->fn = fn;
    c->arg = arg;
    c->is_strict = q->is_strict;
    c->is_fixed = q->is_fixed;
    c->is_counted = q->held;
    (void)str_copy(c->proposal, sizeof(c->proposal), str_of(q->proposal));
    if (!q->avoid || strcmp(view.backend, q->avoid) != 0)
        (void)str_copy(c->known, sizeof(c->known), str_of(view.backend));
    pin_change(t, pin);
    int err = -ERR_UNREACHABLE;
    if (q->timeout_ms == 0)
        err = -ERR_TIMEOUT;
    else if (p->redis)
        err = ask_send(c, q, &view);
    if (err == 0) {
        list_add_tail(&p->calls, &c->link);
        return c;
    }
    *ret = answer_open(p, c, err_text(err));
    pin_changed(t, pin, false, pins_now(p));
    call_free(c);
    return NULL;
}

void pins_cancel(struct pins_call *c)
{
    if (c)
        c->fn = NULL;
}

/* ---- life ---- */

static void on_pins_lost(struct loop_deferred *d)
{
    struct pins *p = CONTAINER_OF(d, struct pins, lost_later);
    const struct redis_result closed = {.err = -ERR_CLOSED};
    while (!list_is_empty(&p->lost)) {
        struct pins_call *c = LIST_ITEM(p->lost.next, struct pins_call, link);
        (c->kind == PINS_ASK ? on_pins_asked : on_left)(c, &closed);
    }
}

int pins_new(struct loop *l, struct pins_shared *shared, struct pins **ret)
{
    struct pins *p = zalloc(sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    int err = crypto_hmac_new(str_n(shared->secret, sizeof(shared->secret)), &p->hmac);
    if (err < 0) {
        free(p);
        return err;
    }
    p->loop = l;
    p->shared = shared;
    list_init(&p->calls);
    list_init(&p->lost);
    list_init(&p->lost_later.link);
    p->lost_later.fn = on_pins_lost;
    *str_put_number(p->lease, p->shared->lease_ms, 10, 0) = '\0';
    pins_set_retention(p, 0);
    *ret = p;
    return 0;
}

void pins_set_retention(struct pins *p, uint64_t retention_ms)
{
    uint64_t ttl = 4 * retention_ms > PINS_TTL_MS ? 4 * retention_ms : PINS_TTL_MS;
    *str_put_number(p->retention, retention_ms, 10, 0) = '\0';
    *str_put_number(p->ttl, ttl, 10, 0) = '\0';
}

void pins_set_redis(struct pins *p, struct redis_client *redis)
{
    redis_client_free(p->redis);
    p->redis = redis;
    if (list_is_empty(&p->calls))
        return;
    list_splice_tail(&p->lost, &p->calls);
    loop_defer(p->loop, &p->lost_later);
}

/* Sessions that end while the loop ends have said so; nobody reads the answers. */
void pins_free(struct pins *p)
{
    if (!p)
        return;
    loop_undefer(&p->lost_later);
    pins_set_redis(p, NULL);
    loop_undefer(&p->lost_later);
    LIST_FOREACH (it, &p->lost)
        LIST_ITEM(it, struct pins_call, link)->fn = NULL;
    on_pins_lost(&p->lost_later);
    crypto_hmac_free(p->hmac);
    free(p);
}
