/* SPDX-License-Identifier: ISC */
/* One request of an operator: its checked parameters, and its one answer. All functions: control
 * thread. */
#pragma once

#include "base/container/list.h"
#include "rpc/command.h"

struct client;
struct upload;
struct request;
struct rpc;

/* Who asks. */
#define PEER_USER_MAX 128

struct peer {
    uint32_t uid, pid;
    enum role role;
    char user[PEER_USER_MAX + 1]; /* name, else the uid as text; of a fleet name@node */
};

/* What a request needs of the connection that it came by. */
struct request_origin_ops {
    /* The client waits for this request, and no longer. */
    void (*begun)(struct client *c, struct request *r);
    void (*done)(struct client *c, struct request *r);
    void (*send)(struct client *c, const json_t *message);
    void (*send_result)(struct client *c, const json_t *id, struct str result);
    void (*drop)(struct client *c, const char *reason);
};

/* Where a request comes from. Borrowed. */
struct request_origin {
    const struct request_origin_ops *ops;
    struct client *client;
    struct upload *upload; /* what the client has sent of a long file */
    struct peer peer;
};

/* How a request of the daemon itself was answered. Borrowed. */
struct request_outcome {
    const char *error;  /* a sentence; NULL = done */
    const json_t *body; /* the result, or the error object of JSON-RPC; NULL: text has the result */
    struct str text;    /* JSON */
};

/* Counted: the answer may come long after, when the client is gone. */
struct request {
    unsigned refs;
    struct rpc *rpc;
    struct client *client;                   /* NULL: gone, or a request of the daemon itself */
    const struct request_origin_ops *origin; /* used while there is a client */
    struct upload *upload;                   /* likewise */
    const struct command *command;
    json_t *id, *params; /* params as command_check makes them */
    struct peer peer;
    uint64_t said_ms; /* wall clock: when it was asked for; 0 = now */
    char *masked;     /* arguments for the audit */
    bool is_answered;
    bool is_quiet;    /* nothing to audit: a part of a longer change */
    bool is_spread;   /* others were told, or need not be */
    struct list wait; /* of who holds it back */
    json_t *held;     /* the answer, while others are told */
    char *held_text;  /* the same as text */
    /* Of the daemon's own. */
    void (*answered)(void *arg, const struct request_outcome *o);
    void *answered_arg;
    uint64_t count; /* objects hit, for the audit */
};

/* Takes over id (NULL = a notification: no answer is sent). params as the client sent them,
 * borrowed, may be NULL. Checks role and parameters; what is wrong is answered. Runs the command.
 */
void request_start(struct rpc *rpc, const struct request_origin *origin, const char *method,
                   json_t *id, const json_t *params);
/* Runs a command that was held back, or goes on with an answer that waited; see struct rpc. */
void request_run(struct request *r);
void request_release(struct request *r);
/* A command that the daemon runs by itself on behalf of peer, as a part of something longer; takes
 * over params. said_ms: wall clock, when it was asked for, at another node and long ago perhaps; 0
 * = now. answered: once, unless the control plane ends before. -ERR_NOMEM: nothing was started. */
int request_start_own(struct rpc *rpc, const struct peer *peer, const char *method, json_t *params,
                      uint64_t said_ms,
                      void (*answered)(void *arg, const struct request_outcome *o),
                      void *arg) NODISCARD;
/* The same of a part of what was asked of several nodes. */
struct request_part {
    const struct peer *peer; /* borrowed, as all but params */
    const char *method;
    json_t *params;      /* taken over */
    const json_t *asked; /* the parameters of who asked that this node's share replaces (null: there
                            was none), for the audit; NULL = all are theirs */
    uint64_t said_ms;
    void (*answered)(void *arg, const struct request_outcome *o);
    void *arg;
};
int request_start_part(struct rpc *rpc, const struct request_part *part) NODISCARD;
/* The end of what is to hold for so long from when it was asked for: the same at all nodes that run
 * the command, whenever they hear of it. Wall clock, ms; 0 for 0 (no end). */
uint64_t request_until_ms(const struct request *r, uint64_t for_ms);
/* That end has come before this node heard of the command: r was answered, nothing is to be done.
 */
bool request_is_over(struct request *r, uint64_t for_ms) NODISCARD;
/* May who asks run this command? False: r was answered. */
bool request_is_permitted(struct request *r, const struct command *c) NODISCARD;
/* Does anybody wait for the answer still: a connection, or what runs a command of the daemon itself
 * (one that was asked for at another node)? */
bool request_is_wanted(const struct request *r);
struct request *request_ref(struct request *r);
void request_unref(struct request *r); /* NULL is fine */

/* ---- parameters: absent ones are NULL, false, other ---- */

/* Was it given at all? */
bool request_has(const struct request *r, const char *name);
/* Borrowed until the request ends. */
const char *request_text(const struct request *r, const char *name);
/* True when it was given and is true. */
bool request_bool(const struct request *r, const char *name);
/* A number, or the milliseconds or bytes of a duration or size. */
uint64_t request_number(const struct request *r, const char *name, uint64_t other);
/* The values of a MANY argument: an array, or NULL. Borrowed. */
const json_t *request_list(const struct request *r, const char *name);
/* The compiled filter argument, NULL in *ret_filter when there is none or an empty one. On an error
 * the request is answered and -ERR_x returned. */
int request_filter(struct request *r, const char *name, const struct filter_field *fields,
                   size_t n_fields, struct filter **ret_filter) NODISCARD;
/* The same for the argument "filter" of what picks rows of a list: method is the list's, NULL =
 * that of r itself. */
int request_filter_rows(struct request *r, const char *method,
                        struct filter **ret_filter) NODISCARD;

/* ---- answers: exactly one; each takes over what it gets and drops a reference of r ---- */

/* Answers with a result; NULL = there was no memory for it. */
void request_answer(struct request *r, json_t *result);
/* The same with JSON that was written already; borrowed. */
void request_answer_text(struct request *r, struct str result);
/* The answer of a LIST: rows (may be NULL after lack of memory), cursor NULL = complete. */
void request_rows(struct request *r, json_t *rows, const char *cursor);
/* The answer of a change: how many objects, whether anything is different now, and a sentence
 * (printf, NULL = none). */
void request_done(struct request *r, uint64_t count, bool is_changed, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with rows that were hit. */
void request_hit(struct request *r, uint64_t count, bool is_changed, json_t *rows);
/* The same with rows as JSON text, commas between them, borrowed, and further members of the result
 * (NULL = none; taken over). */
void request_hit_text(struct request *r, uint64_t count, bool is_changed, struct str rows,
                      json_t *more);
/* err is ERR_x or -ERR_x; hint and fmt may be NULL (then the error's own text). */
void request_fail(struct request *r, int err, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The end without an answer: the control plane is gone, and so is the client. */
void request_abandon(struct request *r);

/* A JSON text of bytes from outside: what is not UTF-8 becomes '?'. */
json_t *request_json(struct str s);
/* An error object of JSON-RPC. */
json_t *request_error(int code, int err, const char *hint, struct str text);
/* Sets a member to a text unless it is NULL or empty; or to a number unless it is 0. */
void request_set_text(json_t *row, const char *name, const char *text);
void request_set_number(json_t *row, const char *name, uint64_t v);
/* Sets it also when it is 0. */
void request_put_number(json_t *row, const char *name, uint64_t v);
