/* SPDX-License-Identifier: ISC */
/* Certificates for tests, made on the spot: self-signed, key and certificate in one PEM file. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "io/tls/tls.h"

struct cert {
    char path[64];
    int64_t expires; /* Unix seconds */
};

static inline void cert_write(struct cert *c, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    gnutls_datum_t pem[2];
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem[0]), 0);
    assert_int_equal(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                                       GNUTLS_PKCS_PLAIN, &pem[1]),
                     0);
    (void)str_copy(c->path, sizeof(c->path), STR("/tmp/mailproxy-cert-XXXXXX"));
    int fd = mkstemp(c->path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(write(fd, pem[i].data, pem[i].size), (ssize_t)pem[i].size);
        gnutls_free(pem[i].data);
    }
    close(fd);
}

/* For a host name and, when ip is not NULL, an IPv4 address; valid for `days` from yesterday on. */
static inline void cert_make(struct cert *c, const char *host, const unsigned char *ip, int days)
{
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    time_t begin = time(NULL) - 86400;
    c->expires = begin + 86400 * (time_t)days;
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x01", 1), 0);
    assert_int_equal(
        gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, host, strlen(host)), 0);
    assert_int_equal(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, host,
                                                          strlen(host), GNUTLS_FSAN_SET),
                     0);
    if (ip)
        assert_int_equal(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 4,
                                                              GNUTLS_FSAN_APPEND),
                         0);
    gnutls_x509_crt_set_activation_time(crt, begin);
    gnutls_x509_crt_set_expiration_time(crt, c->expires);
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(crt, 1, -1), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
    cert_write(c, crt, key);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

static inline void cert_remove(struct cert *c)
{
    (void)unlink(c->path);
}

static inline struct tls_server *cert_server(const struct cert *c)
{
    const struct tls_cert_spec files = {.cert_file = c->path, .key_file = c->path};
    const struct tls_server_spec spec = {.certs = &files, .n_certs = 1};
    struct tls_server *t = NULL;
    char *error = NULL;
    if (tls_server_new(&spec, &t, &error) < 0)
        fail_msg("%s", error);
    return t;
}

/* A client that trusts this certificate alone; NULL = that verifies nothing. */
static inline struct tls_client *cert_client(const struct cert *trusted)
{
    const struct tls_client_spec spec = {.is_verified = trusted != NULL,
                                         .ca_file = trusted ? trusted->path : NULL};
    struct tls_client *t = NULL;
    char *error = NULL;
    if (tls_client_new(&spec, &t, &error) < 0)
        fail_msg("%s", error);
    return t;
}
