/* SPDX-License-Identifier: ISC */
/* The tap on a traced session: everything that is said passes here and only here, and here secrets
 * are masked. A session that nobody traces has none: callers look at s->tap first, which is all
 * that it costs. Thread of all functions: the worker's. */
#pragma once

#include "backend/login.h"
#include "base/container/safe_iter.h"
#include "session/session_priv.h"
#include "session/trace.h"

struct trace_tap;

/* A trace of this worker: a slot of struct worker_traces. */
struct worker_trace {
    struct session_trace_spec spec;
    struct session_env *env;
    bool has_user;         /* the filter names a user, of whom nothing is known at first */
    size_t flight;         /* weight of the events that nobody has taken in */
    uint64_t lost;         /* events dropped since the last one */
    struct safe_iter walk; /* over the sessions that were there */
    struct loop_slice slice;
};

struct worker_traces {
    struct worker_trace *slots[TRACES_MAX];
    struct list taps;
    size_t kept_bytes; /* by all taps, until it is known who they are */
};

/* What is to be told; bytes are masked already. */
struct trace_tap_event {
    uint64_t at_ms, left_out;
    enum trace_direction direction;
    bool is_masked;
    size_t n;
};

/* trace.c */

/* Gives a session that has just become known by its address its tap, when a trace may want it. Only
 * with env->traces. */
void trace_match_address(struct session *s);
/* The session has, or claims, a name now: decides for those traces that wait for it. */
void trace_match_user(struct session *s);

/* trace_tap.c */

/* Tells a trace what was said; counted instead when too much is under way already. */
void trace_send(struct worker_trace *t, uint64_t session, const struct trace_tap_event *e,
                const char *bytes);
/* Bits are slots. What is said is told to those of `live`, and kept for those of `maybe`. */
int trace_tap_add(struct session *s, unsigned live, unsigned maybe) NODISCARD;
/* What was kept goes to a trace that turned out to want it. */
void trace_tap_promote(struct session *s, unsigned slot);
/* The trace is over, or does not want it; the last one takes the tap along. */
void trace_tap_drop(struct session *s, unsigned slot);
bool trace_tap_waits(const struct trace_tap *t, unsigned slot);
void trace_tap_free(struct session *s);
/* Of a node of traces->taps. */
struct session *trace_tap_session(struct list *link);

/* What the proxy does; a printf. Nothing that comes from outside. */
void trace_tap_note(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "what: words", words of somebody who may have been told a secret. */
void trace_tap_note_words(struct session *s, const char *what, struct str words);
void trace_tap_proxy_header(struct session *s, struct str bytes);
/* Around proto->feed: the client's next command is at the start of s->pre->in, and `used` of it are
 * done with. */
void trace_tap_before_feed(struct session *s);
void trace_tap_after_feed(struct session *s, size_t used);
/* The client's input as far as it came, with which nothing will be done. */
void trace_tap_input_over(struct session *s);
/* s->pre->in is thrown away. */
void trace_tap_input_dropped(struct session *s);
void trace_tap_client_out(struct session *s, struct str bytes);
void trace_tap_login(struct session *s, enum login_speaker who, struct str bytes);
void trace_tap_relay_begin(struct session *s);
/* After the follower has seen them. */
void trace_tap_relay(struct session *s, bool is_client, struct str bytes);
void trace_tap_end(struct session *s);
