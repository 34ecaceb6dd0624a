/* SPDX-License-Identifier: ISC */
/* Receiving on the control thread, asking on job threads. */
#include "engine/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"

#define CHANNEL_ANSWER_MS 60000
#define CHANNEL_PACKETS_A_TURN 64

struct channel {
    struct channel_spec spec;
    struct event *event;
    struct loop_timer alive;
    struct delivery *incoming; /* not whole yet */
    pthread_mutex_t turn;      /* of whoever asks */
    pthread_mutex_t lock;      /* of what follows */
    pthread_cond_t answered;
    uint64_t ask; /* that an answer is awaited for; 0 = none */
    uint64_t last_ask;
    struct delivery *answer;
    bool is_closed;
};

/* ---- asking ---- */

int channel_ask(struct channel *c, enum wire_read how, struct delivery **ret)
{
    pthread_mutex_lock(&c->turn);
    pthread_mutex_lock(&c->lock);
    int err = c->is_closed ? -ERR_SHUTDOWN : 0;
    if (err == 0) {
        c->ask = ++c->last_ask;
        err = wire_tell(c->spec.wire, WIRE_READ, WIRE_ASK(how, c->ask));
    }
    if (err == 0) {
        uint64_t end = clock_ms() + CHANNEL_ANSWER_MS; /* of the same clock as the condition's */
        const struct timespec until = {.tv_sec = (time_t)(end / 1000),
                                       .tv_nsec = (long)(end % 1000) * 1000000};
        int waited = 0;
        while (!c->answer && !c->is_closed && waited != ETIMEDOUT)
            waited = pthread_cond_timedwait(&c->answered, &c->lock, &until);
        *ret = STEAL(c->answer);
        err = *ret ? 0 : c->is_closed ? -ERR_SHUTDOWN : -ERR_TIMEOUT;
    }
    c->ask = 0;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->turn);
    return err;
}

/* Takes d over; what nobody waits for any more is refused. */
static void channel_answer(struct channel *c, struct delivery *d)
{
    pthread_mutex_lock(&c->lock);
    bool is_awaited = c->ask && d->ask == c->ask && !c->answer;
    if (is_awaited) {
        c->answer = d;
        pthread_cond_signal(&c->answered);
    }
    pthread_mutex_unlock(&c->lock);
    if (is_awaited)
        return;
    if (d->number)
        wire_say(c->spec.wire, WIRE_REFUSED, d->number);
    delivery_free(d);
}

void channel_close(struct channel *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_closed = true;
    pthread_cond_broadcast(&c->answered);
    pthread_mutex_unlock(&c->lock);
}

/* ---- receiving ---- */

static int channel_take(struct channel *c, const struct wire_packet *p, const int *fds, size_t n)
{
    int err = 0;
    if (p->order == WIRE_CONTENT) {
        delivery_free(STEAL(c->incoming));
        err = delivery_new(p, fds, n, &c->incoming);
    } else if (c->incoming) {
        err = delivery_add(c->incoming, p, fds, n);
    } else {
        c->spec.order(c->spec.arg, p, fds, n);
    }
    if (err == 0 && c->incoming && delivery_is_whole(c->incoming))
        channel_answer(c, STEAL(c->incoming));
    return err;
}

/* A supervisor that is gone cannot start an engine again, so this one leaves too. */
static void on_channel(evutil_socket_t fd, short what, void *arg)
{
    struct channel *c = arg;
    struct wire_packet packet;
    (void)what;
    for (int i = 0; i < CHANNEL_PACKETS_A_TURN; i++) {
        int fds[WIRE_FDS_MAX];
        size_t n = 0;
        int err = wire_receive(fd, &packet, fds, &n);
        if (err == -ERR_AGAIN)
            return;
        if (err == 0)
            err = channel_take(c, &packet, fds, n);
        if (err == 0)
            continue;
        LOG_EVENT(LOG_LEVEL_ERROR, "supervisor-lost", KV_ERR("error", err));
        event_del(c->event);
        channel_close(c);
        c->spec.gone(c->spec.arg);
        return;
    }
}

static void on_alive(struct loop_timer *t)
{
    struct channel *c = CONTAINER_OF(t, struct channel, alive);
    (void)!wire_tell(c->spec.wire, WIRE_ALIVE, 0); /* a supervisor that was stopped has enough */
    loop_timer_set(c->spec.loop, t, WIRE_ALIVE_MS);
}

/* ---- life ---- */

int channel_new(const struct channel_spec *spec, struct channel **ret)
{
    pthread_condattr_t attr;
    struct channel *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->spec = *spec;
    pthread_mutex_init(&c->turn, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->answered, &attr);
    pthread_condattr_destroy(&attr);
    loop_timer_init(&c->alive, on_alive);
    (void)fcntl(spec->wire, F_SETFL, O_NONBLOCK);
    c->event = event_new(loop_base(spec->loop), spec->wire, EV_READ | EV_PERSIST, on_channel, c);
    if (!c->event || event_add(c->event, NULL) != 0) {
        channel_free(c);
        return -ERR_NOMEM;
    }
    loop_timer_set(spec->loop, &c->alive, WIRE_ALIVE_MS);
    *ret = c;
    return 0;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    loop_timer_cancel(c->spec.loop, &c->alive);
    if (c->event)
        event_free(c->event);
    delivery_free(c->incoming);
    delivery_free(c->answer);
    pthread_cond_destroy(&c->answered);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->turn);
    free(c);
}
