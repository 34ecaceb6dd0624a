/* SPDX-License-Identifier: ISC */
/* An operator's connection: lines in, lines out, and what becomes of one that does not read. */
#include "rpc/client.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log/log.h"
#include "rpc/json_text.h"
#include "rpc/rpc.h"
#include "rpc/server_priv.h"

#define CLIENT_LINE_MAX (64 * 1024)
#define CLIENT_IN_MAX (CLIENT_LINE_MAX + 4096)
#define CLIENT_OUT_MAX (4 * 1024 * 1024)
#define CLIENT_SEND_MAX (128 * 1024) /* of one call */
#define CLIENT_ENVELOPE 256          /* more than what surrounds a result, but for long ids */
#define CLIENT_DEPTH_MAX 8           /* nesting of JSON */
#define CLIENT_LAST_MS 30000         /* to read the notice of having been dropped */
#define PROTOCOL_VERSION 1

static void client_pump(struct client *c);
static void client_flush(struct client *c);
static void client_dismiss(struct client *c, int err, const char *text);

/* ---- the end of a client ---- */

static void on_control_client_end(struct loop_deferred *d)
{
    struct client *c = CONTAINER_OF(d, struct client, end);
    list_del(&c->link);
    loop_unslice(&c->pump);
    event_free(c->read);
    event_free(c->write);
    close(c->fd);
    c->socket->n_clients--;
    c->server->n_clients--;
    buf_wipe(&c->in);
    buf_fini(&c->out);
    upload_clear(&c->parts);
    free(c);
}

/* Nothing that is under way answers it any more. */
static void client_forget(struct client *c, const char *reason)
{
    LOG_EVENT(reason ? LOG_LEVEL_NOTICE : LOG_LEVEL_DEBUG, "control-closed",
              KV_STR("operator", c->peer.user), KV_U64("pid", c->peer.pid),
              KV_STR("reason", reason));
    if (c->read)
        event_del(c->read);
    c->is_reading = false;
    if (c->running)
        c->running->client = NULL;
    c->running = NULL;
    while (!list_is_empty(&c->links)) {
        struct client_link *l = LIST_ITEM(c->links.next, struct client_link, link);
        client_detach(l);
        l->gone(l);
    }
}

/* Closes soon; harmless when that is already so. reason is for the log, static. */
static void client_drop(struct client *c, const char *reason)
{
    if (c->is_dead)
        return;
    c->is_dead = true;
    client_forget(c, reason);
    if (c->sink)
        return; /* its owner closes it */
    event_del(c->write);
    loop_defer(c->rpc->loop, &c->end);
}

/* Nothing more will come and nothing is left to say. */
static void client_drop_if_done(struct client *c)
{
    bool is_over =
        c->is_last || (c->is_eof && !c->running && c->n_streams == 0 &&
                       !memchr(c->in.len ? c->in.data + c->in.start : "", '\n', c->in.len));
    if (is_over && c->out.len == 0)
        client_drop(c, NULL);
}

void client_attach(struct client *c, struct client_link *l)
{
    l->client = c;
    list_add_tail(&c->links, &l->link);
    c->n_streams += l->stream != 0;
}

void client_detach(struct client_link *l)
{
    if (!l->client)
        return;
    list_del(&l->link);
    l->client->n_streams -= l->stream != 0;
    l->client = NULL;
}

size_t client_backlog(const struct client *c)
{
    return c->sink ? c->sink->backlog(c->sink_arg) : c->out.len;
}

/* ---- output ---- */

/* Sends what the client takes, up to a bound; the rest waits for the next turn. */
static void client_flush(struct client *c)
{
    size_t left = CLIENT_SEND_MAX;
    while (c->out.len > 0 && left > 0) {
        struct str s = buf_str(&c->out);
        ssize_t n = send(c->fd, s.p, s.n < left ? s.n : left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            client_drop(c, NULL);
            return;
        }
        if (n < 0)
            break;
        buf_consume(&c->out, (size_t)n);
        left -= (size_t)n;
    }
    c->is_cut_short = c->out.len > 0 && left == 0;
    bool is_writing = c->out.len > 0;
    if (is_writing && !c->is_writing)
        event_add(c->write, NULL);
    else if (!is_writing && c->is_writing)
        event_del(c->write);
    c->is_writing = is_writing;
    if (!is_writing)
        buf_fini(&c->out);
}

/* What is in c->out now, as far as the client takes it. */
static void client_push(struct client *c)
{
    client_flush(c);
    if (c->is_dead || c->is_last || c->out.len <= CLIENT_OUT_MAX || c->is_cut_short)
        return;
    /* A slow client gets the rest of the line that it is reading, and nothing behind it. */
    struct str s = buf_str(&c->out);
    const char *lf = memchr(s.p, '\n', s.n);
    c->out.len = lf ? (size_t)(lf - s.p) + 1 : s.n;
    client_dismiss(c, -ERR_SLOW, "dropped: it reads too slowly, and answers are lost");
}

void client_send(struct client *c, const json_t *message)
{
    if (c->is_dead)
        return;
    if (c->sink) {
        c->sink->send(c->sink_arg, message);
        return;
    }
    if (json_text_value(&c->out, message) < 0 || buf_append_char(&c->out, '\n') < 0) {
        client_drop(c, "out of memory");
        return;
    }
    client_push(c);
}

/* As client_send, with an answer whose result is JSON already; both borrowed. */
static void client_send_result(struct client *c, const json_t *id, struct str result)
{
    struct buf *out = &c->out;
    if (c->is_dead)
        return;
    if (c->sink) {
        json_t *m = json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result",
                              json_loadb(result.p, result.n, 0, NULL));
        if (m)
            c->sink->send(c->sink_arg, m);
        json_decref(m);
        return;
    }
    /* At once: growing a large buffer takes long. */
    if (buf_reserve(out, result.n + CLIENT_ENVELOPE) < 0 ||
        buf_append_str(out, STR("{\"jsonrpc\":\"2.0\",\"id\":")) < 0 ||
        json_text_value(out, id) < 0 || buf_append_str(out, STR(",\"result\":")) < 0 ||
        buf_append_str(out, result) < 0 || buf_append_str(out, STR("}\n")) < 0) {
        client_drop(c, "out of memory");
        return;
    }
    client_push(c);
}

static void client_send_error(struct client *c, int code, int err, const char *text)
{
    json_t *m = json_pack("{s:s, s:n, s:o}", "jsonrpc", "2.0", "id", "error",
                          request_error(code, err, NULL, str_of(text)));
    if (m)
        client_send(c, m);
    json_decref(m);
}

/* It gets what is left to send, the reason, and nothing more. */
static void client_dismiss(struct client *c, int err, const char *text)
{
    client_forget(c, err_text(err));
    c->is_last = true;
    c->drop_at_ms = clock_ms() + CLIENT_LAST_MS;
    client_send_error(c, -32000, err, text);
}

/* ---- requests ---- */

static void client_request_begun(struct client *c, struct request *r)
{
    c->running = r;
}

static void client_request_done(struct client *c, struct request *r)
{
    if (c->running != r)
        return;
    c->running = NULL;
    if (!c->is_dead && !c->sink)
        client_pump(c);
}

static const struct request_origin_ops client_request_ops = {.begun = client_request_begun,
                                                             .done = client_request_done,
                                                             .send = client_send,
                                                             .send_result = client_send_result,
                                                             .drop = client_drop};

/* ---- input ---- */

static void client_take(struct client *c, json_t *message)
{
    json_t *id = json_object_get(message, "id");
    const char *method = json_string_value(json_object_get(message, "method"));
    const json_t *params = json_object_get(message, "params");
    const char *version = json_string_value(json_object_get(message, "jsonrpc"));
    bool is_id_good = !id || json_is_string(id) || json_is_integer(id) || json_is_null(id);
    if (!json_is_object(message) || !method || !is_id_good ||
        (version && strcmp(version, "2.0") != 0)) {
        client_send_error(c, -32600, -ERR_PROTOCOL,
                          "a request is an object with jsonrpc 2.0, id, method and params");
        return;
    }
    if (strcmp(method, "stream.cancel") == 0) {
        uint64_t stream = (uint64_t)json_integer_value(json_object_get(params, "stream"));
        struct client_link *l = NULL;
        LIST_FOREACH (it, &c->links)
            if (stream && LIST_ITEM(it, struct client_link, link)->stream == stream)
                l = LIST_ITEM(it, struct client_link, link);
        bool is_found = l != NULL;
        if (l)
            l->cancel(l);
        json_t *answer = id ? json_pack("{s:s, s:O, s:{s:b}}", "jsonrpc", "2.0", "id", id, "result",
                                        "changed", (int)is_found)
                            : NULL;
        if (answer)
            client_send(c, answer);
        json_decref(answer);
        return;
    }
    const struct request_origin origin = {
        .ops = &client_request_ops, .client = c, .upload = &c->parts, .peer = c->peer};
    request_start(c->rpc, &origin, method, id ? json_incref(id) : NULL, params);
}

/* Jansson is recursive: a line of brackets must not use up the stack. */
static bool line_is_deep(struct str line)
{
    int depth = 0;
    bool is_text = false;
    for (size_t i = 0; i < line.n; i++) {
        char ch = line.p[i];
        if (is_text && ch == '\\')
            i++;
        else if (ch == '"')
            is_text = !is_text;
        else if (!is_text && (ch == '{' || ch == '['))
            depth++;
        else if (!is_text && (ch == '}' || ch == ']'))
            depth--;
        if (depth > CLIENT_DEPTH_MAX)
            return true;
    }
    return false;
}

static void client_line(struct client *c, struct str line)
{
    json_error_t error;
    if (str_trim(line).n == 0)
        return;
    json_t *message =
        line_is_deep(line) ? NULL : json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &error);
    if (message)
        client_take(c, message);
    else
        client_send_error(c, -32700, -ERR_SYNTAX, "the line is no JSON object");
    json_decref(message);
}

/* The next whole line of the input. False when there is none. */
static bool client_next_line(struct client *c, struct str *ret)
{
    struct str s = buf_str(&c->in);
    if (s.n == c->scanned)
        return false;
    const char *lf = memchr(s.p + c->scanned, '\n', s.n - c->scanned);
    if (!lf) {
        c->scanned = s.n;
        return false;
    }
    *ret = str_n(s.p, (size_t)(lf - s.p));
    return true;
}

static void client_want_read(struct client *c)
{
    bool is_wanted = !c->is_eof && !c->is_last && c->in.len < CLIENT_IN_MAX;
    if (c->is_dead || c->is_reading == is_wanted)
        return;
    c->is_reading = is_wanted;
    if (is_wanted)
        event_add(c->read, NULL);
    else
        event_del(c->read);
}

static void client_too_long(struct client *c)
{
    client_send_error(c, -32600, -ERR_TOO_LONG, "a request may have 64 KiB at most");
    c->is_last = true;
    buf_wipe(&c->in);
    c->scanned = 0;
}

/* Answers the next request; one that takes longer stops it until it is answered. */
static void on_client_pump(struct loop_slice *slice)
{
    struct client *c = CONTAINER_OF(slice, struct client, pump);
    struct str line;
    bool has_line =
        !c->is_dead && !c->is_last && !c->running && !c->is_cut_short && client_next_line(c, &line);
    if (has_line && line.n > CLIENT_LINE_MAX) {
        client_too_long(c);
    } else if (has_line) {
        client_line(c, line);
        buf_consume(&c->in, line.n + 1);
        c->scanned = 0;
    }
    if (has_line && !c->is_dead)
        return;
    loop_unslice(slice);
    if (c->is_dead)
        return;
    if (!c->running && !c->is_last && c->in.len > CLIENT_LINE_MAX)
        client_too_long(c);
    client_want_read(c);
    client_drop_if_done(c);
}

static void client_pump(struct client *c)
{
    loop_slice(c->rpc->loop, &c->pump);
}

static void on_client_read(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    (void)what;
    if (buf_reserve(&c->in, CLIENT_IN_MAX - c->in.len) < 0) {
        client_drop(c, "out of memory");
        return;
    }
    ssize_t n = recv(fd, buf_tail(&c->in), CLIENT_IN_MAX - c->in.len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_drop(c, NULL);
        return;
    }
    if (n > 0) {
        buf_commit(&c->in, (size_t)n);
    } else {
        c->is_eof = true;
        /* A JSON object says itself where it ends: behind the last one no line end is needed. */
        if (c->in.len > 0)
            (void)!buf_append_char(&c->in, '\n');
    }
    client_pump(c);
}

static void on_client_write(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    (void)fd;
    (void)what;
    client_flush(c);
    if (!c->is_dead && !c->is_cut_short)
        client_pump(c);
    if (!c->is_dead)
        client_drop_if_done(c);
}

/* ---- the beginning of a client ---- */

int client_open(struct server_socket *socket, int fd, const struct peer *peer)
{
    struct client *c = calloc(1, sizeof(*c));
    struct event_base *base = loop_base(socket->server->rpc->loop);
    if (!c)
        return -ERR_NOMEM;
    c->fd = fd;
    c->peer = *peer;
    c->server = socket->server;
    c->rpc = socket->server->rpc;
    c->socket = socket;
    c->read = event_new(base, fd, EV_READ | EV_PERSIST, on_client_read, c);
    c->write = event_new(base, fd, EV_WRITE | EV_PERSIST, on_client_write, c);
    if (!c->read || !c->write) {
        if (c->read)
            event_free(c->read);
        if (c->write)
            event_free(c->write);
        free(c);
        return -ERR_NOMEM;
    }
    list_init(&c->links);
    list_init(&c->pump.link);
    c->pump.step = on_client_pump;
    list_init(&c->end.link);
    c->end.fn = on_control_client_end;
    list_add_tail(&socket->server->clients, &c->link);
    socket->n_clients++;
    socket->server->n_clients++;
    const struct rpc *rpc = c->rpc;
    json_t *hello = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:i, s:o, s:s}}", "jsonrpc", "2.0", "method", "hello", "params",
        "product", "mailproxy", "version", MAILPROXY_VERSION, "protocol", PROTOCOL_VERSION, "node",
        request_json(str_of(rpc->config(rpc)->node)), "role", role_name(c->peer.role));
    if (hello)
        client_send(c, hello);
    json_decref(hello);
    client_want_read(c);
    return 0;
}

/* ---- clients of the daemon itself ---- */

int client_open_own(struct rpc *rpc, const struct peer *peer, const struct client_sink *sink,
                    void *arg, struct client **ret)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->fd = -1;
    c->rpc = rpc;
    c->peer = *peer;
    c->sink = sink;
    c->sink_arg = arg;
    list_init(&c->link);
    list_init(&c->links);
    list_init(&c->pump.link);
    list_init(&c->end.link);
    *ret = c;
    return 0;
}

void client_ask(struct client *c, const char *method, const json_t *params)
{
    const struct request_origin origin = {
        .ops = &client_request_ops, .client = c, .upload = &c->parts, .peer = c->peer};
    if (!c->is_dead && !c->running)
        request_start(c->rpc, &origin, method, json_integer(1), params);
}

void client_close_own(struct client *c)
{
    if (!c)
        return;
    if (!c->is_dead) {
        c->is_dead = true;
        client_forget(c, NULL);
    }
    upload_clear(&c->parts);
    free(c);
}

/* ---- what the server does to its clients ---- */

void client_check(struct client *c)
{
    struct pollfd p = {.fd = c->fd};
    if (c->drop_at_ms && clock_ms() >= c->drop_at_ms)
        client_drop(c, NULL);
    if (c->is_eof && !c->is_dead && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
        client_drop(c, NULL);
}

void client_leave(struct client *c)
{
    static const char why[] = "another program serves since an upgrade: connect again";
    if (c->n_streams == 0) {
        client_drop(c, why);
        return;
    }
    client_dismiss(c, -ERR_SHUTDOWN, why);
    client_drop_if_done(c);
}

void client_end(struct client *c)
{
    client_flush(c);
    client_drop(c, NULL);
    loop_undefer(&c->end);
    on_control_client_end(&c->end);
}
