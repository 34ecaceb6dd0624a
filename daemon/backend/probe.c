/* SPDX-License-Identifier: ISC */
/* Looks at one protocol of one backend: what a check asks for, and what is learned on the way. */
#include "backend/probe.h"

#include <stdio.h>

#include "base/clock.h"
#include "proto/registry/registry.h"

#define PROBE_TIMEOUT_MS 5000 /* where the pool says nothing */

static void probe_learn(struct probe *p, const struct login_outcome *o)
{
    struct backend *b = p->spec.member->backend;
    struct tls_info info;
    _Atomic int64_t *expires = &b->cert_expires[p->spec.proto];
    if (p->spec.member->tls == BACK_TLS_OFF)
        atomic_store_explicit(expires, 0, memory_order_relaxed);
    else if (conn_tls_info(&p->conn, &info) && info.cert_expires)
        atomic_store_explicit(expires, info.cert_expires, memory_order_relaxed);
    if (o->failure == BACK_FAIL_NONE && o->learned.n > 0)
        backend_learn(b, p->spec.proto, o->learned);
    atomic_store_explicit(&b->last_check_ms, clock_wall_ms(), memory_order_relaxed);
    atomic_store_explicit(&b->check_us, o->total_us, memory_order_relaxed);
}

static void on_probe_login(void *arg, struct login_outcome *o)
{
    struct probe *p = arg;
    struct pools *pools = p->spec.pools;
    char text[BACKEND_REASON_MAX] = "";
    p->login = NULL;
    probe_learn(p, o);
    conn_close(&p->conn);
    if (o->failure != BACK_FAIL_NONE)
        snprintf(text, sizeof(text), "%s: %s: %.*s", proto_get(p->spec.proto)->name, o->step,
                 STR_ARG(o->message));
    p->spec.found(p, o->failure, text);
    pools_unref(pools);
}

/* What a check says of the one behind it: nothing. */
static const struct proxyhdr probe_proxy = {.is_local = true};

int probe_begin(struct probe *p, const struct probe_spec *spec)
{
    const struct pool *pool = spec->pool;
    const struct config_pool *c = pool->config;
    struct addr source;
    /* Where logins are trusted without AUTH (SMTP) a check is too. */
    const struct config *config = spec->pools->config;
    bool is_auth_wanted = c->smtp_auth != CONFIG_SMTP_AUTH_OFF;
    for (size_t i = 0; i < config->n_auths; i++)
        is_auth_wanted = is_auth_wanted || config->auths[i].type == AUTH_TYPE_BACKEND;
    struct login_spec login = {
        .loop = spec->loop,
        .resolver = spec->resolver,
        .conn = &p->conn,
        .proto = proto_get(spec->proto),
        .proxy = c->forward & (FORWARD_PROXY_V1 | FORWARD_PROXY_V2) ? &probe_proxy : NULL,
        .is_proxy_v2 = c->forward & FORWARD_PROXY_V2,
        .env = {.cred = pool->check.user.len > 0 ? &pool->check : NULL,
                .is_pipelining_allowed = c->is_pipelining,
                .want_capabilities = true,
                .is_check = true,
                .is_ehlo = true,
                .is_auth_wanted = is_auth_wanted,
                .is_auth_forced = c->smtp_auth == CONFIG_SMTP_AUTH_FORCED,
                .server_name = config->server_name},
        .total_ms = c->check.timeout_ms ? c->check.timeout_ms : PROBE_TIMEOUT_MS,
        .done = on_probe_login,
        .arg = p,
    };
    login_spec_to(&login, pool, spec->member, &source);
    int err = login_start(&login, &p->login);
    if (err < 0)
        return err;
    p->spec = *spec;
    p->begun_us = clock_us();
    pools_ref(spec->pools);
    return 0;
}

bool probe_is_running(const struct probe *p)
{
    return p->login != NULL;
}

void probe_cancel(struct probe *p)
{
    if (!p->login)
        return;
    login_cancel(STEAL(p->login));
    pools_unref(p->spec.pools);
}
