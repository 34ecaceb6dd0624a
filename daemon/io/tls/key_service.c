/* SPDX-License-Identifier: ISC */
/* Channels to key processes: one question at a time on each, each thread on one that is free. */
#include "io/tls/key_service.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/container/list.h"
#include "base/hash.h"
#include "base/log/log.h"

struct key_channel {
    int fd;
    atomic_bool is_busy;
};

struct key_service {
    atomic_uint refs; /* the list has one */
    struct list link;
    uint64_t id;
    _Atomic uint64_t last_question;
    _Atomic uint64_t silent_until_ms; /* 0 = it answers */
    size_t n;
    struct key_channel channels[];
};

/* All that were made known, the newest first. */
static struct {
    pthread_mutex_t mutex;
    struct list list;
    bool is_init;
} services = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void key_service_unref(struct key_service *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (size_t i = 0; i < s->n; i++)
        close(s->channels[i].fd);
    free(s);
}

/* Those that nobody uses any more go, but for the newest, whose keys are still to be loaded. */
static void services_add(struct key_service *s)
{
    pthread_mutex_lock(&services.mutex);
    if (!services.is_init)
        list_init(&services.list);
    services.is_init = true;
    bool is_newest = true;
    LIST_FOREACH_SAFE (it, &services.list) {
        struct key_service *old = LIST_ITEM(it, struct key_service, link);
        if (!is_newest && atomic_load(&old->refs) == 1) {
            list_del(&old->link);
            key_service_unref(old);
        }
        is_newest = false;
    }
    list_add_head(&services.list, &s->link);
    pthread_mutex_unlock(&services.mutex);
}

int key_service_add(uint64_t id, const int *fds, size_t n)
{
    struct key_service *s = calloc(1, sizeof(*s) + n * sizeof(s->channels[0]));
    if (!s || n == 0) {
        for (size_t i = 0; i < n; i++)
            close(fds[i]);
        free(s);
        return n == 0 ? -ERR_INVAL : -ERR_NOMEM;
    }
    s->refs = 1;
    list_init(&s->link);
    s->id = id;
    s->n = n;
    for (size_t i = 0; i < n; i++)
        s->channels[i].fd = fds[i];
    services_add(s);
    return 0;
}

struct key_service *key_service_find(uint64_t id)
{
    struct key_service *found = NULL;
    pthread_mutex_lock(&services.mutex);
    if (services.is_init)
        LIST_FOREACH (it, &services.list) {
            struct key_service *s = LIST_ITEM(it, struct key_service, link);
            if (!found && s->id == id)
                found = s;
        }
    if (found)
        atomic_fetch_add(&found->refs, 1);
    pthread_mutex_unlock(&services.mutex);
    return found;
}

/* ---- a question ---- */

static ssize_t channel_read(int fd, struct key_answer *a)
{
    ssize_t n;
    do
        n = recv(fd, a, sizeof(*a), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Answers to those that did not wait for them are passed over. */
static int channel_wait(int fd, uint64_t id, uint64_t limit_ms, struct key_answer *a, size_t *ret_n)
{
    uint64_t end = clock_ms() + limit_ms;
    for (;;) {
        uint64_t now = clock_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now >= end)
            return -ERR_TIMEOUT;
        if (poll(&p, 1, (int)(end - now)) <= 0)
            continue;
        ssize_t n = channel_read(fd, a);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return -ERR_CLOSED;
        if (n < (ssize_t)KEY_ANSWER_HEAD || a->id != id)
            continue;
        *ret_n = (size_t)n - KEY_ANSWER_HEAD;
        return a->err < 0 ? a->err : 0;
    }
}

/* Sends a request of n bytes; *a is its answer, with *ret_n bytes of signature. */
static int channel_exchange(int fd, const struct key_request *r, size_t n, uint64_t limit_ms,
                            struct key_answer *a, size_t *ret_n)
{
    while (channel_read(fd, a) > 0)
        continue;
    if (send(fd, r, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return errno == EAGAIN ? -ERR_TIMEOUT : -ERR_CLOSED;
    return channel_wait(fd, r->id, limit_ms, a, ret_n);
}

static int key_channel_ask(int fd, const struct key_request *r, size_t n, uint64_t limit_ms,
                           unsigned char *out, size_t *ret_n)
{
    struct key_answer a;
    size_t got = 0;
    int err = channel_exchange(fd, r, n, limit_ms, &a, &got);
    if (err == 0 && (got == 0 || got > *ret_n))
        err = -ERR_PROTOCOL;
    if (err < 0)
        return err;
    memcpy(out, a.signature, got);
    *ret_n = got;
    return 0;
}

/* Of a process before that was killed there may be answers: the number tells them from ours. */
int key_channel_load(int fd, uint32_t number, struct str der)
{
    struct key_request r = {.key = number};
    struct key_answer a;
    size_t got = 0;
    if (der.n > KEY_DATA_MAX)
        return -ERR_TOO_LONG;
    hash_random(&r.id, sizeof(r.id));
    memcpy(r.data, der.p, der.n);
    int err = channel_exchange(fd, &r, KEY_REQUEST_HEAD + der.n, KEY_LOAD_MS, &a, &got);
    explicit_bzero(r.data, der.n);
    return err;
}

static struct key_channel *service_take(struct key_service *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!atomic_exchange(&s->channels[i].is_busy, true))
            return &s->channels[i];
    return NULL;
}

static uint64_t service_next_id(struct key_service *s)
{
    return atomic_fetch_add(&s->last_question, 1) + 1 + ((uint64_t)getpid() << 32);
}

/* That it has no such key is an answer. */
int key_service_await(struct key_service *s, uint64_t limit_ms)
{
    unsigned char none[1];
    size_t n = sizeof(none);
    struct key_channel *c = s ? service_take(s) : NULL;
    if (!c)
        return s ? -ERR_BUSY : -ERR_CLOSED;
    const struct key_request r = {.id = service_next_id(s), .key = UINT32_MAX};
    int err = key_channel_ask(c->fd, &r, KEY_REQUEST_HEAD, limit_ms, none, &n);
    atomic_store(&c->is_busy, false);
    return err == -ERR_NOT_FOUND ? 0 : err;
}

int key_service_sign(struct key_service *s, uint32_t key, uint32_t algo, struct str data,
                     unsigned char *out, size_t *ret_n)
{
    if (!s)
        return -ERR_CLOSED;
    if (data.n > KEY_DATA_MAX)
        return -ERR_TOO_LONG;
    /* While it does not answer one thread tries from time to time, and no other waits. */
    uint64_t until = atomic_load(&s->silent_until_ms), now = clock_ms();
    if (until != 0 && (now < until || !atomic_compare_exchange_strong(&s->silent_until_ms, &until,
                                                                      now + KEY_PAUSE_MS)))
        return -ERR_TIMEOUT;
    struct key_channel *c = service_take(s);
    if (!c)
        return -ERR_BUSY;
    struct key_request r;
    r.id = service_next_id(s);
    r.key = key;
    r.algo = algo;
    memcpy(r.data, data.p, data.n);
    int err = key_channel_ask(c->fd, &r, KEY_REQUEST_HEAD + data.n, KEY_SIGN_MS, out, ret_n);
    atomic_store(&c->is_busy, false);
    bool is_silent = err == -ERR_TIMEOUT || err == -ERR_CLOSED;
    uint64_t was = atomic_exchange(&s->silent_until_ms, is_silent ? clock_ms() + KEY_PAUSE_MS : 0);
    if (is_silent && was == 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "key-process-silent", KV_ERR("error", err));
    else if (!is_silent && was != 0)
        LOG_EVENT(LOG_LEVEL_NOTICE, "key-process-answers");
    return err;
}
