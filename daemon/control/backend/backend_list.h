/* SPDX-License-Identifier: ISC */
/* What the files of the backend commands share. All functions: control thread, unless they say
 * otherwise. */
#pragma once

#include "ops/ops.h"
#include "runtime/backend_ports.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

/* A backend that a command names. */
struct target {
    struct backend *backend; /* one reference */
    char *pool, *name;       /* owned */
    const struct pool *in;   /* of the present snapshot; NULL = dynamic */
    const struct pool_member *member;
};

/* Finds "name" or "pool/name" among the pools of the present snapshot and the dynamic backends.
 * When there is none, or several of that name, the request is answered and -ERR_x returned. */
int target_find(struct request *r, const char *text, struct target *ret) NODISCARD;
void target_fini(struct target *t);
/* Backends that a command names, and those that its filter picks; none twice. */
struct targets {
    struct target *v;
    size_t n;
};
#define TARGETS_MAX 200
/* Finds those of the parameters name and filter. When one is not there, or there are none, the
 * request is answered and -ERR_x returned. */
int targets_find(struct request *r, struct targets *ret) NODISCARD;
/* The backends, borrowed; free the array. NULL without memory. */
struct backend **targets_backends(const struct targets *t);
void targets_fini(struct targets *t);

/* The same for a pool. */
void pool_fail(struct request *r, const char *name);

struct backend_change;
/* What a command does to the edits of a backend. Static. */
struct backend_edit {
    /* Once, in its turn: refuses, and works out ch->given. -ERR_x with work.error or the request
     * answered. NULL: there is nothing to refuse. */
    int (*check)(struct backend_change *ch);
    /* Applies it: first to what is in force, then to what is stored. -ERR_NOMEM. */
    int (*apply)(struct backend_change *ch, struct runtime_edit *e);
};

/* What a request says of a backend; what it does not say stays as it is. */
struct backend_given {
    const char *host; /* borrowed; NULL = not given */
    uint16_t ports[PROTO_COUNT];
    bool has_tls, has_weight, has_max_sessions;
    enum config_backend_tls tls;
    uint32_t weight, max_sessions;
};

/* A change of the runtime layer by one request. */
struct backend_change {
    struct work work;
    const struct backend_edit *edit;
    struct runtime_stage stage;
    char *pool, *name;                /* of the backend, owned */
    struct backend *backend;          /* one reference */
    const struct pool *in;            /* of the present snapshot; valid in edit */
    const struct pool_member *member; /* NULL: not in its pool (any more), or dynamic */
    /* What the file says of it, NULL = not in the file; valid in edit. */
    const struct config_backend *file;
    struct backend_given given;
    struct config *config;                  /* one reference: for pools_build */
    struct pools *pools;                    /* built, one reference */
    bool is_changed, is_rebuilt, is_stored; /* is_stored: the store's row changes */
    bool is_row_bad;                        /* what the store has of it cannot be read */
    bool is_pin_barred;                     /* refused while users are pinned to it */
    struct backend_states *states; /* of backends_set; owned, NULL = a plain answer follows */
};
/* Starts it for the backend of parameter "name"; takes over r. is_rebuilt: pools change, not only a
 * state. */
void change_start(struct request *r, bool is_rebuilt, const struct backend_edit *edit);
/* The same for a backend that is known; takes over r, pool, name and the reference of b. */
void change_post(struct request *r, char *pool, char *name, struct backend *b, bool is_rebuilt,
                 const struct backend_edit *edit);
/* Gives backends a state, one after another; when all have it, `then` (an operation) answers. Takes
 * over r and what t holds. */
void backends_set(struct request *r, struct targets *t, enum backend_admin admin,
                  void (*then)(struct request *r, const struct op_backends *set));
/* For an edit: the state that an operator wants, with the reason of the request. */
int change_set_admin(struct backend_change *ch, struct runtime_edit *e, enum backend_admin admin);
/* Refuses it with a sentence, which it takes over; returns err. */
int change_refuse(struct backend_change *ch, int err, char *text);
