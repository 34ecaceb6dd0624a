/* SPDX-License-Identifier: ISC */
/* Words of the supervisor, and the time between the successor's start and the own end. */
#include "engine/handover.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/wire.h"

#define HANDOVER_TICK_MS 200
#define HANDOVER_TELL_MS 1000 /* the supervisor hears of the sessions this often */

struct handover {
    struct handover_spec spec;
    struct event *event;
    struct loop_timer tick;
    struct control_old old;
    bool is_retired;
    uint64_t end_by_ms, tell_ms, told; /* end_by_ms 0 = when the last session ends */
};

/* ---- finishing ---- */

static void handover_tell(struct handover *h, uint64_t sessions)
{
    uint64_t now = loop_now_ms(h->spec.loop);
    if (sessions == h->told || now < h->tell_ms)
        return;
    wire_say(h->spec.wire, "sessions %" PRIu64, sessions);
    h->told = sessions;
    h->tell_ms = now + HANDOVER_TELL_MS;
}

/* Operators that came before may still wait for an answer: see control_retire. */
static void on_handover_tick(struct loop_timer *t)
{
    struct handover *h = CONTAINER_OF(t, struct handover, tick);
    uint64_t sessions = h->spec.sessions(h->spec.arg);
    bool is_late = h->end_by_ms && loop_now_ms(h->spec.loop) >= h->end_by_ms;
    handover_tell(h, sessions);
    if (is_late || (sessions == 0 && control_is_forsaken(h->spec.control)))
        h->spec.stop(h->spec.arg, is_late ? "upgrade" : "no sessions are left");
    else
        loop_timer_set(h->spec.loop, t, HANDOVER_TICK_MS);
}

/* Operators reach this engine by a socket beside each of theirs. */
static void handover_listen(struct handover *h, const struct config *c, size_t i)
{
    AUTO_FREE char *error = NULL;
    AUTO_FREE char *address = str_printf("unix:%s%s", c->controls[i].path, CONTROL_OLD_SUFFIX);
    const struct listen_spec spec = {.use = LISTEN_CONTROL,
                                     .index = i,
                                     .address = address,
                                     .mode = c->controls[i].mode,
                                     .owner = c->controls[i].owner,
                                     .group = c->controls[i].group};
    int fd = -1;
    int err = address ? h->spec.bind(h->spec.arg, &spec, &fd, &error) : -ERR_NOMEM;
    if (err == 0 && (err = control_listen(h->spec.control, fd, i)) < 0)
        close(fd);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "control-not-opened", KV_STR("address", address),
                  KV_ERR("error", err), KV_STR("detail", error));
}

static void handover_retire(struct handover *h, uint64_t successor)
{
    const struct handover_spec *s = &h->spec;
    const struct config *c = s->setup(s->arg)->config;
    if (h->is_retired)
        return;
    h->is_retired = true;
    uint64_t limit = control_retire(s->control, successor);
    if (limit == 0)
        limit = c->reload_session_timeout_ms;
    s->close(s->arg);
    for (size_t i = 0; i < c->n_controls; i++)
        handover_listen(h, c, i);
    h->end_by_ms = limit ? loop_now_ms(s->loop) + limit : 0;
    LOG_EVENT(LOG_LEVEL_NOTICE, "retired", KV_U64("successor", successor),
              KV_U64("sessions", s->sessions(s->arg)), KV_MS("limit", limit));
    on_handover_tick(&h->tick);
}

/* ---- the supervisor ---- */

static uint64_t hear_number(struct str *rest)
{
    uint64_t n = 0;
    return str_to_u64(str_word(rest), INT64_MAX, &n) == 0 ? n : 0;
}

static void hear_checked(struct handover *h, struct str rest)
{
    (void)rest;
    control_upgrade_checked(h->spec.control);
}

static void hear_failed(struct handover *h, struct str rest)
{
    control_upgrade_failed(h->spec.control, rest);
}

static void hear_retire(struct handover *h, struct str rest)
{
    handover_retire(h, hear_number(&rest));
}

static void hear_old(struct handover *h, struct str rest)
{
    uint64_t pid = hear_number(&rest);
    uint64_t since = hear_number(&rest);
    h->old = (struct control_old){
        .pid = (uint32_t)pid, .since_ms = since, .sessions = hear_number(&rest)};
}

static void handover_hear(struct handover *h, const char *text)
{
    static const struct {
        const char *word;
        void (*hear)(struct handover *h, struct str rest);
    } words[] = {{"checked", hear_checked},
                 {"failed", hear_failed},
                 {"retire", hear_retire},
                 {"old", hear_old}};
    struct str rest = str_of(text);
    struct str word = str_cut(&rest, ' ');
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(word, str_of(words[i].word)))
            words[i].hear(h, rest);
}

/* A supervisor that is gone cannot start an engine again, so this one leaves too. */
static void on_handover_wire(evutil_socket_t fd, short what, void *arg)
{
    char text[WIRE_TEXT_MAX];
    struct handover *h = arg;
    int passed = -1;
    (void)what;
    int err = wire_receive(fd, text, &passed);
    if (err == -ERR_AGAIN)
        return;
    if (passed >= 0)
        close(passed);
    if (err == 0) {
        handover_hear(h, text);
        return;
    }
    event_del(h->event);
    h->spec.stop(h->spec.arg, "supervisor is gone");
}

int handover_ask(struct handover *h)
{
    return h->spec.wire >= 0 ? wire_send(h->spec.wire, "upgrade", -1) : -ERR_UNSUPPORTED;
}

int handover_start(struct handover *h)
{
    return wire_send(h->spec.wire, "start", -1);
}

bool handover_is_retired(const struct handover *h)
{
    return h->is_retired;
}

const struct control_old *handover_old(const struct handover *h)
{
    return &h->old;
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
    if (spec->wire >= 0) {
        h->event =
            event_new(loop_base(spec->loop), spec->wire, EV_READ | EV_PERSIST, on_handover_wire, h);
        if (!h->event || event_add(h->event, NULL) != 0) {
            handover_free(h);
            return -ERR_NOMEM;
        }
    }
    *ret = h;
    return 0;
}

void handover_free(struct handover *h)
{
    if (!h)
        return;
    loop_timer_cancel(h->spec.loop, &h->tick);
    if (h->event)
        event_free(h->event);
    free(h);
}
