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

/* A question to workers, until each has given its last answer: the mail between the two. Embed. */
struct ask {
    struct list link;
    struct control *control;
    uint64_t number;
    size_t n_waiting;        /* workers whose last answer is to come; who asks one adds it */
    struct loop_timer timer; /* see ask_wait */
    void (*on_chunk)(struct ask *a, struct session_chunk *chunk);          /* owns chunk */
    void (*on_killed)(struct ask *a, const struct session_killed *killed); /* may be NULL */
    /* Once, unless ask_end comes first: 0 when none is waited for any more, -ERR_TIMEOUT,
     * -ERR_SHUTDOWN at the end of the control plane: answers and frees. No mail arrives any more.
     */
    void (*on_over)(struct ask *a, int err);
};
/* Gives it a number under which mail finds it; the functions are set already. -ERR_NOMEM. */
int ask_begin(struct control *c, struct ask *a) NODISCARD;
/* It is over after so long, unless this is called again by then. */
void ask_wait(struct ask *a, uint64_t ms);
/* NULL when there is none. */
struct ask *ask_find(struct control *c, uint64_t number);
/* All of them, oldest first; NULL at the end. */
struct ask *ask_first(struct control *c);
struct ask *ask_after(struct control *c, struct ask *a);
/* No mail arrives any more, and on_over is not called. */
void ask_end(struct ask *a);
/* For the deliver members of session_query_spec and session_kill_spec. */
void ask_deliver_chunk(struct mail *chunk, void *owner);
void ask_deliver_killed(struct mail *killed, void *owner);

/* Asks all workers at once. */
struct collect_spec {
    /* Each worker is asked this, of the ids those that it has, and a limit is each one's. Number
     * and reply are set here. */
    struct session_query_spec query;
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
