/* SPDX-License-Identifier: ISC */
/* Sessions, and questions about them, as JSON: for operators, and between the engines of a machine.
 * What another engine sends is not trusted. Thread: any. */
#pragma once

#include <jansson.h>

#include "session/admin/query.h"
#include "session/trace.h"

/* Appends a row as an object with the columns of session list. skip: bits of fields that are left
 * out. -ERR_NOMEM. */
int session_row_append(struct buf *out, const struct session_row *row, uint64_t skip) NODISCARD;

/* Questions for a worker of another engine; the number and the worker are members n and w. NULL
 * without memory. */
json_t *session_query_json(const struct session_query_spec *spec);
json_t *session_kill_json(const struct session_kill_spec *spec);
json_t *session_hold_json(const struct session_hold_spec *spec);
json_t *session_trace_json(const struct session_trace_spec *spec);

/* What is owned by a spec that came in; session_asked_fini. */
struct session_asked {
    struct filter *filter;
    uint64_t *ids;
    struct session_key after;
};
void session_asked_fini(struct session_asked *a);
/* Reads such a question; it points into `a` and m. -ERR_PROTOCOL, -ERR_NOMEM. */
int session_query_read(const json_t *m, struct session_query_spec *ret,
                       struct session_asked *a) NODISCARD;
int session_kill_read(const json_t *m, struct session_kill_spec *ret,
                      struct session_asked *a) NODISCARD;
int session_trace_read(const json_t *m, struct session_trace_spec *ret,
                       struct session_asked *a) NODISCARD;

/* Answers. number: as the asker knows it. -ERR_NOMEM. */
int session_chunk_append(struct buf *out, const struct session_chunk *c, uint64_t number) NODISCARD;
int session_killed_append(struct buf *out, const struct session_killed *k,
                          uint64_t number) NODISCARD;
int session_trace_event_append(struct buf *out, const struct session_trace_event *e,
                               uint64_t number) NODISCARD;
/* Reads them; owned by the caller. Sessions that are not of the engine that was started as number
 * `start` are left out. -ERR_PROTOCOL, -ERR_NOMEM. */
int session_chunk_read(const json_t *m, unsigned start, struct session_chunk **ret) NODISCARD;
/* n_asked: sessions that were to be ended. */
int session_killed_read(const json_t *m, unsigned start, size_t n_asked,
                        struct session_killed **ret) NODISCARD;
int session_trace_event_read(const json_t *m, unsigned start,
                             struct session_trace_event **ret) NODISCARD;

/* Member of an object as a number; 0 when it is none. */
uint64_t json_number(const json_t *m, const char *name);
