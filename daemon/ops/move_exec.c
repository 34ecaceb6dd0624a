/* SPDX-License-Identifier: ISC */
/* Who attends a move, and whose mailboxes are being carried. */
#include "ops/move_exec.h"

#include "base/container/map.h"
#include "rpc/client.h"
#include "runtime/state.h"

#define ATTEND_MAX_MS                                                                              \
    (15 * 60 * 1000)        /* after hold_ms: so long the operation waits for a client             \
                             */
#define OUTPUT_GOOD_MAX 500 /* of a command that did its work */
#define OUTPUT_MAX 2000     /* bytes of a command's output that are kept */

/* One mailbox under way, until its step is over. */
struct carry {
    struct user_move_step *step; /* NULL: reported */
    char *pool, *from, *host;
    char *output;
    uint64_t status, begun_ms;
    bool is_reported, is_stopped;
    char user[];
};

struct move_exec {
    struct move_exec_spec spec;
    char *to_pool, *to, *to_host;
    struct client_link link; /* to who attends: no stream that outlives the end of its requests */
    uint64_t stream;         /* number of what it is told */
    bool is_ready, is_held;  /* is_held: nobody attends, and users still wait for that */
    struct map carries;
    struct loop_timer lost;
};

static struct loop *move_exec_loop(const struct move_exec *x)
{
    return x->spec.control->host->loop;
}

static void carry_free(struct carry *c)
{
    free(c->pool);
    free(c->from);
    free(c->host);
    free(c->output);
    free(c);
}

/* ---- words for the client ---- */

/* Takes over params. */
static void move_exec_send(struct move_exec *x, const char *method, json_t *params)
{
    if (params && x->link.client) {
        request_put_number(params, "stream", x->stream);
        json_t *m =
            json_pack("{s:s, s:s, s:O}", "jsonrpc", "2.0", "method", method, "params", params);
        if (m)
            client_send(x->link.client, m);
        json_decref(m);
    }
    json_decref(params);
}

static void exec_tell(struct move_exec *x, const char *what, const struct carry *c)
{
    json_t *row = json_pack("{s:s, s:o}", "do", what, "user", request_json(str_of(c->user)));
    request_set_text(row, "from", c->from);
    request_set_text(row, "from_pool", c->pool);
    request_set_text(row, "from_host", c->host);
    request_set_text(row, "to", x->to);
    request_set_text(row, "to_pool", x->to_pool);
    request_set_text(row, "to_host", x->to_host);
    move_exec_send(x, "event", row);
}

void move_exec_say(struct move_exec *x)
{
    op_refresh(x->spec.op);
    move_exec_send(x, "event", json_pack("{s:s, s:o}", "do", "progress", "op", op_row(x->spec.op)));
}

/* ---- the client ---- */

static void exec_wait_for_client(struct move_exec *x)
{
    x->is_ready = false;
    x->is_held = true;
    loop_timer_set(move_exec_loop(x), &x->lost, x->spec.hold_ms);
}

static void on_carry_lost(struct loop_timer *t)
{
    struct move_exec *x = CONTAINER_OF(t, struct move_exec, lost);
    bool is_final = !x->is_held;
    x->is_held = false;
    if (!is_final)
        loop_timer_set(move_exec_loop(x), &x->lost, ATTEND_MAX_MS);
    x->spec.lost(x->spec.arg, is_final);
}

static void on_exec_gone(struct client_link *l)
{
    exec_wait_for_client(CONTAINER_OF(l, struct move_exec, link));
}

void move_exec_attend(struct move_exec *x, struct request *r)
{
    if (!r->client) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, NULL);
        return;
    }
    if (x->link.client && !x->is_ready)
        client_detach(&x->link); /* it never said that it runs commands */
    if (x->link.client) {
        request_fail(r, -ERR_BUSY, NULL, "another mailproxyctl runs the commands of operation %llu",
                     (unsigned long long)x->spec.op->id);
        return;
    }
    x->stream = rpc_next_number(r->rpc);
    x->link.gone = on_exec_gone;
    client_attach(r->client, &x->link);
    json_t *answer = op_row(x->spec.op);
    request_put_number(answer, "stream", x->stream);
    request_answer(r, answer);
}

bool move_exec_is_attended(const struct move_exec *x)
{
    return x->is_ready;
}

/* From now on commands are run; those that were under way are begun anew, or go on there. */
static void exec_ready(struct move_exec *x)
{
    size_t pos = 0;
    struct str key;
    void *value;
    loop_timer_cancel(move_exec_loop(x), &x->lost);
    x->is_ready = true;
    x->is_held = false;
    while (map_next(&x->carries, &pos, &key, &value)) {
        const struct carry *c = value;
        if (!c->is_reported)
            exec_tell(x, c->is_stopped ? "stop" : "run", c);
    }
    move_exec_say(x);
    x->spec.attended(x->spec.arg);
}

void move_exec_report(struct move_exec *x, struct request *r)
{
    const char *user = request_text(r, "user");
    uint64_t status = request_number(r, "status", 0);
    r->is_quiet = true; /* the operation is in the audit */
    if (r->client != x->link.client || !x->link.client) {
        request_fail(r, -ERR_PERM, NULL, "only who attends the operation reports: op resume");
        return;
    }
    if (!user) {
        exec_ready(x);
        request_done(r, 0, false, NULL);
        return;
    }
    struct carry *c = map_get(&x->carries, str_of(user));
    if (!c || c->is_reported) {
        request_fail(r, -ERR_NOT_FOUND, NULL, "%.255s is not being moved any more", user);
        return;
    }
    struct str output = str_of(request_text(r, "output"));
    size_t most = status ? OUTPUT_MAX : OUTPUT_GOOD_MAX;
    c->is_reported = true;
    c->status = status;
    c->output = str_dup(output.n > most ? str_skip(output, output.n - most) : output);
    AUTO_FREE char *reason =
        status == 0 ? NULL
        : status < 256
            ? str_printf("the command ended with %llu", (unsigned long long)status)
            : str_printf("the command was ended by signal %llu", (unsigned long long)status - 256);
    request_done(r, 1, true, NULL);
    user_move_step_carried(c->step, status ? -ERR_INTERNAL : 0, reason);
}

/* ---- mailboxes ---- */

void move_exec_begin(struct move_exec *x, struct user_move_step *step, const char *user,
                     const struct user_place *from)
{
    size_t n = strlen(user) + 1;
    struct carry *c = calloc(1, sizeof(*c) + n);
    bool is_kept = c && (c->pool = str_dup_c(from->pool)) && (c->from = str_dup_c(from->backend)) &&
                   (c->host = str_dup_c(from->host));
    if (c)
        memcpy(c->user, user, n);
    if (!is_kept || map_put(&x->carries, str_of(c->user), c, NULL) < 0) {
        if (c)
            carry_free(c);
        user_move_step_carried(step, -ERR_NOMEM, err_text(-ERR_NOMEM));
        return;
    }
    c->step = step;
    c->begun_ms = loop_now_ms(move_exec_loop(x));
    if (x->is_ready)
        exec_tell(x, "run", c);
}

bool move_exec_stop(struct move_exec *x, const char *user)
{
    struct carry *c = map_get(&x->carries, str_of(user));
    if (!c || c->is_reported || !x->link.client)
        return false;
    c->is_stopped = true;
    exec_tell(x, "stop", c);
    return true;
}

/* The next one that is still being carried; the map changes with each that is given up. */
static struct carry *exec_open(const struct move_exec *x)
{
    size_t pos = 0;
    struct str key;
    void *value;
    while (map_next(&x->carries, &pos, &key, &value))
        if (!((struct carry *)value)->is_reported)
            return value;
    return NULL;
}

void move_exec_drop_all(struct move_exec *x)
{
    struct carry *c;
    while ((c = exec_open(x))) {
        c->is_reported = true;
        user_move_step_carried(c->step, -ERR_AGAIN, "mailproxyctl is gone");
    }
}

void move_exec_take(struct move_exec *x, const char *user, json_t *row)
{
    struct carry *c = map_del(&x->carries, str_of(user));
    if (!c)
        return;
    if (!c->is_reported) /* it took too long, or the operation was cancelled */
        exec_tell(x, "stop", c);
    if (c->is_reported && row) {
        request_put_number(row, "exit", c->status);
        (void)json_object_set_new(row, "output", request_json(str_of(c->output)));
    }
    carry_free(c);
}

void move_exec_rows(const struct move_exec *x, json_t *rows)
{
    size_t pos = 0;
    struct str key;
    void *value;
    while (map_next(&x->carries, &pos, &key, &value)) {
        const struct carry *c = value;
        json_t *row = json_pack("{s:o, s:s, s:s}", "user", request_json(key), "state", "carrying",
                                "from", c->from);
        request_set_text(row, "to", x->to);
        request_put_number(row, "held", loop_now_ms(move_exec_loop(x)) - c->begun_ms);
        (void)json_array_append_new(rows, row);
    }
}

/* ---- life ---- */

int move_exec_new(const struct move_exec_spec *spec, struct move_exec **ret)
{
    struct move_exec *x = calloc(1, sizeof(*x));
    if (!x)
        return -ERR_NOMEM;
    x->spec = *spec;
    list_init(&x->link.link);
    loop_timer_init(&x->lost, on_carry_lost);
    x->to_pool = str_dup_c(spec->to_pool);
    x->to = str_dup_c(spec->to);
    x->to_host = str_dup_c(spec->to_host);
    if (!x->to_pool || !x->to || !x->to_host) {
        move_exec_free(x, NULL);
        return -ERR_NOMEM;
    }
    exec_wait_for_client(x);
    *ret = x;
    return 0;
}

void move_exec_free(struct move_exec *x, const char *message)
{
    size_t pos = 0;
    struct str key;
    void *value;
    if (!x)
        return;
    if (message)
        move_exec_send(x, "end", json_pack("{s:s}", "message", message));
    client_detach(&x->link);
    loop_timer_cancel(move_exec_loop(x), &x->lost);
    while (map_next(&x->carries, &pos, &key, &value))
        carry_free(value);
    map_fini(&x->carries);
    free(x->to_pool);
    free(x->to);
    free(x->to_host);
    free(x);
}
