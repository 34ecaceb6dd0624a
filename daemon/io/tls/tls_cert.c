/* SPDX-License-Identifier: ISC */
/* Reading of certificates: names, serial, fingerprint, end, and why a peer's was not accepted. */
#include <gnutls/x509.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "io/tls/tls_session.h"

/* First match wins: the reasons that no CA could cure come first. */
static const struct {
    unsigned bit;
    const char *text;
} STATUS_TEXTS[] = {
    {GNUTLS_CERT_REVOKED, "certificate revoked"},
    {GNUTLS_CERT_EXPIRED, "certificate has expired"},
    {GNUTLS_CERT_NOT_ACTIVATED, "certificate is not yet valid"},
    {GNUTLS_CERT_UNEXPECTED_OWNER, "hostname mismatch"},
    {GNUTLS_CERT_SIGNATURE_FAILURE, "certificate signature failure"},
    {GNUTLS_CERT_INSECURE_ALGORITHM, "CA signature digest algorithm too weak"},
    {GNUTLS_CERT_PURPOSE_MISMATCH, "unsuitable certificate purpose"},
    {GNUTLS_CERT_SIGNER_NOT_CA, "invalid CA certificate"},
    {GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "permitted subtree violation"},
    {GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, "CRL has expired"},
    {GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, "CRL is not yet valid"},
    {GNUTLS_CERT_INVALID_OCSP_STATUS, "invalid OCSP response"},
    {GNUTLS_CERT_MISSING_OCSP_STATUS, "OCSP response missing"},
    {GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "unhandled critical extension"},
    {GNUTLS_CERT_SIGNER_NOT_FOUND, "unable to get local issuer certificate"},
};

const char *tls_status_text(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(STATUS_TEXTS); i++) {
        if (status & STATUS_TEXTS[i].bit)
            return STATUS_TEXTS[i].text;
    }
    return "certificate verification failed";
}

/* GnuTLS writes EMAIL where OpenSSL writes emailAddress; both start an RDN, so only such places are
 * touched. */
static char *dn_text(const gnutls_datum_t *dn)
{
    struct buf b = BUF_INIT;
    const char *p = (const char *)dn->data;
    int err = buf_append(&b, "", 0);
    for (size_t i = 0; err == 0 && i < dn->size; i++) {
        bool is_start =
            i == 0 || ((p[i - 1] == ',' || p[i - 1] == '+') && (i < 2 || p[i - 2] != '\\'));
        if (is_start && dn->size - i > 6 && memcmp(p + i, "EMAIL=", 6) == 0) {
            err = buf_append_c(&b, "emailAddress=");
            i += 5;
        } else {
            err = buf_append_char(&b, p[i]);
        }
    }
    if (err == 0)
        return buf_steal(&b);
    buf_fini(&b);
    return NULL;
}

static char *cert_dn(gnutls_x509_crt_t crt,
                     int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned))
{
    gnutls_datum_t dn = {0};
    if (get(crt, &dn, 0) < 0)
        return str_dup(STR(""));
    char *text = dn_text(&dn);
    gnutls_free(dn.data);
    return text;
}

static char *cert_serial(gnutls_x509_crt_t crt)
{
    unsigned char bytes[64];
    char hex[2 * sizeof(bytes) + 1];
    size_t n = sizeof(bytes), skip = 0;
    if (gnutls_x509_crt_get_serial(crt, bytes, &n) < 0)
        return NULL;
    while (skip + 1 < n && bytes[skip] == 0) /* the sign byte of DER is not part of the number */
        skip++;
    str_hex(hex, bytes + skip, n - skip);
    for (char *p = hex; *p; p++) {
        if (*p >= 'a' && *p <= 'f')
            *p = (char)(*p - 'a' + 'A');
    }
    return str_dup_c(hex);
}

static char *cert_fingerprint(gnutls_x509_crt_t crt)
{
    unsigned char bytes[20];
    char hex[2 * sizeof(bytes) + 1];
    size_t n = sizeof(bytes);
    if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA1, bytes, &n) < 0)
        return NULL;
    str_hex(hex, bytes, n);
    return str_dup_c(hex);
}

static char *cert_pem(gnutls_x509_crt_t crt)
{
    gnutls_datum_t pem = {0};
    if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) < 0)
        return NULL;
    char *text = str_dup(str_n(pem.data, pem.size));
    gnutls_free(pem.data);
    return text;
}

/* A name with control bytes identifies nobody. */
static char *identity_dup(const char *name, size_t n)
{
    struct str s = str_n(name, n);
    return n == 0 || str_has_crlf_nul(s) ? NULL : str_dup(s);
}

static char *cert_identity(gnutls_x509_crt_t crt)
{
    char name[512];
    for (unsigned i = 0; i < 64; i++) {
        size_t n = sizeof(name);
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &n, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (type == GNUTLS_SAN_RFC822NAME)
            return identity_dup(name, n);
    }
    size_t n = sizeof(name);
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &n) < 0)
        return NULL;
    return identity_dup(name, n);
}

static int cert_import(const gnutls_datum_t *der, gnutls_x509_crt_t *ret)
{
    if (gnutls_x509_crt_init(ret) < 0)
        return -ERR_NOMEM;
    if (gnutls_x509_crt_import(*ret, der, GNUTLS_X509_FMT_DER) == 0)
        return 0;
    gnutls_x509_crt_deinit(*ret);
    return -ERR_TLS;
}

int tls_cert_details(const gnutls_datum_t *der, struct tls_peer_cert *ret)
{
    gnutls_x509_crt_t crt;
    int err = cert_import(der, &crt);
    if (err != 0)
        return err;
    *ret = (struct tls_peer_cert){
        .subject = cert_dn(crt, gnutls_x509_crt_get_dn3),
        .issuer = cert_dn(crt, gnutls_x509_crt_get_issuer_dn3),
        .serial = cert_serial(crt),
        .fingerprint = cert_fingerprint(crt),
        .pem = cert_pem(crt),
        .identity = cert_identity(crt),
    };
    gnutls_x509_crt_deinit(crt);
    return 0;
}

int64_t tls_cert_expires(const gnutls_datum_t *der)
{
    gnutls_x509_crt_t crt;
    if (cert_import(der, &crt) != 0)
        return 0;
    time_t t = gnutls_x509_crt_get_expiration_time(crt);
    gnutls_x509_crt_deinit(crt);
    return t == (time_t)-1 ? 0 : (int64_t)t;
}

void tls_peer_cert_fini(struct tls_peer_cert *c)
{
    free(c->subject);
    free(c->issuer);
    free(c->serial);
    free(c->fingerprint);
    free(c->pem);
    free(c->identity);
    *c = (struct tls_peer_cert){0};
}
