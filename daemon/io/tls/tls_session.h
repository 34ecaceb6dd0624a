/* SPDX-License-Identifier: ISC */
/* How credentials become GnuTLS sessions: what a connection (io/conn_tls.c) takes of them. */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "base/str.h"
#include "io/tls/tls.h"

/* tls_load.c: pieces that both sides load. Errors: -ERR_IO (file), -ERR_TLS (content), with a
 * sentence in *ret_error. */

/* Longest chain that is sent. */
#define TLS_CHAIN_MAX 16

/* One shared priority set: parsing the string for each session would cost 8 KB a session. */
int tls_load_priority(const char *priority, gnutls_priority_t *ret, char **ret_error) NODISCARD;
/* Whole file, of the disk when files is NULL; free with gnutls_free(ret->data), after wiping when
 * it is secret. */
int tls_load_file(struct files *files, const char *path, const char *what, gnutls_datum_t *ret,
                  char **ret_error) NODISCARD;
/* Adds a chain and its key; index is set for tls_load_ocsp. The priority tells what the key has to
 * be good for. */
int tls_load_pair(gnutls_certificate_credentials_t cred, gnutls_priority_t priority,
                  struct files *files, const char *cert_file, const char *key_file,
                  const char *password_file, int *ret_index, char **ret_error) NODISCARD;
/* A key of a PEM text, or the place of one that another process has. is_decrypting: GnuTLS keeps it
 * itself. 0 or what GnuTLS said. */
int tls_load_key(const gnutls_datum_t *pem, struct str passwords, bool is_decrypting,
                 gnutls_privkey_t *ret) NODISCARD;
int tls_load_ca(gnutls_certificate_credentials_t cred, struct files *files, const char *ca_file,
                char **ret_error) NODISCARD;
/* Formats *ret_error and returns err. */
int tls_fail(char **ret_error, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* tls_server.c */

/* A configured session for one client. -ERR_NOMEM, -ERR_TLS. */
int tls_server_session(struct tls_server *t, const char *alpn, gnutls_session_t *ret) NODISCARD;
bool tls_server_has_tickets(const struct tls_server *t);
/* Where other certificates come from; NULL = from nowhere. */
struct tls_certs *tls_server_certs(const struct tls_server *t);
struct tls_pair;
/* Has a session of the server, before its handshake, show a pair of tls_server_certs. *pair is the
 * caller's, whose reference the handshake needs to its end. -ERR_TLS. */
int tls_server_show(struct tls_server *t, gnutls_session_t session,
                    struct tls_pair *const *pair) NODISCARD;

/* Verdict over a client certificate. */
struct tls_verdict {
    enum tls_verify verify;
    bool is_only_untrusted;
    char error[128];
};
void tls_server_verify(const struct tls_server *t, gnutls_session_t session,
                       struct tls_verdict *ret);

/* tls_client.c */

/* What a server's certificate has to be good for: a name, and being a server's. */
#define TLS_EXPECTED 2
/* A configured session to one host, with resumption data when there is some. host and expected,
 * which is filled in here, must live until the handshake is over. */
int tls_client_session(struct tls_client *t, const char *host,
                       gnutls_typed_vdata_st expected[TLS_EXPECTED],
                       gnutls_session_t *ret) NODISCARD;
bool tls_client_is_verified(const struct tls_client *t);
/* Keeps the session's resumption data when what is kept is missing or old. Call when there is a
 * ticket (TLS 1.3) or after the handshake (TLS 1.2). */
void tls_client_save(struct tls_client *t, const char *host, gnutls_session_t session);
/* Forgets what failed. */
void tls_client_forget(struct tls_client *t, const char *host);

/* tls_cert.c */

/* Reason of a verification status (GNUTLS_CERT_x bits, not 0) in OpenSSL's words. Static. */
const char *tls_status_text(unsigned status);
/* Details of a DER certificate. -ERR_TLS when it cannot be parsed, -ERR_NOMEM. */
int tls_cert_details(const gnutls_datum_t *der, struct tls_peer_cert *ret) NODISCARD;
/* Unix seconds of its end; 0 when it cannot be parsed. */
int64_t tls_cert_expires(const gnutls_datum_t *der);
