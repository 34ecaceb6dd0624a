/* SPDX-License-Identifier: ISC */
/* Words of the supervisor, and the time between the successor's start and the own end. */
#include "engine/handover.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "base/log/log.h"

#define HANDOVER_TICK_MS 200
#define HANDOVER_TELL_MS 1000 /* the supervisor hears of the sessions this often */

struct handover {
    struct handover_spec spec;
    struct loop_timer tick;
    struct control_old olds[PEER_ENGINES_MAX];
    size_t n_olds;
    bool is_retired;
    uint64_t rate; /* of the sessions that are ended then, a second; 0 = as configured */
    uint64_t end_by_ms, tell_ms, told; /* end_by_ms 0 = when the last session ends */
};

/* ---- finishing ---- */

/* Operators that came before may still wait for an answer: see control_retire. */
static void on_handover_tick(struct loop_timer *t)
{
    struct handover *h = CONTAINER_OF(t, struct handover, tick);
    uint64_t sessions = h->spec.sessions(h->spec.arg), now = loop_now_ms(h->spec.loop);
    bool is_late = h->end_by_ms && now >= h->end_by_ms;
    if (sessions != h->told && now >= h->tell_ms) {
        wire_say(h->spec.wire, WIRE_SESSIONS, sessions);
        h->told = sessions;
        h->tell_ms = now + HANDOVER_TELL_MS;
    }
    if (is_late || (sessions == 0 && control_has_no_clients(h->spec.control)))
        h->spec.stop(h->spec.arg, is_late ? "upgrade" : "no sessions are left", h->rate);
    else
        loop_timer_set(h->spec.loop, t, HANDOVER_TICK_MS);
}

/* Operators reach this engine by a socket beside each of theirs, bound by the supervisor. */
static void handover_listen(struct handover *h, struct delivery_fds *fds)
{
    for (size_t i = 0; i < fds->n; i++) {
        size_t index = fds->v[i].index;
        int fd = delivery_fds_take(fds, index);
        int err = fd < 0 ? -ERR_NOT_FOUND : control_listen(h->spec.control, fd, index);
        if (err < 0 && fd >= 0)
            close(fd);
        if (err < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "control-not-opened", KV_U64("socket", index),
                      KV_ERR("error", err));
    }
}

static void handover_retire(struct handover *h, uint64_t successor, struct delivery_fds *fds)
{
    const struct handover_spec *s = &h->spec;
    const struct config *c = s->snapshot(s->arg)->config;
    if (h->is_retired)
        return;
    h->is_retired = true;
    uint64_t limit = control_retire(s->control, successor, &h->rate);
    if (limit == 0)
        limit = c->reload_session_timeout_ms;
    s->close(s->arg);
    handover_listen(h, fds);
    h->end_by_ms = limit ? loop_now_ms(s->loop) + limit : 0;
    LOG_EVENT(LOG_LEVEL_NOTICE, "retired", KV_U64("successor", successor),
              KV_U64("sessions", s->sessions(s->arg)), KV_MS("limit", limit));
    on_handover_tick(&h->tick);
}

/* ---- the supervisor ---- */

static void hear_checked(struct handover *h, const struct wire_packet *p, struct delivery_fds *fds)
{
    (void)p;
    (void)fds;
    control_upgrade_checked(h->spec.control);
}

static void hear_failed(struct handover *h, const struct wire_packet *p, struct delivery_fds *fds)
{
    (void)fds;
    control_upgrade_failed(h->spec.control, str_n(p->body, p->size));
}

static void hear_retire(struct handover *h, const struct wire_packet *p, struct delivery_fds *fds)
{
    uint64_t pid;
    memcpy(&pid, p->body, sizeof(pid));
    handover_retire(h, pid, fds);
}

static void hear_old(struct handover *h, const struct wire_packet *p, struct delivery_fds *fds)
{
    (void)fds;
    h->n_olds = 0;
    for (size_t at = 0; at + sizeof(struct wire_old) <= p->size; at += sizeof(struct wire_old)) {
        struct wire_old old;
        memcpy(&old, p->body + at, sizeof(old));
        if (old.pid > 0 && h->n_olds < PEER_ENGINES_MAX)
            h->olds[h->n_olds++] = (struct control_old){.pid = (uint32_t)old.pid,
                                                        .number = (uint32_t)old.number,
                                                        .since_ms = old.since_ms,
                                                        .sessions = old.sessions};
    }
    control_olds_changed(h->spec.control);
}

static void hear_link(struct handover *h, const struct wire_packet *p, struct delivery_fds *fds)
{
    struct wire_link link;
    memcpy(&link, p->body, sizeof(link));
    int fd = delivery_fds_take(fds, 0);
    if (fd >= 0)
        control_link(h->spec.control, fd, (uint32_t)link.pid, link.is_successor);
}

void handover_hear(struct handover *h, const struct wire_packet *p, const int *fds, size_t n)
{
    static const struct {
        enum wire_order order;
        size_t size; /* of the body, at least; what follows are places */
        void (*hear)(struct handover *h, const struct wire_packet *p, struct delivery_fds *fds);
    } orders[] = {{WIRE_CHECKED, 0, hear_checked},
                  {WIRE_FAILED, 0, hear_failed},
                  {WIRE_RETIRE, sizeof(uint64_t), hear_retire},
                  {WIRE_OLDS, 0, hear_old},
                  {WIRE_LINK, sizeof(struct wire_link), hear_link}};
    struct delivery_fds places = {0};
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        if (p->order != orders[i].order || p->size < orders[i].size)
            continue;
        if (n == 0 || delivery_fds_add(&places, p, orders[i].size, fds, n) == 0)
            orders[i].hear(h, p, &places);
        delivery_fds_fini(&places);
        return;
    }
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

int handover_ask(struct handover *h)
{
    return h->spec.wire >= 0 ? wire_tell(h->spec.wire, WIRE_UPGRADE, 0) : -ERR_UNSUPPORTED;
}

int handover_start(struct handover *h)
{
    return wire_tell(h->spec.wire, WIRE_START, 0);
}

bool handover_is_retired(const struct handover *h)
{
    return h->is_retired;
}

const struct control_old *handover_olds(const struct handover *h, size_t *ret_n)
{
    *ret_n = h->n_olds;
    return h->olds;
}

/* ---- life ---- */

int handover_new(const struct handover_spec *spec, struct handover **ret)
{
    struct handover *h = calloc(1, sizeof(*h));
    if (!h)
        return -ERR_NOMEM;
    h->spec = *spec;
    h->told = UINT64_MAX;
    loop_timer_init(&h->tick, on_handover_tick);
    *ret = h;
    return 0;
}

void handover_free(struct handover *h)
{
    if (!h)
        return;
    loop_timer_cancel(h->spec.loop, &h->tick);
    free(h);
}
