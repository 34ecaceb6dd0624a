/* SPDX-License-Identifier: ISC */
/* What new sessions work with: one config, its pools and the listeners' credentials, as one
 * immutable snapshot. */
#pragma once

#include "backend/pool.h"
#include "config/config.h"
#include "io/jobs.h"
#include "io/tls/tls.h"

struct snapshot_listener {
    const struct config_listener *config;
    struct tls_server *tls; /* NULL with tls off */
    unsigned mechanisms;    /* configured, announced or not, and served by some provider;
                               SASL_BIT_COMMAND too */
};

/* Reference-counted; published to every worker, held by every session. */
struct snapshot {
    atomic_uint refs;
    /* Hundreds of certificates take longer to free than a turn may: when the last reference is
     * gone, this may have the job done by another thread. False: it does not. NULL = it is freed
     * at once. */
    bool (*post_free)(void *arg, struct job *j);
    void *post_free_arg;
    struct job free_job;
    uint64_t generation; /* counts reloads; 1 = first */
    struct config *config;
    struct pools *pools;
    struct snapshot_listener *listeners;
    size_t n_listeners;
    struct tls_client **auth_tls; /* one for each provider; NULL where it is reached without TLS */
    struct tls_client *fleet_tls; /* towards the fleet's store; NULL likewise, or without a fleet */
};

/* Takes over the references of c and pools (also on failure). old (may be NULL) hands on its ticket
 * keys. 0 or -ERR_x with a sentence in *ret_error (owned). Blocking: reads certificates. */
int snapshot_new(struct config *c, struct pools *pools, const struct snapshot *old,
                 struct snapshot **ret, char **ret_error) NODISCARD;
/* The same config with other pools (a runtime edit); takes over the reference of pools. -ERR_NOMEM.
 */
int snapshot_with_pools(const struct snapshot *old, struct pools *pools,
                        struct snapshot **ret) NODISCARD;
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* NULL is fine */
/* Does this peer have to send a PROXY header? */
bool snapshot_listener_wants_proxy(const struct snapshot_listener *l, const struct addr *peer);
/* Is the client's address what this peer's PROXY header says? Else it is only told to auth servers.
 */
bool snapshot_listener_trusts_proxy(const struct snapshot_listener *l, const struct addr *peer);
/* NULL when there is none of that name (a reload removed it). */
const struct snapshot_listener *snapshot_listener_find(const struct snapshot *s, const char *name);
