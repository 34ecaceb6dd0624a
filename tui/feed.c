/* SPDX-License-Identifier: ISC */
/* Requests and answers over one control connection that may go away. */
#include "tui/feed.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define FEED_PENDING_MAX 32
#define FEED_BACKOFF_MIN_MS 250
#define FEED_BACKOFF_MAX_MS 5000

struct feed_request {
    uint64_t id; /* 0 = free */
    feed_answer_fn *fn;
    void *arg;
};

struct feed {
    char *path;
    struct feed_ops ops;
    struct client *client;
    bool is_greeted;
    uint64_t retry_at_ms, backoff_ms;
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

static void feed_lose(struct feed *f, const char *why)
{
    client_close(f->client);
    f->client = NULL;
    f->is_greeted = false;
    memset(f->pending, 0, sizeof(f->pending));
    f->backoff_ms = f->backoff_ms == 0                        ? FEED_BACKOFF_MIN_MS
                    : f->backoff_ms * 2 < FEED_BACKOFF_MAX_MS ? f->backoff_ms * 2
                                                              : FEED_BACKOFF_MAX_MS;
    f->retry_at_ms = clock_ms() + f->backoff_ms;
    f->ops.lost(f->ops.arg, why);
}

bool feed_ask(struct feed *f, const char *method, json_t *params, feed_answer_fn *fn, void *arg)
{
    for (size_t i = 0; i < FEED_PENDING_MAX; i++) {
        struct feed_request *r = &f->pending[i];
        if (r->id || !f->is_greeted)
            continue;
        uint64_t id;
        int err = client_send(f->client, method, params, &id);
        if (err < 0) {
            feed_lose(f, err_text(err));
            return false;
        }
        *r = (struct feed_request){id, fn, arg};
        return true;
    }
    json_decref(params);
    return false;
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
    if (f->client)
        return -1;
    return f->retry_at_ms > now ? (int)(f->retry_at_ms - now) : 0;
}

static void feed_answer(struct feed *f, const struct client_message *m)
{
    for (size_t i = 0; i < FEED_PENDING_MAX; i++) {
        struct feed_request r = f->pending[i];
        if (r.id == 0 || r.id != m->id)
            continue;
        f->pending[i].id = 0;
        r.fn(r.arg, m->kind == CLIENT_RESULT ? m->body : NULL, &m->error);
        return;
    }
}

/* Another daemon, or one that speaks another protocol, must not be misread. */
static void feed_greet(struct feed *f)
{
    const struct client_hello *h = client_hello(f->client);
    if (strcmp(h->product, CLIENT_PRODUCT) != 0 || h->protocol != CLIENT_PROTOCOL) {
        AUTO_FREE char *why = str_printf("%s %s speaks protocol %d, this program %d", h->product,
                                         h->version, h->protocol, CLIENT_PROTOCOL);
        feed_lose(f, why ? why : "another protocol");
        return;
    }
    f->is_greeted = true;
    f->backoff_ms = 0;
    f->ops.connected(f->ops.arg);
}

static void feed_take(struct feed *f, const struct client_message *m)
{
    switch (m->kind) {
    case CLIENT_HELLO:
        feed_greet(f);
        break;
    case CLIENT_RESULT:
    case CLIENT_ERROR:
        feed_answer(f, m);
        break;
    case CLIENT_EVENT:
        f->ops.event(f->ops.arg, m->body);
        break;
    }
}

static void feed_open(struct feed *f)
{
    int err = client_open(f->path, &f->client);
    if (err < 0) {
        f->client = NULL;
        feed_lose(f, err_text(err));
    }
}

void feed_run(struct feed *f)
{
    if (!f->client) {
        if (clock_ms() >= f->retry_at_ms)
            feed_open(f);
        return;
    }
    int err = client_flush(f->client);
    while (err == 0 && f->client) {
        struct client_message m = {0};
        err = client_receive(f->client, &m);
        if (err == 0)
            feed_take(f, &m);
        client_message_fini(&m);
    }
    if (err < 0 && err != -ERR_AGAIN && f->client)
        feed_lose(f, err_text(err));
}

const struct client_hello *feed_hello(const struct feed *f)
{
    return f->is_greeted ? client_hello(f->client) : NULL;
}

const char *feed_path(const struct feed *f)
{
    return f->path;
}
