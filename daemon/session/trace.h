/* SPDX-License-Identifier: ISC */
/* Traces: what is said in some sessions, secrets masked, told to another thread. The functions that
 * post may be called by any thread. */
#pragma once

#include "proto/filter.h"
#include "session/session.h"

/* Where bytes went: D(ID, name, marker). */
#define TRACE_DIRECTIONS(D)                                                                        \
    D(NOTE, "note", "--")               /* what the proxy does and finds */                        \
    D(CLIENT_IN, "client-proxy", "C>")  /* before the relay */                                     \
    D(CLIENT_OUT, "proxy-client", "C<") /* before the relay, and the proxy's own farewell */       \
    D(SERVER_OUT, "proxy-backend", "B>")                                                           \
    D(SERVER_IN, "backend-proxy", "B<")                                                            \
    D(RELAY_IN, "client-backend", ">>") /* passed on as they are */                                \
    D(RELAY_OUT, "backend-client", "<<")

enum trace_direction {
#define D(id, name, marker) TRACE_##id,
    TRACE_DIRECTIONS(D)
#undef D
        TRACE_DIRECTION_COUNT
};
/* "client-proxy" and so on, for programs; "C>" for people. Static. */
const char *trace_direction_name(enum trace_direction d);
const char *trace_direction_marker(enum trace_direction d);

#define TRACE_BYTES_MAX 4096                  /* of one event; the rest is counted */
#define TRACE_FLIGHT_MAX (256 * (size_t)1024) /* of one worker: more is dropped, and counted */
#define TRACES_MAX 8                          /* at the same time */

/* One thing that was said. */
struct session_trace_event {
    struct mail mail;
    uint64_t number; /* of the trace */
    unsigned worker;
    uint64_t session, at_ms; /* wall clock */
    enum trace_direction direction;
    bool is_masked;    /* stars stand for secrets */
    uint64_t left_out; /* bytes beyond TRACE_BYTES_MAX */
    uint64_t lost;     /* events that were dropped before this one */
    size_t weight;     /* for session_trace_seen_post */
    size_t n;
    char bytes[];
};

/* Fields that a trace's filter may name: those that are known when a session begins, and the user;
 * ids are enum session_field. */
const struct filter_field *session_trace_fields(size_t *ret_n);

struct session_trace_spec {
    uint64_t number;       /* names it; unique for the asker's life */
    struct filter *filter; /* the trace takes a reference */
    struct mailbox *reply; /* where events go */
    void (*deliver)(struct mail *event,
                    void *owner); /* gets a struct session_trace_event; owns it */
};
/* Begins a trace on a worker: of sessions that are there, and of those that come. More than
 * TRACES_MAX are not begun. -ERR_NOMEM. */
int session_trace_post(struct mailbox *worker, const struct session_trace_spec *spec) NODISCARD;
/* Ends it; some events may still be under way. */
int session_trace_end_post(struct mailbox *worker, uint64_t number) NODISCARD;
/* Events of this weight were taken in: there is room for as much again. */
int session_trace_seen_post(struct mailbox *worker, uint64_t number, size_t weight) NODISCARD;

/* For the worker's own end. Thread: the worker's. */
void traces_free(struct session_env *env);
