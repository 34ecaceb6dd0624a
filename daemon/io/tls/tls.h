/* SPDX-License-Identifier: ISC */
/* TLS credentials: what a listener shows to clients and how backends are verified. Loaded once per
 * config, shared by all threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <stddef.h>

#include "base/err.h"

struct files;

struct tls_cert_spec {
    const char *cert_file; /* PEM chain */
    const char *key_file;  /* PEM key, may be encrypted */
    const char *ocsp_file; /* stapled response or NULL */
};

enum tls_client_auth {
    TLS_CLIENT_AUTH_OFF,
    TLS_CLIENT_AUTH_OPTIONAL,
    TLS_CLIENT_AUTH_REQUIRED,
    TLS_CLIENT_AUTH_OPTIONAL_NO_CA
};

/* Strings and files are borrowed for the call. */
struct tls_server_spec {
    struct files *files; /* where the contents of the files come from; NULL = the disk */
    const struct tls_cert_spec *certs; /* first = default; others chosen by SNI and key type */
    size_t n_certs;
    const char *password_file; /* one passphrase a line, tried in turn; NULL */
    const char *priority; /* GnuTLS priority string; NULL = the built-in default (TLS 1.2 and 1.3,
                             X25519 first, AES-GCM before ChaCha20) */
    bool has_tickets; /* session resumption; not done with client_auth, whose answer a ticket would
                         not carry */
    uint64_t session_timeout_ms; /* sessions resume so long; whole seconds, 0 = six hours */
    const char *ticket_key_file; /* secret of the tickets, for several proxies; NULL = of our own */
    enum tls_client_auth client_auth; /* a missing or bad certificate never fails the handshake:
                                         tls_info.verify tells */
    const char *client_ca_file, *client_crl_file; /* NULL = none */
    unsigned verify_depth;                        /* longest client chain; 0 = 1 */
    const char *dh_params_file;                   /* NULL = RFC 7919 groups */
    bool has_directory;                           /* see tls_server_set_certs */
};

/* Refcounted, immutable but for the ticket keys (rotated inside). */
struct tls_server;
/* Loads and checks everything. 0; -ERR_TLS / -ERR_IO with a sentence naming the file in *ret_error
 * (owned by the caller). Thread: any. */
/* Do suites of a priority string (NULL = ours) decrypt with the private key? */
bool tls_priority_decrypts(const char *priority);
int tls_server_new(const struct tls_server_spec *spec, struct tls_server **ret,
                   char **ret_error) NODISCARD;
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t); /* NULL is fine */

/* When one of a server's own certificates ends, as it was loaded. */
struct tls_cert_end {
    char *file;
    int64_t expires; /* Unix seconds, 0 = nobody knows */
};
/* Those of all its certificates in the order of the spec; borrowed from t. Thread: any. */
const struct tls_cert_end *tls_server_cert_ends(const struct tls_server *t, size_t *ret_n);
/* The one that ends first; borrowed from t, NULL when no end is known. Thread: any. */
const struct tls_cert_end *tls_server_first_end(const struct tls_server *t);

/* Takes the ticket keys over from the one before, so that a reload does not end resumption. Thread:
 * any. */
void tls_server_inherit_tickets(struct tls_server *t, const struct tls_server *old);

struct tls_tickets;
/* Tickets are made with this secret (borrowed; it outlives t) as soon as there is one, unless a
 * file gives it. NULL = with t's own. Before any session has begun. */
void tls_server_set_tickets(struct tls_server *t, struct tls_tickets *tickets);

struct tls_certs;
/* Where the certificates of a server with has_directory come from (borrowed; it outlives t): those
 * of other names than these are the server's own. Before any session has begun. */
void tls_server_set_certs(struct tls_server *t, struct tls_certs *c);

struct tls_client_spec {
    struct files *files;              /* as of a server */
    bool is_verified;                 /* check chain and host name */
    const char *ca_file;              /* NULL = the system's */
    const char *cert_file, *key_file; /* client certificate, NULL = none */
    const char *priority;
    const char *alpn; /* NULL = none */
};

/* Refcounted; holds a small per-host cache of resumption data inside (its own lock). */
struct tls_client;
int tls_client_new(const struct tls_client_spec *spec, struct tls_client **ret,
                   char **ret_error) NODISCARD;
struct tls_client *tls_client_ref(struct tls_client *t);
void tls_client_unref(struct tls_client *t); /* NULL is fine */

enum tls_verify { TLS_VERIFY_NONE, TLS_VERIFY_SUCCESS, TLS_VERIFY_FAILED };

/* Facts of one established session, in the names OpenSSL uses (auth_http depends on them). */
struct tls_info {
    char version[12]; /* "TLSv1.3" */
    char cipher[48];  /* "TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256" */
    char sni[256];    /* "" = none */
    char alpn[16];
    bool is_resumed;
    enum tls_verify verify; /* of the peer's certificate */
    char verify_error[128]; /* reason with TLS_VERIFY_FAILED, in OpenSSL's words */
    bool is_only_untrusted; /* TLS_VERIFY_FAILED for no other reason than an unknown CA: what
                               OPTIONAL_NO_CA lets pass */
    int64_t cert_expires;   /* Unix seconds of the peer's certificate, 0 = none */
};

/* Certificate details of the peer for auth_http, all owned, NULL when absent. */
struct tls_peer_cert {
    char *subject, *issuer; /* RFC 2253 */
    char *serial;           /* upper-case hex */
    char *fingerprint;      /* SHA-1, lower-case hex */
    char *pem;
    char *identity; /* for SASL EXTERNAL: e-mail SAN, else CN */
};
void tls_peer_cert_fini(struct tls_peer_cert *c);
