/* SPDX-License-Identifier: ISC */
/* Pools: the immutable table of where logins may go, and the choice of one backend for one user. */
#pragma once

#include "backend/backend.h"
#include "backend/pool_changes.h"
#include "backend/routes.h"
#include "config/config.h"
#include "io/tls/tls.h"

/* A backend as a member of a pool, with the runtime edits folded in. */
struct pool_member {
    struct backend *backend; /* one reference */
    char *host;
    struct addr addr;            /* that host is; AF_UNSPEC: it is a name */
    uint16_t ports[PROTO_COUNT]; /* never 0 */
    enum back_tls tls;
    unsigned weight;       /* 0 = only for users pinned to it */
    uint32_t max_sessions; /* 0 = no limit */
    uint64_t hash;         /* of the name: its half of the rendezvous hash */
    bool is_runtime;       /* edited or added through the control socket */
    bool is_in_file;
};

struct pool {
    const struct config_pool *config; /* of the config of pools: with the operators' changes */
    struct tls_client *tls;           /* NULL when no member has TLS */
    struct credentials master;        /* secret empty without master user */
    struct credentials check;         /* of the test login; user empty = none */
    struct pool_member *members;
    size_t n_members;
};

/* A snapshot: refcounted, immutable but for what the backends' state words say. */
struct pools {
    atomic_uint refs;
    struct config *config; /* with the operators' changes of pools; one reference */
    struct pool *v;
    size_t n;
    struct pool none;      /* where the config has no pool: the defaults, without members */
    struct routes *routes; /* in place of the config's; one reference, NULL = as in the config */
};

/* One runtime edit of a member. host NULL, weight -1, port 0, has_ false = as in the file. */
struct pool_edit {
    char *pool, *name, *host;
    uint16_t ports[PROTO_COUNT];
    enum config_backend_tls tls;
    bool has_tls, has_max_sessions;
    int weight;
    uint32_t max_sessions;
    bool is_added, is_removed;
    bool is_temporary;
    char admin[12]; /* state word of a backend object that is made anew (after a restart): "ready",
                       "drain"... "" = none */
};

/* Keeps the shared backend objects over reloads; has a lock of its own. */
struct backend_registry;
int backend_registry_new(struct backend_registry **ret) NODISCARD;
/* NULL is fine. Objects that others still hold live on. */
void backend_registry_free(struct backend_registry *r);
/* The backend object of pool/name: existing or new (then *ret_is_new, may be NULL). One reference
 * for the caller; NULL when out of memory. Thread: any. */
struct backend *backend_registry_get(struct backend_registry *r, const char *pool, const char *name,
                                     bool *ret_is_new);
/* Forgets members of pools that nobody holds any more. Thread: any. */
void backend_registry_sweep(struct backend_registry *r);
/* The routes that pools_build puts into a snapshot in place of the config's; NULL = none. Takes a
 * reference. Thread: any. */
void backend_registry_set_routes(struct backend_registry *r, struct routes *routes);
/* One reference, or NULL. */
struct routes *backend_registry_routes(struct backend_registry *r);
/* The same of the changes of pools. */
void backend_registry_set_changes(struct backend_registry *r, struct pool_changes *changes);
struct pool_changes *backend_registry_changes(struct backend_registry *r);
/* The pools built last, for what a new snapshot of the same config can share: one reference, NULL
 * before the first. Thread: any. */
struct pools *backend_registry_last(struct backend_registry *r);
void backend_registry_set_last(struct backend_registry *r, struct pools *p);
/* The object of an address that is in no pool; takes a short lock. One reference for the caller;
 * NULL when out of memory or over 4096 of them: then the one that nobody asked for longest makes
 * room, but never one with sessions or with an operator's word. Thread: any. */
struct backend *backend_registry_dynamic(struct backend_registry *r, const char *host,
                                         uint16_t port);
/* All dynamic backends (one reference each), owned array. Thread: any. */
int backend_registry_dynamics(struct backend_registry *r, struct backend ***ret,
                              size_t *ret_n) NODISCARD;

/* Builds a snapshot (one reference; takes one of c): config + the registry's changes of pools +
 * edits. Edits of pools or backends that there are no more are passed over, and so are changes that
 * cannot be applied. Files are read once for a config: other edits of it share what was loaded.
 * Errors as a sentence in *ret_error (owned).
 * Blocking (reads CA and password files). Thread: any. */
int pools_build(struct config *c, const struct pool_edit *edits, size_t n_edits,
                struct backend_registry *r, struct pools **ret, char **ret_error) NODISCARD;
/* pools_build_aside with other changes of pools (NULL = none), which all have to be applicable:
 * -ERR_CONFIG. Who puts it in force calls backend_registry_set_last. */
int pools_build_changed(struct config *c, const struct pool_changes *changes,
                        const struct pool_edit *edits, size_t n_edits, struct backend_registry *r,
                        struct pools **ret, char **ret_error) NODISCARD;
/* pools_build only to look: what is built next shares nothing with it. */
int pools_build_aside(struct config *c, const struct pool_edit *edits, size_t n_edits,
                      struct backend_registry *r, struct pools **ret, char **ret_error) NODISCARD;
struct pools *pools_ref(struct pools *p);
void pools_unref(struct pools *p);
/* The routes in force. */
const struct config_route *pools_routes(const struct pools *p, size_t *ret_n);
/* Of a snapshot that nobody else sees yet: other routes; takes a reference; NULL = the config's. */
void pools_set_routes(struct pools *p, struct routes *routes);
const struct pool *pools_find(const struct pools *p, const char *name);
/* Member by name; pool NULL = any pool. */
const struct pool_member *pools_member(const struct pools *p, const char *pool, const char *name,
                                       const struct pool **ret_pool);
/* Member whose address for a protocol is host:port (an auth server named it): of the pool `first`,
 * else of any. *ret_pool is left as it is when there is none. */
const struct pool_member *pools_member_at(const struct pools *p, const struct pool *first,
                                          const char *host, uint16_t port, enum proto_id proto,
                                          const struct pool **ret_pool);

#define POOL_TRIES_MAX 16
struct pool_choice {
    struct str user; /* key of the rendezvous hash */
    enum proto_id proto;
    const struct backend *tried[POOL_TRIES_MAX];
    size_t n_tried;
    uint64_t now_ms;
    unsigned *round_robin; /* per-worker counter */
};
/* Picks a member: ready, not tried, of weight, up (or down and due for a try). With BALANCE_USER
 * the first of pool_order that is not drained, disabled, down or full; with the others held members
 * count only when nobody else is left. 0; -ERR_BUSY: the right one is on hold (wait); else why none
 * is usable: -ERR_POOL_FULL (wait), -ERR_POOL_EMPTY, -ERR_POOL_DRAINED or -ERR_POOL_DOWN. Thread:
 * any. */
int pool_pick(const struct pool *p, const struct pool_choice *c,
              const struct pool_member **ret) NODISCARD;
/* What pool_pick would say to somebody who waits for a place: -ERR_POOL_FULL also when one is free,
 * which places.h has to give. */
int pool_look(const struct pool *p, const struct pool_choice *c) NODISCARD;
/* Is b a member that pool_pick would choose, or would if it were not full? Thread: any. */
bool pool_would_take(const struct pool *p, const struct pool_choice *c, const struct backend *b);
/* Members in the order in which `user` would try them (all, with no regard to state): for `route
 * explain`. order holds n_members slots. */
void pool_order(const struct pool *p, struct str user, uint64_t now_ms,
                const struct pool_member **order);
