/* SPDX-License-Identifier: ISC */
/* Claims: their pace, and what the store answers. */
#include "fleet/claims.h"

#include "base/clock.h"
#include "base/zalloc.h"
#include "fleet/pins/pin_scripts.h"

/* A store takes some 100,000 claims a second, of all nodes together; logins wait behind them. */
#define CLAIMS_FLEET_RATE 20000 /* a second, of all nodes */
#define CLAIMS_NODE_RATE 10000  /* of one */
#define CLAIMS_BATCH_MS 10      /* so much of the rate goes out at once */
#define CLAIMS_TICK_MS 250
#define CLAIMS_IDLE_MS 1000
#define CLAIMS_PERIOD_MS (20 * 60 * UINT64_C(1000)) /* three times in the life of a user's key */
#define CLAIMS_AGAIN_MS 5000 /* at least; other nodes have told theirs by then */
#define CLAIMS_TIMEOUT_MS 2000
#define CLAIMS_TTL "3600000" /* ms, at least */

struct claims {
    struct loop *loop;
    struct pins_shared *pins;
    struct redis_client *redis;
    struct loop_timer timer;
    struct pin_walk walk;
    struct list pending; /* struct claim */
    size_t n_pending;
    size_t batch;
    size_t n_left;   /* batches of this tick */
    uint64_t due_ms; /* of the next walk; monotonic */
    uint64_t begun_ms, walked_ms;
    bool is_walking, is_twice; /* twice: one more follows soon */
};

struct claim {
    struct list link;
    struct claims *claims;
    struct pin_claim claim;
};

static void claim_end(struct claim *c, enum pin_claim_end end, struct str backend, uint64_t gen)
{
    struct claims *all = c->claims;
    char name[PIN_NAME_SIZE];
    if (!str_copy(name, sizeof(name), backend)) /* that is nobody's name */
        end = PIN_CLAIM_FAILED;
    pin_claim_over(&all->pins->table, &c->claim, end, name, gen, loop_now_ms(all->loop),
                   clock_wall_ms());
    list_del(&c->link);
    all->n_pending--;
    free(c);
}

static void claims_turn(struct claims *c);

static void on_claimed(void *arg, const struct redis_result *r)
{
    struct claim *c = arg;
    struct claims *all = c->claims;
    const struct redisReply *a = r->reply;
    bool is_good = r->err == 0 && a->type == REDIS_REPLY_ARRAY && a->elements == 3 &&
                   a->element[0]->type == REDIS_REPLY_STRING &&
                   a->element[1]->type == REDIS_REPLY_STRING &&
                   a->element[2]->type == REDIS_REPLY_INTEGER && a->element[2]->integer >= 0;
    if (!is_good) { /* the next tick tries again */
        claim_end(c, PIN_CLAIM_FAILED, STR_NULL, 0);
        return;
    }
    bool is_lost = str_eq(str_n(a->element[0]->str, a->element[0]->len), STR("lost"));
    claim_end(c, is_lost ? PIN_CLAIM_LOST : PIN_CLAIM_HELD,
              str_n(a->element[1]->str, a->element[1]->len), (uint64_t)a->element[2]->integer);
    if (all->n_pending == 0)
        claims_turn(all);
}

/* False: it went nowhere, and is due again. */
static bool claim_send(struct claims *all, const struct pin_claim *claim)
{
    const struct pins_shared *s = all->pins;
    char key[PINS_KEY_SIZE], sessions[24], gen[24];
    struct claim *c = zalloc(sizeof(*c));
    pins_user_key(s, claim->key.user, key);
    *str_put_number(sessions, claim->sessions, 10, 0) = '\0';
    *str_put_number(gen, claim->gen, 10, 0) = '\0';
    const struct str words[] = {str_of(key),
                                str_of(s->holder),
                                str_of(claim->key.pool),
                                str_of(sessions),
                                str_of(claim->backend),
                                str_of(gen),
                                str_of(pin_source_name(claim->source)),
                                STR(CLAIMS_TTL)};
    if (c && redis_eval(all->redis, &pin_script_claim, words, ARRAY_LEN(words), 1,
                        CLAIMS_TIMEOUT_MS, on_claimed, c, NULL) == 0) {
        c->claims = all;
        c->claim = *claim;
        list_add_tail(&all->pending, &c->link);
        all->n_pending++;
        pin_table_count(&all->pins->table, PIN_COUNT_CLAIMS);
        return true;
    }
    free(c);
    pin_claim_over(&all->pins->table, claim, PIN_CLAIM_FAILED, "", 0, loop_now_ms(all->loop),
                   clock_wall_ms());
    return false;
}

/* A few at a time, and none before the last were answered: a store that has much to do gets less.
 */
static void claims_turn(struct claims *c)
{
    uint64_t now = loop_now_ms(c->loop);
    struct pin_claim claim;
    if (now >= c->due_ms) {
        pin_walk_begin(&c->pins->table, &c->walk);
        c->is_walking = true;
        c->begun_ms = now;
        c->due_ms = now + CLAIMS_PERIOD_MS;
    }
    if (c->n_pending > 0 || c->n_left == 0)
        return;
    c->n_left--;
    while (c->n_pending < c->batch)
        if (!pin_claim_next(&c->pins->table, &c->walk, &claim) || !claim_send(c, &claim))
            break;
    if (!c->is_walking || c->walk.is_on || c->n_pending > 0)
        return;
    c->is_walking = false;
    c->walked_ms = now - c->begun_ms;
    if (c->is_twice) /* one more pass once all nodes have told theirs: they take about as long */
        c->due_ms = now + (c->walked_ms > CLAIMS_AGAIN_MS ? c->walked_ms : CLAIMS_AGAIN_MS);
    c->is_twice = false;
}

static void on_claims_tick(struct loop_timer *t)
{
    struct claims *c = CONTAINER_OF(t, struct claims, timer);
    c->n_left = CLAIMS_TICK_MS / CLAIMS_BATCH_MS;
    if (c->redis && redis_is_up(c->redis))
        claims_turn(c);
    bool is_busy = c->is_walking || c->n_pending > 0;
    loop_timer_set(c->loop, &c->timer, is_busy ? CLAIMS_TICK_MS : CLAIMS_IDLE_MS);
}

void claims_begin(struct claims *c)
{
    c->is_twice = true;
    c->due_ms = 0;
    loop_timer_set(c->loop, &c->timer, 1);
}

void claims_set_nodes(struct claims *c, size_t n)
{
    size_t rate = CLAIMS_FLEET_RATE / (n > 0 ? n : 1);
    size_t batch = (rate < CLAIMS_NODE_RATE ? rate : CLAIMS_NODE_RATE) * CLAIMS_BATCH_MS / 1000;
    c->batch = batch > 0 ? batch : 1;
}

void claims_set_redis(struct claims *c, struct redis_client *redis)
{
    while (!list_is_empty(&c->pending))
        claim_end(LIST_ITEM(c->pending.next, struct claim, link), PIN_CLAIM_FAILED, STR_NULL, 0);
    c->redis = redis;
}

void claims_look(const struct claims *c, struct claims_facts *ret)
{
    *ret = (struct claims_facts){.is_walking = c->is_walking,
                                 .begun_ms = c->begun_ms,
                                 .walked_ms = c->walked_ms,
                                 .n_pending = c->n_pending};
}

int claims_new(struct loop *l, struct pins_shared *pins, struct claims **ret)
{
    struct claims *c = zalloc(sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->loop = l;
    c->pins = pins;
    list_init(&c->pending);
    loop_timer_init(&c->timer, on_claims_tick);
    claims_set_nodes(c, 1);
    c->due_ms = clock_ms() + CLAIMS_PERIOD_MS;
    loop_timer_set(l, &c->timer, CLAIMS_IDLE_MS);
    *ret = c;
    return 0;
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    loop_timer_cancel(c->loop, &c->timer);
    claims_set_redis(c, NULL);
    pin_walk_end(&c->pins->table, &c->walk);
    free(c);
}
