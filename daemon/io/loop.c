/* SPDX-License-Identifier: ISC */
/* Event loop: one libevent base and what surrounds each of its turns: timers, mail, deferred work.
 */
#include "io/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "io/loop_priv.h"

struct loop {
    struct event_base *base;
    int tick_fd; /* turns the loop: for the timers, else seldom, for the watchdog */
    struct event *tick, *mail_event;
    struct mailbox *mailbox;
    void *owner;
    void (*on_turn)(void *arg);
    void *on_turn_arg;
    char *scratch;
    struct loop_tls_io *tls_io;
    struct list deferred; /* end of this turn */
    struct list again;    /* after the events, as many as a turn has time for */
    struct list slices;   /* some of them in each turn */
    struct wheel wheel;
    uint64_t now_us, now_ms, wall_ms;
    bool is_now_valid, is_wall_valid; /* they were read in this turn */
    bool is_running, is_stopping;
    bool is_ticking;   /* timers are set, or were at the last tick */
    bool is_mail_left; /* of the last turn */
    _Atomic uint64_t turns, heartbeat_ms;
};

static void on_loop_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* the turn itself looks at the mailbox */
}

static bool loop_set_tick(const struct loop *l, unsigned ms)
{
    const struct timespec each = {ms / 1000, ms % 1000 * 1000000};
    const struct itimerspec spec = {.it_interval = each, .it_value = each};
    return timerfd_settime(l->tick_fd, 0, &spec, NULL) == 0;
}

/* The turn itself looks at the wheel. An empty one stops the ticks only now: the next login sets a
 * timer again. */
static void on_loop_tick(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = arg;
    uint64_t n;
    (void)what;
    (void)!read(fd, &n, sizeof(n));
    if (l->wheel.count == 0 && l->is_ticking)
        l->is_ticking = !loop_set_tick(l, LOOP_HEARTBEAT_MS);
}

/* The changelist joins the epoll_ctl calls of a turn; descriptors that are closed with changes
 * pending are sorted out by libevent (ENOENT, EBADF). */
static struct event_base *loop_base_new(void)
{
    struct event_config *cfg = event_config_new();
    if (!cfg)
        return NULL;
        /* ThreadSanitizer takes a late removal of a number that is another's by then for a race. */
#ifndef __SANITIZE_THREAD__
    event_config_set_flag(cfg, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
#endif
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
    /* Without it libevent reads the clock in each turn, though it mostly has no timers: see
     * loop_make_events. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

/* With a timer of its own libevent would read the clock three times in each turn: the ticks come by
 * a descriptor. */
static int loop_make_events(struct loop *l)
{
    l->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->tick_fd < 0)
        return err_from_errno(errno);
    l->tick = event_new(l->base, l->tick_fd, EV_READ | EV_PERSIST, on_loop_tick, l);
    l->mail_event =
        event_new(l->base, mailbox_fd(l->mailbox), EV_READ | EV_PERSIST, on_loop_wake, l);
    if (!l->tick || !l->mail_event)
        return -ERR_NOMEM;
    if (!loop_set_tick(l, LOOP_HEARTBEAT_MS) || event_add(l->tick, NULL) != 0 ||
        event_add(l->mail_event, NULL) != 0)
        return -ERR_IO;
    return 0;
}

int loop_new(void *owner, struct loop **ret)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    l->owner = owner;
    l->tick_fd = -1;
    list_init(&l->deferred);
    list_init(&l->again);
    list_init(&l->slices);
    wheel_init(&l->wheel, clock_ms());
    l->base = loop_base_new();
    l->scratch = malloc(LOOP_SCRATCH_BYTES);
    int err = l->base && l->scratch ? mailbox_new(&l->mailbox) : -ERR_NOMEM;
    if (err == 0)
        err = loop_make_events(l);
    if (err != 0) {
        loop_free(l);
        return err;
    }
    *ret = l;
    return 0;
}

static void loop_run_list(struct list *todo)
{
    while (!list_is_empty(todo)) {
        struct loop_deferred *d = LIST_ITEM(todo->next, struct loop_deferred, link);
        list_del(&d->link);
        d->fn(d);
    }
}

/* Deferred work still runs: objects that wait for their end would leak otherwise. */
void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (l->mailbox)
        mailbox_close(l->mailbox);
    loop_run_list(&l->deferred);
    if (l->tick)
        event_free(l->tick);
    if (l->mail_event)
        event_free(l->mail_event);
    if (l->tick_fd >= 0)
        close(l->tick_fd);
    mailbox_free(l->mailbox);
    if (l->base)
        event_base_free(l->base);
    free(l->tls_io);
    free(l->scratch);
    free(l);
}

/* Timers that a callback cancels or sets anew while they wait in `expired` leave that list, so they
 * do not run. */
static void loop_run_timers(struct loop *l)
{
    struct list expired;
    list_init(&expired);
    wheel_advance(&l->wheel, loop_now_ms(l), &expired);
    while (!list_is_empty(&expired)) {
        struct wheel_timer *w = LIST_ITEM(expired.next, struct wheel_timer, link);
        struct loop_timer *t = CONTAINER_OF(w, struct loop_timer, wheel);
        list_del(&w->link);
        t->fn(t);
    }
}

/* The first one works until the time is up; then it goes to the end of the line. */
static void loop_run_slices(struct loop *l)
{
    if (list_is_empty(&l->slices))
        return;
    uint64_t end_us = clock_us() + LOOP_SLICES_US;
    struct list *first;
    do {
        first = l->slices.next;
        struct loop_slice *s = LIST_ITEM(first, struct loop_slice, link);
        s->step(s);
    } while (!list_is_empty(&l->slices) && clock_us() < end_us);
    if (l->slices.next != first) /* which may be gone */
        return;
    list_del(first);
    list_add_tail(&l->slices, first);
}

/* Each once; those that the time does not suffice for are the first of the next turn. */
static void loop_run_again(struct loop *l)
{
    struct list todo;
    if (list_is_empty(&l->again))
        return;
    list_init(&todo);
    list_splice_tail(&todo, &l->again);
    uint64_t end_us = clock_us() + LOOP_AGAIN_US;
    do {
        struct loop_deferred *d = LIST_ITEM(todo.next, struct loop_deferred, link);
        list_del(&d->link);
        d->fn(d);
    } while (!list_is_empty(&todo) && clock_us() < end_us);
    list_splice_tail(&todo, &l->again);
    list_splice_tail(&l->again, &todo);
}

static int loop_turn(struct loop *l)
{
    loop_run_list(&l->deferred); /* what was deferred outside of a turn */
    l->is_now_valid = l->is_wall_valid = false;
    bool is_busy = !list_is_empty(&l->again) || !list_is_empty(&l->slices) || l->is_mail_left;
    bool may_wait = !is_busy && mailbox_may_wait(l->mailbox);
    int rc = event_base_loop(l->base, EVLOOP_ONCE | (may_wait ? 0 : EVLOOP_NONBLOCK));
    mailbox_set_awake(l->mailbox);
    loop_run_again(l);
    if (l->is_ticking)
        loop_run_timers(l);
    loop_run_slices(l);
    l->is_mail_left =
        mailbox_has_mail(l->mailbox) && mailbox_run_for(l->mailbox, l->owner, LOOP_MAIL_US);
    loop_run_list(&l->deferred);
    atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
    atomic_store_explicit(&l->heartbeat_ms, loop_now_ms(l), memory_order_relaxed);
    if (l->on_turn)
        l->on_turn(l->on_turn_arg);
    return rc < 0 ? -ERR_IO : 0;
}

int loop_run(struct loop *l)
{
    int err = 0;
    l->is_running = true;
    l->is_stopping = false;
    while (!l->is_stopping && err == 0)
        err = loop_turn(l);
    (void)!mailbox_may_wait(l->mailbox);
    l->is_running = false;
    return err;
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
}

/* Read on first use in a turn: only then has the wait for events ended, and from then on nobody has
 * to ring for mail. */
uint64_t loop_now_us(const struct loop *l)
{
    struct loop *m = (struct loop *)l; /* a cache, not state */
    if (!m->is_running)
        return clock_us();
    if (!m->is_now_valid) {
        m->now_us = clock_us();
        m->now_ms = m->now_us / 1000;
        m->is_now_valid = true;
        mailbox_set_awake(l->mailbox);
    }
    return m->now_us;
}

uint64_t loop_now_ms(const struct loop *l)
{
    uint64_t now_us = loop_now_us(l);
    return l->is_running ? l->now_ms : now_us / 1000;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    struct loop *m = (struct loop *)l;
    if (!m->is_wall_valid || !m->is_running)
        m->wall_ms = clock_wall_ms();
    m->is_wall_valid = true;
    return m->wall_ms;
}

uint64_t loop_heartbeat_ms(const struct loop *l)
{
    return atomic_load_explicit(&l->heartbeat_ms, memory_order_relaxed);
}

uint64_t loop_turns(const struct loop *l)
{
    return atomic_load_explicit(&l->turns, memory_order_relaxed);
}

void loop_on_turn(struct loop *l, void (*fn)(void *arg), void *arg)
{
    l->on_turn = fn;
    l->on_turn_arg = arg;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

struct mailbox *loop_mailbox(struct loop *l)
{
    return l->mailbox;
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

struct loop_tls_io *loop_tls_io(struct loop *l)
{
    if (!l->tls_io) {
        l->tls_io = malloc(sizeof(*l->tls_io));
        if (l->tls_io) {
            list_init(&l->tls_io->waits);
            l->tls_io->in_owner = NULL;
            l->tls_io->in_start = l->tls_io->in_len = l->tls_io->out_len = 0;
        }
    }
    return l->tls_io;
}

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t))
{
    wheel_timer_init(&t->wheel);
    t->fn = fn;
}

/* A timer without due time that is in a list waits in `expired` of this turn. */
static void loop_timer_unexpire(struct loop_timer *t)
{
    if (t->wheel.due_ms == 0)
        list_del(&t->wheel.link);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
    uint64_t now_ms = loop_now_ms(l);
    loop_timer_unexpire(t);
    if (l->wheel.count == 0) {
        /* The wheel stood still while it was empty: bring it to the present first. */
        struct list none;
        list_init(&none);
        wheel_advance(&l->wheel, now_ms, &none);
    }
    wheel_set(&l->wheel, &t->wheel, now_ms + delay_ms);
    if (!l->is_ticking)
        l->is_ticking = loop_set_tick(l, WHEEL_TICK_MS);
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
    loop_timer_unexpire(t);
    if (t->wheel.due_ms != 0)
        wheel_cancel(&l->wheel, &t->wheel);
}

void loop_defer(struct loop *l, struct loop_deferred *d)
{
    list_del(&d->link);
    list_add_tail(&l->deferred, &d->link);
}

void loop_again(struct loop *l, struct loop_deferred *d)
{
    list_del(&d->link);
    list_add_tail(&l->again, &d->link);
}

void loop_undefer(struct loop_deferred *d)
{
    list_del(&d->link);
}

void loop_slice(struct loop *l, struct loop_slice *s)
{
    if (list_is_empty(&s->link))
        list_add_tail(&l->slices, &s->link);
}

void loop_unslice(struct loop_slice *s)
{
    list_del(&s->link);
}
