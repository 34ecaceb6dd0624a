/* SPDX-License-Identifier: ISC */
/* Requests and answers over one control connection that may go away. */
#include "tui/rpc_client.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/remote.h"

#define RPC_CLIENT_PENDING_MAX 64
#define RPC_CLIENT_CLOSED "the daemon closed the connection"
#define RPC_CLIENT_GREETING_MS 5000
#define RPC_CLIENT_REMOTE_MS 30000 /* ssh may have a long way */
/* Messages taken at one go: keys must not wait for a flood of events. */
#define RPC_CLIENT_BURST 500
#define RPC_CLIENT_BACKOFF_MIN_MS 250
#define RPC_CLIENT_BACKOFF_MAX_MS 5000

struct rpc_client_request {
    uint64_t id;              /* 0 = free */
    rpc_client_answer_fn *fn; /* NULL: nobody wants the answer any more */
    void *arg;
};

struct rpc_client {
    char *path;
    struct rpc_client_ops ops;
    struct control_client *client;
    bool is_greeted, has_more; /* messages wait that were read already */
    uint64_t opened_ms, retry_at_ms, backoff_ms;
    struct rpc_client_request pending[RPC_CLIENT_PENDING_MAX];
};

int rpc_client_new(const char *path, const struct rpc_client_ops *ops, struct rpc_client **ret)
{
    struct rpc_client *f = calloc(1, sizeof(*f));
    if (!f || !(f->path = str_dup_c(path))) {
        free(f);
        return -ERR_NOMEM;
    }
    f->ops = *ops;
    *ret = f;
    return 0;
}

void rpc_client_free(struct rpc_client *f)
{
    if (!f)
        return;
    control_client_close(f->client);
    free(f->path);
    free(f);
}

static void rpc_client_lose(struct rpc_client *f, const char *why, const char *hint)
{
    control_client_close(f->client);
    f->client = NULL;
    f->is_greeted = f->has_more = false;
    memset(f->pending, 0, sizeof(f->pending));
    f->backoff_ms = f->backoff_ms == 0                              ? RPC_CLIENT_BACKOFF_MIN_MS
                    : f->backoff_ms * 2 < RPC_CLIENT_BACKOFF_MAX_MS ? f->backoff_ms * 2
                                                                    : RPC_CLIENT_BACKOFF_MAX_MS;
    f->retry_at_ms = clock_ms() + f->backoff_ms;
    f->ops.lost(f->ops.arg, why, hint);
}

bool rpc_client_ask(struct rpc_client *f, const char *method, json_t *params,
                    rpc_client_answer_fn *fn, void *arg)
{
    struct rpc_client_request *r = NULL;
    uint64_t id;
    for (size_t i = 0; f->is_greeted && i < RPC_CLIENT_PENDING_MAX && !r; i++)
        if (!f->pending[i].id)
            r = &f->pending[i];
    if (!r) {
        json_decref(params);
        return false;
    }
    int err = control_client_send(f->client, method, params, &id);
    if (err == -ERR_CLOSED)
        rpc_client_lose(f, RPC_CLIENT_CLOSED, NULL);
    if (err < 0)
        return false;
    *r = (struct rpc_client_request){id, fn, arg};
    return true;
}

void rpc_client_forget(struct rpc_client *f, rpc_client_answer_fn *fn, const void *arg)
{
    for (size_t i = 0; i < RPC_CLIENT_PENDING_MAX; i++)
        if (f->pending[i].fn == fn && f->pending[i].arg == arg)
            f->pending[i].fn = NULL;
}

size_t rpc_client_pending(const struct rpc_client *f)
{
    size_t n = 0;
    for (size_t i = 0; i < RPC_CLIENT_PENDING_MAX; i++)
        n += f->pending[i].id != 0;
    return n;
}

int rpc_client_fd(const struct rpc_client *f)
{
    return f->client ? control_client_fd(f->client) : -1;
}

short rpc_client_events(const struct rpc_client *f)
{
    return f->client ? control_client_events(f->client) : 0;
}

/* How long the greeting may take. */
static uint64_t rpc_client_greeting_ms(const struct rpc_client *f)
{
    return remote_is_named(f->path) ? RPC_CLIENT_REMOTE_MS : RPC_CLIENT_GREETING_MS;
}

int rpc_client_timeout_ms(const struct rpc_client *f)
{
    uint64_t now = clock_ms();
    uint64_t due = f->client ? f->opened_ms + rpc_client_greeting_ms(f) : f->retry_at_ms;
    if (f->has_more)
        return 0;
    if (f->is_greeted)
        return -1;
    return due > now ? (int)(due - now) : 0;
}

static void rpc_client_answer(struct rpc_client *f, const struct control_client_message *m)
{
    for (size_t i = 0; i < RPC_CLIENT_PENDING_MAX; i++) {
        struct rpc_client_request r = f->pending[i];
        if (r.id == 0 || r.id != m->id)
            continue;
        f->pending[i].id = 0;
        if (r.fn)
            r.fn(r.arg, m->kind == CLIENT_RESULT ? m->body : NULL, &m->error);
        return;
    }
}

static void rpc_client_greet(struct rpc_client *f)
{
    struct control_client_error e = {0};
    if (control_client_check_hello(f->client, f->path, &e) < 0) {
        rpc_client_lose(f, e.text ? e.text : err_text(e.err), e.hint);
    } else {
        f->is_greeted = true;
        f->backoff_ms = 0;
        f->ops.connected(f->ops.arg);
    }
    control_client_error_fini(&e);
}

static void rpc_client_take(struct rpc_client *f, const struct control_client_message *m)
{
    switch (m->kind) {
    case CLIENT_HELLO:
        rpc_client_greet(f);
        break;
    case CLIENT_RESULT:
    case CLIENT_ERROR:
        /* Refused at the door: the daemon says why in place of a greeting. */
        if (m->kind == CLIENT_ERROR && !f->is_greeted)
            rpc_client_lose(f, m->error.text, m->error.hint);
        else
            rpc_client_answer(f, m);
        break;
    case CLIENT_EVENT:
        f->ops.event(f->ops.arg, m->body);
        break;
    }
}

static void rpc_client_fail_open(struct rpc_client *f, int err)
{
    struct control_client_error e = {0};
    if (f->client)
        (void)control_client_explain_end(f->client, f->path, err, &e);
    else
        (void)control_client_explain_open(f->path, err, &e);
    rpc_client_lose(f, e.text ? e.text : err_text(err), e.hint);
    control_client_error_fini(&e);
}

static void rpc_client_receive(struct rpc_client *f)
{
    int err = control_client_flush(f->client);
    f->has_more = false;
    for (int n = 0; err == 0 && f->client; n++) {
        struct control_client_message m = {0};
        if (n == RPC_CLIENT_BURST) {
            f->has_more = true;
            return;
        }
        err = control_client_receive(f->client, &m);
        if (err == 0)
            rpc_client_take(f, &m);
        control_client_message_fini(&m);
    }
    /* ssh says why, whenever it ends. */
    if (err == -ERR_CLOSED && f->client && remote_is_named(f->path))
        rpc_client_fail_open(f, err);
    else if (err < 0 && err != -ERR_AGAIN && f->client)
        rpc_client_lose(f, err == -ERR_CLOSED ? RPC_CLIENT_CLOSED : err_text(err), NULL);
}

void rpc_client_run(struct rpc_client *f)
{
    uint64_t now = clock_ms();
    if (f->client) {
        rpc_client_receive(f);
    } else if (now >= f->retry_at_ms) {
        struct control_client *client = NULL;
        int err = control_client_open(f->path, &client);
        f->opened_ms = clock_ms();
        f->client = client;
        if (err < 0)
            rpc_client_fail_open(f, err);
    }
    if (f->client && !f->is_greeted && now >= f->opened_ms + rpc_client_greeting_ms(f))
        rpc_client_fail_open(f, -ERR_TIMEOUT);
}

const struct control_client_hello *rpc_client_hello(const struct rpc_client *f)
{
    return f->is_greeted ? control_client_hello(f->client) : NULL;
}
