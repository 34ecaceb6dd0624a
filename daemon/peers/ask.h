/* SPDX-License-Identifier: ISC */
/* Asking the workers about their sessions. All functions: control thread. */
#pragma once

#include "rpc/request.h"
#include "session/admin/query.h"

struct control;
struct sessions;

/* 0 or -ERR_NOMEM. */
int sessions_new(struct control *c, struct sessions **ret) NODISCARD;
/* Ends what is under way: everybody who waits is answered. NULL is fine. */
void sessions_free(struct sessions *s);

/* Somebody who waits for mail of workers. Embed. */
struct ask {
    struct list link;
    struct control *control;
    uint64_t number;
    void (*on_chunk)(struct ask *a, struct session_chunk *chunk); /* owns chunk */
    void (*on_killed)(struct ask *a, const struct session_killed *killed);
    /* The end of the control plane: answers and frees. */
    void (*on_end)(struct ask *a);
};
/* Gives it a number under which mail finds it. -ERR_NOMEM. */
int ask_begin(struct control *c, struct ask *a) NODISCARD;
/* NULL when there is none. */
struct ask *ask_find(struct control *c, uint64_t number);
/* All of them, oldest first; NULL at the end. */
struct ask *ask_first(struct control *c);
struct ask *ask_after(struct control *c, struct ask *a);
/* No mail arrives any more. */
void ask_end(struct ask *a);
/* For the deliver members of session_query_spec and session_kill_spec. */
void ask_deliver_chunk(struct mail *chunk, void *owner);
void ask_deliver_killed(struct mail *killed, void *owner);

/* Asks all workers at once. */
struct collect_spec {
    struct filter *filter; /* NULL = all; a reference is taken */
    const uint64_t *ids;   /* only these, of each worker in this order; copied; NULL = all */
    size_t n_ids;
    uint64_t fields; /* as in session_query_spec, from here on */
    bool is_grouped, is_by_net;
    enum session_field group_by;
    bool is_sorted, is_keys;
    struct session_order order;
    const struct session_key *after; /* copied */
    size_t limit;                    /* of each worker */
    /* Takes over a chunk; false = enough, no more comes but done. */
    bool (*chunk)(void *arg, struct session_chunk *chunk);
    /* Once, never within collect_start. err: 0, -ERR_TIMEOUT, -ERR_SHUTDOWN, -ERR_NOMEM. */
    void (*done)(void *arg, int err, uint64_t seen, uint64_t matched);
    void *arg;
};
/* -ERR_NOMEM: nothing was started. */
int collect_start(struct control *c, const struct collect_spec *spec) NODISCARD;

/* Logins that are held look again: those of one user, or all (NULL). */
void sessions_wake(struct control *c, const char *user);
