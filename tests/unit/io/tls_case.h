/* SPDX-License-Identifier: ISC */
/* Certificates for tests, made when they run: authorities, leaves of both key types, revocation
 * lists. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conn_case.h"
#include "io/tls/tls.h"

static char tls_case_folder[64];

/* A certificate with its key, in memory and in two files. */
struct tls_case_cert {
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    char crt_file[128], key_file[128];
};

struct tls_case_spec {
    const char *file; /* its name without ending */
    const char *cn;
    const char *dns, *ip, *email;       /* NULL = none */
    const struct tls_case_cert *issuer; /* NULL = signs itself */
    const char *password;               /* of the key file; NULL = in clear */
    bool is_ca, is_rsa, is_client, is_expired;
    gnutls_pk_algorithm_t kind; /* with bits: of the key; 0 = RSA of 2048 or P-256 as is_rsa says */
    unsigned bits;
    time_t ends_s; /* from now on; 0 = an hour */
};

static inline int tls_case_setup(void **state)
{
    (void)state;
    snprintf(tls_case_folder, sizeof(tls_case_folder), "/tmp/mailproxy-tls-XXXXXX");
    return mkdtemp(tls_case_folder) ? 0 : -1;
}

static inline const char *tls_case_path(char dst[128], const char *name, const char *ending)
{
    snprintf(dst, 128, "%s/%s%s", tls_case_folder, name, ending);
    return dst;
}

static inline void tls_case_write(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline void tls_case_write_datum(const char *path, gnutls_datum_t *d)
{
    tls_case_write(path, d->data, d->size);
    gnutls_free(d->data);
    d->data = NULL;
}

static inline void tls_case_make_key(struct tls_case_cert *c, const struct tls_case_spec *spec)
{
    gnutls_datum_t pem = {0};
    unsigned bits = spec->is_rsa ? 2048 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    gnutls_pk_algorithm_t kind = spec->is_rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA;
    if (spec->kind) {
        kind = spec->kind;
        bits = spec->bits;
    }
    assert_int_equal(gnutls_x509_privkey_init(&c->key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(c->key, kind, bits, 0), 0);
    assert_int_equal(gnutls_x509_privkey_export2_pkcs8(
                         c->key, GNUTLS_X509_FMT_PEM, spec->password,
                         spec->password ? GNUTLS_PKCS_PBES2_AES_256 : GNUTLS_PKCS_PLAIN, &pem),
                     0);
    tls_case_write_datum(tls_case_path(c->key_file, spec->file, ".key"), &pem);
}

static inline void tls_case_set_names(gnutls_x509_crt_t crt, const struct tls_case_spec *spec)
{
    int rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, spec->cn,
                                           (unsigned)strlen(spec->cn));
    if (rc == 0 && spec->dns)
        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, spec->dns,
                                                  (unsigned)strlen(spec->dns), GNUTLS_FSAN_APPEND);
    if (rc == 0 && spec->email)
        rc =
            gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_RFC822NAME, spec->email,
                                                 (unsigned)strlen(spec->email), GNUTLS_FSAN_APPEND);
    struct addr a;
    if (rc == 0 && spec->ip && addr_parse(str_of(spec->ip), &a) == 0)
        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, a.ip + 12, 4,
                                                  GNUTLS_FSAN_APPEND);
    assert_int_equal(rc, 0);
}

static inline void tls_case_set_purpose(gnutls_x509_crt_t crt, const struct tls_case_spec *spec)
{
    static unsigned char serial = 1;
    const char *purpose = spec->is_client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    time_t now = time(NULL);
    serial++;
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, &serial, 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, now - 7200), 0);
    time_t end = now + (spec->is_expired ? -3600 : spec->ends_s ? spec->ends_s : 3600);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, end), 0);
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(crt, spec->is_ca, -1), 0);
    if (spec->is_ca)
        assert_int_equal(
            gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), 0);
    else
        assert_int_equal(gnutls_x509_crt_set_key_purpose_oid(crt, purpose, 0), 0);
}

static inline struct tls_case_cert tls_case_make(const struct tls_case_spec *spec)
{
    struct tls_case_cert c = {0};
    gnutls_datum_t pem = {0};
    tls_case_make_key(&c, spec);
    assert_int_equal(gnutls_x509_crt_init(&c.crt), 0);
    assert_int_equal(gnutls_x509_crt_set_key(c.crt, c.key), 0);
    tls_case_set_names(c.crt, spec);
    tls_case_set_purpose(c.crt, spec);
    assert_int_equal(gnutls_x509_crt_sign2(c.crt, spec->issuer ? spec->issuer->crt : c.crt,
                                           spec->issuer ? spec->issuer->key : c.key,
                                           GNUTLS_DIG_SHA256, 0),
                     0);
    assert_int_equal(gnutls_x509_crt_export2(c.crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    tls_case_write_datum(tls_case_path(c.crt_file, spec->file, ".crt"), &pem);
    return c;
}

/* A list that revokes one certificate; the path of its file. */
static inline const char *tls_case_revoke(char dst[128], const struct tls_case_cert *ca,
                                          const struct tls_case_cert *bad)
{
    gnutls_x509_crl_t crl;
    gnutls_datum_t pem = {0};
    time_t now = time(NULL);
    assert_int_equal(gnutls_x509_crl_init(&crl), 0);
    assert_int_equal(gnutls_x509_crl_set_version(crl, 2), 0);
    assert_int_equal(gnutls_x509_crl_set_this_update(crl, now - 60), 0);
    assert_int_equal(gnutls_x509_crl_set_next_update(crl, now + 3600), 0);
    assert_int_equal(gnutls_x509_crl_set_number(crl, "\x01", 1), 0);
    assert_int_equal(gnutls_x509_crl_set_crt(crl, bad->crt, now - 60), 0);
    assert_int_equal(gnutls_x509_crl_sign2(crl, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem), 0);
    gnutls_x509_crl_deinit(crl);
    tls_case_write_datum(tls_case_path(dst, "revoked", ".crl"), &pem);
    return dst;
}

static inline void tls_case_cert_fini(struct tls_case_cert *c)
{
    gnutls_x509_crt_deinit(c->crt);
    gnutls_x509_privkey_deinit(c->key);
    (void)remove(c->crt_file);
    (void)remove(c->key_file);
}
