/* SPDX-License-Identifier: ISC */
/* Lines of JSON between two daemons, with bounds. */
#include "rpc/json_pipe.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/json_text.h"

#define JSON_PIPE_IN_MAX (JSON_PIPE_LINE_MAX + LOOP_SCRATCH_BYTES)
#define JSON_PIPE_ENVELOPE 256                  /* more than what surrounds the params */
#define JSON_PIPE_SEND_MAX (512 * (size_t)1024) /* of one turn */

struct json_pipe {
    struct loop *loop;
    const struct json_pipe_ops *ops;
    void *arg;
    int fd;
    struct event *read, *write;
    struct buf in, out;
    size_t scanned; /* of in: no LF before */
    struct loop_slice lines;
    struct loop_deferred closing;
    const char *why; /* it is closed; NULL = it is not */
    uint64_t heard_ms;
    bool is_reading, is_writing;
    bool is_busy, is_freed; /* its owner is being called, and has freed it meanwhile */
};

static void pipe_end(struct json_pipe *p)
{
    event_free(p->read);
    event_free(p->write);
    close(p->fd);
    buf_fini(&p->in);
    buf_fini(&p->out);
    free(p);
}

static void on_pipe_closing(struct loop_deferred *d)
{
    struct json_pipe *p = CONTAINER_OF(d, struct json_pipe, closing);
    p->is_busy = true;
    p->ops->closed(p->arg, p->why);
    p->is_busy = false;
    if (p->is_freed)
        pipe_end(p);
}

static void pipe_stop(struct json_pipe *p)
{
    event_del(p->read);
    event_del(p->write);
    loop_unslice(&p->lines);
}

static void pipe_close(struct json_pipe *p, const char *why)
{
    if (p->why)
        return;
    p->why = why;
    pipe_stop(p);
    loop_defer(p->loop, &p->closing);
}

/* ---- input ---- */

static void pipe_want_read(struct json_pipe *p)
{
    bool is_wanted = !p->why && p->in.len < JSON_PIPE_LINE_MAX;
    if (p->is_reading == is_wanted)
        return;
    p->is_reading = is_wanted;
    if (is_wanted)
        event_add(p->read, NULL);
    else
        event_del(p->read);
}

/* A line a step. */
static void on_pipe_lines(struct loop_slice *slice)
{
    struct json_pipe *p = CONTAINER_OF(slice, struct json_pipe, lines);
    struct str s = buf_str(&p->in);
    const char *lf = s.n > p->scanned ? memchr(s.p + p->scanned, '\n', s.n - p->scanned) : NULL;
    if (lf) {
        size_t n = (size_t)(lf - s.p);
        json_error_t error;
        json_t *m = json_loadb(s.p, n, JSON_REJECT_DUPLICATES, &error);
        p->is_busy = true;
        if (json_is_object(m))
            p->ops->message(p->arg, m);
        else
            pipe_close(p, "it sent what is no object of JSON");
        json_decref(m);
        p->is_busy = false;
        if (p->is_freed) {
            pipe_end(p);
            return;
        }
        if (p->why)
            return;
        buf_consume(&p->in, n + 1);
        p->scanned = 0;
        return;
    }
    p->scanned = s.n;
    loop_unslice(slice);
    if (s.n > JSON_PIPE_LINE_MAX)
        pipe_close(p, "it sent a line that is too long");
    else if (s.n == 0)
        buf_fini(&p->in);
    pipe_want_read(p);
}

static void on_pipe_read(evutil_socket_t fd, short what, void *arg)
{
    struct json_pipe *p = arg;
    char *scratch = loop_scratch(p->loop);
    (void)what;
    ssize_t n = recv(fd, scratch, LOOP_SCRATCH_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        pipe_close(p, "it has closed the connection");
        return;
    }
    p->heard_ms = loop_now_ms(p->loop);
    if (buf_append(&p->in, scratch, (size_t)n) < 0) {
        pipe_close(p, "there is no memory for what it sent");
        return;
    }
    pipe_want_read(p);
    loop_slice(p->loop, &p->lines);
}

/* ---- output ---- */

static void pipe_flush(struct json_pipe *p)
{
    size_t left = JSON_PIPE_SEND_MAX;
    while (p->out.len > 0 && left > 0) {
        struct str s = buf_str(&p->out);
        ssize_t n = send(p->fd, s.p, s.n < left ? s.n : left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            pipe_close(p, "it has closed the connection");
            return;
        }
        if (n < 0)
            break;
        buf_consume(&p->out, (size_t)n);
        left -= (size_t)n;
    }
    bool is_wanted = p->out.len > 0;
    if (p->out.len == 0)
        buf_fini(&p->out);
    if (is_wanted != p->is_writing)
        (void)!(is_wanted ? event_add(p->write, NULL) : event_del(p->write));
    p->is_writing = is_wanted;
}

static void on_pipe_write(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pipe_flush(arg);
}

void json_pipe_send_text(struct json_pipe *p, const char *method, struct str params)
{
    if (p->why)
        return;
    int err = buf_reserve(&p->out, params.n + JSON_PIPE_ENVELOPE);
    if (err == 0)
        err = buf_printf(&p->out, "{\"method\":\"%s\",\"params\":", method);
    if (err == 0)
        err = buf_append_str(&p->out, params);
    if (err == 0)
        err = buf_append_str(&p->out, STR("}\n"));
    if (err < 0)
        pipe_close(p, "there is no memory for what it is told");
    else if (p->out.len > JSON_PIPE_OUT_MAX)
        pipe_close(p, "it does not read");
    else
        pipe_flush(p);
}

void json_pipe_send(struct json_pipe *p, const char *method, json_t *params)
{
    AUTO_BUF text = BUF_INIT;
    int err = params ? json_text_value(&text, params) : -ERR_NOMEM;
    json_decref(params);
    if (err < 0)
        pipe_close(p, "there is no memory for what it is told");
    else
        json_pipe_send_text(p, method, buf_str(&text));
}

/* ---- life ---- */

int json_pipe_new(struct loop *l, int fd, const struct json_pipe_ops *ops, void *arg,
                  struct json_pipe **ret)
{
    struct json_pipe *p = calloc(1, sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    *p =
        (struct json_pipe){.loop = l, .ops = ops, .arg = arg, .fd = fd, .heard_ms = loop_now_ms(l)};
    p->read = event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_pipe_read, p);
    p->write = event_new(loop_base(l), fd, EV_WRITE | EV_PERSIST, on_pipe_write, p);
    if (!p->read || !p->write) {
        if (p->read)
            event_free(p->read);
        if (p->write)
            event_free(p->write);
        free(p);
        return -ERR_NOMEM;
    }
    list_init(&p->lines.link);
    p->lines.step = on_pipe_lines;
    list_init(&p->closing.link);
    p->closing.fn = on_pipe_closing;
    pipe_want_read(p);
    *ret = p;
    return 0;
}

void json_pipe_free(struct json_pipe *p)
{
    if (!p || p->is_freed)
        return;
    p->is_freed = true;
    p->why = "freed";
    pipe_stop(p);
    loop_undefer(&p->closing);
    if (!p->is_busy)
        pipe_end(p);
}

uint64_t json_pipe_heard_ms(const struct json_pipe *p)
{
    return p->heard_ms;
}
