/* SPDX-License-Identifier: ISC */
/* Another engine of this machine, as this one knows it: its connection, what it was asked and has
 * not answered, and whether it answers at all. All functions: control thread. */
#pragma once

#include "peers/session_json.h"
#include "rpc/json_pipe.h"

/* Without a word for so long while something is awaited, it is taken to answer no more. */
#define PEER_ENGINE_SILENT_MS 2000
#define PEER_ENGINE_ASKS_MAX 4096
#define PEER_ENGINE_WORKERS_MAX 256

/* Whose engine it is. */
enum peer_engine_role {
    PEER_ENGINE_OLD, /* an upgrade replaced it: it finishes its sessions, and this one asks it */
    PEER_ENGINE_NEW  /* it replaced this one, and asks */
};

struct peer_engine {
    struct list link; /* of all */
    struct loop *loop;
    void *owner;
    enum peer_engine_role role;
    uint32_t pid;
    uint64_t since_ms;      /* since when it finishes; wall clock */
    uint64_t sessions;      /* as it told last */
    size_t slot;            /* its workers have numbers by this */
    struct json_pipe *pipe; /* NULL = there is no connection */
    bool is_listed;         /* the supervisor says that it runs */
    bool has_ended;         /* it said that it ends: nothing is left there */
    bool is_silent;         /* it did not answer; until it says something */
    uint64_t linked_ms;     /* monotonic: when the connection came */

    /* As its greeting said. */
    bool is_greeted;
    unsigned start;
    size_t n_workers;
    char version[32];

    struct peer_counts *counts; /* that it told; NULL = none yet */
    struct peer_limits *limits; /* sessions of addresses and users, told or heard; NULL = none */
    uint64_t counted_ms;        /* when it was told counts last */
    json_t *conflicts;       /* users on two backends there, as it told; owned; NULL = none yet */
    uint64_t conflicts_told; /* a hash of what it was told of them; 0 = nothing */
    struct list asks;        /* oldest first */
    size_t n_asks;
};

/* What is awaited of it. */
enum peer_ask_kind {
    PEER_ASK_QUERY,
    PEER_ASK_KILL,
    PEER_ASK_HOLD,
    PEER_ASK_SYNC,
};

struct peer_ask {
    struct list link;
    enum peer_ask_kind kind;
    uint64_t number;
    unsigned worker; /* of that engine */
    size_t n_ids;    /* of a kill: sessions */
    size_t n_ended;  /* of them, as far as was told */
    bool is_idle; /* nothing is awaited just now: it has said a part, and was not told to go on */
    uint64_t since_ms;
    struct mailbox *reply;
    void (*deliver)(struct mail *m, void *owner);
};

/* Does it finish sessions that are the business of this engine? */
static inline bool peer_engine_is_old(const struct peer_engine *e)
{
    return e->role == PEER_ENGINE_OLD && !e->has_ended;
}

/* It has a connection, has greeted, and answers. */
bool peer_engine_is_up(const struct peer_engine *e);
/* Notes that an answer is awaited. -ERR_NOMEM, -ERR_TOO_MANY. */
int peer_ask_begin(struct peer_engine *e, const struct peer_ask *ask) NODISCARD;
/* NULL when nothing of the kind is awaited. */
struct peer_ask *peer_ask_find(struct peer_engine *e, enum peer_ask_kind kind, uint64_t number,
                               unsigned worker);
/* Something is awaited again. */
void peer_ask_wait(struct peer_engine *e, struct peer_ask *a);
void peer_ask_free(struct peer_engine *e, struct peer_ask *a);
/* Whoever waits gets an end without rows: the engine is gone, or silent. */
void peer_engine_fail(struct peer_engine *e);
/* The same for one that was not even asked. */
void peer_ask_fail(enum peer_ask_kind kind, uint64_t number, size_t worker, struct mailbox *reply,
                   void (*deliver)(struct mail *m, void *owner));
/* Has something been awaited for too long? */
bool peer_engine_is_late(const struct peer_engine *e);
/* Workers of engines are counted through: own ones first, then PEER_ENGINE_WORKERS_MAX a slot. */
size_t peer_engine_worker(const struct peer_engine *e, unsigned worker);
