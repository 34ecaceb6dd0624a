/* SPDX-License-Identifier: ISC */
/* Operations without sockets and sessions: a control plane around a stand-in for the workers, whose
 * sessions, silence and answers the test says. It takes the place of peers/workers.c. */
#pragma once

#include "../runtime/control_case.h"

#include "ops/ops.h"
#include "peers/ask.h"
#include "peers/workers.h"
#include "runtime/events.h"

#define CASE_WORKERS 2
#define CASE_SESSIONS_MAX 16
#define CASE_ID(worker, n) ((worker)*1000u + (n))

/* A session of the stand-in; state NULL = it is gone. */
struct case_session {
    uint64_t id, idle;
    char id_text[32];
    const char *user, *state, *pool, *backend;
    uint64_t kill_number; /* of who ends it; 0 = nobody */
    size_t kill_at;
    bool is_stubborn; /* when told to end it goes on until the test says so */
    unsigned n_cut;
};

struct ops_case {
    struct plane plane; /* first: the owner of the loop begins with the control plane */
    struct case_session v[CASE_SESSIONS_MAX];
    size_t n;
    bool is_silent[CASE_WORKERS];
    struct kill_state {
        uint64_t number;
        size_t n_left;
    } kills[CASE_WORKERS];
    /* What happened, in order, a word each: "query", "kill:1001,1002", "hold:bob", "release:bob".
     */
    struct buf log;
    uint64_t last_grace_ms;
    char last_text[64];
    command_fn functions[256];
    json_t *answer;
    size_t n_answers;
    size_t said_before; /* bytes of log when the last answer came */
};

static inline struct ops_case *case_of(const struct control *c)
{
    return (struct ops_case *)CONTAINER_OF(c, struct plane, object);
}

static inline void case_log(struct ops_case *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void case_log(struct ops_case *k, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (k->log.len)
        assert_int_equal(buf_append_char(&k->log, ' '), 0);
    assert_int_equal(buf_vprintf(&k->log, fmt, ap), 0);
    va_end(ap);
}

/* ---- what the control plane asks of workers ---- */

size_t worker_room(const struct control *c)
{
    (void)c;
    return CASE_WORKERS;
}

bool worker_next(const struct control *c, size_t *w)
{
    (void)c;
    return *w < CASE_WORKERS;
}

bool worker_has(const struct control *c, size_t w, uint64_t id)
{
    (void)c;
    return id / 1000 == w;
}

static inline bool case_get(const void *row, int id, struct filter_value *ret)
{
    const struct case_session *s = row;
    const char *text = id == SESSION_FIELD_USER      ? s->user
                       : id == SESSION_FIELD_STATE   ? s->state
                       : id == SESSION_FIELD_POOL    ? s->pool
                       : id == SESSION_FIELD_BACKEND ? s->backend
                       : id == SESSION_FIELD_PHASE   ? (s->kill_number ? "ending" : "between")
                                                     : NULL;
    ret->text = str_of(text);
    return text != NULL;
}

/* One chunk with all that match. */
int worker_query(struct control *c, size_t w, const struct session_query_spec *spec)
{
    struct ops_case *k = case_of(c);
    if (w == 0)
        case_log(k, "query");
    if (k->is_silent[w])
        return 0;
    struct session_chunk *chunk = session_chunk_new(CASE_SESSIONS_MAX, 0);
    assert_non_null(chunk);
    memset(chunk->rows, 0, CASE_SESSIONS_MAX * sizeof(*chunk->rows));
    chunk->mail.fn = spec->deliver;
    chunk->number = spec->number;
    chunk->worker = (unsigned)w;
    chunk->is_last = true;
    for (size_t i = 0; i < k->n; i++) {
        const struct case_session *s = &k->v[i];
        if (s->id / 1000 != w || !s->state)
            continue;
        chunk->seen++;
        if (spec->filter && !filter_match(spec->filter, case_get, s))
            continue;
        struct session_row *row = &chunk->rows[chunk->n++];
        row->id = s->id;
        row->v[SESSION_FIELD_ID].text = str_of(s->id_text);
        row->v[SESSION_FIELD_USER].text = str_of(s->user);
        row->v[SESSION_FIELD_POOL].text = str_of(s->pool);
        row->v[SESSION_FIELD_BACKEND].text = str_of(s->backend);
        row->v[SESSION_FIELD_IDLE].number = s->idle;
    }
    chunk->matched = chunk->n;
    mailbox_post(spec->reply, &chunk->mail);
    return 0;
}

int worker_query_next(struct control *c, size_t w, uint64_t number, bool is_cancelled)
{
    (void)c;
    (void)w;
    (void)number;
    (void)is_cancelled;
    return 0;
}

static inline struct session_killed *case_killed(void (*deliver)(struct mail *, void *),
                                                 uint64_t number, size_t w, size_t n)
{
    struct session_killed *m = calloc(1, sizeof(*m) + n * sizeof(m->v[0]));
    assert_non_null(m);
    m->mail.fn = deliver;
    m->number = number;
    m->worker = (unsigned)w;
    return m;
}

/* A session that was told to end has ended. */
static inline void case_end(struct ops_case *k, uint64_t id)
{
    for (size_t i = 0; i < k->n; i++) {
        struct case_session *s = &k->v[i];
        if (s->id != id || !s->state)
            continue;
        size_t w = id / 1000;
        s->state = NULL;
        if (!s->kill_number)
            return;
        struct session_killed *m = case_killed(ask_deliver_killed, s->kill_number, w, 1);
        m->n = 1;
        m->v[0].at = s->kill_at;
        m->v[0].outcome.is_clean = s->n_cut == 0;
        m->v[0].outcome.n_cut = s->n_cut;
        m->is_last = --k->kills[w].n_left == 0;
        mailbox_post(loop_mailbox(k->plane.host.loop), &m->mail);
        return;
    }
}

/* Told at once; those that are not stubborn end at once, too. */
int worker_kill(struct control *c, size_t w, const struct session_kill_spec *spec)
{
    struct ops_case *k = case_of(c);
    AUTO_BUF ids = BUF_INIT;
    for (size_t i = 0; i < spec->n; i++)
        assert_int_equal(buf_printf(&ids, "%s%u", i ? "," : "", (unsigned)spec->ids[i]), 0);
    case_log(k, "kill:%.*s", STR_ARG(buf_str(&ids)));
    k->last_grace_ms = spec->grace_ms;
    (void)str_copy(k->last_text, sizeof(k->last_text), str_of(spec->text ? spec->text : ""));
    if (k->is_silent[w])
        return 0;
    struct session_killed *told = case_killed(spec->deliver, spec->number, w, 0);
    told->is_told = true;
    k->kills[w] = (struct kill_state){.number = spec->number};
    for (size_t i = 0; i < spec->n; i++)
        for (size_t j = 0; j < k->n; j++)
            if (k->v[j].id == spec->ids[i] && k->v[j].state) {
                k->v[j].kill_number = spec->number;
                k->v[j].kill_at = i;
                k->kills[w].n_left++;
                told->n_told++;
            }
    told->is_last = k->kills[w].n_left == 0;
    mailbox_post(spec->reply, &told->mail);
    for (size_t j = 0; j < k->n; j++)
        if (k->v[j].kill_number == spec->number && k->v[j].id / 1000 == w && !k->v[j].is_stubborn)
            case_end(k, k->v[j].id);
    return 0;
}

int worker_hold(struct control *c, size_t w, const struct session_hold_spec *spec)
{
    struct ops_case *k = case_of(c);
    if (w == 0)
        case_log(k, "%s:%s", spec->is_on ? "hold" : "release", spec->user);
    if (k->is_silent[w] || !spec->reply)
        return 0;
    struct session_killed *m = case_killed(spec->deliver, spec->number, w, 0);
    m->is_told = m->is_last = true;
    mailbox_post(spec->reply, &m->mail);
    return 0;
}

int worker_wake(struct control *c, size_t w, const char *user)
{
    if (w == 0)
        case_log(case_of(c), "wake:%s", user ? user : "*");
    return 0;
}

int worker_trace(struct control *c, size_t w, const struct session_trace_spec *spec)
{
    (void)c;
    (void)w;
    (void)spec;
    return 0;
}

int worker_trace_end(struct control *c, size_t w, uint64_t number)
{
    (void)c;
    (void)w;
    (void)number;
    return 0;
}

int worker_trace_seen(struct control *c, size_t w, uint64_t number, size_t weight)
{
    (void)c;
    (void)w;
    (void)number;
    (void)weight;
    return 0;
}

/* ---- what commands need ---- */

static inline struct config *case_config(const struct rpc *rpc)
{
    return &case_of(rpc_control(rpc))->plane.config;
}

static inline bool case_is_retired(const struct rpc *rpc)
{
    (void)rpc;
    return false;
}

static inline void case_answered(struct rpc *rpc, const struct request *r, const char *result)
{
    (void)rpc;
    (void)r;
    (void)result;
}

static inline void case_forget_user(void *arg, const char *user)
{
    case_log(arg, "forget:%s", user ? user : "*");
}

static inline void case_request(struct client *client, struct request *r)
{
    (void)client;
    (void)r;
}

static inline void case_take(struct ops_case *k, json_t *answer)
{
    json_decref(k->answer);
    k->answer = answer;
    k->n_answers++;
    k->said_before = k->log.len;
}

static inline void case_send(struct client *client, const json_t *message)
{
    case_take((struct ops_case *)client, json_deep_copy(message));
}

static inline void case_send_result(struct client *client, const json_t *id, struct str result)
{
    json_t *parsed = json_loadb(result.p, result.n, 0, NULL);
    (void)id;
    assert_non_null(parsed);
    case_take((struct ops_case *)client, json_pack("{s:o}", "result", parsed));
}

static inline void case_drop(struct client *client, const char *reason)
{
    (void)client;
    fail_msg("%s", reason);
}

/* Asks as a client does; the function of the command is the test's. */
static inline void case_ask(struct ops_case *k, const char *method, command_fn fn, json_t *params)
{
    static const struct request_origin_ops ops = {.begun = case_request,
                                                  .done = case_request,
                                                  .send = case_send,
                                                  .send_result = case_send_result,
                                                  .drop = case_drop};
    const struct request_origin origin = {
        .ops = &ops, .client = (struct client *)k, .peer = {.role = ROLE_ADMIN, .user = "root"}};
    const struct command *command = commands_find_method(method);
    assert_non_null(command);
    k->functions[commands_index(command)] = fn;
    request_start(&k->plane.object.rpc, &origin, method, json_integer(1), params);
    json_decref(params);
}

static inline const json_t *case_result(const struct ops_case *k, const char *member)
{
    return json_object_get(json_object_get(k->answer, "result"), member);
}

static inline const char *case_error(const struct ops_case *k)
{
    const json_t *data = json_object_get(json_object_get(k->answer, "error"), "data");
    return json_string_value(json_object_get(data, "name"));
}

/* ---- life ---- */

static inline void case_start(struct ops_case *k)
{
    struct control *c = &k->plane.object;
    AUTO_FREE char *error = NULL;
    c->rpc.functions = k->functions;
    c->rpc.config = case_config;
    c->rpc.is_retired = case_is_retired;
    c->rpc.on_change_answered = case_answered;
    k->plane.host.forget_user = case_forget_user;
    list_init(&c->peer_engines);
    list_init(&c->trace_ops);
    work_queue_init(&c->config_queue);
    work_queue_init(&c->look_queue);
    work_queue_init(&c->user_queue);
    work_queue_init(&c->op_queue);
    assert_int_equal(events_new(c, &c->events), 0);
    assert_int_equal(sessions_new(c, &c->sessions), 0);
    assert_int_equal(ops_new(c, &c->ops, &error), 0);
}

static inline void case_begin(struct ops_case *k)
{
    memset(k, 0, sizeof(*k));
    plane_begin(&k->plane);
    case_start(k);
}

/* The end of the control plane, as control_free has it. */
static inline void case_stop(struct ops_case *k)
{
    struct control *c = &k->plane.object;
    sessions_free(c->sessions);
    ops_free(STEAL(c->ops));
    events_free(STEAL(c->events));
    work_queue_fini(&c->config_queue);
    work_queue_fini(&c->look_queue);
    work_queue_fini(&c->user_queue);
    work_queue_fini(&c->op_queue);
    work_queue_fini(&c->rule_queue);
    map_fini(&c->moving);
}

/* The engine is started again with the same store. */
static inline void case_restart(struct ops_case *k, bool is_successor)
{
    case_stop(k);
    plane_stop(&k->plane);
    k->plane.host.is_successor = is_successor;
    plane_start(&k->plane);
    case_start(k);
}

static inline void case_finish(struct ops_case *k)
{
    case_stop(k);
    plane_end(&k->plane);
    json_decref(k->answer);
    buf_fini(&k->log);
}

static inline struct case_session *case_add(struct ops_case *k, unsigned worker, const char *user,
                                            const char *state, const char *pool,
                                            const char *backend)
{
    assert_true(k->n < CASE_SESSIONS_MAX);
    struct case_session *s = &k->v[k->n++];
    *s = (struct case_session){.id = CASE_ID(worker, k->n),
                               .user = user,
                               .state = state,
                               .pool = pool,
                               .backend = backend};
    session_id_format(s->id_text, s->id);
    return s;
}

static inline const char *case_said(struct ops_case *k)
{
    const char *text = buf_cstr(&k->log);
    return text ? text : "";
}

static inline void case_forget(struct ops_case *k)
{
    buf_clear(&k->log);
}

/* The only operation, or the newest. */
static inline struct op *case_op(const struct ops_case *k)
{
    struct list *all = ops_all(k->plane.object.ops);
    return list_is_empty(all) ? NULL : LIST_ITEM(all->prev, struct op, link);
}

static inline bool case_is_op_over(struct plane *p)
{
    const struct op *op = case_op((struct ops_case *)p);
    return op && op->state != OP_RUNNING;
}

static inline bool case_is_answered(struct plane *p)
{
    return ((struct ops_case *)p)->n_answers > 0;
}

/* Runs the loop for so long: what must not happen has had its time. */
static inline bool case_is_time_over(struct plane *p)
{
    return clock_ms() >= p->until_ms - PLANE_WAIT_MS;
}

static inline void case_run_ms(struct ops_case *k, uint64_t ms)
{
    struct plane *p = &k->plane;
    p->is_done = case_is_time_over;
    p->until_ms = clock_ms() + PLANE_WAIT_MS + ms;
    loop_timer_init(&p->poll, plane_poll);
    loop_timer_set(p->host.loop, &p->poll, 1);
    assert_int_equal(loop_run(p->host.loop), 0);
}
