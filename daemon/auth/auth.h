/* SPDX-License-Identifier: ISC */
/* Authentication: a request goes through the configured providers in order; the answer says who it
 * is and where to go. One `struct auth` per worker. */
#pragma once

#include "base/addr.h"
#include "base/buf.h"
#include "config/config.h"
#include "io/jobs.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "proto/sasl/sasl.h"
#include "store/store.h"

struct auth;
struct auth_query;

/* What the session knows. Borrowed for the call of auth_check; whatever is needed later is copied.
 */
struct auth_request {
    const struct credentials *cred;
    const struct proto *proto;
    const char *listener;
    unsigned attempt; /* 1.. */
    struct addr client;
    const char
        *client_host; /* SMTP: name, "[UNAVAILABLE]", "[TEMPUNAVAIL]"; NULL = not looked up */
    bool has_proxy_header;
    struct addr proxy_src, proxy_dst; /* addresses of the PROXY header */
    struct str helo, mail_from,
        rcpt_to;                /* SMTP without authentication: whole command lines for from/to */
    const struct tls_info *tls; /* NULL = clear */
    enum tls_client_auth client_auth;      /* mode of the listener */
    const struct tls_peer_cert *peer_cert; /* NULL = none */
    bool is_backend_password_needed;       /* the backend login needs a clear secret */
};

enum auth_status {
    AUTH_OK,
    AUTH_REJECTED, /* wrong credentials or refused by policy: text, code, wait_ms */
    AUTH_TEMPFAIL, /* no provider could judge */
    AUTH_LOCKED,   /* the user's account is locked: text */
    AUTH_LIMITED,  /* over a limit: text */
};

/* Borrowed during the callback; take what you need with STEAL or copies. */
struct auth_result {
    enum auth_status status;
    const char *source; /* "users", "http", "backend", "users (cached)": static */
    unsigned provider;  /* index of the provider that it is of, in the configuration's order */
    char user[256];     /* who it is: normalised login name for limits, listing, hold */
    char *login;        /* the name that was given, where user is another one; NULL */
    struct credentials backend_cred; /* what to log in with at the backend (may be moved out) */
    char *master_user;               /* NULL */
    char *pool, *backend;            /* pin, NULL */
    char *server_host;               /* Auth-Server: host or IP, NULL */
    uint16_t server_port;
    int smtp_auth;         /* -1 = as configured, 0 no, 1 yes (Auth-SMTP) */
    bool is_backend_judge; /* nobody has judged the credentials yet: they must reach the backend as
                              they are, no master user or trusted proxy may vouch for them */
    enum auth_status refusal; /* of AUTH_OK where only the backend judges: once the backend found
                                 the password right, the login is refused with this and text;
                                 AUTH_OK = it is not */
    bool is_held;             /* the user is on hold: wait before the backend login */
    unsigned max_sessions;    /* 0 = configured */
    const char *text;         /* words for the client, NULL = default */
    const char *code;         /* SMTP "535 5.7.0", NULL */
    char *sasl_error; /* what an OAuth mechanism tells the client of its failure, JSON; NULL */
    uint64_t wait_ms; /* delay before the failure reply */
    bool is_final;    /* reject and close (nginx: no Auth-Wait) */
    const char *log_reason; /* for the log only, never for the client; NULL */
};

/* Worker-side authenticator. store may be NULL (no users provider configured), resolver, too (auth
 * servers have addresses). All borrowed for its life. */
int auth_new(struct loop *l, struct jobs *jobs, struct store *store, struct resolver *resolver,
             struct auth **ret) NODISCARD;
/* Pending queries end without callback. */
void auth_free(struct auth *a);
/* A new config was published on this worker: providers of new queries follow it. tls: one entry for
 * each of c->auths, NULL = reached without; borrowed for the call, NULL = all without. */
int auth_configure(struct auth *a, struct config *c, struct tls_client *const *tls) NODISCARD;

/* Why an account that exists may not log in, for the log; static. */
const char *auth_refusal_reason(enum auth_status refusal);

/* Judges: the providers of the listener are asked in order until one knows the user. Who has a
 * password in the store is judged there alone, a wrong one is not tried elsewhere; what an auth
 * server says counts, and when it says nothing nobody else is asked. cb runs exactly once, later in
 * this or another turn (never inside the call), unless cancelled. NULL when out of memory. */
struct auth_query *auth_check(struct auth *a, const struct auth_request *r,
                              void (*cb)(void *arg, struct auth_result *res), void *arg);
/* SCRAM: the keys of a user; keys NULL when there is no such user or no keys (the caller goes on
 * with a fake challenge). err 0 or -ERR_AUTH_TEMP. */
struct auth_query *auth_keys(struct auth *a, struct str user,
                             void (*cb)(void *arg, int err, const struct sasl_scram_keys *keys),
                             void *arg);
/* The client left: cb will not run. A job that waits is dropped; a request that an auth server has
 * is completed, as it may count it. NULL is fine. */
void auth_cancel(struct auth_query *q);

/* After the backend judged a query of provider `backend` or the users provider without hash: feeds
 * the cache. */
void auth_judged(struct auth *a, const struct credentials *cred, bool is_right);
/* Forgets cached answers of a user (NULL = all), and that nothing is said of any name: after every
 * change of a user. */
void auth_forget(struct auth *a, const char *user);
/* SASL_BIT mask of what providers of a config can serve: those whose bit is in the mask of a
 * listener. */
unsigned auth_mechanisms(const struct config *c, uint64_t provider_mask);

/* True when password_verify knows the scheme and the hash is well-formed. Cheap. Thread: any. */
bool password_is_known(const char *hash);
/* Password hashes (blocking: job threads). Accepts crypt(3) forms and Dovecot's {SCHEME} prefixes
 * (PLAIN, CRYPT, SHA256-CRYPT, SHA512-CRYPT, BLF-CRYPT, SSHA, SSHA256, SSHA512, SHA256, SHA512,
 * PBKDF2...). 0 right, -ERR_AUTH wrong, -ERR_UNSUPPORTED unknown scheme. */
int password_verify(const char *hash, struct str password) NODISCARD;
/* New hash (yescrypt). Owned string. */
int password_hash(struct str password, char **ret_hash) NODISCARD;
/* RFC 5803 SCRAM-SHA-256 keys text for a password. */
int password_scram(struct str password, char **ret_text) NODISCARD;
int password_scram_parse(const char *text, struct sasl_scram_keys *ret) NODISCARD;
