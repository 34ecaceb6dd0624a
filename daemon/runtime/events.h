/* SPDX-License-Identifier: ISC */
/* Streams of events to operators who watch. All functions: control thread. */
#pragma once

#include "rpc/request.h"

struct control;
struct events;

/* 0 or -ERR_NOMEM. */
int events_new(struct control *c, struct events **ret) NODISCARD;
void events_free(struct events *e); /* NULL is fine */
#define EVENTS_NOW UINT64_MAX
/* Streams to a client what happens from now on, where the filter (NULL = all; a reference is taken)
 * matches; before that the kept events from a number on (EVENTS_NOW: none), in slices and in their
 * order. -ERR_TOO_MANY streams of this client, -ERR_NOMEM. */
int events_watch(struct events *e, struct client *client, struct filter *filter, uint64_t from,
                 uint64_t *ret_stream) NODISCARD;
/* Looks at the kept events of the last since_ms (0 = all) that the filter (of event watch; NULL =
 * all; taken over) matches, newest first, in slices. one: borrows the texts, in the order of enum
 * event_text; false = enough. done: once, unless the control plane ends before; then drop frees. */
enum event_text {
    EVENT_TYPE,
    EVENT_SESSION,
    EVENT_PROTO,
    EVENT_USER,
    EVENT_IP,
    EVENT_BACKEND,
    EVENT_TEXT,
    EVENT_LISTENER, /* these three of failures */
    EVENT_CAUSE,
    EVENT_SOURCE,
    EVENT_ENGINE, /* process id of the engine that finishes and told it */
    EVENT_TEXTS
};
struct event_view {
    uint64_t time_ms, number;       /* the number of an event is that of those before it */
    const char *texts[EVENT_TEXTS]; /* "" = none */
    bool is_end;                    /* of a session: it has figures */
    uint64_t age_ms, in_bytes, out_bytes;
};
struct event_scan {
    uint64_t since_ms;
    struct filter *filter;
    bool (*one)(void *arg, const struct event_view *e);
    void (*done)(void *arg, uint64_t seen);
    void (*drop)(void *arg);
    void *arg;
};
/* -ERR_NOMEM: nothing was started, the filter is freed. */
int events_scan(struct events *e, const struct event_scan *scan) NODISCARD;
/* Whoever serves hears of every event of this engine; NULL = nobody does any more. */
void events_forward(struct events *e, void (*fn)(struct control *c, const struct event_view *v));
/* An event of another engine: kept and told like the own ones. */
void events_take(struct events *e, const struct event_view *v);
/* Somebody watches at another engine: workers tell all. */
void events_watch_elsewhere(struct events *e, bool is_watched);
/* Does anybody watch here? */
bool events_are_watched(const struct events *e);
/* Called when that changes; NULL = nobody wants to know. */
void events_on_watched(struct events *e, void (*fn)(struct control *c, bool is_watched));
/* Sets the members of a row of event list. */
void event_put(json_t *row, const struct event_view *e);
/* An event for `event watch`; fields may be NULL. Cheap when nobody watches. */
void control_event(struct control *c, const char *type, const char *session, const char *proto,
                   const char *user, const char *ip, const char *backend, const char *text);
/* A login that failed: what the client was told (cause), through which listener, who judged
 * (source; NULL = nobody). text: cause and words. */
struct control_failure {
    const char *session, *proto, *user, *ip, *backend, *text, *listener, *cause, *source;
};
void control_event_failure(struct control *c, const struct control_failure *f);
/* The end of a session: the same with its bytes and its age; text is the reason. */
struct control_end {
    const char *session, *proto, *user, *ip, *backend, *text;
    uint64_t in_bytes, out_bytes, age_ms;
};
void control_event_end(struct control *c, const struct control_end *end);
