/* SPDX-License-Identifier: ISC */
/* The login dialogue with one mail server: resolve, connect, PROXY header, TLS, the protocol's
 * steps. Serves logins and health checks. */
#pragma once

#include "backend/pool.h"
#include "io/conn.h"
#include "io/resolver.h"
#include "proto/back.h"
#include "proto/proxyhdr.h"

struct login;

struct login_outcome {
    enum back_failure failure; /* BACK_FAIL_NONE = logged in */
    const char *step; /* where it ended: "resolve" "connect" "tls" or the dialogue's step; static */
    struct str message; /* the server's or library's words, printable */
    struct str code;    /* SMTP code with a failure */
    bool were_credentials_sent;
    struct back_success *success;
    struct buf
        *rest; /* bytes of the server after its success reply: first of the relay (may be taken) */
    struct str learned; /* capabilities */
    struct addr server; /* address connected to */
    uint64_t connect_us, total_us;
};

/* Everything is borrowed until the callback or login_cancel. */
struct login_spec {
    struct loop *loop;
    struct resolver *resolver;
    struct conn *conn; /* closed, initialised by login_start; on success connected, logged in,
                          reading off, for the caller to re-own */
    const struct proto *proto;
    const char *host;
    uint16_t port;
    enum back_tls tls;
    struct tls_client *tls_client;
    const struct proxyhdr *proxy; /* NULL = none */
    bool is_proxy_v2;
    const struct addr *source;
    struct back_env env; /* copied; its strings borrowed */
    uint64_t connect_ms, login_ms;
    /* state changes for the owner's listing ("connect", "tls", "login"); may be NULL */
    void (*progress)(void *arg, const char *step);
    void (*done)(void *arg,
                 struct login_outcome *o); /* once; the login is freed after it returns */
    void *arg;
};

int login_start(const struct login_spec *spec, struct login **ret) NODISCARD;
/* Closes the connection; done will not run. NULL is fine. */
void login_cancel(struct login *l);
