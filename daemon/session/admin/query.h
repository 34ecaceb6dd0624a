/* SPDX-License-Identifier: ISC */
/* Listing and killing the sessions of a worker from another thread, in slices that never hold the
 * worker up. */
#pragma once

#include "session/row.h"

struct session_groups;

/* What a group of sessions adds up to. */
struct session_group {
    uint64_t sessions, in_bytes, out_bytes, oldest_ms;
    uint64_t young; /* begun within SESSION_YOUNG_MS */
    struct str key; /* what they have in common; empty = nothing is known */
};
#define SESSION_YOUNG_MS 60000

#define SESSION_CHUNK_ROWS 256
#define SESSION_SORT_MAX 50000 /* most keys of one sorted answer */

struct session_query_spec {
    uint64_t number;       /* names the query; unique for the asker's life */
    struct mailbox *reply; /* where chunks go */
    void (*deliver)(struct mail *chunk, void *owner); /* gets a struct session_chunk; owns it */
    struct filter *filter;                            /* NULL = all; the query takes a reference */
    const uint64_t *ids; /* only these sessions, in this order; copied; NULL = all */
    size_t n_ids;
    uint64_t fields; /* bits of those that are wanted, 0 = all */
    bool is_grouped; /* groups instead of rows, in one chunk; neither sorted nor with ids. An engine
                        that does not know groups answers with rows */
    enum session_field group_by; /* a text or an address */
    bool is_by_net;              /* by the network of the address */
    bool is_sorted;              /* not with ids */
    bool is_keys;                /* sorted: keys instead of rows */
    struct session_order order;
    const struct session_key *after; /* sorted: only what comes after this; copied; NULL = all */
    size_t limit; /* most rows; 0 = all. With is_sorted at most SESSION_SORT_MAX */
};

/* A piece of an answer. Unsorted lists come in chunks of SESSION_CHUNK_ROWS, each after
 * session_query_next for the one before; sorted ones as one, in order. */
struct session_chunk {
    struct mail mail;
    uint64_t number;
    unsigned worker;
    bool is_last;
    uint64_t seen, matched; /* sessions looked at and found so far */
    uint64_t passed;        /* of those found: not after what the spec says */
    struct session_row *rows;
    size_t n;
    struct session_key *keys;
    size_t n_keys;
    struct session_groups *groups; /* of a grouped query, in its last chunk; NULL: none */
    struct buf texts;
};
/* An empty one with room; who posts it sets mail.fn. NULL without memory. */
struct session_chunk *session_chunk_new(size_t n_rows, size_t n_keys);
void session_chunk_free(struct session_chunk *c);

/* The functions below may be called by any thread: they post mail to the loop of a worker, whose
 * owner is its struct session_env. */

/* -ERR_NOMEM: nothing was posted. */
int session_query_post(struct mailbox *worker, const struct session_query_spec *spec) NODISCARD;
/* Asks for the next chunk, or ends the query (no chunk comes after that, but one may be under way).
 */
int session_query_next(struct mailbox *worker, uint64_t number, bool is_cancelled) NODISCARD;

struct session_kill_spec {
    uint64_t number;
    struct mailbox *reply; /* NULL = no answer */
    void (*deliver)(struct mail *result,
                    void *owner); /* gets struct session_killed until the last; owns it (free) */
    enum reply_kind kind;
    const char *text;    /* copied; NULL = default of kind */
    uint64_t grace_ms;   /* see session_kill */
    uint64_t rate, per;  /* never more than `rate` in `per` seconds; 0 = all at once */
    uint64_t generation; /* without ids: only those of snapshots before this one; 0 = all */
    const uint64_t *ids; /* copied; those of other workers are passed over; NULL = all */
    size_t n;
};
#define SESSION_KILLED_MAX 64
/* What became of them so far. With a reply there is one as soon as all have been told, and the last
 * one when all of these have ended. */
struct session_killed {
    struct mail mail;
    uint64_t number;
    unsigned worker;
    bool is_told; /* all sessions of the spec */
    bool is_last;
    size_t n_told; /* altogether: those that were there */
    size_t n;      /* that have ended since the answer before, in the order of their ends */
    struct session_ended {
        size_t at; /* place in the ids of the spec */
        struct session_outcome outcome;
    } v[];
};
int session_kill_post(struct mailbox *worker, const struct session_kill_spec *spec) NODISCARD;
/* The same for sessions of one's own worker; no answer. Thread: the worker's. */
int session_kill_here(struct session_env *env, const struct session_kill_spec *spec) NODISCARD;
/* Lets the logins of a user wait on a worker, or go on again: then they are judged anew. Once it is
 * answered nobody passes any more who was judged before: what is on its way to a backend is in the
 * lists. reply NULL = no answer, else deliver gets a struct session_killed of none. */
struct session_hold_spec {
    const char *user; /* normalised, copied */
    bool is_on;
    uint64_t number;
    struct mailbox *reply;
    void (*deliver)(struct mail *result, void *owner);
};
int session_hold_post(struct mailbox *worker, const struct session_hold_spec *spec) NODISCARD;
int session_wake_held_post(struct mailbox *worker, const char *user) NODISCARD;

/* Ends all queries and kills of a worker without an answer. Thread: the worker's. */
void session_queries_end(struct session_env *env);
void session_kills_end(struct session_env *env);
