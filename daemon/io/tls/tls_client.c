/* SPDX-License-Identifier: ISC */
/* Client credentials: what verifies backends, and a bounded cache of resumption data by host. */
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/container/map.h"
#include "io/tls/tls_session.h"

#define CACHE_HOSTS_MAX 256
#define CACHE_REFRESH_MS                                                                           \
    (60 * UINT64_C(1000)) /* a resumed session renews an entry older than this */
#define CACHE_VALID_MS (6 * 3600 * UINT64_C(1000)) /* older ones are not offered */
#define HOST_MAX 255

struct cache_entry {
    gnutls_datum_t data;
    uint64_t saved_ms;
};

struct tls_client {
    _Atomic unsigned refs;
    gnutls_certificate_credentials_t cred;
    gnutls_priority_t priority;
    char *alpn;
    bool is_verified;
    pthread_mutex_t mutex;
    struct map cache; /* host -> struct cache_entry; under the mutex */
};

static void cache_entry_free(struct cache_entry *e)
{
    if (!e)
        return;
    if (e->data.data)
        gnutls_memset(e->data.data, 0, e->data.size);
    gnutls_free(e->data.data);
    free(e);
}

static void tls_client_free(struct tls_client *t)
{
    size_t pos = 0;
    struct str key;
    void *value;
    while (map_next(&t->cache, &pos, &key, &value))
        cache_entry_free(value);
    map_fini(&t->cache);
    if (t->cred)
        gnutls_certificate_free_credentials(t->cred);
    if (t->priority)
        gnutls_priority_deinit(t->priority);
    pthread_mutex_destroy(&t->mutex);
    free(t->alpn);
    free(t);
}

static int tls_client_load(struct tls_client *t, const struct tls_client_spec *spec,
                           char **ret_error)
{
    int index = 0;
    t->is_verified = spec->is_verified;
    if (spec->alpn && !(t->alpn = str_dup_c(spec->alpn)))
        return -ERR_NOMEM;
    if (gnutls_certificate_allocate_credentials(&t->cred) < 0)
        return -ERR_NOMEM;
    int err = tls_load_priority(spec->priority, &t->priority, ret_error);
    if (err == 0 && spec->is_verified && spec->ca_file) {
        err = tls_load_ca(t->cred, spec->files, spec->ca_file, ret_error);
    } else if (err == 0 && spec->is_verified) {
        int rc = gnutls_certificate_set_x509_system_trust(t->cred);
        if (rc < 0)
            err = tls_fail(ret_error, -ERR_TLS, "cannot load the system's CA certificates: %s",
                           gnutls_strerror(rc));
    }
    if (err == 0 && spec->cert_file)
        err = tls_load_pair(t->cred, t->priority, spec->files, spec->cert_file,
                            spec->key_file ? spec->key_file : spec->cert_file, NULL, &index,
                            ret_error);
    return err;
}

int tls_client_new(const struct tls_client_spec *spec, struct tls_client **ret, char **ret_error)
{
    struct tls_client *t = calloc(1, sizeof(*t));
    *ret_error = NULL;
    if (!t)
        return -ERR_NOMEM;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->mutex, NULL);
    int err = tls_client_load(t, spec, ret_error);
    if (err != 0) {
        tls_client_free(t);
        return err;
    }
    *ret = t;
    return 0;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_client_unref(struct tls_client *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        tls_client_free(t);
}

bool tls_client_is_verified(const struct tls_client *t)
{
    return t->is_verified;
}

void tls_client_save(struct tls_client *t, const char *host, gnutls_session_t session)
{
    void *old = NULL;
    pthread_mutex_lock(&t->mutex);
    const struct cache_entry *kept = map_get(&t->cache, str_of(host));
    bool is_worth = !kept || !gnutls_session_is_resumed(session) ||
                    clock_ms() - kept->saved_ms >= CACHE_REFRESH_MS;
    pthread_mutex_unlock(&t->mutex);
    if (!is_worth || strlen(host) > HOST_MAX)
        return;
    struct cache_entry *e = calloc(1, sizeof(*e));
    if (!e || gnutls_session_get_data2(session, &e->data) < 0) {
        free(e);
        return;
    }
    e->saved_ms = clock_ms();
    pthread_mutex_lock(&t->mutex);
    size_t pos = 0;
    struct str key;
    void *value;
    if (t->cache.count >= CACHE_HOSTS_MAX && map_next(&t->cache, &pos, &key, &value)) {
        char copy[HOST_MAX + 1]; /* any other host makes room; its key dies with its entry */
        (void)str_copy(copy, sizeof(copy), key);
        cache_entry_free(map_del(&t->cache, str_of(copy)));
    }
    if (map_put(&t->cache, str_of(host), e, &old) != 0)
        old = e;
    pthread_mutex_unlock(&t->mutex);
    cache_entry_free(old);
}

void tls_client_forget(struct tls_client *t, const char *host)
{
    pthread_mutex_lock(&t->mutex);
    struct cache_entry *old = map_del(&t->cache, str_of(host));
    pthread_mutex_unlock(&t->mutex);
    cache_entry_free(old);
}

int tls_client_session(struct tls_client *t, const char *host,
                       gnutls_typed_vdata_st expected[TLS_EXPECTED], gnutls_session_t *ret)
{
    gnutls_session_t s;
    /* One key share (X25519) instead of one per kind of group: half the key generation. A client
     * certificate that was configured is sent, even to a server that names other issuers. */
    if (gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_KEY_SHARE_TOP |
                            GNUTLS_FORCE_CLIENT_CERT) < 0)
        return -ERR_NOMEM;
    struct addr ip;
    int err = 0;
    /* SNI carries names only (RFC 6066 section 3). */
    if (addr_parse(str_of(host), &ip) != 0 &&
        gnutls_server_name_set(s, GNUTLS_NAME_DNS, host, strlen(host)) < 0)
        err = -ERR_TLS;
    if (gnutls_priority_set(s, t->priority) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->cred) < 0)
        err = -ERR_TLS;
    if (err == 0 && t->alpn) {
        const gnutls_datum_t name = {(unsigned char *)t->alpn, (unsigned)strlen(t->alpn)};
        if (gnutls_alpn_set_protocols(s, &name, 1, 0) < 0)
            err = -ERR_TLS;
    }
    if (err != 0) {
        gnutls_deinit(s);
        return err;
    }
    expected[0] =
        (gnutls_typed_vdata_st){.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)host};
    expected[1] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                          .data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER};
    if (t->is_verified)
        gnutls_session_set_verify_cert2(s, expected, TLS_EXPECTED, 0);
    pthread_mutex_lock(&t->mutex);
    const struct cache_entry *e = map_get(&t->cache, str_of(host));
    if (e && clock_ms() - e->saved_ms < CACHE_VALID_MS)
        (void)gnutls_session_set_data(s, e->data.data, e->data.size); /* copies */
    pthread_mutex_unlock(&t->mutex);
    *ret = s;
    return 0;
}
