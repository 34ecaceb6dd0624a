/* SPDX-License-Identifier: ISC */
/* Removals of users are remembered for a month, so that no node brings anybody back that was away
 * when it happened; then the store of the fleet forgets them, and each node. A node notes when it
 * last had all, so that one that was away for longer is found out. */
#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/log/log.h"
#include "fleet/fleet_users_priv.h"
#include "rpc/work.h"

#define FORGET_PAGE 128                       /* users of one step */
#define FORGET_EVERY_MS USER_DAY_MS           /* between two looks at all names */
#define MARK_EVERY_MS (3600 * UINT64_C(1000)) /* while this node has all */
#define MARK_KIND "fleet"
#define MARK_NAME "users"

/* A change is old enough when its number is one that the mark had long ago: by the store's clock,
 * whatever that of a node says. Keys: users, the log, the number, the mark. Arguments: how long
 * removals are kept (ms), then user and revision of each. Reply: for each 1 where it is not there
 * any more. */
static struct redis_script users_forget = {
    .text = "local t = redis.call('TIME')\n"
            "local now, kept = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[1])\n"
            "local mark = redis.call('HMGET', KEYS[4], 'number', 'at')\n"
            "local number, at = tonumber(mark[1] or ''), tonumber(mark[2] or '')\n"
            "local is_due = number and at and now - at >= kept\n"
            "if not number or not at or now < at or now - at >= 2 * kept then\n"
            "  redis.call('HSET', KEYS[4], 'number', redis.call('GET', KEYS[3]) or '0',\n"
            "             'at', string.format('%.0f', now))\n"
            "end\n"
            "local out = {}\n"
            "for i = 2, #ARGV, 2 do\n"
            "  local has = redis.call('ZSCORE', KEYS[2], ARGV[i])\n"
            "  local text = redis.call('HGET', KEYS[1], ARGV[i])\n"
            "  if is_due and has and tonumber(has) <= number and text\n"
            "     and text:match('^(%d+):') == ARGV[i + 1] then\n"
            "    redis.call('HDEL', KEYS[1], ARGV[i])\n"
            "    redis.call('ZREM', KEYS[2], ARGV[i])\n"
            "    text = false\n"
            "  end\n"
            "  out[#out + 1] = text and 0 or 1\n"
            "end\n"
            "return out\n"};

void users_forget_init(void)
{
    redis_script_init(&users_forget);
}

enum forget_step { FORGET_LOOK, FORGET_AWAY, FORGET_MARK };

struct forget_work {
    struct work work;
    struct fleet_users *users;
    const struct user_exchange *exchange;
    enum forget_step step;
    uint64_t before_ms;
    struct user_batch *batch; /* owned */
    char *mark;               /* owned */
};

static int forget_run(struct work *w)
{
    struct forget_work *x = CONTAINER_OF(w, struct forget_work, work);
    switch (x->step) {
    case FORGET_LOOK:
        return user_exchange_removed(x->exchange, x->before_ms, FORGET_PAGE, x->batch);
    case FORGET_AWAY:
        return user_exchange_forget(x->exchange, x->batch);
    case FORGET_MARK:
        break;
    }
    return store_runtime_set(x->exchange->store, MARK_KIND, MARK_NAME, x->mark);
}

static void forget_fini(struct work *w)
{
    struct forget_work *x = CONTAINER_OF(w, struct forget_work, work);
    if (x->batch)
        user_batch_fini(x->batch);
    free(x->batch);
    free(x->mark);
}

static void forget_done(struct work *w);

/* The next step; takes over batch and mark, of which one is wanted. It fails without memory. */
static void forget_post(struct fleet_users *u, enum forget_step step, struct user_batch *batch,
                        char *mark)
{
    struct forget_work *x = batch || mark ? work_new(&u->control->rpc, NULL, sizeof(*x), forget_run,
                                                     forget_done, forget_fini)
                                          : NULL;
    if (!x) {
        if (batch)
            user_batch_fini(batch);
        free(batch);
        free(mark);
        users_step_over(u); /* it is done another day */
        return;
    }
    x->users = u;
    x->exchange = &u->exchange;
    x->step = step;
    x->before_ms = clock_wall_ms() - USER_REMOVALS_KEPT_MS;
    x->batch = batch;
    x->mark = mark;
    work_post(&x->work, &u->control->user_queue);
}

static void on_forgotten(void *arg, const struct redis_result *r)
{
    struct fleet_users *u = arg;
    struct user_batch *batch = STEAL(u->forgetting);
    const struct redisReply *reply = r->reply;
    size_t n = r->err == 0 && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    u->call = NULL;
    for (size_t i = 0; i < batch->n && i < n; i++)
        batch->v[i].is_over =
            reply->element[i]->type == REDIS_REPLY_INTEGER && reply->element[i]->integer == 1;
    if (n == batch->n && n == FORGET_PAGE && batch->v[0].is_over)
        u->next_forget_ms = 0; /* there may be more */
    forget_post(u, FORGET_AWAY, batch, NULL);
}

/* Also without any: the store sets its mark. Takes over batch. */
static void forget_ask(struct fleet_users *u, struct user_batch *batch)
{
    char kept[24];
    AUTO_FREE char *mark = str_printf("%s:mark", u->key);
    struct str words[5 + 2 * FORGET_PAGE] = {str_of(u->key), str_of(u->log), str_of(u->seq),
                                             str_of(mark), str_of(kept)};
    size_t n = 5;
    *str_put_number(kept, USER_REMOVALS_KEPT_MS, 10, 0) = '\0';
    words[4] = str_of(kept);
    for (size_t i = 0; i < batch->n && i < FORGET_PAGE; i++) {
        words[n++] = str_of(batch->v[i].field);
        words[n++] = str_of(batch->v[i].expected);
    }
    u->forgetting = batch;
    if (mark && redis_eval(fleet_redis(u->fleet), &users_forget, words, n, 4, USERS_TIMEOUT_MS,
                           on_forgotten, u, &u->call) == 0)
        return;
    user_batch_fini(batch);
    free(STEAL(u->forgetting));
    users_step_over(u);
}

static void forget_done(struct work *w)
{
    struct forget_work *x = CONTAINER_OF(w, struct forget_work, work);
    struct fleet_users *u = x->users;
    if (w->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-users-failed", KV_STR("step", "forget"),
                  KV_ERR("error", w->err));
    if (w->err == 0 && x->step == FORGET_LOOK)
        forget_ask(u, STEAL(x->batch));
    else
        users_step_over(u);
}

void users_forget_begin(struct fleet_users *u)
{
    u->next_forget_ms = users_now(u) + FORGET_EVERY_MS;
    forget_post(u, FORGET_LOOK, calloc(1, sizeof(struct user_batch)), NULL);
}

/* ---- when this node last had all ---- */

static void mark_now(const struct fleet_users *u, uint64_t number, struct user_mark *ret)
{
    *ret = (struct user_mark){.number = number, .at_ms = fleet_nodes(u->fleet)->now_ms};
    (void)str_copy(ret->epoch, sizeof(ret->epoch), str_of(u->epoch));
}

void users_judge(struct fleet_users *u, uint64_t number)
{
    static const char *const texts[] = {
        [USER_LATE] = "users of it that the fleet does not have any more are removed here",
        [USER_LATE_OTHER] =
            "the store was lost meanwhile, too: users that were removed may be back",
    };
    struct user_mark now;
    mark_now(u, number, &now);
    enum user_lateness late = user_mark_judge(&u->mark, &now);
    u->exchange.is_late = late == USER_LATE;
    u->is_judged = true;
    if (late == USER_IN_TIME || u->lateness == late)
        return;
    u->lateness = late;
    AUTO_FREE char *text =
        str_printf("this node was away for %llu days: %s",
                   (unsigned long long)((now.at_ms - u->mark.at_ms) / USER_DAY_MS), texts[late]);
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-users-late", KV_STR("detail", text));
    control_event(u->control, "fleet", NULL, NULL, NULL, NULL, NULL, text);
}

void users_mark_begin(struct fleet_users *u)
{
    struct user_mark now;
    mark_now(u, u->heard, &now);
    if (u->lateness == USER_IN_TIME && user_mark_judge(&u->mark, &now) != USER_IN_TIME) {
        /* It has slept with its connections open, and nobody has told it of all that was
         * forgotten. */
        u->is_reset = true;
        users_step_over(u);
        return;
    }
    u->mark = now;
    u->exchange.is_late = false;
    u->lateness = USER_IN_TIME;
    u->next_mark_ms = users_now(u) + MARK_EVERY_MS;
    forget_post(u, FORGET_MARK, NULL, user_mark_text(&u->mark));
}

bool users_mark_load_row(void *arg, const char *kind, const char *name, const char *json,
                         uint64_t at_ms)
{
    (void)at_ms;
    if (strcmp(kind, MARK_KIND) != 0 || strcmp(name, MARK_NAME) != 0)
        return true;
    (void)!user_mark_read(json, arg); /* one that makes no sense is none */
    return false;
}
