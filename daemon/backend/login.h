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
    struct str message;      /* the server's or library's words, printable; NUL-terminated */
    bool is_message_servers; /* the server said it: may be passed on to the client */
    struct str code;         /* SMTP code with a failure */
    bool were_credentials_sent;
    struct back_success *success; /* NULL with a failure before the dialogue */
    struct buf
        *rest; /* bytes of the server after its success reply: first of the relay (may be taken) */
    struct str learned;  /* capabilities */
    struct addr server;  /* address connected to */
    uint64_t connect_us; /* 0: it was not timed */
    uint64_t total_us;
};

/* Who says something. */
enum login_speaker {
    LOGIN_SERVER,
    LOGIN_PROXY_HEADER, /* of the PROXY protocol */
    LOGIN_PROXY,        /* commands */
    LOGIN_PROXY_SECRET, /* what follows the beginning of a login: it answers a challenge */
};

/* Strings, credentials and objects are borrowed until the callback or login_cancel; the structs
 * themselves (proxy, source, env) are copied. Times of 0 = no limit. */
struct login_spec {
    struct loop *loop;
    struct resolver *resolver;
    struct conn *conn; /* closed, initialised by login_start; on success connected, logged in,
                          reading on: done has to re-own or close it */
    const struct proto *proto;
    const char *host;
    struct addr addr; /* that host is; AF_UNSPEC: it may be a name */
    uint16_t port;
    enum back_tls tls;
    struct tls_client *tls_client;
    const struct proxyhdr *proxy; /* NULL = none; goes without the client's TLS before STARTTLS */
    bool is_proxy_v2;
    bool is_connect_untimed; /* connect_us may stay 0: where the server speaks first the login hears
                                of the connect by its greeting, see conn_connect_unconfirmed */
    const struct addr *source;
    struct back_env env;
    uint64_t connect_ms; /* to resolve and to connect, all addresses together */
    uint64_t login_ms;   /* from then on */
    uint64_t total_ms;   /* both together */
    /* state changes for the owner's listing ("connect", "tls", "login"); may be NULL; may cancel */
    void (*progress)(void *arg, const char *step);
    /* What is said, for an operator who looks on; may be NULL. Bytes of the server come by whole
     * replies. */
    void (*heard)(void *arg, enum login_speaker who, struct str bytes);
    /* With env.is_warming: all is done that can be without a user; login_resume goes on. Until then
     * nothing is limited in time, and `done` tells that the server left. */
    void (*ready)(void *arg);
    void (*done)(void *arg,
                 struct login_outcome *o); /* once; the login is freed after it returns */
    void *arg;
};

/* Where a login goes, and how: a member's host, port and TLS (m NULL: those stay), the pool's
 * credentials and source address, which *source keeps. */
void login_spec_to(struct login_spec *spec, const struct pool *pool, const struct pool_member *m,
                   struct addr *source);
/* Starts; done runs in a later callback of the loop, never from here. -ERR_NOMEM, -ERR_INVAL (TLS
 * without tls_client). Thread of all this: the loop's. */
int login_start(const struct login_spec *spec, struct login **ret) NODISCARD;
/* Goes on with a login that is ready, for somebody: spec is the one that login_start would get, to
 * the same server, and replaces the former one; the connection moves to its conn. Where the server
 * left meanwhile, or leaves without a word on the credentials, it begins again with a new
 * connection. -ERR_x: the connection cannot be moved; l is ready as before. */
int login_resume(struct login *l, const struct login_spec *spec) NODISCARD;
/* Closes the connection, sends nothing more (but TLS's farewell); done will not run. NULL is fine.
 */
void login_cancel(struct login *l);
