/* SPDX-License-Identifier: ISC */
/* Pairs as GnuTLS wants them in its callback. */
#include "io/tls/tls_pair.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "io/tls/tls_key_file.h"
#include "io/tls/tls_pair_priv.h"
#include "io/tls/tls_session.h"

int tls_pair_new(struct str chain, struct str key, bool is_decrypting, struct tls_pair **ret)
{
    const gnutls_datum_t cert = {(unsigned char *)(uintptr_t)chain.p, (unsigned)chain.n},
                         pem = {(unsigned char *)(uintptr_t)key.p, (unsigned)key.n};
    struct tls_pair *p = calloc(1, sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    atomic_init(&p->refs, 1);
    unsigned n = TLS_CHAIN_MAX;
    int rc = gnutls_pcert_list_import_x509_raw(p->chain, &n, &cert, GNUTLS_X509_FMT_PEM,
                                               GNUTLS_X509_CRT_LIST_SORT);
    if (rc >= 0)
        p->n = n;
    if (rc >= 0)
        rc = tls_load_key(&pem, STR(""), is_decrypting, &p->key);
    if (rc < 0) {
        tls_pair_unref(p);
        return rc == GNUTLS_E_MEMORY_ERROR ? -ERR_NOMEM : -ERR_TLS;
    }
    p->expires = tls_cert_expires(&p->chain[0].cert);
    *ret = p;
    return 0;
}

struct tls_pair *tls_pair_ref(struct tls_pair *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void tls_pair_unref(struct tls_pair *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < p->n; i++)
        gnutls_pcert_deinit(&p->chain[i]);
    if (p->key)
        gnutls_privkey_deinit(p->key);
    free(p);
}

int64_t tls_pair_expires(const struct tls_pair *p)
{
    return p->expires;
}

bool tls_pair_is_for(const struct tls_pair *p, struct str name)
{
    gnutls_x509_crt_t crt;
    bool is_wild = str_is_prefix(name, STR("_."));
    AUTO_FREE char *host =
        str_printf("%s%.*s", is_wild ? "a" : "", STR_ARG(str_skip(name, is_wild ? 1 : 0)));
    if (!host || gnutls_x509_crt_init(&crt) < 0)
        return true; /* nobody can tell */
    bool is_for = gnutls_x509_crt_import(crt, &p->chain[0].cert, GNUTLS_X509_FMT_DER) < 0 ||
                  gnutls_x509_crt_check_hostname(crt, host) != 0;
    gnutls_x509_crt_deinit(crt);
    return is_for;
}

/* ---- opening ---- */

static bool pair_fits(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    unsigned char a[64], b[64];
    size_t n_a = sizeof(a), n_b = sizeof(b);
    return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, a, &n_a) == 0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, b, &n_b) == 0 &&
           n_a == n_b && memcmp(a, b, n_a) == 0;
}

static int pair_export(gnutls_x509_privkey_t key, struct buf *out)
{
    gnutls_datum_t pem = {0};
    if (gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem) <
        0)
        return -ERR_NOMEM;
    int err = buf_append(out, pem.data, pem.size);
    gnutls_memset(pem.data, 0, pem.size);
    gnutls_free(pem.data);
    return err;
}

/* The first certificate of a chain that can be read to its end. */
static int pair_first(struct str chain, gnutls_x509_crt_t *ret)
{
    const gnutls_datum_t pem = {(unsigned char *)(uintptr_t)chain.p, (unsigned)chain.n};
    gnutls_x509_crt_t *list;
    unsigned n = 0;
    if (gnutls_x509_crt_list_import2(&list, &n, &pem, GNUTLS_X509_FMT_PEM,
                                     GNUTLS_X509_CRT_LIST_SORT) < 0)
        return -ERR_TLS;
    for (unsigned i = 1; i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    *ret = n > 0 ? list[0] : NULL;
    gnutls_free(list);
    return n > 0 && n <= TLS_CHAIN_MAX ? 0 : -ERR_TLS;
}

int tls_pair_open(struct str chain, struct str key, struct str passwords, struct buf *ret_key,
                  const char **ret_why)
{
    const gnutls_datum_t pem = {(unsigned char *)(uintptr_t)key.p, (unsigned)key.n};
    gnutls_x509_crt_t crt = NULL;
    gnutls_x509_privkey_t parsed = NULL;
    *ret_why = NULL;
    int rc = 0, err = pair_first(chain, &crt);
    if (err < 0)
        *ret_why = "the certificate cannot be read";
    else if ((rc = tls_key_file_parse(&pem, passwords, &parsed)) < 0)
        *ret_why = rc == GNUTLS_E_DECRYPTION_FAILED ? "no password opens the key"
                                                    : "the key cannot be read";
    else if (!pair_fits(crt, parsed))
        *ret_why = "the key is not that of the certificate";
    err = *ret_why ? -ERR_TLS : pair_export(parsed, ret_key);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (parsed)
        gnutls_x509_privkey_deinit(parsed);
    return err;
}
