/* SPDX-License-Identifier: ISC */
/* Ending sessions: those that match are found first, then told to end. All functions: control
 * thread. */
#pragma once

#include "ops/ask.h"

struct control;

/* A value that a row has to have, exactly (case of ASCII letters aside). */
struct kill_exact {
    enum session_field field;
    const char *text; /* NULL = no matter */
};

struct kill_found {
    uint64_t id, idle;
};

struct kill_spec {
    struct filter *filter;       /* NULL = all; a reference is taken */
    struct kill_exact exact[2];  /* besides the filter; copied */
    struct kill_exact except[2]; /* but not those that have all of these; copied; none = nobody */
    uint64_t max;        /* more than this: -ERR_TOO_MANY before anything is done; 0 = any */
    size_t first_idle;   /* not 0: only this many, the longest idle first */
    bool is_dry;         /* only finds */
    const uint64_t *ids; /* these, without a search; copied; NULL = search */
    size_t n_ids;
    enum reply_kind kind;
    const char *text;  /* words for the clients; copied; NULL = the kind's */
    uint64_t grace_ms; /* 0 = at once */
    bool has_rows;     /* done wants to know who was hit */
    /* Once, never within kill_start. rows: objects of JSON with commas between them, id, user, ip
     * of those that were hit (the first KILL_ROWS_MAX), borrowed. matched: found, n: told to end
     * (with is_dry = found). */
    void (*done)(void *arg, int err, uint64_t matched, uint64_t n, struct str rows);
    /* Right before done, unless it failed: what was found, in no order; takes over v (free). May be
     * NULL. */
    void (*found)(void *arg, struct kill_found *v, size_t n);
    void *arg;
};
#define KILL_ROWS_MAX 10000 /* of an answer */
#define KILL_GRACE_MS 5000

/* -ERR_NOMEM, -ERR_NO_MATCH (ids of no worker): nothing was started. */
int kill_start(struct control *c, const struct kill_spec *spec) NODISCARD;

/* Answers with the outcome of a kill; takes over r. */
void kill_answer(struct request *r, int err, uint64_t matched, uint64_t n, struct str rows);
/* For commands that end sessions with their answer: takes over r. */
void kill_for_request(struct request *r, struct kill_spec *spec);
/* Appends a term that finds at least the sessions with this value of a field. -ERR_NOMEM. */
int kill_term(struct buf *text, enum session_field field, const char *value) NODISCARD;
/* A filter of such terms and others. */
int kill_parse(const struct buf *text, struct filter **ret) NODISCARD;
/* A filter that finds at least the sessions with this value of a field. -ERR_x. */
int kill_filter(enum session_field field, const char *value, struct filter **ret) NODISCARD;
/* session kill with a rate: an operation; takes over r. filter NULL = all; borrowed. */
void kill_paced(struct request *r, struct filter *filter);
