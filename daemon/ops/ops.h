/* SPDX-License-Identifier: ISC */
/* Operations: what takes longer than an answer. Each has an id, progress and an outcome that is
 * kept for a day, in the store too. All functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "base/container/list.h"
#include "rpc/request.h"

struct control;
struct ops;

#define OP_UPGRADE "upgrade" /* the kind whose end another engine sees */

enum op_state { OP_RUNNING, OP_DONE, OP_FAILED, OP_PARTIAL, OP_CANCELLED, OP_INTERRUPTED };

/* What runs an operation. Static. */
struct op_kind {
    const char *name;
    /* Begins the work once the store can tell of it, or cannot be written: what a crash interrupts
     * has to be said afterwards. NULL = it has begun. */
    void (*start)(void *arg);
    /* Ends it with op_end, now or soon. NULL = it cannot be cancelled. */
    void (*cancel)(void *arg);
    /* Brings done, total and eta up to date before they are shown. May be NULL. */
    void (*refresh)(void *arg);
    /* The end of the control plane while it runs: frees arg. */
    void (*drop)(void *arg);
    /* A client does what this daemon does not: begins to attend, reports; each answers r. NULL =
     * there is nothing to do. */
    void (*attend)(void *arg, struct request *r);
    void (*report)(void *arg, struct request *r);
    /* Appends rows of op users for those that are under way. May be NULL. */
    void (*users)(void *arg, json_t *rows);
    bool is_uninterruptible; /* an upgrade has to wait for it */
};

struct op {
    struct list link;
    struct ops *ops;
    uint64_t id;
    const struct op_kind *kind; /* NULL: of an earlier start */
    void *arg;                  /* of the kind, while it runs */
    char *name, *target;        /* of the kind; what it works on */
    struct peer peer;           /* who began it */
    enum op_state state;
    uint64_t started_ms, ended_ms; /* wall clock */
    uint64_t done, total, failed;
    uint64_t eta_ms; /* until it is done; 0 = unknown */
    char *text;      /* what it does now; its outcome */
    bool is_cancelled;
    bool is_unstored; /* the store is another engine's */
    uint32_t engine;  /* process id of the one that runs it; 0 = this one, or none */
    uint64_t stored;  /* progress that the store has */
    bool is_end_told; /* the engine that serves knows its outcome */
    json_t *users;    /* what became of single users: rows of op users; NULL */
};

/* What a command has made of backends, for the operation that follows it. */
struct op_backends {
    struct backend *const *v; /* at least one; borrowed for the call */
    size_t n;
    enum backend_admin admin;
    size_t n_changed; /* that had another state before */
};
/* What an operation on backends works on, for op_begin: "main/b1, main/b2"; owned, NULL without
 * memory. */
char *op_target(struct backend *const *backends, size_t n);
/* Loads earlier ones; those that still ran were interrupted. Blocking. */
int ops_new(struct control *c, struct ops **ret, char **ret_error) NODISCARD;
void ops_free(struct ops *o); /* NULL is fine */
/* Another engine goes on with the store: what begins from now on is only kept here. */
void ops_retire(struct ops *o);
/* One that runs and that an upgrade must not interrupt, or NULL. */
const struct op *op_uninterruptible(const struct control *c);

/* Makes one on behalf of who asks; -ERR_NOMEM. It belongs to the ops; op_start comes next. */
int op_begin(struct control *c, const struct op_kind *kind, const char *target,
             const struct peer *peer, void *arg, struct op **ret) NODISCARD;
/* Records it with what it says by now, then starts the work. Use it until op_end. */
void op_start(struct op *op);
/* One of a kind that runs on a target, or NULL. */
struct op *op_find(struct control *c, const struct op_kind *kind, const char *target);
/* The one with this id, or NULL. */
struct op *op_of_id(const struct ops *o, uint64_t id);
/* An engine that finishes says of its operations (rows of op list) how they are. */
void ops_take(struct ops *o, uint32_t pid, const json_t *rows);
/* That engine is gone: what it did not tell the end of was interrupted. */
void ops_lose(struct ops *o, uint32_t pid);
/* Those that began in this engine, as rows, for the engine that serves; owned, NULL = none. An
 * outcome is among them once; after a new connection (is_anew), once more. */
json_t *ops_own(struct ops *o, bool is_anew);
/* Has it been asked to stop now? False: it is over, or was asked already. */
bool op_cancel(struct op *op);
/* All that are known, oldest first; struct op by its link. */
struct list *ops_all(struct ops *o);
/* Brings its progress up to date. */
void op_refresh(struct op *op);
/* Milliseconds that `left` more take at the pace so far; 0 = not known, also where the clock of the
 * world went back behind its start. Thread: control. */
uint64_t op_time_left(const struct op *op, uint64_t left);
/* The columns of op list, which the store has, too; NULL without memory. */
json_t *op_row(const struct op *op);
/* Says what it does now (printf). */
void op_say(struct op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Keeps a row of op users, which it takes over. */
void op_note_user(struct op *op, json_t *row);
/* Its outcome; arg is not used any more. */
void op_end(struct op *op, enum op_state state, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Answers a request with the operation that goes on; takes over r. note: further words for the
 * operator, NULL = none. */
void op_answer(const struct op *op, struct request *r, uint64_t count, bool is_changed,
               const char *note);
