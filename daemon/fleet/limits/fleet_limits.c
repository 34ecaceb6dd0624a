/* SPDX-License-Identifier: ISC */
/* Counts of a fleet. A node that has something to tell writes it, sealed, under a key of its own
 * with a short life; one call writes it and reads what others have changed. In quiet times nothing
 * is there, and the call says so. */
#include "fleet/limits/fleet_limits.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "base/zalloc.h"
#include "fleet/fleet_message.h"
#include "fleet/pins/lease.h"
#include "fleet/seal.h"
#include "limits/limit_elsewhere.h"
#include "runtime/rules/limit_service.h"
#include "runtime/state.h"

#define COUNTS_TURN_MS 1000
#define COUNTS_TICK_MS 250    /* each looks at a part of the tables */
#define COUNTS_TIMER_MS 200   /* before the next tick of the loop */
#define COUNTS_LIFE_TURNS 5   /* who says nothing for so long counts no more */
#define COUNTS_STALE_TURNS 3  /* without an answer: others count no more */
#define COUNTS_ROWS_MAX 4096  /* that a node tells */
#define COUNTS_ROWS_ALL 16384 /* of all nodes, about */
#define COUNTS_ROWS_LEAST 256
#define COUNTS_SCANS_MANY 8 /* steps of a scan, while all has to be looked at anew */
#define COUNTS_TEXT_MAX (SEAL_TEXT_MAX - 1024)
#define COUNTS_VERSION 'M'

/* Writes what the caller has to tell (nothing: as before; no number: there is none), and reads
 * what other living engines tell that the caller does not know. */
static struct redis_script counts_script = {
    .text =
        LUA_LEASE "local own, nodes, prefix, me = KEYS[1], KEYS[2], ARGV[1], ARGV[2]\n"
                  "local t = redis.call('TIME')\n"
                  "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
                  "local since = alive_since(nodes, now, tonumber(ARGV[3]))\n"
                  "local kept = 1\n"
                  "if ARGV[5] == '' then\n"
                  "  redis.call('DEL', own)\n"
                  "elseif ARGV[6] ~= '' then\n"
                  "  redis.call('HSET', own, 'n', ARGV[5], 'b', ARGV[6])\n"
                  "  redis.call('PEXPIRE', own, ARGV[4])\n"
                  "else\n"
                  "  kept = redis.call('PEXPIRE', own, ARGV[4])\n"
                  "end\n"
                  "local known, reply = {}, {kept}\n"
                  "for i = 7, #ARGV, 2 do known[ARGV[i]] = ARGV[i + 1] end\n"
                  "local alive = redis.call('ZRANGEBYSCORE', nodes, string.format('%.0f', since), "
                  "'+inf')\n"
                  "for _, holder in ipairs(alive) do\n"
                  "  local n = holder ~= me and redis.call('HGET', prefix .. holder, 'n')\n"
                  "  if n and known[holder] == n then\n"
                  "    reply[#reply + 1] = {holder, n}\n"
                  "  elseif n then\n"
                  "    reply[#reply + 1] = {holder, n, redis.call('HGET', prefix .. holder, 'b')}\n"
                  "  end\n"
                  "end\n"
                  "return reply\n"};

/* What another engine told last. */
struct counts_other {
    struct list link;
    char holder[FLEET_HOLDER_SIZE];
    uint64_t number;
    struct buf text; /* opened: the number, then the parts */
    bool is_told;    /* in the reply that is being read */
};

struct fleet_limits {
    struct control *control;
    struct fleet *fleet;
    struct loop *loop;
    char *node, *key, *prefix;
    struct seal seal;
    struct loop_timer timer;
    uint64_t turn_ms;
    unsigned tick, n_ticks; /* of a turn */
    unsigned n_nodes;
    struct limit_part *parts; /* near a limit here, as far as this turn has looked */
    size_t n_parts, cap_parts;
    struct limit_scan scan;
    bool is_scanning; /* all of it anew */
    struct buf told;  /* the parts that the store has */
    uint64_t number;  /* of them; 0 = it has none */
    bool is_new;      /* it does not have them yet */
    struct redis_call *call;
    uint64_t answered_ms; /* monotonic; 0 = never */
    struct list others;   /* struct counts_other */
    size_t n_others;
    struct limit_others sums;
    struct fleet_limits_facts facts;
};

static const struct config_limits *counts_config(const struct fleet_limits *c)
{
    return limit_service_config(c->control->limit_service);
}

static struct limits *counts_limits(const struct fleet_limits *c)
{
    return limit_service_limits(c->control->limit_service);
}

/* ---- what others tell ---- */

static void other_free(struct fleet_limits *c, struct counts_other *o)
{
    list_del(&o->link);
    c->n_others--;
    buf_fini(&o->text);
    free(o);
}

static struct counts_other *other_find(const struct fleet_limits *c, struct str holder)
{
    LIST_FOREACH (it, &c->others) {
        struct counts_other *o = LIST_ITEM(it, struct counts_other, link);
        if (str_eq(str_of(o->holder), holder))
            return o;
    }
    return NULL;
}

static void counts_sum(struct fleet_limits *c)
{
    limit_others_begin(&c->sums);
    LIST_FOREACH (it, &c->others) {
        struct limit_part p;
        struct str rest = buf_str(&LIST_ITEM(it, struct counts_other, link)->text);
        bool has_users = counts_limits(c)->n_nodes_users > 0;
        while (limit_part_take(&rest, &p) == 0)
            if (p.kind != LIMIT_SHARE_USER || has_users)
                (void)!limit_others_add(&c->sums, &p);
    }
    limit_others_end(&c->sums, counts_limits(c), counts_config(c), loop_now_ms(c->loop));
    c->facts.n_heard = c->sums.known.count;
    c->facts.n_left_out = c->sums.n_left_out;
}

static void counts_forget(struct fleet_limits *c)
{
    if (list_is_empty(&c->others))
        return;
    LIST_FOREACH_SAFE (it, &c->others)
        other_free(c, LIST_ITEM(it, struct counts_other, link));
    counts_sum(c);
}

/* What was sealed begins with its number, so that the store cannot bring back what was before. */
static bool other_open(const struct fleet_limits *c, struct str holder, uint64_t number,
                       struct str sealed, struct buf *out)
{
    AUTO_FREE char *place = str_printf("%s%.*s", c->prefix, STR_ARG(holder));
    uint64_t inside;
    if (!place || seal_open(&c->seal, str_of(place), sealed, out) < 0)
        return false;
    struct str rest = buf_str(out), head = str_cut(&rest, '\n');
    bool is_good = head.n > 1 && head.p[0] == COUNTS_VERSION &&
                   str_to_u64(str_skip(head, 1), UINT64_MAX, &inside) == 0 && inside == number;
    if (is_good)
        buf_consume(out, head.n + 1);
    return is_good;
}

/* [holder, number] of what is known, [holder, number, sealed] of what may be new. True: it is. */
static bool counts_take(struct fleet_limits *c, const redisReply *row)
{
    bool is_row = row->type == REDIS_REPLY_ARRAY && row->elements >= 2 &&
                  row->element[0]->type == REDIS_REPLY_STRING &&
                  row->element[1]->type == REDIS_REPLY_STRING;
    if (!is_row)
        return false;
    struct str holder = str_n(row->element[0]->str, row->element[0]->len), rest = holder;
    struct str text = str_n(row->element[1]->str, row->element[1]->len);
    uint64_t number;
    /* An engine of this node that finishes is counted by the one that serves. */
    if (str_eq(str_cut(&rest, '#'), str_of(c->node)) || holder.n >= FLEET_HOLDER_SIZE ||
        str_to_u64(text, UINT64_MAX, &number) < 0)
        return false;
    struct counts_other *o = other_find(c, holder);
    if (o)
        o->is_told = true;
    if (row->elements < 3 || row->element[2]->type != REDIS_REPLY_STRING ||
        (o && number <= o->number))
        return false;
    AUTO_BUF opened = BUF_INIT;
    struct str sealed = str_n(row->element[2]->str, row->element[2]->len);
    if (!other_open(c, holder, number, sealed, &opened))
        return false;
    if (!o) {
        if (c->n_others >= FLEET_NODES_MAX || !(o = zalloc(sizeof(*o))))
            return false;
        (void)str_copy(o->holder, sizeof(o->holder), holder);
        list_add_tail(&c->others, &o->link);
        c->n_others++;
    }
    buf_fini(&o->text);
    o->text = opened;
    opened = (struct buf)BUF_INIT;
    o->number = number;
    o->is_told = true;
    return true;
}

static void on_turn(void *arg, const struct redis_result *r)
{
    struct fleet_limits *c = arg;
    c->call = NULL;
    if (r->err < 0 || r->reply->type != REDIS_REPLY_ARRAY || r->reply->elements == 0) {
        c->is_new = c->number > 0; /* the store may have it, or not */
        c->facts.failed_open++;
        return;
    }
    c->answered_ms = loop_now_ms(c->loop);
    /* It was not there in time, so that it went: it is told again. */
    c->is_new = c->number > 0 && r->reply->element[0]->type == REDIS_REPLY_INTEGER &&
                r->reply->element[0]->integer == 0;
    bool is_other = false;
    LIST_FOREACH (it, &c->others)
        LIST_ITEM(it, struct counts_other, link)->is_told = false;
    for (size_t i = 1; i < r->reply->elements; i++)
        is_other |= counts_take(c, r->reply->element[i]);
    LIST_FOREACH_SAFE (it, &c->others) {
        struct counts_other *o = LIST_ITEM(it, struct counts_other, link);
        is_other |= !o->is_told;
        if (!o->is_told)
            other_free(c, o);
    }
    if (is_other)
        counts_sum(c);
}

/* ---- what is told ---- */

static void on_near(void *arg, const struct limit_part *p)
{
    struct fleet_limits *c = arg;
    if (c->n_parts == c->cap_parts && c->cap_parts < COUNTS_ROWS_MAX) {
        size_t cap = c->cap_parts ? 2 * c->cap_parts : 16;
        struct limit_part *more = realloc(c->parts, cap * sizeof(*more));
        c->parts = more ? more : c->parts;
        c->cap_parts = more ? cap : c->cap_parts;
    }
    if (c->n_parts < c->cap_parts)
        c->parts[c->n_parts++] = *p;
}

static void counts_clear_parts(struct fleet_limits *c)
{
    free(STEAL(c->parts));
    c->n_parts = c->cap_parts = 0;
}

static int part_compare(const void *a, const void *b)
{
    const struct limit_part *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1) : strcmp(x->name, y->name);
}

/* Those nearest to their limits, as bytes. */
static int counts_write(struct fleet_limits *c, struct buf *out)
{
    size_t most = COUNTS_ROWS_ALL / (c->n_nodes ? c->n_nodes : 1);
    most = most > COUNTS_ROWS_MAX     ? COUNTS_ROWS_MAX
           : most < COUNTS_ROWS_LEAST ? COUNTS_ROWS_LEAST
                                      : most;
    int err = 0;
    if (c->n_parts > 1)
        qsort(c->parts, c->n_parts, sizeof(c->parts[0]), part_compare);
    c->facts.n_told = c->n_parts < most ? c->n_parts : most;
    for (size_t i = 0; i < c->facts.n_told && err == 0 && out->len < COUNTS_TEXT_MAX; i++)
        err = limit_part_put(out, &c->parts[i]);
    return err;
}

/* Seals what has changed; sealed is empty when nothing has, or when there is nothing. */
static int counts_seal(struct fleet_limits *c, struct buf *sealed)
{
    AUTO_BUF text = BUF_INIT, clear = BUF_INIT;
    int err = counts_write(c, &text);
    counts_clear_parts(c);
    if (err < 0)
        return err;
    if (text.len == 0) {
        buf_fini(&c->told);
        c->number = 0;
        return 0;
    }
    if (!c->is_new && c->number > 0 && str_eq(buf_str(&text), buf_str(&c->told)))
        return 0;
    uint64_t number = fleet_message_number(c->number, clock_wall_ms());
    err = buf_printf(&clear, "%c%llu\n", COUNTS_VERSION, (unsigned long long)number);
    if (err == 0)
        err = buf_append_str(&clear, buf_str(&text));
    if (err == 0)
        err = seal_text(&c->seal, str_of(c->key), buf_str(&clear), sealed);
    if (err < 0)
        return err;
    buf_fini(&c->told);
    c->told = text;
    text = (struct buf)BUF_INIT;
    c->number = number;
    return 0;
}

static void counts_turn(struct fleet_limits *c)
{
    AUTO_BUF sealed = BUF_INIT;
    char lease[24], life[24], number[24] = "";
    size_t n = 0;
    if (c->call) { /* it takes long: what there is to say is said when it has ended */
        counts_clear_parts(c);
        return;
    }
    int err = counts_seal(c, &sealed);
    struct str *words = err == 0 ? calloc(8 + 2 * c->n_others, sizeof(*words)) : NULL;
    char(*numbers)[24] = words ? calloc(c->n_others + 1, sizeof(*numbers)) : NULL;
    if (numbers) {
        *str_put_number(lease, c->control->host->pins->lease_ms, 10, 0) = '\0';
        *str_put_number(life, COUNTS_LIFE_TURNS * c->turn_ms, 10, 0) = '\0';
        if (c->number > 0)
            *str_put_number(number, c->number, 10, 0) = '\0';
        const struct str fixed[] = {str_of(c->key),    str_of(c->control->host->pins->nodes),
                                    str_of(c->prefix), str_of(fleet_holder(c->fleet)),
                                    str_of(lease),     str_of(life),
                                    str_of(number),    buf_str(&sealed)};
        memcpy(words, fixed, sizeof(fixed));
        n = ARRAY_LEN(fixed);
        size_t i = 0;
        LIST_FOREACH (it, &c->others) {
            const struct counts_other *o = LIST_ITEM(it, struct counts_other, link);
            *str_put_number(numbers[i], o->number, 10, 0) = '\0';
            words[n++] = str_of(o->holder);
            words[n++] = str_of(numbers[i++]);
        }
        err =
            redis_eval(fleet_redis(c->fleet), &counts_script, words, n, 2, 0, on_turn, c, &c->call);
    }
    free(words);
    free(numbers);
    if (n == 0 || err < 0) {
        c->is_new = c->number > 0;
        c->facts.failed_open++;
    }
}

/* What is here counts no longer at the others. */
static void counts_retract(struct fleet_limits *c)
{
    const struct str words[] = {STR("DEL"), str_of(c->key)};
    if (c->number > 0)
        (void)!redis_call(fleet_redis(c->fleet), words, ARRAY_LEN(words), 0, NULL, NULL, NULL);
    c->number = 0;
    buf_fini(&c->told);
}

/* ---- turns ---- */

static void counts_begin_turn(struct fleet_limits *c)
{
    const struct engine_api *h = c->control->host;
    struct fleet_counts n;
    fleet_count(c->fleet, &n);
    unsigned n_nodes = h->is_retired(h->arg) ? 0 : (unsigned)n.alive;
    /* Users of pools without affinity: those of the others are counted by the store itself. */
    const struct config *config = control_snapshot(c->control)->config;
    bool has_users = false;
    for (size_t i = 0; i < config->n_pools; i++)
        has_users = has_users || config->pools[i].affinity == AFFINITY_OFF;
    limits_set_nodes(counts_limits(c), n_nodes, has_users);
    c->is_scanning |= n_nodes != c->n_nodes;
    c->n_nodes = n_nodes;
}

static void on_fleet_limits_tick(struct loop_timer *t)
{
    struct fleet_limits *c = CONTAINER_OF(t, struct fleet_limits, timer);
    struct limits *l = counts_limits(c);
    uint64_t now = loop_now_ms(c->loop);
    loop_timer_set(c->loop, t, COUNTS_TIMER_MS);
    if (c->tick == 0)
        counts_begin_turn(c);
    size_t all = LIMITS_NEAR_STRIPES(l), first = all * c->tick / c->n_ticks;
    for (size_t i = first; i < all * (c->tick + 1) / c->n_ticks; i++)
        limits_near_each(l, counts_config(c), i, now, on_near, c);
    for (int i = 0; i < (c->is_scanning ? COUNTS_SCANS_MANY : 1); i++)
        if (limit_scan_step(&c->scan, l, counts_config(c), now))
            c->is_scanning = false;
    c->tick = (c->tick + 1) % c->n_ticks;
    if (c->tick > 0)
        return;
    if (c->n_nodes == 0) { /* another engine of this node counts what is here */
        counts_retract(c);
        counts_forget(c);
        counts_clear_parts(c);
        return;
    }
    counts_turn(c);
    if (now > c->answered_ms + COUNTS_STALE_TURNS * c->turn_ms)
        counts_forget(c);
}

void fleet_limits_look(const struct fleet_limits *c, struct fleet_limits_facts *ret)
{
    *ret = c->facts;
}

/* ---- life ---- */

int fleet_limits_new(const struct fleet_limits_spec *spec, struct fleet_limits **ret)
{
    uint64_t heartbeat_ms = control_snapshot(spec->control)->config->fleet.heartbeat_ms;
    struct fleet_limits *c = zalloc(sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->control = spec->control;
    c->fleet = spec->fleet;
    c->loop = spec->control->host->loop;
    c->turn_ms = heartbeat_ms < COUNTS_TURN_MS ? heartbeat_ms : COUNTS_TURN_MS;
    c->n_ticks = c->turn_ms < COUNTS_TICK_MS ? 1 : (unsigned)(c->turn_ms / COUNTS_TICK_MS);
    c->node = str_dup_c(spec->node);
    c->prefix = str_printf("%snear:", fleet_prefix(spec->fleet));
    c->key = str_printf("%snear:%s", fleet_prefix(spec->fleet), fleet_holder(spec->fleet));
    list_init(&c->others);
    loop_timer_init(&c->timer, on_fleet_limits_tick);
    redis_script_init(&counts_script);
    bool is_whole = c->node && c->prefix && c->key;
    int err = is_whole ? seal_init(&c->seal, spec->secret, "limits") : -ERR_NOMEM;
    if (err < 0) {
        fleet_limits_free(c);
        return err;
    }
    loop_timer_set(c->loop, &c->timer, COUNTS_TIMER_MS);
    *ret = c;
    return 0;
}

void fleet_limits_free(struct fleet_limits *c)
{
    if (!c)
        return;
    loop_timer_cancel(c->loop, &c->timer);
    redis_cancel(c->call);
    counts_retract(c); /* goes out with what fleet_free sends */
    limit_scan_fini(&c->scan, counts_limits(c));
    limits_set_nodes(counts_limits(c), 0, false);
    LIST_FOREACH_SAFE (it, &c->others)
        other_free(c, LIST_ITEM(it, struct counts_other, link));
    limit_others_fini(&c->sums, counts_limits(c), counts_config(c), loop_now_ms(c->loop));
    seal_fini(&c->seal);
    buf_fini(&c->told);
    free(c->parts);
    free(c->node);
    free(c->key);
    free(c->prefix);
    free(c);
}
