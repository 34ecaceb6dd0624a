/* SPDX-License-Identifier: ISC */
/* Commands that other nodes ask of this one. */
#include "base/log/log.h"
#include "fleet/commands/fleet_run_priv.h"
#include "rpc/json_text.h"
#include "runtime/state.h"

/* A command that is not kept is this young: who asked waits for RUN_BEGIN_MS. */
#define FRESH_MS 1500
#define INBOX_LIFETIME_MS 3600000
#define EXECUTE_TICK_MS 500
#define EXECUTE_SIGN_MS 3000  /* of what runs who asked hears so often: see RUN_SILENT_MS */
#define EXECUTE_KEEP_MS 60000 /* an answer that the store does not take is said so long */

/* One that runs, or whose answer is on its way. */
struct execution {
    struct list link; /* of runs.executions */
    struct fleet_runs *runs;
    char id[RUN_ID_MAX];
    char *reply;       /* the inbox of who asked */
    uint64_t number;   /* of the command, which was taken */
    char *answer;      /* NULL: it runs */
    uint64_t said_ms;  /* when who asked was told something last */
    uint64_t ended_ms; /* when it was answered */
    bool is_sending;   /* the store is asked to take the answer */
};

/* ---- answers ---- */

/* number: of the command that was taken. answer NULL: it has begun, or runs still. cb as in
 * redis_call, may be NULL. */
static int answer_send(struct fleet_runs *f, const char *id, const char *reply, uint64_t number,
                       const char *answer, redis_fn *cb, void *arg)
{
    json_t *m = json_pack("{s:s, s:s, s:s, s:I}", "id", id, "from", f->node, "holder",
                          fleet_holder(f->fleet), "number", (json_int_t)number);
    if (m && answer)
        request_set_text(m, "answer", answer);
    int err = m ? fleet_stream_send(fleet_redis(f->fleet), f->secret, reply, m, INBOX_LIFETIME_MS,
                                    cb, arg)
                : -ERR_NOMEM;
    json_decref(m);
    return err;
}

static void answer_lost(const char *id, int err)
{
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-answer-lost", KV_STR("id", id), KV_ERR("error", err));
}

static void answer_error(struct fleet_runs *f, const json_t *m, int err, const char *why)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    const char *reply = json_string_value(json_object_get(m, "reply"));
    const char *from = json_string_value(json_object_get(m, "from"));
    AUTO_FREE char *answer = fleet_answer_error(err, why);
    f->refused++;
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-command-refused", KV_STR("id", id), KV_STR("node", from),
              KV_STR("reason", why));
    int sent = answer ? answer_send(f, id, reply, fleet_message_number_of(m), answer, NULL, NULL)
                      : -ERR_NOMEM;
    if (sent < 0) /* who asked says that this node did not answer */
        answer_lost(id, sent);
}

/* ---- those that run ---- */

static void execution_free(struct execution *x)
{
    list_del(&x->link);
    free(x->reply);
    free(x->answer);
    free(x);
}

static void on_said(void *arg, const struct redis_result *r)
{
    struct execution *x = arg;
    x->is_sending = false;
    if (r->err == 0) /* else it is said again */
        execution_free(x);
}

static void execution_say(struct execution *x)
{
    bool is_over = x->answer;
    x->said_ms = loop_now_ms(x->runs->loop);
    int err =
        answer_send(x->runs, x->id, x->reply, x->number, x->answer, is_over ? on_said : NULL, x);
    x->is_sending = is_over && err == 0;
}

static void on_executed(void *arg, const struct request_outcome *o)
{
    struct execution *x = arg;
    x->ended_ms = loop_now_ms(x->runs->loop);
    x->answer = fleet_answer_text(o);
    if (x->answer) {
        execution_say(x);
    } else {
        answer_lost(x->id, -ERR_NOMEM);
        execution_free(x);
    }
}

/* Who asked hears now and then of what runs, and what the store did not take is said again. */
static void on_execute_tick(struct loop_timer *t)
{
    struct fleet_runs *f = CONTAINER_OF(t, struct fleet_runs, execute_tick);
    uint64_t now = loop_now_ms(f->loop);
    LIST_FOREACH_SAFE (it, &f->executions) {
        struct execution *x = LIST_ITEM(it, struct execution, link);
        if (x->answer && !x->is_sending && now - x->ended_ms >= EXECUTE_KEEP_MS) {
            answer_lost(x->id, -ERR_UNREACHABLE);
            execution_free(x);
        } else if (x->answer ? !x->is_sending : now - x->said_ms >= EXECUTE_SIGN_MS) {
            execution_say(x);
        }
    }
    if (!list_is_empty(&f->executions))
        loop_timer_set(f->loop, t, EXECUTE_TICK_MS);
}

/* ---- what comes ---- */

/* By the clock of the store, whose positions begin with the time. Before the store has said the
 * time this node is not known to be there, and who asked does not wait for it. */
static bool execute_is_fresh(const struct fleet_runs *f, const char *position)
{
    const struct fleet_nodes *nodes = fleet_nodes(f->fleet);
    struct str rest = str_of(position), time = str_cut(&rest, '-');
    uint64_t at_ms;
    if (nodes->n == 0 || str_to_u64(time, UINT64_MAX / 2, &at_ms) < 0)
        return false;
    uint64_t now_ms = nodes->v[0].seen_ms + fleet_lag_ms(f->fleet, &nodes->v[0]);
    return now_ms < at_ms + FRESH_MS;
}

/* NULL with the reason when this node does not run it for others. */
static const struct command *execute_find(const struct fleet_runs *f, const char *position,
                                          const json_t *m, int *ret_err, const char **ret_why)
{
    const char *method = json_string_value(json_object_get(m, "method"));
    const struct command *c = method ? commands_find_method(method) : NULL;
    *ret_err = -ERR_VERSION;
    *ret_why = NULL;
    if (json_integer_value(json_object_get(m, "schema")) > FLEET_MESSAGE_SCHEMA)
        *ret_why = "who asked runs a newer version, whose commands this node does not know";
    else if (!c)
        *ret_why = "this node does not know the command";
    *ret_err = *ret_why ? *ret_err : -ERR_TIMEOUT;
    if (!*ret_why && !json_is_true(json_object_get(m, "later")) && !execute_is_fresh(f, position))
        *ret_why = "the command came too late";
    *ret_err = *ret_why ? *ret_err : -ERR_PERM;
    if (!*ret_why && commands_fleet(c) == COMMAND_FLEET_NOT)
        *ret_why = "this command is not for other nodes";
    return *ret_why ? NULL : c;
}

static void execute_start(struct fleet_runs *f, const json_t *m, const struct command *c)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    const char *user = json_string_value(json_object_get(m, "user"));
    const char *from = json_string_value(json_object_get(m, "from"));
    const char *reply = json_string_value(json_object_get(m, "reply"));
    struct execution *x = calloc(1, sizeof(*x));
    char *copy = x ? str_dup_c(reply) : NULL;
    json_t *params = copy ? json_deep_copy(json_object_get(m, "params")) : NULL;
    json_int_t role = json_integer_value(json_object_get(m, "role"));
    struct peer peer = {.uid = UINT32_MAX, .role = role > ROLE_ADMIN ? ROLE_ADMIN : (int)role};
    if (!params) {
        free(copy);
        free(x);
        answer_error(f, m, -ERR_NOMEM, err_text(ERR_NOMEM));
        return;
    }
    if (strcmp(from, f->node) == 0) /* it waited for the store */
        (void)str_copy(peer.user, sizeof(peer.user), str_of(user));
    else
        (void)snprintf(peer.user, sizeof(peer.user), "%.63s@%.64s", user ? user : "?", from);
    *x = (struct execution){.runs = f, .reply = copy, .number = fleet_message_number_of(m)};
    (void)str_copy(x->id, sizeof(x->id), str_of(id));
    list_add_tail(&f->executions, &x->link);
    f->taken++;
    execution_say(x);
    loop_timer_set(f->loop, &f->execute_tick, EXECUTE_TICK_MS);
    const struct request_part part = {.peer = &peer,
                                      .method = c->method,
                                      .params = params,
                                      .asked = json_object_get(m, "asked"),
                                      .said_ms =
                                          (uint64_t)json_integer_value(json_object_get(m, "said")),
                                      .answered = on_executed,
                                      .arg = x};
    if (request_start_part(&f->control->rpc, &part) < 0) {
        execution_free(x);
        answer_error(f, m, -ERR_NOMEM, err_text(ERR_NOMEM));
    }
}

/* Does it say all that has to be known? */
static bool execute_is_whole(const json_t *m)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    const json_t *role = json_object_get(m, "role");
    if (!json_is_string(json_object_get(m, "from")) ||
        !json_is_integer(json_object_get(m, "number")))
        return false;
    return json_object_get(m, "gather") ||
           (id && strlen(id) < RUN_ID_MAX && json_is_integer(role) &&
            json_integer_value(role) >= ROLE_VIEWER &&
            json_is_object(json_object_get(m, "params")) &&
            json_is_string(json_object_get(m, "reply")));
}

/* Each is taken once. One that is to hold is sent again until this node has said that it took it;
 * while one before it is missed it is not taken, so that it comes again behind that one.
 * -ERR_EXISTS: taken before; -ERR_NOT_FOUND: one before it is missed; -ERR_TOO_MANY, -ERR_NOMEM. */
static int execute_take(struct fleet_runs *f, const json_t *m, bool is_later)
{
    const char *from = json_string_value(json_object_get(m, "from"));
    json_int_t prev = json_integer_value(json_object_get(m, "prev"));
    json_int_t last = json_integer_value(json_object_get(f->kept, from));
    uint64_t number = fleet_message_number_of(m);
    if (is_later && prev > last && number > (uint64_t)last &&
        fleet_message_find(json_object_get(m, "for"), f->node) >= 0) {
        LOG_EVENT(LOG_LEVEL_NOTICE, "fleet-command-missed", KV_STR("node", from),
                  KV_U64("number", (uint64_t)prev));
        return -ERR_NOT_FOUND;
    }
    int err = fleet_message_take(is_later ? f->kept : f->seen, from, number);
    if (err == -ERR_EXISTS && json_object_get(m, "again"))
        (void)answer_send(f, json_string_value(json_object_get(m, "id")),
                          json_string_value(json_object_get(m, "reply")), number, NULL, NULL, NULL);
    else if (err < 0)
        f->refused++;
    return err;
}

static void execute_once_more(void *arg, const json_t *m)
{
    struct fleet_runs *f = arg;
    const struct command *c = commands_find_method(json_string_value(json_object_get(m, "method")));
    if (c)
        execute_start(f, m, c);
}

/* Runs what is for this node. at: its position, or where it was before the store lost it. */
static void execute_run(struct fleet_runs *f, const char *position, const json_t *m)
{
    const char *was = json_string_value(json_object_get(m, "was"));
    bool is_later = json_is_true(json_object_get(m, "later"));
    int err;
    const char *why;
    const struct command *c = execute_find(f, position, m, &err, &why);
    if (!c) {
        answer_error(f, m, err, why);
        return;
    }
    execute_start(f, m, c);
    if (is_later && was)
        fleet_order_behind(&f->order, was, m, execute_once_more, f);
}

void fleet_execute(struct fleet_runs *f, const char *position, const json_t *m)
{
    const char *from = json_string_value(json_object_get(m, "from"));
    const char *node = json_string_value(json_object_get(m, "node"));
    const char *was = json_string_value(json_object_get(m, "was"));
    bool is_later = json_is_true(json_object_get(m, "later"));
    if (!f->is_retired) {
        (void)str_copy(f->position, sizeof(f->position), str_of(position));
        fleet_position_changed(f);
    }
    if (!execute_is_whole(m)) {
        f->refused++;
        return;
    }
    bool is_own = strcmp(from, f->node) == 0;
    uint64_t number = fleet_message_number_of(m);
    if (is_own && number > f->number) /* its clock was set back */
        f->number = number;
    bool has_run = is_own && fleet_queue_came(f, number, position);
    if (f->is_retired || execute_take(f, m, is_later) < 0)
        return;
    bool is_mine = !node || strcmp(node, f->node) == 0;
    if (is_own && (has_run || !is_later || node ||
                   fleet_run_own_came(f, json_string_value(json_object_get(m, "id")))))
        is_mine = false; /* it was run when it was asked, or is now */
    /* Those that who asked waits for; NULL: it is for all. */
    const json_t *nodes = json_object_get(m, "nodes");
    if (is_mine && (!nodes || fleet_message_find(nodes, f->node) >= 0)) {
        if (json_object_get(m, "gather"))
            fleet_gather_decided(f, m);
        else {
            if (is_later && !is_own)
                fleet_queue_other_came(f, m);
            execute_run(f, position, m);
        }
    }
    if (is_later && (is_own || is_mine))
        fleet_order_note(&f->order, was ? was : position, m);
}

void fleet_execute_init(struct fleet_runs *f)
{
    list_init(&f->executions);
    loop_timer_init(&f->execute_tick, on_execute_tick);
}

void fleet_execute_fini(struct fleet_runs *f)
{
    loop_timer_cancel(f->loop, &f->execute_tick);
    LIST_FOREACH_SAFE (it, &f->executions)
        execution_free(LIST_ITEM(it, struct execution, link));
}
