/* SPDX-License-Identifier: ISC */
/* Accepting clients: batches, choice of the worker, limits that need no login. */
#include "engine/accept.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/log/log.h"
#include "base/os/process.h"
#include "engine/admission.h"
#include "engine/descriptors.h"

#define ACCEPT_BATCH 64         /* clients taken from one socket in one turn */
#define ACCEPT_LOOK 16          /* turns after which a socket is asked for as many once more */
#define ACCEPT_SAY_MS 10000     /* the log hears of too many sessions this often */
#define ACCEPT_EXHAUSTED_MS 250 /* pause when there are no descriptors left for clients */

struct acceptor {
    struct list link;
    struct acceptors *all;
    char *address;
    char *listener; /* name; a pause survives reloads */
    unsigned index; /* in the snapshot */
    int fd;
    struct event *event;
    unsigned batch, turns; /* clients taken in one turn, see on_acceptable */
    bool is_configured, is_paused, is_armed;
};

struct acceptors {
    struct acceptors_spec spec;
    size_t next;
    struct snapshot *snapshot;
    struct list list;
    struct loop_timer exhausted; /* sockets wait until it runs */
    bool is_exhausted;
    uint64_t sessions_max; /* there are descriptors for so many */
    uint64_t full_ms;      /* when the log last heard of the limit of all sessions */
    uint64_t exhausted_ms; /* when it last heard that clients wait */
};

static void acceptor_arm(struct acceptor *a)
{
    bool is_wanted = a->is_configured && !a->is_paused && !a->all->is_exhausted;
    if (is_wanted == a->is_armed)
        return;
    int failed = is_wanted ? event_add(a->event, NULL) : event_del(a->event);
    if (failed)
        log_say(LOG_LEVEL_ERROR, "cannot watch the socket of %s", a->address);
    else
        a->is_armed = is_wanted;
}

static void acceptors_arm(struct acceptors *all)
{
    LIST_FOREACH (it, &all->list)
        acceptor_arm(LIST_ITEM(it, struct acceptor, link));
}

static uint64_t acceptors_load(const struct acceptors *all)
{
    uint64_t total = 0;
    for (size_t i = 0; i < all->spec.n_workers; i++)
        total += worker_load(all->spec.workers[i]);
    return total;
}

static void on_exhausted(struct loop_timer *t)
{
    struct acceptors *all = CONTAINER_OF(t, struct acceptors, exhausted);
    all->is_exhausted = acceptors_load(all) >= all->sessions_max;
    if (all->is_exhausted)
        loop_timer_set(all->spec.loop, t, ACCEPT_EXHAUSTED_MS);
    else
        acceptors_arm(all);
}

/* Clients wait in the kernel's queue until sessions have ended. The log hears of it when it begins,
 * and now and then while it goes on. */
static void acceptors_exhaust(struct acceptors *all, const char *why, uint64_t total)
{
    uint64_t now = loop_now_ms(all->spec.loop);
    if (!all->exhausted_ms || now >= all->exhausted_ms + ACCEPT_SAY_MS)
        LOG_EVENT(LOG_LEVEL_ERROR, "accept-paused", KV_STR("error", why), KV_U64("sessions", total),
                  KV_U64("descriptors", process_max_fds()));
    all->exhausted_ms = now;
    all->is_exhausted = true;
    acceptors_arm(all);
    loop_timer_set(all->spec.loop, &all->exhausted, ACCEPT_EXHAUSTED_MS);
}

/* Ties go round, so that a few sessions spread too. */
static struct worker *acceptors_choose(struct acceptors *all, uint64_t *ret_total)
{
    struct worker *best = NULL;
    uint64_t least = UINT64_MAX;
    *ret_total = 0;
    const struct acceptors_spec *spec = &all->spec;
    for (size_t i = 0; i < spec->n_workers; i++) {
        struct worker *w = spec->workers[(all->next + i) % spec->n_workers];
        uint64_t load = worker_load(w);
        *ret_total += load;
        if (load < least) {
            least = load;
            best = w;
        }
    }
    all->next++;
    return best;
}

/* Said in the protocol where that needs no handshake. */
static void acceptor_refuse(const struct acceptor *a, int fd, enum reply_kind kind,
                            const char *text)
{
    AUTO_BUF words = BUF_INIT;
    const struct config_listener *l = a->all->snapshot->listeners[a->index].config;
    if (l->tls != LISTENER_TLS_IMPLICIT && l->proto->farewell(kind, text, &words) == 0)
        (void)!send(fd, words.data + words.start, words.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    counter_add(a->all->spec.counters, l->proto->id, COUNTER_LIMITED, 1);
    close(fd);
}

/* Limits of the address; one that comes in a PROXY header is judged by the worker later. */
static bool acceptor_admit(const struct acceptor *a, int fd, const struct addr *peer,
                           bool *ret_counted)
{
    const struct snapshot_listener *l = &a->all->snapshot->listeners[a->index];
    struct session_verdict v;
    *ret_counted = false;
    if (snapshot_listener_wants_proxy(l, peer))
        return true;
    admission_client(a->all->spec.admission, &a->all->snapshot->config->limits, peer,
                     loop_now_ms(a->all->spec.loop), &v);
    if (v.is_refused)
        acceptor_refuse(a, fd, v.kind, v.text[0] ? v.text : NULL);
    *ret_counted = v.is_counted;
    return !v.is_refused;
}

/* 0 leaves the system's value. */
static void accept_option(int fd, int level, int name, int value)
{
    if (value > 0)
        (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void acceptor_hand_over(struct acceptor *a, int fd, const struct addr *peer)
{
    struct snapshot *snapshot = a->all->snapshot;
    uint64_t total, limit = snapshot->config->limits.sessions;
    struct worker *w = acceptors_choose(a->all, &total);
    bool is_counted;
    if (limit && total >= limit) {
        uint64_t now = loop_now_ms(a->all->spec.loop);
        if (!a->all->full_ms || now >= a->all->full_ms + ACCEPT_SAY_MS) {
            LOG_EVENT(LOG_LEVEL_WARN, "session-limit", KV_STR("listener", a->listener),
                      KV_U64("sessions", total));
            a->all->full_ms = now;
        }
        acceptor_refuse(a, fd, REPLY_LIMIT, NULL);
        return;
    }
    if (!acceptor_admit(a, fd, peer, &is_counted))
        return;
    /* UNIX sockets refuse the TCP options, without harm. */
    const struct config_listener *l = snapshot->listeners[a->index].config;
    if (l->so_keepalive) {
        accept_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        accept_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)(l->keepalive_idle_ms / 1000));
        accept_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)(l->keepalive_interval_ms / 1000));
        accept_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)l->keepalive_count);
    }
    if (worker_accept(w, snapshot, a->index, fd, peer, is_counted) < 0) {
        close(fd);
        if (is_counted)
            admission_release_client(a->all->spec.admission, &snapshot->config->limits, peer,
                                     loop_now_ms(a->all->spec.loop));
    }
}

/* Where clients come singly, asking for one more than there is would be a call for nothing: as many
 * are taken as the last look at the whole queue found, and what is left makes the next turn. */
static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;
    bool is_look = a->batch == 0 || a->turns++ % ACCEPT_LOOK == 0;
    unsigned n = 0, most = is_look ? ACCEPT_BATCH : a->batch;
    (void)what;
    for (; n < most; n++) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        struct addr peer;
        uint64_t total = acceptors_load(a->all);
        if (total >= a->all->sessions_max) {
            acceptors_exhaust(a->all, "no descriptors for more sessions", total);
            return;
        }
        int client = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            addr_from_sockaddr(&peer, (struct sockaddr *)&ss, len);
            acceptor_hand_over(a, client, &peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            acceptors_exhaust(a->all, err_text(err_from_errno(errno)), total);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } /* anything else was that client's own misfortune (ECONNABORTED) */
    }
    if (n < most || most == ACCEPT_BATCH)
        a->batch = n > 0 ? n : 1;
}

static void acceptor_free(struct acceptor *a)
{
    list_del(&a->link);
    if (a->event)
        event_free(a->event);
    close(a->fd);
    free(a->address);
    free(a->listener);
    free(a);
}

int acceptors_new(const struct acceptors_spec *spec, struct acceptors **ret)
{
    struct acceptors *all = calloc(1, sizeof(*all));
    if (!all)
        return -ERR_NOMEM;
    all->spec = *spec;
    list_init(&all->list);
    loop_timer_init(&all->exhausted, on_exhausted);
    *ret = all;
    return 0;
}

void acceptors_free(struct acceptors *all)
{
    if (!all)
        return;
    loop_timer_cancel(all->spec.loop, &all->exhausted);
    LIST_FOREACH_SAFE (it, &all->list)
        acceptor_free(LIST_ITEM(it, struct acceptor, link));
    free(all);
}

int acceptors_add(struct acceptors *all, const char *address, int fd)
{
    int on = 1;
    struct acceptor *a = calloc(1, sizeof(*a));
    if (!a)
        return -ERR_NOMEM;
    /* Accepted sockets inherit it; a UNIX socket knows no such thing. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    a->all = all;
    a->fd = fd;
    list_init(&a->link);
    a->address = str_dup_c(address);
    a->event = event_new(loop_base(all->spec.loop), fd, EV_READ | EV_PERSIST, on_acceptable, a);
    if (!a->address || !a->event) {
        if (a->event)
            event_free(a->event);
        free(a->address);
        free(a);
        return -ERR_NOMEM;
    }
    list_add_tail(&all->list, &a->link);
    return 0;
}

int acceptors_find(const struct acceptors *all, const char *address)
{
    LIST_FOREACH (it, &all->list) {
        const struct acceptor *a = LIST_ITEM(it, struct acceptor, link);
        if (strcmp(a->address, address) == 0)
            return a->fd;
    }
    return -1;
}

/* Finds the listener of an address in the snapshot; false when there is none. */
static bool acceptor_configure(struct acceptor *a, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        const struct config_listener *l = snapshot->listeners[i].config;
        for (size_t k = 0; k < l->address.n; k++) {
            if (strcmp(l->address.v[k], a->address) != 0)
                continue;
            if (!a->listener || strcmp(a->listener, l->name) != 0) {
                free(a->listener);
                a->listener = str_dup_c(l->name);
                a->is_paused = false;
            }
            a->index = (unsigned)i;
            return a->listener != NULL;
        }
    }
    return false;
}

void acceptors_configure(struct acceptors *all, struct snapshot *snapshot,
                         void (*closed)(void *arg, const char *address), void *arg)
{
    all->snapshot = snapshot;
    all->sessions_max =
        descriptors_sessions_max(process_max_fds(), snapshot->pools->config, all->spec.n_workers);
    LIST_FOREACH_SAFE (it, &all->list) {
        struct acceptor *a = LIST_ITEM(it, struct acceptor, link);
        a->is_configured = acceptor_configure(a, snapshot);
        if (!a->is_configured) {
            closed(arg, a->address);
            acceptor_free(a);
        } else {
            acceptor_arm(a);
        }
    }
}

int acceptors_pause(struct acceptors *all, const char *listener, bool is_paused)
{
    int err = -ERR_NO_LISTENER;
    LIST_FOREACH (it, &all->list) {
        struct acceptor *a = LIST_ITEM(it, struct acceptor, link);
        if (!a->listener || strcmp(a->listener, listener) != 0)
            continue;
        a->is_paused = is_paused;
        acceptor_arm(a);
        err = 0;
    }
    return err;
}

bool acceptors_is_paused(const struct acceptors *all, const char *listener)
{
    LIST_FOREACH (it, &all->list) {
        const struct acceptor *a = LIST_ITEM(it, struct acceptor, link);
        if (a->listener && strcmp(a->listener, listener) == 0 && a->is_paused)
            return true;
    }
    return false;
}

bool acceptors_are_exhausted(const struct acceptors *all)
{
    return all->is_exhausted;
}
