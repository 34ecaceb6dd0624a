/* SPDX-License-Identifier: ISC */
/* What operators changed on backends beside the file: in force at once, kept in the store. All
 * functions: control thread, unless they say otherwise. */
#pragma once

#include "backend/pool.h"
#include "base/container/list.h"
#include "rpc/request.h"

struct control;
struct runtime;
struct store;

#define RUNTIME_WEIGHT_MAX 1000
#define RUNTIME_MAX_SESSIONS_MAX 10000000 /* as the key's */
#define RUNTIME_WEIGHT_DEFAULT 100        /* of an added backend */
#define RUNTIME_DYNAMIC "(dynamic)"       /* pool of backends that an auth server named */

/* What can be edited. */
enum runtime_value {
    RUNTIME_ADDED,
    RUNTIME_REMOVED,
    RUNTIME_HOST,
    RUNTIME_PORTS,
    RUNTIME_TLS,
    RUNTIME_WEIGHT,
    RUNTIME_MAX_SESSIONS,
    RUNTIME_ADMIN,
    RUNTIME_VALUES,
};

/* The edits of one backend. */
struct runtime_edit {
    struct pool_edit edit; /* strings owned */
    char *reason;          /* of its state, owned, may be NULL */
    uint64_t since_ms;     /* when the state was set */
};
/* Does the edit set any port? */
bool runtime_edit_has_ports(const struct pool_edit *e);
/* True when nothing differs from the file. */
bool runtime_edit_is_empty(const struct runtime_edit *e);
bool runtime_edit_is_equal(const struct runtime_edit *a, const struct runtime_edit *b);
/* dst is filled in. -ERR_NOMEM: it is empty. */
int runtime_edit_copy(struct runtime_edit *dst, const struct runtime_edit *src) NODISCARD;
void runtime_edit_fini(struct runtime_edit *e);
/* Drops all edits; the names stay. */
void runtime_edit_clear(struct runtime_edit *e);
/* Will a restart bring this value back as it is now? */
bool runtime_edit_keeps(const struct runtime_edit *now, const struct runtime_edit *stored,
                        enum runtime_value which);
/* What is edited, for people: "host, weight (until restart), drain"; "" without edits. stored may
 * be NULL: nothing is said of restarts. */
int runtime_edit_describe(const struct runtime_edit *e, const struct runtime_edit *stored,
                          struct buf *out) NODISCARD;
/* Drops what the file says too (file NULL: it does not have the backend). True when something was
 * dropped. */
bool runtime_edit_absorb(struct runtime_edit *e, const struct config_backend *file);
/* Drops what settling took from before to after: the file has the last word on it, also when a
 * restart would bring back something older. */
void runtime_edit_follow(struct runtime_edit *stored, const struct runtime_edit *before,
                         const struct runtime_edit *after);
/* The value of a row of the store, and back; what is wrong with it as a sentence (owned). */
json_t *runtime_edit_json(const struct runtime_edit *e);
int runtime_edit_parse(const char *json, struct runtime_edit *ret, char **ret_error) NODISCARD;

struct runtime_entry {
    struct list link;
    struct runtime_edit now, stored; /* in force; what a restart brings back */
    struct backend *backend;         /* keeps the object with its state: one reference, or NULL */
};

/* Loads the edits and sets the states of their backends. Rows that cannot be read are reported and
 * stay in the store. Blocking. */
int runtime_new(struct control *c, struct runtime **ret, char **ret_error) NODISCARD;
void runtime_free(struct runtime *r); /* NULL is fine */

/* All edits in force, for pools_build; borrowed until the next change. */
const struct pool_edit *runtime_edits(const struct runtime *r, size_t *ret_n);
/* The same as a copy, for who looks without a turn of control.config_queue; owned. -ERR_NOMEM. */
int runtime_edits_copy(const struct runtime *r, struct pool_edit **ret, size_t *ret_n) NODISCARD;
void runtime_edits_free(struct pool_edit *edits, size_t n); /* NULL is fine */
/* The entries, struct runtime_entry. */
const struct list *runtime_entries(const struct runtime *r);
const struct runtime_entry *runtime_find(const struct runtime *r, const char *pool,
                                         const char *name);
/* Names of rows that could not be read: an array of texts. Borrowed. */
const json_t *runtime_unreadable(const struct runtime *r);
bool runtime_is_unreadable(const struct runtime *r, const char *pool, const char *name);

/* A change under way: the edits as they will be. Begin and end it within one turn of
 * control.config_queue. */
struct runtime_stage {
    struct runtime_entry *entry; /* the changed copy, owned */
    struct pool_edit *edits;     /* array owned, its strings borrowed */
    size_t n_edits;
    bool is_written; /* the store has it */
};
/* Copies what is known of a backend for a change. */
int runtime_stage_begin(const struct runtime *r, const char *pool, const char *name,
                        struct runtime_stage *ret) NODISCARD;
/* Lists the edits with the change in them. */
int runtime_stage_list(const struct runtime *r, struct runtime_stage *s) NODISCARD;
/* The same for several changes that are committed together, in their order: the last one has the
 * list. n is 1 at least. */
int runtime_stages_list(const struct runtime *r, struct runtime_stage *v, size_t n) NODISCARD;
/* Writes the changed entry into the store. Thread: any. */
int runtime_stage_store(struct runtime_stage *s, struct store *store) NODISCARD;
/* Puts it in force; the stage is empty afterwards. */
void runtime_stage_commit(struct runtime *r, struct runtime_stage *s);
void runtime_stage_fini(struct runtime_stage *s);
