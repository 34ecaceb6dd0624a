/* SPDX-License-Identifier: ISC */
/* Exchange of users with the store of the fleet: one step at a time, paced. After the store was
 * away, or holds other data, everything is compared once more. */
#include "fleet/fleet_users.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log/log.h"
#include "fleet/fleet_users_priv.h"
#include "rpc/work.h"

#define USERS_TICK_MS 100  /* how soon a change that was made here goes out */
#define USERS_LOOK_MS 400  /* how often is looked for what others have changed */
#define USERS_LATE_MS 2000 /* a change that was not told so long: this node is behind */
#define USERS_RESET_MS 500 /* between two comparisons of all */
#define USERS_PUSH 128     /* users of a step that are told */
#define USERS_PULL 256     /* that are heard of; as USER_BATCH_MAX */
#define USERS_ROUNDS 4     /* a user that was refused is sent so often in one step */

/* Each change has a number, and a user has that of its last one. Keys: users, the log (users by
 * number), the number. Arguments: expected revision, user, text for each. Reply: 1 for each that
 * was taken, else what is there: "" = nothing. */
static struct redis_script users_push = {
    .text = "local out = {}\n"
            "for i = 1, #ARGV, 3 do\n"
            "  local now = redis.call('HGET', KEYS[1], ARGV[i + 1])\n"
            "  local has = now and (now:match('^(%d+):') or 'x') or '0'\n"
            "  if #has > 23 then has = 'x' end\n"
            "  if has == ARGV[i] then\n"
            "    redis.call('HSET', KEYS[1], ARGV[i + 1], ARGV[i + 2])\n"
            "    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[i + 1])\n"
            "    out[#out + 1] = 1\n"
            "  else\n"
            "    out[#out + 1] = now and (#now <= 70000 and now or 'x') or ''\n"
            "  end\n"
            "end\n"
            "return out\n"};

/* Keys: users, the log, the number, the epoch. Arguments: the number behind which, how many. Reply:
 * epoch, number, then user, number and text of each. */
static struct redis_script users_pull = {
    .text = "local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf',\n"
            "                         'WITHSCORES', 'LIMIT', 0, ARGV[2])\n"
            "local out = {redis.call('GET', KEYS[4]) or '', redis.call('GET', KEYS[3]) or '0'}\n"
            "for i = 1, #found, 2 do\n"
            "  local text = redis.call('HGET', KEYS[1], found[i])\n"
            "  out[#out + 1] = found[i]\n"
            "  out[#out + 1] = found[i + 1]\n"
            "  out[#out + 1] = text and #text <= 70000 and text or ''\n"
            "end\n"
            "return out\n"};

/* ---- steps: works in their turn with all that changes users ---- */

enum users_step { USERS_BEGIN, USERS_DOUBT, USERS_COLLECT, USERS_ANSWERED, USERS_TAKE };

struct users_work {
    struct work work;
    struct fleet_users *users;
    const struct user_exchange *exchange;
    enum users_step step;
    enum store_sync_state state; /* of users to be told */
    struct user_batch *batch;    /* owned */
    char *text; /* a copy of what the store said, which heard and replies refer to */
    struct user_reply *replies;
    struct user_heard *heard;
    size_t n;
    uint64_t edits; /* that had been noted before */
    uint64_t waiting;
    unsigned round;
    bool is_more;
    struct user_mark mark;
    struct user_effects effects;
};

static int users_work_run(struct work *w)
{
    struct users_work *x = CONTAINER_OF(w, struct users_work, work);
    struct store *store = x->exchange->store;
    int err = user_effects_init(&x->effects);
    if (err < 0)
        return err;
    switch (x->step) {
    case USERS_BEGIN:
        err = store_sync_track(store);
        if (err == 0)
            err = store_runtime_each(store, users_mark_load_row, &x->mark);
        return err < 0 ? err : store_sync_doubt_all(store);
    case USERS_DOUBT:
        return store_sync_doubt_all(store);
    case USERS_COLLECT:
        err = store_sync_count(store, STORE_EDITED, &x->waiting);
        return err < 0 ? err
                       : user_exchange_collect(x->exchange, x->state, USERS_PUSH, x->batch,
                                               &x->effects);
    case USERS_ANSWERED:
        err = user_exchange_answered(x->exchange, x->batch, x->replies, &x->effects);
        return err < 0 ? err : store_sync_count(store, STORE_EDITED, &x->waiting);
    case USERS_TAKE:
        break;
    }
    return user_exchange_take(x->exchange, x->heard, x->n, &x->effects);
}

static void users_work_fini(struct work *w)
{
    struct users_work *x = CONTAINER_OF(w, struct users_work, work);
    if (x->batch)
        user_batch_fini(x->batch);
    free(x->batch);
    free(x->text);
    free(x->replies);
    free(x->heard);
    user_effects_fini(&x->effects);
}

static void users_work_done(struct work *w);

static struct users_work *users_work_new(struct fleet_users *u, enum users_step step)
{
    struct users_work *x = work_new(&u->control->rpc, NULL, sizeof(*x), users_work_run,
                                    users_work_done, users_work_fini);
    if (!x)
        return NULL;
    x->users = u;
    x->exchange = &u->exchange;
    x->step = step;
    x->edits = store_sync_edits(u->exchange.store);
    return x;
}

static void users_work_post(struct users_work *x)
{
    work_post(&x->work, &x->users->control->user_queue);
}

/* ---- telling ---- */

static void on_pushed(void *arg, const struct redis_result *r);

/* What of the batch is not over yet. Takes over x. */
static void users_send(struct users_work *x)
{
    struct fleet_users *u = x->users;
    struct str words[3 + 3 * USERS_PUSH] = {str_of(u->key), str_of(u->log), str_of(u->seq)};
    size_t n = 3;
    for (size_t i = 0; i < x->batch->n && i < USERS_PUSH; i++) {
        const struct user_push *p = &x->batch->v[i];
        if (p->is_over)
            continue;
        words[n++] = str_of(p->expected);
        words[n++] = str_of(p->field);
        words[n++] = buf_str(&p->value);
    }
    bool is_over = n == 3 || x->round++ >= USERS_ROUNDS;
    int err = is_over ? 0
                      : redis_eval(fleet_redis(u->fleet), &users_push, words, n, 3,
                                   USERS_TIMEOUT_MS, on_pushed, x, &u->call);
    if (!is_over && err == 0) {
        u->sent = x;
        return;
    }
    if (err < 0 || n > 3)
        users_step_failed(u);
    else
        users_step_over(u);
    work_free(&x->work);
}

/* The replies, of a text that is kept: NULL = it makes no sense. */
static struct users_work *push_read(struct users_work *x, const struct redisReply *reply)
{
    struct users_work *next = users_work_new(x->users, USERS_ANSWERED);
    size_t n = 0, bytes = 0;
    if (!next)
        return NULL;
    next->batch = STEAL(x->batch);
    next->round = x->round;
    next->state = x->state;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        bytes += reply->element[i]->type == REDIS_REPLY_STRING ? reply->element[i]->len : 0;
    next->replies = calloc(next->batch->n + 1, sizeof(*next->replies));
    next->text = malloc(bytes + 1);
    bool is_good = next->replies && next->text && reply->type == REDIS_REPLY_ARRAY;
    char *to = next->text;
    for (size_t i = 0; is_good && i < next->batch->n; i++) {
        if (next->batch->v[i].is_over)
            continue;
        const struct redisReply *r = n < reply->elements ? reply->element[n++] : NULL;
        is_good = r && (r->type == REDIS_REPLY_INTEGER || r->type == REDIS_REPLY_STRING);
        if (!is_good)
            break;
        next->replies[i].is_taken = r->type == REDIS_REPLY_INTEGER;
        if (r->type == REDIS_REPLY_STRING) {
            memcpy(to, r->str, r->len);
            next->replies[i].now = str_n(to, r->len);
            to += r->len;
        }
        x->users->facts.told += next->replies[i].is_taken;
    }
    if (is_good)
        return next;
    work_free(&next->work);
    return NULL;
}

static void on_pushed(void *arg, const struct redis_result *r)
{
    struct users_work *x = arg;
    struct fleet_users *u = x->users;
    u->call = NULL;
    u->sent = NULL;
    struct users_work *next = r->err == 0 ? push_read(x, r->reply) : NULL;
    if (next)
        users_work_post(next);
    else
        users_step_failed(u);
    work_free(&x->work);
}

/* A step that tells some, of several rounds. */
static void users_push_begin(struct fleet_users *u, enum store_sync_state state)
{
    struct users_work *x = users_work_new(u, USERS_COLLECT);
    struct user_batch *batch = x ? calloc(1, sizeof(*batch)) : NULL;
    if (!batch) {
        if (x)
            work_free(&x->work);
        users_step_failed(u);
        return;
    }
    x->state = state;
    x->batch = batch;
    users_work_post(x);
}

/* The works of one step hand the batch on. */
static struct users_work *users_hand_on(struct users_work *x, enum users_step step)
{
    struct users_work *next = users_work_new(x->users, step);
    if (!next)
        return NULL;
    next->batch = STEAL(x->batch);
    next->state = x->state;
    next->round = x->round;
    return next;
}

static void users_collected(struct users_work *x)
{
    struct fleet_users *u = x->users;
    size_t n = x->batch->n;
    u->facts.waiting = x->waiting;
    if (n < USERS_PUSH && x->state == STORE_EDITED)
        u->edits = x->edits;
    if (n < USERS_PUSH && x->state == STORE_DOUBTED)
        u->has_doubted = false;
    struct users_work *next = n > 0 ? users_hand_on(x, USERS_ANSWERED) : NULL;
    if (next)
        users_send(next);
    else
        n > 0 ? users_step_failed(u) : users_step_over(u);
}

static void users_answered(struct users_work *x)
{
    struct users_work *next = users_hand_on(x, USERS_ANSWERED);
    x->users->facts.waiting = x->waiting;
    if (x->effects.n_refused > 0 && x->state == STORE_EDITED)
        users_refused(x->users);
    if (next)
        users_send(next);
    else
        users_step_failed(x->users);
}

/* ---- hearing ---- */

static struct str text_of(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? str_n(r->str, r->len) : STR_NULL;
}

/* The texts of a page, copied. NULL: they make no sense, or there is no memory. */
static struct users_work *pull_read(struct fleet_users *u, const struct redisReply *reply,
                                    uint64_t *ret_heard)
{
    struct users_work *x = users_work_new(u, USERS_TAKE);
    size_t bytes = 0, n = (reply->elements - 2) / 3;
    if (!x)
        return NULL;
    for (size_t i = 2; i < reply->elements; i++)
        bytes += text_of(reply->element[i]).n;
    x->heard = calloc(n + 1, sizeof(*x->heard));
    x->text = malloc(bytes + 1);
    char *to = x->text;
    bool is_good = x->heard && x->text && n <= USERS_PULL;
    for (size_t i = 0; is_good && i < n; i++) {
        struct str parts[2] = {text_of(reply->element[2 + 3 * i]),
                               text_of(reply->element[4 + 3 * i])};
        is_good = str_to_u64(text_of(reply->element[3 + 3 * i]), INT64_MAX, ret_heard) == 0;
        for (size_t k = 0; k < 2; k++) {
            memcpy(to, parts[k].n ? parts[k].p : "", parts[k].n);
            parts[k].p = to;
            to += parts[k].n;
        }
        x->heard[x->n++] = (struct user_heard){.field = parts[0], .value = parts[1]};
    }
    x->is_more = n == USERS_PULL;
    if (is_good)
        return x;
    work_free(&x->work);
    return NULL;
}

static void on_pulled(void *arg, const struct redis_result *r)
{
    struct fleet_users *u = arg;
    const struct redisReply *reply = r->reply;
    uint64_t last, heard = u->heard;
    u->call = NULL;
    bool is_good = r->err == 0 && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2 &&
                   (reply->elements - 2) % 3 == 0 &&
                   str_to_u64(text_of(reply->element[1]), INT64_MAX, &last) == 0;
    if (!is_good) {
        users_step_failed(u);
        return;
    }
    /* Is its data another than what was heard of, or has it lost something of it? */
    if (last < u->heard || !str_eq(text_of(reply->element[0]), str_of(u->epoch))) {
        pins_note_epoch(u->control->host->pins, text_of(reply->element[0]));
        u->is_reset = true;
        users_step_over(u);
        return;
    }
    if (!u->is_judged)
        users_judge(u, last);
    u->next_look_ms = users_now(u) + USERS_LOOK_MS;
    if (reply->elements == 2) {
        u->is_behind = false;
        users_step_over(u);
        return;
    }
    struct users_work *x = pull_read(u, reply, &heard);
    if (!x) {
        users_step_failed(u);
        return;
    }
    u->heard = heard;
    users_work_post(x);
}

static void users_pull_begin(struct fleet_users *u)
{
    char heard[24], most[8];
    AUTO_FREE char *epoch = str_printf("%sepoch", fleet_prefix(u->fleet));
    *str_put_number(heard, u->heard, 10, 0) = '\0';
    *str_put_number(most, USERS_PULL, 10, 0) = '\0';
    const struct str words[] = {str_of(u->key), str_of(u->log), str_of(u->seq),
                                str_of(epoch),  str_of(heard),  str_of(most)};
    if (!epoch || redis_eval(fleet_redis(u->fleet), &users_pull, words, ARRAY_LEN(words), 4,
                             USERS_TIMEOUT_MS, on_pulled, u, &u->call) < 0)
        users_step_failed(u);
}

static void users_taken(struct users_work *x)
{
    struct fleet_users *u = x->users;
    if (x->effects.n_refused > 0)
        users_refused(u);
    if (x->is_more)
        u->next_look_ms = 0;
    else
        u->is_behind = false;
    u->has_doubted = true; /* that the store has something older; looked for once all is heard */
    users_step_over(u);
}

/* ---- which step is next ---- */

static void users_work_done(struct work *w)
{
    struct users_work *x = CONTAINER_OF(w, struct users_work, work);
    struct fleet_users *u = x->users;
    if (w->err < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-users-failed", KV_U64("step", x->step),
                  KV_ERR("error", w->err));
        u->is_reset = u->is_reset || x->step == USERS_TAKE; /* it has to be heard again */
        users_step_failed(u);
        return;
    }
    users_carry_out(u, &x->effects);
    if (x->effects.n_again > 0)
        u->edits = USERS_EDITS_UNKNOWN;
    switch (x->step) {
    case USERS_BEGIN:
        u->is_on = true;
        u->mark = x->mark;
        users_step_over(u);
        break;
    case USERS_DOUBT:
        u->has_doubted = true;
        users_step_over(u);
        break;
    case USERS_COLLECT:
        users_collected(x);
        break;
    case USERS_ANSWERED:
        users_answered(x);
        break;
    case USERS_TAKE:
        users_taken(x);
        break;
    }
}

/* Everything is compared: what the store has is heard from its beginning, and what it does not
 * confirm is told. */
static void users_reset(struct fleet_users *u)
{
    u->is_reset = false;
    u->is_behind = true;
    u->is_judged = false;
    u->next_mark_ms = 0;
    u->next_reset_ms = users_now(u) + USERS_RESET_MS;
    u->heard = 0;
    u->edits = USERS_EDITS_UNKNOWN;
    u->next_look_ms = 0;
    (void)str_copy(u->epoch, sizeof(u->epoch), str_of(fleet_epoch(u->fleet)));
    struct users_work *x = users_work_new(u, u->is_on ? USERS_DOUBT : USERS_BEGIN);
    if (x)
        users_work_post(x);
    else
        users_step_failed(u);
}

static void users_step(struct fleet_users *u)
{
    uint64_t now = users_now(u);
    bool has_edits = store_sync_edits(u->exchange.store) != u->edits;
    bool has_all = !u->is_behind && !u->has_doubted && !has_edits;
    u->is_busy = true;
    u->exchange.removals_since_ms = clock_wall_ms() - USER_LATE_MS;
    if (u->is_reset && now >= u->next_reset_ms)
        users_reset(u);
    else if (has_edits && u->is_judged && now >= u->next_push_ms)
        users_push_begin(u, STORE_EDITED);
    else if (now >= u->next_look_ms)
        users_pull_begin(u);
    else if (u->has_doubted && !u->is_behind && now >= u->next_push_ms)
        users_push_begin(u, STORE_DOUBTED);
    else if (has_all && now >= u->next_mark_ms)
        users_mark_begin(u);
    else if (has_all && now >= u->next_forget_ms)
        users_forget_begin(u);
    else
        u->is_busy = false;
}

/* The next step, if one is due. */
static void users_go_on(struct fleet_users *u)
{
    const struct engine_api *h = u->control->host;
    bool is_wanted =
        control_snapshot(u->control)->config->fleet.has_users && !h->is_retired(h->arg);
    if (is_wanted != u->facts.is_on)
        u->is_reset = true;
    u->facts.is_on = is_wanted;
    if (is_wanted && !u->is_busy && redis_is_up(fleet_redis(u->fleet)) && *fleet_epoch(u->fleet))
        users_step(u);
    /* Are there changes that should have been told by now? */
    uint64_t now = users_now(u);
    bool has_untold = store_sync_edits(u->exchange.store) != u->edits;
    u->untold_ms = !has_untold ? 0 : u->untold_ms ? u->untold_ms : now;
    bool is_late = has_untold && now - u->untold_ms >= USERS_LATE_MS;
    bool is_behind = is_late || u->is_behind || u->is_reset;
    fleet_set_sync(u->fleet, !is_wanted ? "" : is_behind ? "behind" : "in step");
}

static void on_users_next(struct loop_deferred *d)
{
    users_go_on(CONTAINER_OF(d, struct fleet_users, next));
}

static void on_users_tick(struct loop_timer *t)
{
    struct fleet_users *u = CONTAINER_OF(t, struct fleet_users, tick);
    users_go_on(u);
    loop_timer_set(u->control->host->loop, &u->tick, USERS_TICK_MS);
}

static void on_users_back(struct fleet_watch *w, bool is_other)
{
    (void)is_other; /* writes may be lost in both cases */
    CONTAINER_OF(w, struct fleet_users, watch)->is_reset = true;
}

/* ---- life ---- */

void fleet_users_look(const struct fleet_users *u, struct fleet_users_facts *ret)
{
    *ret = u ? u->facts : (struct fleet_users_facts){0};
    if (u)
        ret->is_behind = strcmp(fleet_sync(u->fleet), "behind") == 0;
}

int fleet_users_new(const struct fleet_users_spec *spec, struct fleet_users **ret)
{
    struct fleet_users *u = calloc(1, sizeof(*u));
    if (!u)
        return -ERR_NOMEM;
    const char *prefix = fleet_prefix(spec->fleet);
    *u = (struct fleet_users){.control = spec->control,
                              .fleet = spec->fleet,
                              .watch = {.back = on_users_back},
                              .is_reset = true,
                              .is_behind = true,
                              .node = str_dup_c(spec->node),
                              .key = str_printf("%susers", prefix),
                              .log = str_printf("%susers:log", prefix),
                              .seq = str_printf("%susers:number", prefix)};
    list_init(&u->watch.link);
    loop_timer_init(&u->tick, on_users_tick);
    list_init(&u->next.link);
    u->next.fn = on_users_next;
    redis_script_init(&users_push);
    redis_script_init(&users_pull);
    users_forget_init();
    u->exchange = (struct user_exchange){.store = spec->control->host->store,
                                         .pins = spec->control->host->pins,
                                         .key = u->key,
                                         .node = u->node};
    int err = u->node && u->key && u->log && u->seq
                  ? seal_init(&u->exchange.seal, spec->secret, "user")
                  : -ERR_NOMEM;
    if (err < 0) {
        fleet_users_free(u);
        return err;
    }
    fleet_watch(u->fleet, &u->watch);
    loop_timer_set(u->control->host->loop, &u->tick, USERS_TICK_MS);
    *ret = u;
    return 0;
}

void fleet_users_free(struct fleet_users *u)
{
    if (!u)
        return;
    list_del(&u->watch.link);
    loop_timer_cancel(u->control->host->loop, &u->tick);
    loop_undefer(&u->next);
    redis_cancel(u->call);
    if (u->sent)
        work_free(&u->sent->work);
    if (u->forgetting)
        user_batch_fini(u->forgetting);
    free(u->forgetting);
    seal_fini(&u->exchange.seal);
    free(u->node);
    free(u->key);
    free(u->log);
    free(u->seq);
    free(u);
}
