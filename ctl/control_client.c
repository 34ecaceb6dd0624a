/* SPDX-License-Identifier: ISC */
/* JSON-RPC over the control socket. */
#include "ctl/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ctl/remote.h"

#define CLIENT_READ_SIZE (64 * 1024)
/* An answer longer than this is a broken peer. */
#define CLIENT_MESSAGE_MAX (256ul * 1024 * 1024)
#define CLIENT_RETRY_MS 20

struct control_client {
    int fd;
    struct remote *remote; /* the way to fd; NULL = this machine's socket */
    struct buf in, out;
    size_t scanned; /* bytes of in that hold no LF */
    uint64_t last_id;
    bool has_hello;
    struct control_client_hello hello;
};

void control_client_error_fini(struct control_client_error *e)
{
    free(e->name);
    free(e->text);
    free(e->hint);
    json_decref(e->unreached);
    *e = (struct control_client_error){0};
}

void control_client_message_fini(struct control_client_message *m)
{
    free(m->method);
    json_decref(m->body);
    control_client_error_fini(&m->error);
    *m = (struct control_client_message){0};
}

static void control_client_hello_fini(struct control_client_hello *h)
{
    free(h->product);
    free(h->version);
    free(h->node);
    free(h->role);
    *h = (struct control_client_hello){0};
}

static int control_client_connect_error(int errnum)
{
    switch (errnum) {
    case EAGAIN:
    case EINTR:
        return -ERR_AGAIN;
    case EACCES:
    case EPERM:
        return -ERR_PERM;
    case ENOENT:
    case ECONNREFUSED:
    case ENOTSOCK:
    case ENOTDIR:
    case ECONNRESET:
        return -ERR_UNREACHABLE;
    default:
        return err_from_errno(errnum);
    }
}

static int control_client_open_socket(const char *path, int *ret_fd)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (!str_copy(sun.sun_path, sizeof(sun.sun_path), str_of(path)))
        return -ERR_TOO_LONG;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0)
        return control_client_connect_error(errno);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int control_client_open(const char *path, struct control_client **ret)
{
    struct control_client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->fd = -1;
    int err = remote_is_named(path) ? remote_open(path, &c->remote, &c->fd)
                                    : control_client_open_socket(path, &c->fd);
    if (err < 0)
        control_client_close(c);
    else
        *ret = c;
    return err;
}

void control_client_close(struct control_client *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    remote_close(c->remote);
    buf_fini(&c->in);
    buf_wipe(&c->out);
    control_client_hello_fini(&c->hello);
    free(c);
}

int control_client_fd(const struct control_client *c)
{
    return c->fd;
}

short control_client_events(const struct control_client *c)
{
    return c->out.len ? POLLIN | POLLOUT : POLLIN;
}

const struct control_client_hello *control_client_hello(const struct control_client *c)
{
    return c->has_hello ? &c->hello : NULL;
}

int control_client_flush(struct control_client *c)
{
    while (c->out.len) {
        struct str s = buf_str(&c->out);
        ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            return -ERR_CLOSED;
        buf_consume(&c->out, (size_t)n);
    }
    /* A request may hold a password. */
    buf_wipe(&c->out);
    return 0;
}

static int control_client_append_json(const char *data, size_t n, void *arg)
{
    return buf_append(arg, data, n) ? -1 : 0;
}

int control_client_send(struct control_client *c, const char *method, json_t *params,
                        uint64_t *ret_id)
{
    AUTO_SECRET_BUF line = BUF_INIT;
    uint64_t id = c->last_id + 1;
    json_t *request =
        json_pack("{s:s, s:I, s:s}", "jsonrpc", "2.0", "id", (json_int_t)id, "method", method);
    int err = request ? 0 : -ERR_NOMEM;
    if (!err && params && json_object_set(request, "params", params))
        err = -ERR_NOMEM;
    if (!err && json_dump_callback(request, control_client_append_json, &line, JSON_COMPACT))
        err = -ERR_NOMEM;
    json_decref(request);
    json_decref(params);
    if (!err)
        err = buf_append_char(&line, '\n');
    if (!err && line.len > CLIENT_REQUEST_MAX)
        err = -ERR_TOO_LONG;
    if (!err)
        err = buf_append_str(&c->out, buf_str(&line));
    if (err)
        return err;
    c->last_id = id;
    if (ret_id)
        *ret_id = id;
    return control_client_flush(c);
}

static char *control_client_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? str_dup_c(s) : NULL;
}

static char *control_client_text_or(const json_t *object, const char *key, const char *other)
{
    char *s = control_client_text(object, key);
    return s ? s : str_dup_c(other);
}

static int control_client_take_hello(struct control_client *c, const json_t *params)
{
    struct control_client_hello h = {
        .product = control_client_text_or(params, "product", ""),
        .version = control_client_text_or(params, "version", ""),
        .node = control_client_text_or(params, "node", ""),
        .role = control_client_text_or(params, "role", ""),
        .protocol = (int)json_integer_value(json_object_get(params, "protocol")),
    };
    if (!h.product || !h.version || !h.node || !h.role) {
        control_client_hello_fini(&h);
        return -ERR_NOMEM;
    }
    control_client_hello_fini(&c->hello);
    c->hello = h;
    c->has_hello = true;
    return 0;
}

int control_client_error_read(const json_t *error, struct control_client_error *ret)
{
    const json_t *data = json_object_get(error, "data");
    *ret = (struct control_client_error){
        .name = control_client_text(data, "name"),
        .text = control_client_text_or(error, "message", "the daemon gave no reason"),
        .hint = control_client_text(data, "hint"),
        .unreached = json_incref(json_object_get(data, "unreached")),
    };
    ret->err = ret->name ? err_from_name(ret->name) : ERR_OK;
    if (ret->err == ERR_OK)
        ret->err = ERR_INTERNAL;
    return -ret->err;
}

static int control_client_take(struct control_client *c, json_t *line,
                               struct control_client_message *m)
{
    const char *method = json_string_value(json_object_get(line, "method"));
    json_t *error = json_object_get(line, "error");
    json_t *result = json_object_get(line, "result");
    m->id = (uint64_t)json_integer_value(json_object_get(line, "id"));
    if (method) {
        m->body = json_incref(json_object_get(line, "params"));
        m->method = str_dup_c(method);
        if (!m->method)
            return -ERR_NOMEM;
        m->kind = strcmp(method, "hello") == 0 ? CLIENT_HELLO : CLIENT_EVENT;
        return m->kind == CLIENT_HELLO ? control_client_take_hello(c, m->body) : 0;
    }
    if (json_is_object(error)) {
        m->kind = CLIENT_ERROR;
        (void)control_client_error_read(error, &m->error);
        return 0;
    }
    m->kind = CLIENT_RESULT;
    m->body = json_incref(result);
    return result ? 0 : -ERR_PROTOCOL;
}

/* Parses the first line of c->in, which is n bytes long without its LF. */
static int control_client_parse(struct control_client *c, size_t n,
                                struct control_client_message *ret)
{
    struct control_client_message m = {0};
    json_t *line = json_loadb(buf_str(&c->in).p, n, 0, NULL);
    int err = json_is_object(line) ? control_client_take(c, line, &m) : -ERR_PROTOCOL;
    json_decref(line);
    buf_consume(&c->in, n + 1);
    c->scanned = 0;
    if (err)
        control_client_message_fini(&m);
    else
        *ret = m;
    return err;
}

static int control_client_read(struct control_client *c)
{
    if (c->in.len > CLIENT_MESSAGE_MAX)
        return -ERR_PROTOCOL;
    int err = buf_reserve(&c->in, CLIENT_READ_SIZE);
    if (err)
        return err;
    ssize_t n;
    do
        n = recv(c->fd, buf_tail(&c->in), CLIENT_READ_SIZE, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ERR_AGAIN : -ERR_CLOSED;
    if (n == 0)
        return -ERR_CLOSED;
    buf_commit(&c->in, (size_t)n);
    return 0;
}

int control_client_receive(struct control_client *c, struct control_client_message *ret)
{
    for (;;) {
        struct str s = buf_str(&c->in);
        struct str fresh = {s.p + c->scanned, s.n - c->scanned};
        ptrdiff_t lf = fresh.n ? str_index(fresh, '\n') : -1;
        if (lf >= 0)
            return control_client_parse(c, c->scanned + (size_t)lf, ret);
        c->scanned = s.n;
        remote_listen(c->remote);
        int err = control_client_read(c);
        if (err)
            return err;
    }
}

/* ---- what answers say ---- */

const char *control_client_member_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* ---- blocking ---- */

static uint64_t control_client_deadline(uint64_t timeout_ms)
{
    return timeout_ms ? clock_ms() + timeout_ms : 0;
}

/* Polls until something can be done; deadline 0 = for ever. */
static int control_client_poll(const struct control_client *c, uint64_t deadline)
{
    int wait = -1;
    if (deadline) {
        uint64_t now = clock_ms();
        if (now >= deadline)
            return -ERR_TIMEOUT;
        wait = deadline - now > 60000 ? 60000 : (int)(deadline - now);
    }
    struct pollfd p[] = {{.fd = c->fd, .events = control_client_events(c)},
                         {.fd = remote_words_fd(c->remote), .events = POLLIN}};
    if (poll(p, ARRAY_LEN(p), wait) < 0 && errno != EINTR)
        return err_from_errno(errno);
    return 0;
}

static int control_client_wait_until(struct control_client *c, uint64_t deadline,
                                     struct control_client_message *ret)
{
    for (;;) {
        int err = control_client_flush(c);
        /* What came before the end still counts: it may say why. */
        int got = control_client_receive(c, ret);
        if (got != -ERR_AGAIN)
            return got;
        if (!err)
            err = control_client_poll(c, deadline);
        if (err)
            return err;
    }
}

static int control_client_fail(struct control_client_error *e, int err, char *text,
                               const char *hint)
{
    control_client_error_fini(e);
    e->err = -err;
    e->is_own = true;
    e->name = str_dup_c(err_name(err));
    e->text = text;
    e->hint = hint ? str_dup_c(hint) : NULL;
    return err;
}

static int control_client_open_retry(const char *path, uint64_t deadline,
                                     struct control_client **ret)
{
    for (;;) {
        int err = control_client_open(path, ret);
        if (err != -ERR_AGAIN)
            return err;
        if (deadline && clock_ms() >= deadline)
            return -ERR_TIMEOUT;
        const struct timespec pause = {.tv_nsec = CLIENT_RETRY_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

int control_client_explain_open(const char *path, int err, struct control_client_error *ret_error)
{
    char *text = NULL;
    if (remote_is_named(path)) {
        const char *why;
        text = err == -ERR_TIMEOUT ? str_printf("the daemon behind %s does not answer", path)
                                   : remote_explain_open(path, err, &why);
        return control_client_fail(ret_error, err, text, err == -ERR_TIMEOUT ? NULL : why);
    }
    const char *hint = "is mailproxyd running? -s PATH or MAILPROXY_SOCKET names another socket";
    if (err == -ERR_PERM) {
        text = str_printf("permission denied for the control socket %s", path);
        hint = "ask for membership in the group that owns it";
    } else if (err == -ERR_TIMEOUT) {
        text = str_printf("the daemon behind %s does not answer", path);
        hint = NULL;
    } else if (err == -ERR_TOO_LONG &&
               strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        text = str_printf("no daemon at %s: no socket can have so long a name", path);
        err = -ERR_UNREACHABLE;
    } else if (err == -ERR_PROTOCOL || err == -ERR_TOO_LONG) {
        err = -ERR_PROTOCOL;
        text =
            str_printf("%s is not a socket of mailproxyd: what answers says something else", path);
        hint = "-s PATH or MAILPROXY_SOCKET names another socket";
    } else if (err == -ERR_CLOSED) {
        text = str_printf("what listens at %s closed the connection without a word", path);
        hint = "is mailproxyd just starting or stopping?";
    } else {
        text = str_printf("no daemon at %s", path);
    }
    return control_client_fail(ret_error, err, text, hint);
}

int control_client_explain_end(struct control_client *c, const char *path, int err,
                               struct control_client_error *ret_error)
{
    char *text;
    const char *hint;
    if (!c->remote || err != -ERR_CLOSED)
        return control_client_explain_open(path, err, ret_error);
    err = remote_explain(c->remote, &text, &hint);
    return control_client_fail(ret_error, err, text, hint);
}

int control_client_check_hello(const struct control_client *c, const char *path,
                               struct control_client_error *ret_error)
{
    const struct control_client_hello *h = &c->hello;
    if (strcmp(h->product, CLIENT_PRODUCT) != 0)
        return control_client_fail(ret_error, -ERR_VERSION,
                                   str_printf("%s is not a socket of mailproxyd", path), NULL);
    if (h->protocol != CLIENT_PROTOCOL)
        return control_client_fail(
            ret_error, -ERR_VERSION,
            str_printf("the daemon %s speaks version %d of the control protocol, "
                       "this program version %d",
                       h->version, h->protocol, CLIENT_PROTOCOL),
            "install programs and daemon of the same version");
    return 0;
}

static int control_client_greet(struct control_client *c, const char *path, uint64_t deadline,
                                struct control_client_error *e)
{
    struct control_client_message m = {0};
    while (!c->has_hello) {
        int err = control_client_wait_until(c, deadline, &m);
        if (!err && m.kind == CLIENT_ERROR) {
            *e = m.error;
            m.error = (struct control_client_error){0};
            err = -e->err;
        } else if (err) {
            err = control_client_explain_end(c, path, err, e);
        }
        control_client_message_fini(&m);
        if (err)
            return err;
    }
    return control_client_check_hello(c, path, e);
}

int control_client_connect(const char *path, uint64_t timeout_ms, struct control_client **ret,
                           struct control_client_error *ret_error)
{
    uint64_t deadline = control_client_deadline(timeout_ms);
    struct control_client *c = NULL;
    int err = control_client_open_retry(path, deadline, &c);
    if (err)
        return control_client_explain_open(path, err, ret_error);
    err = control_client_greet(c, path, deadline, ret_error);
    if (err)
        control_client_close(c);
    else
        *ret = c;
    return err;
}

static int control_client_explain_call(struct control_client *c, int err,
                                       struct control_client_error *e)
{
    const char *text = err_text(err);
    if (err == -ERR_CLOSED && c->remote) { /* ssh says why */
        char *said;
        const char *hint;
        err = remote_explain(c->remote, &said, &hint);
        return control_client_fail(e, err, said, hint);
    }
    if (err == -ERR_CLOSED)
        text = "the daemon closed the connection";
    else if (err == -ERR_TIMEOUT)
        text = "the daemon did not answer in time";
    else if (err == -ERR_PROTOCOL)
        text = "the daemon's answer cannot be understood";
    else if (err == -ERR_TOO_LONG)
        text = "the request is too long";
    return control_client_fail(e, err, str_dup_c(text), NULL);
}

int control_client_call(struct control_client *c, const char *method, json_t *params,
                        uint64_t timeout_ms, json_t **ret_result,
                        struct control_client_error *ret_error)
{
    uint64_t deadline = control_client_deadline(timeout_ms), id;
    int err = control_client_send(c, method, params, &id);
    while (!err) {
        struct control_client_message m = {0};
        err = control_client_wait_until(c, deadline, &m);
        bool is_mine = !err && (m.id == id || (m.kind == CLIENT_ERROR && m.id == 0));
        if (is_mine && m.kind == CLIENT_RESULT) {
            *ret_result = STEAL(m.body);
            control_client_message_fini(&m);
            return 0;
        }
        if (is_mine && m.kind == CLIENT_ERROR) {
            control_client_error_fini(ret_error);
            *ret_error = m.error;
            m.error = (struct control_client_error){0};
            control_client_message_fini(&m);
            return -ret_error->err;
        }
        control_client_message_fini(&m);
    }
    return control_client_explain_call(c, err, ret_error);
}
