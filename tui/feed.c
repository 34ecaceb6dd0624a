/* SPDX-License-Identifier: ISC */
/* Requests and answers over one control connection that may go away. */
#include "tui/feed.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define FEED_PENDING_MAX 64
#define FEED_CLOSED "the daemon closed the connection"
#define FEED_GREETING_MS 5000
/* Messages taken at one go: keys must not wait for a flood of events. */
#define FEED_BURST 500
#define FEED_BACKOFF_MIN_MS 250
#define FEED_BACKOFF_MAX_MS 5000

struct feed_request {
    uint64_t id;        /* 0 = free */
    feed_answer_fn *fn; /* NULL: nobody wants the answer any more */
    void *arg;
};

struct feed {
    char *path;
    struct feed_ops ops;
    struct client *client;
    bool is_greeted, has_more; /* messages wait that were read already */
    uint64_t opened_ms, retry_at_ms, backoff_ms;
    struct feed_request pending[FEED_PENDING_MAX];
};

int feed_new(const char *path, const struct feed_ops *ops, struct feed **ret)
{
    struct feed *f = calloc(1, sizeof(*f));
    if (!f || !(f->path = str_dup_c(path))) {
        free(f);
        return -ERR_NOMEM;
    }
    f->ops = *ops;
    *ret = f;
    return 0;
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    client_close(f->client);
    free(f->path);
    free(f);
}

static void feed_lose(struct feed *f, const char *why, const char *hint)
{
    client_close(f->client);
    f->client = NULL;
    f->is_greeted = f->has_more = false;
    memset(f->pending, 0, sizeof(f->pending));
    f->backoff_ms = f->backoff_ms == 0                        ? FEED_BACKOFF_MIN_MS
                    : f->backoff_ms * 2 < FEED_BACKOFF_MAX_MS ? f->backoff_ms * 2
                                                              : FEED_BACKOFF_MAX_MS;
    f->retry_at_ms = clock_ms() + f->backoff_ms;
    f->ops.lost(f->ops.arg, why, hint);
}

static struct feed_request *feed_room(struct feed *f)
{
    for (size_t i = 0; f->is_greeted && i < FEED_PENDING_MAX; i++)
        if (!f->pending[i].id)
            return &f->pending[i];
    return NULL;
}

bool feed_ask(struct feed *f, const char *method, json_t *params, feed_answer_fn *fn, void *arg)
{
    struct feed_request *r = feed_room(f);
    uint64_t id;
    if (!r) {
        json_decref(params);
        return false;
    }
    int err = client_send(f->client, method, params, &id);
    if (err == -ERR_CLOSED)
        feed_lose(f, FEED_CLOSED, NULL);
    if (err < 0)
        return false;
    *r = (struct feed_request){id, fn, arg};
    return true;
}

void feed_forget(struct feed *f, feed_answer_fn *fn, const void *arg)
{
    for (size_t i = 0; i < FEED_PENDING_MAX; i++)
        if (f->pending[i].fn == fn && f->pending[i].arg == arg)
            f->pending[i].fn = NULL;
}

size_t feed_pending(const struct feed *f)
{
    size_t n = 0;
    for (size_t i = 0; i < FEED_PENDING_MAX; i++)
        n += f->pending[i].id != 0;
    return n;
}

int feed_fd(const struct feed *f)
{
    return f->client ? client_fd(f->client) : -1;
}

short feed_events(const struct feed *f)
{
    return f->client ? client_events(f->client) : 0;
}

int feed_timeout_ms(const struct feed *f)
{
    uint64_t now = clock_ms();
    uint64_t due = f->client ? f->opened_ms + FEED_GREETING_MS : f->retry_at_ms;
    if (f->has_more)
        return 0;
    if (f->is_greeted)
        return -1;
    return due > now ? (int)(due - now) : 0;
}

static void feed_answer(struct feed *f, const struct client_message *m)
{
    for (size_t i = 0; i < FEED_PENDING_MAX; i++) {
        struct feed_request r = f->pending[i];
        if (r.id == 0 || r.id != m->id)
            continue;
        f->pending[i].id = 0;
        if (r.fn)
            r.fn(r.arg, m->kind == CLIENT_RESULT ? m->body : NULL, &m->error);
        return;
    }
}

static void feed_greet(struct feed *f)
{
    struct client_error e = {0};
    if (client_check_hello(f->client, f->path, &e) < 0) {
        feed_lose(f, e.text ? e.text : err_text(e.err), e.hint);
    } else {
        f->is_greeted = true;
        f->backoff_ms = 0;
        f->ops.connected(f->ops.arg);
    }
    client_error_fini(&e);
}

/* Answers, and what the daemon says to those whom it does not let in. */
static void feed_take_answer(struct feed *f, const struct client_message *m)
{
    if (m->kind == CLIENT_ERROR && !f->is_greeted)
        feed_lose(f, m->error.text, m->error.hint);
    else
        feed_answer(f, m);
}

static void feed_take(struct feed *f, const struct client_message *m)
{
    switch (m->kind) {
    case CLIENT_HELLO:
        feed_greet(f);
        break;
    case CLIENT_RESULT:
    case CLIENT_ERROR:
        feed_take_answer(f, m);
        break;
    case CLIENT_EVENT:
        f->ops.event(f->ops.arg, m->body);
        break;
    }
}

static void feed_fail_open(struct feed *f, int err)
{
    struct client_error e = {0};
    (void)client_explain_open(f->path, err, &e);
    feed_lose(f, e.text ? e.text : err_text(err), e.hint);
    client_error_fini(&e);
}

static void feed_open(struct feed *f)
{
    struct client *client = NULL;
    int err = client_open(f->path, &client);
    f->opened_ms = clock_ms();
    f->client = client;
    if (err < 0)
        feed_fail_open(f, err);
}

static void feed_receive(struct feed *f)
{
    int err = client_flush(f->client);
    f->has_more = false;
    for (int n = 0; err == 0 && f->client; n++) {
        struct client_message m = {0};
        if (n == FEED_BURST) {
            f->has_more = true;
            return;
        }
        err = client_receive(f->client, &m);
        if (err == 0)
            feed_take(f, &m);
        client_message_fini(&m);
    }
    if (err < 0 && err != -ERR_AGAIN && f->client)
        feed_lose(f, err == -ERR_CLOSED ? FEED_CLOSED : err_text(err), NULL);
}

void feed_run(struct feed *f)
{
    uint64_t now = clock_ms();
    if (!f->client && now >= f->retry_at_ms)
        feed_open(f);
    else if (f->client)
        feed_receive(f);
    if (f->client && !f->is_greeted && now >= f->opened_ms + FEED_GREETING_MS)
        feed_fail_open(f, -ERR_TIMEOUT);
}

const struct client_hello *feed_hello(const struct feed *f)
{
    return f->is_greeted ? client_hello(f->client) : NULL;
}

const char *feed_path(const struct feed *f)
{
    return f->path;
}
