/* SPDX-License-Identifier: ISC */
/* Where a login goes: from the answer of authentication and the config to a pool or one backend. */
#pragma once

#include "session/snapshot.h"

/* What decides. Strings borrowed, NULL = not said. */
struct route_request {
    const char *user;
    const struct proto *proto;
    const struct config_listener *listener;
    const char *server_host; /* an auth server named it */
    uint16_t server_port;
    const char *pool, *backend; /* pin of the user or of the auth server */
};

struct route {
    const struct pool *pool; /* how the backend is reached: TLS, forwarding, authentication;
                                balances when no backend is fixed. Never NULL */
    const struct pool_member *member; /* one fixed backend */
    struct backend *dynamic;          /* a server in no pool that an auth server named; one
                                         reference */
    char *host;                       /* of the dynamic backend, owned */
    uint16_t port;
    const struct config_route *rule; /* that matched, or NULL */
    const char *reason; /* "auth server", "user's backend", "user's pool", "listener", "route",
                           "default pool"; static */
};

/* Drops the references; it is empty afterwards, and may be before. */
void route_fini(struct route *r);
/* 0; -ERR_NO_BACKEND (a pin that is not there), -ERR_NO_POOL, -ERR_NOMEM. Borrows from snapshot. */
int route_find(const struct snapshot *snapshot, struct backend_registry *registry,
               const struct route_request *q, struct route *ret) NODISCARD;
/* The first of these routes that a login follows; NULL = none, the default pool takes it. */
const struct config_route *route_rule(const struct config_route *v, size_t n,
                                      const struct route_request *q);
