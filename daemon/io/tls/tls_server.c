/* SPDX-License-Identifier: ISC */
/* Server credentials: certificates, client verification, session ticket keys. */
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "io/tls/tls_pair_priv.h"
#include "io/tls/tls_session.h"
#include "io/tls/tls_tickets.h"

/* GnuTLS derives ticket keys from the master as time goes on; the master itself lives this long, or
 * as long as a session may be resumed. Older tickets end in a full handshake. */
#define TICKET_MASTER_MS (24 * 3600 * UINT64_C(1000))
#define TICKET_FILE_MIN 32 /* bytes; NGINX's have 48 or 80 */

struct tls_server {
    _Atomic unsigned refs;
    gnutls_certificate_credentials_t cred;
    gnutls_certificate_credentials_t shown; /* the same without certificates: sessions bring one of
                                               `certs`; NULL without a directory */
    struct tls_certs *certs;                /* NULL = there are no others */
    gnutls_priority_t priority;
    gnutls_dh_params_t dh;
    struct tls_cert_end *ends;
    size_t n_ends;
    enum tls_client_auth client_auth;
    unsigned verify_depth;
    bool has_tickets;
    uint64_t session_timeout_ms;
    pthread_mutex_t mutex;
    struct tls_tickets *tickets;  /* a secret that others have, too; NULL = none */
    bool is_ticket_master_given;  /* by a file: it is neither renewed nor inherited */
    gnutls_datum_t ticket_master; /* under the mutex */
    uint64_t ticket_made_ms;      /* under the mutex */
};

static void ticket_master_free(gnutls_datum_t *key)
{
    if (key->data)
        gnutls_memset(key->data, 0, key->size);
    gnutls_free(key->data);
    *key = (gnutls_datum_t){0};
}

static void tls_server_free(struct tls_server *t)
{
    if (t->cred)
        gnutls_certificate_free_credentials(t->cred);
    if (t->shown)
        gnutls_certificate_free_credentials(t->shown);
    if (t->priority)
        gnutls_priority_deinit(t->priority);
    if (t->dh)
        gnutls_dh_params_deinit(t->dh);
    for (size_t i = 0; i < t->n_ends; i++)
        free(t->ends[i].file);
    free(t->ends);
    ticket_master_free(&t->ticket_master);
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

static int load_ocsp(struct tls_server *t, struct files *files, const char *path, int index,
                     char **ret_error)
{
    gnutls_datum_t response = {0};
    int err = tls_load_file(files, path, "OCSP response", &response, ret_error);
    if (err != 0)
        return err;
    bool is_pem = response.size > 10 && memcmp(response.data, "-----BEGIN", 10) == 0;
    int rc = gnutls_certificate_set_ocsp_status_request_mem(
        t->cred, &response, (unsigned)index, is_pem ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER);
    gnutls_free(response.data);
    return rc < 0 ? tls_fail(ret_error, -ERR_TLS, "cannot use OCSP response %s: %s", path,
                             gnutls_strerror(rc))
                  : 0;
}

static int load_dh(struct tls_server *t, struct files *files, const char *path, char **ret_error)
{
    gnutls_datum_t pem = {0};
    int err = tls_load_file(files, path, "DH parameters", &pem, ret_error);
    if (err != 0)
        return err;
    int rc = gnutls_dh_params_init(&t->dh);
    if (rc == 0)
        rc = gnutls_dh_params_import_pkcs3(t->dh, &pem, GNUTLS_X509_FMT_PEM);
    gnutls_free(pem.data);
    if (rc < 0)
        return tls_fail(ret_error, -ERR_TLS, "cannot use DH parameters %s: %s", path,
                        gnutls_strerror(rc));
    gnutls_certificate_set_dh_params(t->cred, t->dh);
    return 0;
}

static int load_client_auth(struct tls_server *t, gnutls_certificate_credentials_t cred,
                            const struct tls_server_spec *spec, char **ret_error)
{
    bool is_ca_needed = spec->client_auth == TLS_CLIENT_AUTH_OPTIONAL ||
                        spec->client_auth == TLS_CLIENT_AUTH_REQUIRED;
    if (is_ca_needed && !spec->client_ca_file)
        return tls_fail(ret_error, -ERR_TLS,
                        "client certificates cannot be verified without a client CA file");
    int err =
        spec->client_ca_file ? tls_load_ca(cred, spec->files, spec->client_ca_file, ret_error) : 0;
    if (err == 0 && spec->client_crl_file) {
        gnutls_datum_t pem = {0};
        err = tls_load_file(spec->files, spec->client_crl_file, "CRL file", &pem, ret_error);
        if (err != 0)
            return err;
        int rc = gnutls_certificate_set_x509_crl_mem(cred, &pem, GNUTLS_X509_FMT_PEM);
        gnutls_free(pem.data);
        if (rc <= 0)
            err = tls_fail(ret_error, -ERR_TLS, "no usable list in CRL file %s: %s",
                           spec->client_crl_file, rc < 0 ? gnutls_strerror(rc) : "it is empty");
    }
    t->client_auth = spec->client_auth;
    t->verify_depth = spec->verify_depth ? spec->verify_depth : 1;
    return err;
}

/* Of a session that shows what its handshake has picked: see tls_server_show. */
static int on_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                       gnutls_pcert_st **ret_chain, unsigned *ret_n, gnutls_ocsp_data_st **ret_ocsp,
                       unsigned *ret_n_ocsp, gnutls_privkey_t *ret_key, unsigned *flags)
{
    (void)info;
    struct tls_pair *const *shown = gnutls_session_get_ptr(session);
    struct tls_pair *p = shown ? *shown : NULL;
    if (!p)
        return -1;
    *ret_chain = p->chain;
    *ret_n = p->n;
    *ret_key = p->key;
    *ret_ocsp = NULL;
    *ret_n_ocsp = 0;
    *flags = 0; /* all of it stays ours */
    return 0;
}

/* One certificate of the spec; t->ends has room for it. */
static int load_cert(struct tls_server *t, const struct tls_server_spec *spec,
                     const struct tls_cert_spec *cert, char **ret_error)
{
    int index = 0;
    gnutls_datum_t der = {0};
    int err = tls_load_pair(t->cred, t->priority, spec->files, cert->cert_file, cert->key_file,
                            spec->password_file, &index, ret_error);
    if (err == 0 && cert->ocsp_file)
        err = load_ocsp(t, spec->files, cert->ocsp_file, index, ret_error);
    if (err != 0)
        return err;
    struct tls_cert_end *end = &t->ends[t->n_ends];
    end->file = str_dup_c(cert->cert_file);
    if (!end->file)
        return -ERR_NOMEM;
    t->n_ends++;
    if (gnutls_certificate_get_crt_raw(t->cred, (unsigned)index, 0, &der) == 0)
        end->expires = tls_cert_expires(&der);
    return 0;
}

/* Proxies that have the same file make the same keys from it at the same time. */
static int load_ticket_master(struct tls_server *t, struct files *files, const char *path,
                              char **ret_error)
{
    gnutls_datum_t secret = {0};
    gnutls_datum_t *master = &t->ticket_master;
    int err = tls_load_file(files, path, "ticket key", &secret, ret_error);
    if (err != 0)
        return err;
    if (secret.size < TICKET_FILE_MIN)
        err = tls_fail(ret_error, -ERR_TLS, "ticket key %s has less than %d bytes", path,
                       TICKET_FILE_MIN);
    else if (!(master->data = gnutls_malloc(TLS_TICKETS_BYTES)))
        err = -ERR_NOMEM;
    else if (gnutls_hash_fast(GNUTLS_DIG_SHA512, secret.data, secret.size, master->data) < 0)
        err = -ERR_TLS;
    master->size = TLS_TICKETS_BYTES;
    t->is_ticket_master_given = err == 0;
    ticket_master_free(&secret);
    return err;
}

static int tls_server_load(struct tls_server *t, const struct tls_server_spec *spec,
                           char **ret_error)
{
    if (spec->n_certs == 0)
        return tls_fail(ret_error, -ERR_TLS, "no certificate is configured");
    t->ends = calloc(spec->n_certs, sizeof(*t->ends));
    if (!t->ends || gnutls_certificate_allocate_credentials(&t->cred) < 0)
        return tls_fail(ret_error, -ERR_NOMEM, "out of memory");
    gnutls_certificate_set_flags(t->cred, GNUTLS_CERTIFICATE_API_V2);
    int err = tls_load_priority(spec->priority, &t->priority, ret_error);
    for (size_t i = 0; err == 0 && i < spec->n_certs; i++)
        err = load_cert(t, spec, &spec->certs[i], ret_error);
    if (err == 0)
        err = load_client_auth(t, t->cred, spec, ret_error);
    if (err == 0 && spec->dh_params_file)
        err = load_dh(t, spec->files, spec->dh_params_file, ret_error);
    if (err == 0 && spec->has_directory) {
        if (gnutls_certificate_allocate_credentials(&t->shown) < 0)
            return tls_fail(ret_error, -ERR_NOMEM, "out of memory");
        gnutls_certificate_set_retrieve_function3(t->shown, on_retrieve);
        if (t->dh)
            gnutls_certificate_set_dh_params(t->shown, t->dh);
        err = load_client_auth(t, t->shown, spec, ret_error);
    }
    if (err == 0 && spec->ticket_key_file)
        err = load_ticket_master(t, spec->files, spec->ticket_key_file, ret_error);
    t->session_timeout_ms = spec->session_timeout_ms;
    t->has_tickets = spec->has_tickets && spec->client_auth == TLS_CLIENT_AUTH_OFF;
    return err;
}

int tls_server_new(const struct tls_server_spec *spec, struct tls_server **ret, char **ret_error)
{
    struct tls_server *t = calloc(1, sizeof(*t));
    *ret_error = NULL;
    if (!t)
        return -ERR_NOMEM;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->mutex, NULL);
    int err = tls_server_load(t, spec, ret_error);
    if (err != 0) {
        tls_server_free(t);
        return err;
    }
    *ret = t;
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_server_unref(struct tls_server *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        tls_server_free(t);
}

const struct tls_cert_end *tls_server_cert_ends(const struct tls_server *t, size_t *ret_n)
{
    *ret_n = t->n_ends;
    return t->ends;
}

const struct tls_cert_end *tls_server_first_end(const struct tls_server *t)
{
    const struct tls_cert_end *first = NULL;
    for (size_t i = 0; i < t->n_ends; i++) {
        const struct tls_cert_end *end = &t->ends[i];
        if (end->expires && (!first || end->expires < first->expires))
            first = end;
    }
    return first;
}

void tls_server_set_certs(struct tls_server *t, struct tls_certs *c)
{
    t->certs = t->shown ? c : NULL;
}

struct tls_certs *tls_server_certs(const struct tls_server *t)
{
    return t->certs;
}

int tls_server_show(struct tls_server *t, gnutls_session_t session, struct tls_pair *const *pair)
{
    gnutls_session_set_ptr(session, (void *)(uintptr_t)pair);
    return gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, t->shown) < 0 ? -ERR_TLS : 0;
}

bool tls_server_has_tickets(const struct tls_server *t)
{
    return t->has_tickets;
}

/* Under the mutex. */
static int ticket_master_renew(struct tls_server *t)
{
    uint64_t now_ms = clock_ms();
    gnutls_datum_t fresh = {0};
    uint64_t life_ms =
        t->session_timeout_ms > TICKET_MASTER_MS ? t->session_timeout_ms : TICKET_MASTER_MS;
    bool is_young = now_ms - t->ticket_made_ms < life_ms;
    if (t->ticket_master.data && (t->is_ticket_master_given || is_young))
        return 0;
    if (gnutls_session_ticket_key_generate(&fresh) < 0)
        return t->ticket_master.data ? 0 : -ERR_TLS;
    ticket_master_free(&t->ticket_master);
    t->ticket_master = fresh;
    t->ticket_made_ms = now_ms;
    return 0;
}

/* The old one's mutex is not held together with the new one's: two reloads at once must not wait
 * for each other. */
void tls_server_inherit_tickets(struct tls_server *t, const struct tls_server *old)
{
    struct tls_server *from = (struct tls_server *)old; /* only its mutex changes */
    gnutls_datum_t copy = {0};
    if (t == from || t->is_ticket_master_given || from->is_ticket_master_given)
        return;
    pthread_mutex_lock(&from->mutex);
    if (from->ticket_master.data && (copy.data = gnutls_malloc(from->ticket_master.size))) {
        copy.size = from->ticket_master.size;
        memcpy(copy.data, from->ticket_master.data, copy.size);
    }
    uint64_t made_ms = from->ticket_made_ms;
    pthread_mutex_unlock(&from->mutex);
    if (!copy.data)
        return;
    pthread_mutex_lock(&t->mutex);
    ticket_master_free(&t->ticket_master);
    t->ticket_master = copy;
    t->ticket_made_ms = made_ms;
    pthread_mutex_unlock(&t->mutex);
}

void tls_server_set_tickets(struct tls_server *t, struct tls_tickets *tickets)
{
    t->tickets = t->is_ticket_master_given ? NULL : tickets;
}

static int tls_server_enable_tickets(struct tls_server *t, gnutls_session_t s)
{
    uint8_t secret[TLS_TICKETS_BYTES];
    int err = 0;
    if (t->session_timeout_ms > 0)
        gnutls_db_set_cache_expiration(s, (int)(t->session_timeout_ms / 1000));
    if (t->tickets && tls_tickets_get(t->tickets, secret)) {
        const gnutls_datum_t shared = {secret, sizeof(secret)};
        if (gnutls_session_ticket_enable_server(s, &shared) < 0)
            err = -ERR_TLS;
        gnutls_memset(secret, 0, sizeof(secret));
        return err;
    }
    pthread_mutex_lock(&t->mutex);
    err = ticket_master_renew(t);
    if (err == 0 && gnutls_session_ticket_enable_server(s, &t->ticket_master) < 0)
        err = -ERR_TLS;
    pthread_mutex_unlock(&t->mutex);
    return err;
}

int tls_server_session(struct tls_server *t, const char *alpn, gnutls_session_t *ret)
{
    gnutls_session_t s;
    unsigned flags =
        GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_AUTO_SEND_TICKET;
    if (!t->has_tickets)
        flags |= GNUTLS_NO_TICKETS;
    if (gnutls_init(&s, flags) < 0)
        return -ERR_NOMEM;
    int err = 0;
    if (gnutls_priority_set(s, t->priority) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->cred) < 0)
        err = -ERR_TLS;
    if (err == 0 && alpn) {
        const gnutls_datum_t name = {(unsigned char *)alpn, (unsigned)strlen(alpn)};
        if (gnutls_alpn_set_protocols(s, &name, 1, GNUTLS_ALPN_MANDATORY) < 0)
            err = -ERR_TLS;
    }
    if (err == 0 && t->has_tickets)
        err = tls_server_enable_tickets(t, s);
    if (err != 0) {
        gnutls_deinit(s);
        return err;
    }
    /* Requested, never required: a refusal is said in the mail protocol, which clients show to
     * people. */
    gnutls_certificate_server_set_request(
        s, t->client_auth == TLS_CLIENT_AUTH_OFF ? GNUTLS_CERT_IGNORE : GNUTLS_CERT_REQUEST);
    *ret = s;
    return 0;
}

/* Longest allowed: the client's own certificate and `depth` issuers; a root that was sent along
 * does not count. */
static bool is_chain_too_long(const gnutls_datum_t *list, unsigned n, unsigned depth)
{
    gnutls_x509_crt_t last;
    if (n <= depth + 1 || gnutls_x509_crt_init(&last) < 0)
        return n > depth + 1;
    bool is_root = gnutls_x509_crt_import(last, &list[n - 1], GNUTLS_X509_FMT_DER) == 0 &&
                   gnutls_x509_crt_check_issuer(last, last);
    gnutls_x509_crt_deinit(last);
    return n - (is_root ? 1 : 0) > depth + 1;
}

void tls_server_verify(const struct tls_server *t, gnutls_session_t session,
                       struct tls_verdict *ret)
{
    unsigned n = 0, status = 0;
    *ret = (struct tls_verdict){.verify = TLS_VERIFY_NONE};
    const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &n);
    if (t->client_auth == TLS_CLIENT_AUTH_OFF || !list || n == 0)
        return;
    ret->verify = TLS_VERIFY_FAILED;
    if (is_chain_too_long(list, n, t->verify_depth)) {
        str_copy(ret->error, sizeof(ret->error), STR("certificate chain too long"));
        return;
    }
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    int rc = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    if (rc < 0) {
        str_copy(ret->error, sizeof(ret->error), str_of(gnutls_strerror(rc)));
    } else if (status == 0) {
        ret->verify = TLS_VERIFY_SUCCESS;
    } else {
        ret->is_only_untrusted =
            (status & ~(unsigned)(GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_NOT_FOUND)) == 0;
        str_copy(ret->error, sizeof(ret->error), str_of(tls_status_text(status)));
    }
}
