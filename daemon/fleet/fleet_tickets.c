/* SPDX-License-Identifier: ISC */
/* Sharing the secret of tickets: who finds none in the store makes one, sealed; all take what is
 * there. While the store is away the last one goes on. */
#include "fleet/fleet_tickets.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log/log.h"
#include "fleet/seal.h"
#include "io/tls/tls_tickets.h"
#include "runtime/state.h"

#define TICKETS_LIFE_MS (24 * 3600 * UINT64_C(1000)) /* as of a secret of one proxy */
#define TICKETS_LATE_MS (3600 * UINT64_C(1000))      /* clocks are not the same everywhere */
#define TICKETS_LOOK_MS 10000 /* how long two nodes may have another one after it was renewed */

/* As it is sealed: when it was made (wall clock, ms), and the secret. */
struct ticket_secret {
    uint64_t made_ms;
    uint8_t secret[TLS_TICKETS_BYTES];
};

struct fleet_tickets {
    struct control *control;
    struct fleet *fleet;
    struct fleet_watch watch;
    struct tls_tickets *tickets; /* that the servers have; borrowed */
    struct loop_timer timer;
    struct redis_call *call;
    char *key;
    struct seal seal;
    struct ticket_secret last; /* that the store had; made_ms 0 = none yet */
    bool is_refused;           /* what the store has now was told to be none */
};

/* Reply: what is there, which may be the proposal. Keys: the secret. Arguments: a proposal, its
 * lifetime in ms. */
static struct redis_script tickets_script = {
    .text = "redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])\n"
            "return redis.call('GET', KEYS[1])\n"};

/* One that was made by a clock that was wrong would be good for longer than any: it is too old. */
static uint64_t secret_age_ms(const struct ticket_secret *s)
{
    uint64_t now = clock_wall_ms();
    return now >= s->made_ms                     ? now - s->made_ms
           : s->made_ms - now <= TICKETS_LATE_MS ? 0
                                                 : UINT64_MAX - TICKETS_LATE_MS;
}

/* ---- what the store has ---- */

static bool tickets_open(const struct fleet_tickets *t, struct str sealed,
                         struct ticket_secret *ret)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    if (seal_open(&t->seal, str_of(t->key), sealed, &text) < 0 || text.len != sizeof(*ret))
        return false;
    memcpy(ret, buf_str(&text).p, sizeof(*ret));
    return secret_age_ms(ret) < TICKETS_LIFE_MS + TICKETS_LATE_MS;
}

static void on_tickets(void *arg, const struct redis_result *r)
{
    struct fleet_tickets *t = arg;
    struct ticket_secret s = {0};
    t->call = NULL;
    if (r->err < 0)
        return;
    if (r->reply->type != REDIS_REPLY_STRING ||
        !tickets_open(t, str_n(r->reply->str, r->reply->len), &s)) {
        /* Somebody else put it there, or put it there again: the last one goes on. */
        if (!t->is_refused)
            LOG_EVENT(LOG_LEVEL_WARN, "fleet-tickets-refused", KV_STR("key", t->key),
                      KV_STR("reason", "it was not sealed with this secret_file, is too old, or of "
                                       "a clock that is ahead"));
        t->is_refused = true;
    } else {
        t->is_refused = false;
        if (memcmp(&s, &t->last, sizeof(s)) != 0) {
            t->last = s;
            tls_tickets_set(t->tickets, s.secret);
        }
    }
    explicit_bzero(&s, sizeof(s)); /* also of one that is too old */
}

/* ---- asking ---- */

/* The last one as long as it is good, so that a store that has lost it does not end resumption. */
static int tickets_propose(const struct fleet_tickets *t, struct buf *ret, uint64_t *ret_life_ms)
{
    struct ticket_secret s = t->last;
    if (s.made_ms == 0 || secret_age_ms(&s) >= TICKETS_LIFE_MS) {
        s = (struct ticket_secret){.made_ms = clock_wall_ms()};
        hash_random(s.secret, sizeof(s.secret));
    }
    *ret_life_ms = TICKETS_LIFE_MS - secret_age_ms(&s);
    int err = seal_text(&t->seal, str_of(t->key), str_n(&s, sizeof(s)), ret);
    explicit_bzero(&s, sizeof(s));
    return err;
}

static void tickets_ask(struct fleet_tickets *t)
{
    AUTO_BUF sealed = BUF_INIT;
    char life[24];
    uint64_t life_ms;
    if (t->call || !control_snapshot(t->control)->config->fleet.has_tickets ||
        tickets_propose(t, &sealed, &life_ms) < 0)
        return;
    *str_put_number(life, life_ms, 10, 0) = '\0';
    const struct str words[] = {str_of(t->key), buf_str(&sealed), str_of(life)};
    (void)!redis_eval(fleet_redis(t->fleet), &tickets_script, words, ARRAY_LEN(words), 1, 0,
                      on_tickets, t, &t->call);
}

static void on_tickets_timer(struct loop_timer *timer)
{
    struct fleet_tickets *t = CONTAINER_OF(timer, struct fleet_tickets, timer);
    tickets_ask(t);
    loop_timer_set(t->control->host->loop, &t->timer, TICKETS_LOOK_MS);
}

static void on_tickets_back(struct fleet_watch *w, bool is_other)
{
    (void)is_other;
    tickets_ask(CONTAINER_OF(w, struct fleet_tickets, watch));
}

/* ---- life ---- */

int fleet_tickets_new(struct control *c, struct fleet *f, struct fleet_tickets **ret)
{
    struct fleet_tickets *t = calloc(1, sizeof(*t));
    if (!t)
        return -ERR_NOMEM;
    *t = (struct fleet_tickets){.control = c,
                                .fleet = f,
                                .watch = {.back = on_tickets_back},
                                .tickets = c->host->tickets,
                                .key = str_printf("%stickets", fleet_prefix(f))};
    list_init(&t->watch.link);
    loop_timer_init(&t->timer, on_tickets_timer);
    redis_script_init(&tickets_script);
    int err = t->key ? seal_init(&t->seal, control_snapshot(c)->config->fleet.secret, "ticket")
                     : -ERR_NOMEM;
    if (err < 0) {
        fleet_tickets_free(t);
        return err;
    }
    fleet_watch(f, &t->watch);
    loop_timer_set(c->host->loop, &t->timer, TICKETS_LOOK_MS);
    *ret = t;
    return 0;
}

void fleet_tickets_free(struct fleet_tickets *t)
{
    if (!t)
        return;
    list_del(&t->watch.link);
    loop_timer_cancel(t->control->host->loop, &t->timer);
    redis_cancel(t->call);
    seal_fini(&t->seal);
    explicit_bzero(&t->last, sizeof(t->last));
    free(t->key);
    free(t);
}
