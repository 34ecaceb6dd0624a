/* SPDX-License-Identifier: ISC */
/* Configurations made by hand, and the pools that are built from them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/pool.h"

#define CASE_BACKENDS_MAX 16
#define CASE_POOLS_MAX 4
#define CASE_LISTENERS_MAX 8

/* One configuration; lives as long as the test, whatever its references say. */
struct pools_case {
    struct config config;
    struct config_pool pools[CASE_POOLS_MAX];
    struct config_backend backends[CASE_POOLS_MAX][CASE_BACKENDS_MAX];
    struct config_listener listeners[CASE_LISTENERS_MAX];
    struct backend_registry *registry;
};

static inline void pools_case_init(struct pools_case *c)
{
    *c = (struct pools_case){
        .config = {
            .refs = 1, .server_name = "proxy.test", .pools = c->pools, .listeners = c->listeners}};
    assert_int_equal(backend_registry_new(&c->registry), 0);
}

static inline void pools_case_fini(struct pools_case *c)
{
    backend_registry_free(c->registry);
    assert_int_equal(c->config.refs, 1); /* else a snapshot leaks */
}

static inline struct config_pool *pools_case_add(struct pools_case *c, const char *name,
                                                 enum config_balance balance)
{
    size_t i = c->config.n_pools++;
    assert_true(i < CASE_POOLS_MAX);
    c->pools[i] = (struct config_pool){.name = name,
                                       .balance = balance,
                                       .max_tries = 3,
                                       .check = {.rise = 2, .fall = 3},
                                       .backends = c->backends[i]};
    return &c->pools[i];
}

static inline struct config_backend *pools_case_member(struct config_pool *p, const char *name,
                                                       const char *host, unsigned weight)
{
    size_t i = p->n_backends++;
    assert_true(i < CASE_BACKENDS_MAX);
    p->backends[i] = (struct config_backend){.name = name, .host = host, .weight = weight};
    return &p->backends[i];
}

static inline struct config_listener *pools_case_listener(struct pools_case *c, const char *name,
                                                          const struct proto *proto,
                                                          const char *pool)
{
    size_t i = c->config.n_listeners++;
    assert_true(i < CASE_LISTENERS_MAX);
    c->listeners[i] = (struct config_listener){.name = name, .proto = proto, .pool = pool};
    return &c->listeners[i];
}

static inline struct pools *pools_case_build(struct pools_case *c, const struct pool_edit *edits,
                                             size_t n)
{
    struct pools *p = NULL;
    AUTO_FREE char *error = NULL;
    if (pools_build(&c->config, edits, n, c->registry, &p, &error) < 0)
        fail_msg("not built: %s", error ? error : "no reason given");
    return p;
}

/* The member of a name; fails the test when there is none. */
static inline const struct pool_member *pools_case_find(const struct pools *p, const char *name)
{
    const struct pool_member *m = pools_member(p, NULL, name, NULL);
    if (!m)
        fail_msg("no member %s", name);
    return m;
}

static inline struct backend *pools_case_backend(const struct pools *p, const char *name)
{
    return pools_case_find(p, name)->backend;
}
