/* SPDX-License-Identifier: ISC */
/* Traces: begun on all workers; sends what they tell, and ends them by time, by
 * bytes, or with the client. */
#include "ops/trace_op.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "ops/ops.h"
#include "peers/workers.h"
#include "rpc/client.h"
#include "runtime/state.h"
#include "session/trace.h"

/* What a client that reads slowly may have waiting before events are dropped; a good part of what
 * it would be thrown out for. */
#define TRACE_BACKLOG_MAX (1024 * (size_t)1024)
#define TRACE_TOLD_MIN (TRACE_FLIGHT_MAX / 8)

/* One trace under way. */
struct trace_op {
    struct list link; /* of control.trace_ops */
    struct control *control;
    struct client_link stream; /* its number is that of the trace on the workers, too */
    struct op *op;
    uint64_t until_ms, max_bytes, bytes;
    uint64_t lost, missed; /* events: dropped, and not yet said so */
    struct loop_timer timer;
    struct loop_deferred over; /* the client went, perhaps while it was being told something */
    size_t untold[];           /* of each worker: weight that it has not been told is taken in */
};

static struct trace_op *trace_op_find(struct control *c, uint64_t number)
{
    LIST_FOREACH (it, &c->trace_ops) {
        struct trace_op *t = LIST_ITEM(it, struct trace_op, link);
        if (t->stream.stream == number)
            return t;
    }
    return NULL;
}

/* ---- the end ---- */

static void trace_op_free(void *arg)
{
    struct trace_op *t = arg;
    loop_timer_cancel(t->control->host->loop, &t->timer);
    loop_undefer(&t->over);
    client_detach(&t->stream);
    list_del(&t->link);
    free(t);
}

/* why: for the client and the list of operations. */
static void trace_op_end(struct trace_op *t, enum op_state state, const char *why)
{
    for (size_t w = 0; worker_next(t->control, &w); w++)
        if (worker_trace_end(t->control, w, t->stream.stream) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "trace-not-ended", KV_U64("worker", w));
    op_end(t->op, state, "%s; %llu bytes, %llu events dropped", why, (unsigned long long)t->bytes,
           (unsigned long long)t->lost);
    struct client *client = t->stream.client;
    client_detach(&t->stream);
    json_t *end = json_pack("{s:s, s:s, s:{s:I, s:s}}", "jsonrpc", "2.0", "method", "end", "params",
                            "stream", (json_int_t)t->stream.stream, "message", why);
    if (client && end)
        client_send(client, end);
    json_decref(end);
    trace_op_free(t);
}

static void trace_op_cancel(void *arg)
{
    trace_op_end(arg, OP_CANCELLED, "cancelled");
}

static void trace_op_refresh(void *arg)
{
    struct trace_op *t = arg;
    uint64_t now = loop_now_ms(t->control->host->loop);
    t->op->done = t->bytes;
    t->op->eta_ms = t->until_ms > now ? t->until_ms - now : 0;
}

static const struct op_kind trace_kind = {
    .name = "trace", .cancel = trace_op_cancel, .refresh = trace_op_refresh, .drop = trace_op_free};

static void on_tracer_time(struct loop_timer *timer)
{
    trace_op_end(CONTAINER_OF(timer, struct trace_op, timer), OP_DONE, "its time is over");
}

static void on_tracer_over(struct loop_deferred *d)
{
    trace_op_end(CONTAINER_OF(d, struct trace_op, over), OP_DONE, "who asked for it is gone");
}

static void trace_op_stream_cancel(struct client_link *l)
{
    trace_op_end(CONTAINER_OF(l, struct trace_op, stream), OP_CANCELLED, "cancelled");
}

static void trace_op_stream_gone(struct client_link *l)
{
    struct trace_op *t = CONTAINER_OF(l, struct trace_op, stream);
    loop_defer(t->control->host->loop, &t->over);
}

/* ---- events ---- */

/* Bytes as printable ASCII: \r, \n, \t, \\ and \xNN. */
static int escape(struct buf *out, struct str bytes)
{
    static const char raw[] = "\r\n\t\\", letters[] = "rnt\\";
    int err = 0;
    for (size_t i = 0; i < bytes.n && err == 0; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        const char *at = memchr(raw, c, sizeof(raw) - 1);
        if (at)
            err = buf_printf(out, "\\%c", letters[at - raw]);
        else if (c >= 0x20 && c < 0x7f)
            err = buf_append_char(out, (char)c);
        else
            err = buf_printf(out, "\\x%02x", c);
    }
    return err;
}

/* False when the client is too slow just now. */
static bool trace_op_send(const struct trace_op *t, const struct session_trace_event *e,
                          enum trace_direction direction, struct str bytes)
{
    AUTO_BUF text = BUF_INIT;
    char id[32];
    if (!t->stream.client || client_backlog(t->stream.client) > TRACE_BACKLOG_MAX ||
        escape(&text, bytes) < 0)
        return false;
    json_t *row = json_object();
    request_put_number(row, "stream", t->stream.stream);
    request_put_number(row, "time", e->at_ms);
    session_id_format(id, e->session);
    if (e->session)
        request_set_text(row, "session", id);
    request_set_text(row, "mark", trace_direction_marker(direction));
    request_set_text(row, "direction", trace_direction_name(direction));
    (void)json_object_set_new(row, "text", request_json(buf_str(&text)));
    if (e->is_masked && direction == e->direction)
        (void)json_object_set_new(row, "masked", json_true());
    json_t *m = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params", row);
    if (m)
        client_send(t->stream.client, m);
    json_decref(m);
    return m != NULL;
}

/* "7 bytes ..." */
static bool trace_op_note(const struct trace_op *t, const struct session_trace_event *e, uint64_t n,
                          const char *what)
{
    AUTO_FREE char *text = str_printf("%llu %s", (unsigned long long)n, what);
    return trace_op_send(t, e, TRACE_NOTE, str_of(text));
}

/* A row a line; a slow client misses some of it, and learns how much. */
static void trace_op_tell(struct trace_op *t, const struct session_trace_event *e)
{
    struct str rest = str_n(e->bytes, e->n);
    t->lost += e->lost;
    if (t->missed + e->lost > 0) {
        bool is_told = trace_op_note(t, e, t->missed + e->lost,
                                     "events were dropped: they were not read fast enough");
        t->missed = is_told ? 0 : t->missed + e->lost;
    }
    while (rest.n > 0) {
        const char *lf = memchr(rest.p, '\n', rest.n);
        struct str line = str_head(rest, lf ? (size_t)(lf - rest.p) + 1 : rest.n);
        if (!trace_op_send(t, e, e->direction, line)) {
            t->missed++;
            t->lost++;
            return;
        }
        rest = str_skip(rest, line.n);
    }
    if (e->left_out > 0)
        (void)trace_op_note(t, e, e->left_out, "bytes that came along are left out");
}

static void on_trace_event(struct mail *m, void *owner)
{
    trace_deliver(control_of(owner), CONTAINER_OF(m, struct session_trace_event, mail));
}

void trace_deliver(struct control *c, struct session_trace_event *e)
{
    struct trace_op *t = c ? trace_op_find(c, e->number) : NULL;
    if (t) {
        /* The worker is told now and then; what is not told yet counts as under way. */
        size_t *untold = &t->untold[e->worker];
        *untold += e->weight;
        if (*untold >= TRACE_TOLD_MIN &&
            worker_trace_seen(c, e->worker, t->stream.stream, *untold) == 0)
            *untold = 0;
        t->bytes += e->n;
        trace_op_tell(t, e);
        if (t->bytes >= t->max_bytes)
            trace_op_end(t, OP_DONE, "its bytes are used up");
    }
    free(e);
}

/* ---- the beginning ---- */

static struct trace_op *trace_op_new(struct control *c)
{
    struct trace_op *t = calloc(1, sizeof(*t) + worker_room(c) * sizeof(t->untold[0]));
    if (!t)
        return NULL;
    t->control = c;
    t->stream = (struct client_link){.stream = rpc_next_number(&c->rpc),
                                     .cancel = trace_op_stream_cancel,
                                     .gone = trace_op_stream_gone};
    list_init(&t->link);
    list_init(&t->over.link);
    t->over.fn = on_tracer_over;
    loop_timer_init(&t->timer, on_tracer_time);
    return t;
}

static int trace_op_begin(struct trace_op *t, struct filter *filter)
{
    const struct engine_api *h = t->control->host;
    const struct session_trace_spec spec = {.number = t->stream.stream,
                                            .filter = filter,
                                            .reply = loop_mailbox(h->loop),
                                            .deliver = on_trace_event};
    for (size_t w = 0; worker_next(t->control, &w); w++) {
        int err = worker_trace(t->control, w, &spec);
        if (err < 0)
            return err;
    }
    return 0;
}

void trace_start(struct request *r, struct filter *filter, uint64_t for_ms, uint64_t max_bytes)
{
    struct control *c = request_control(r);
    size_t n = 0;
    LIST_FOREACH (it, &c->trace_ops)
        n++;
    if (n >= TRACES_MAX) {
        request_fail(r, -ERR_TOO_MANY, NULL, "%d traces run already", TRACES_MAX);
        return;
    }
    struct trace_op *t = trace_op_new(c);
    int err =
        t ? op_begin(c, &trace_kind, request_text(r, "filter"), &r->peer, t, &t->op) : -ERR_NOMEM;
    if (err < 0) {
        free(t);
        request_fail(r, err, NULL, NULL);
        return;
    }
    t->max_bytes = t->op->total = max_bytes;
    t->until_ms = loop_now_ms(c->host->loop) + for_ms;
    loop_timer_set(c->host->loop, &t->timer, for_ms);
    list_add_tail(&c->trace_ops, &t->link);
    client_attach(r->client, &t->stream);
    err = trace_op_begin(t, filter);
    if (err < 0) {
        request_fail(r, err, NULL, NULL);
        trace_op_end(t, OP_FAILED, err_text(err));
        return;
    }
    AUTO_FREE char *op = str_printf("%llu", (unsigned long long)t->op->id);
    request_answer(
        r, json_pack("{s:I, s:s}", "stream", (json_int_t)t->stream.stream, "op", op ? op : ""));
}
