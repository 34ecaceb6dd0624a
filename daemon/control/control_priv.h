/* SPDX-License-Identifier: ISC */
/* Inside of the control plane: what its files share. All functions: control thread unless they say
 * otherwise. */
#pragma once

#include "base/map.h"
#include "control/control.h"
#include "control/request.h"

/* Work that has to be done one after another: what one changes, the next one sees. */
struct turnstile {
    bool is_busy;
    struct list waiting; /* struct work */
};

struct control {
    const struct control_host *host;
    const command_fn *functions; /* of the commands, in the order of the table */
    /* A command that changes something was answered: "ok" or the error's name. */
    void (*on_change_answered)(struct control *c, const struct request *r, const char *result);
    struct jobs *jobs; /* own threads: operators never wait behind a flood of logins */
    struct server *server;
    struct runtime *runtime;
    struct events *events;
    struct history *history;
    struct sessions *sessions;
    struct ops *ops;
    struct logins *logins;
    struct configs *configs;
    json_t *paused;    /* listeners, see listeners.c */
    struct map moving; /* struct mover by user */
    struct limiter *limiter;
    struct upgrades *upgrades;
    struct list tracers;          /* traces under way */
    struct turnstile config_turn; /* config, pools, backends */
    struct turnstile user_turn;   /* users: read, change, write */
    struct turnstile op_turn;     /* what the store has of operations */
    struct turnstile rule_turn;   /* bans and overrides in the store */
    struct list works;            /* all works under way, for the end */
    uint64_t last_number;         /* of streams, queries, kills */
};

/* Mail of workers and jobs is handed the owner of the control loop. The engine's object begins with
 * the pointer to the control plane, so that this floor need not know the engine. */
static inline struct control *control_of(void *owner)
{
    return *(struct control **)owner;
}

static inline uint64_t control_next_number(struct control *c)
{
    return ++c->last_number;
}

static inline struct setup *control_setup(const struct control *c)
{
    return c->host->setup(c->host->arg);
}

/* A step that blocks, run by a job thread, and what follows it. Embed first. */
struct work {
    struct job job;
    struct list link;    /* of control.works */
    struct list waiting; /* of a turnstile */
    struct control *control;
    struct request *request; /* one reference; NULL = the daemon's own */
    struct turnstile *turn;  /* NULL = at once */
    int err;                 /* what start or run returned */
    char *error, *hint;      /* words for a failure, owned, may be NULL */
    /* Control thread, when the turn has come: looks at what those before left. -ERR_x (perhaps with
     * the request answered): done follows at once. May be NULL. */
    int (*start)(struct work *w);
    /* Thread: a job thread. Uses nothing but the work and what outlives the job threads (store,
     * registry). */
    int (*run)(struct work *w);
    /* Control thread, also after an error; answers the request. The turn is over when it returns.
     */
    void (*done)(struct work *w);
    /* Frees what the work holds but not itself. May be NULL. */
    void (*fini)(struct work *w);
};

/* Makes a work of size bytes (a struct that embeds struct work first) for a request, which it
 * references. NULL: the request was answered with the lack of memory. */
void *work_new(struct control *c, struct request *r, size_t size, int (*run)(struct work *w),
               void (*done)(struct work *w), void (*fini)(struct work *w));
/* Starts it, in its turn; it frees itself after done. */
void work_post(struct work *w, struct turnstile *turn);
/* Frees one that was not posted. */
void work_free(struct work *w);
/* Answers a failed work's request. True when it failed. */
bool work_fail(struct work *w);

/* An error object of JSON-RPC. */
json_t *request_error(int code, int err, const char *hint, struct str text);
