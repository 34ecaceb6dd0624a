/* SPDX-License-Identifier: ISC */
/* Loading of certificates, keys and priority strings, with errors a person can act on. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "io/tls_priv.h"

/* X25519 is the cheapest group, AES-GCM is 4 times faster here than ChaCha20; CBC stays last for
 * old mail clients that know ECDHE with nothing better. */
const char TLS_DEFAULT_PRIORITY[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
    ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-FFDHE2048:"
    "+GROUP-FFDHE3072"
    ":-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-CBC:+AES-256-CBC"
    ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:+DHE-RSA:%SERVER_PRECEDENCE";

int tls_fail(char **ret_error, int err, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    *ret_error = str_dup_c(text);
    return err;
}

int tls_load_priority(const char *priority, gnutls_priority_t *ret, char **ret_error)
{
    const char *bad = NULL;
    int rc = gnutls_priority_init(ret, priority ? priority : TLS_DEFAULT_PRIORITY, &bad);
    if (rc == 0)
        return 0;
    return tls_fail(ret_error, -ERR_TLS, "priority string is wrong at \"%s\": %s", bad ? bad : "",
                    gnutls_strerror(rc));
}

int tls_load_file(const char *path, const char *what, gnutls_datum_t *ret, char **ret_error)
{
    errno = 0;
    if (gnutls_load_file(path, ret) == 0)
        return 0;
    return tls_fail(ret_error, -ERR_IO, "cannot read %s %s: %s", what, path,
                    errno ? strerror(errno) : "read error");
}

static void tls_wipe_datum(gnutls_datum_t *d)
{
    if (d->data)
        gnutls_memset(d->data, 0, d->size);
    gnutls_free(d->data);
    d->data = NULL;
}

static int tls_set_pair(gnutls_certificate_credentials_t cred, const gnutls_datum_t *cert,
                        const gnutls_datum_t *key, const char *password)
{
    return gnutls_certificate_set_x509_key_mem2(cred, cert, key, GNUTLS_X509_FMT_PEM, password, 0);
}

/* Each line of the password file in turn, then none at all. Returns what GnuTLS said last. */
static int tls_try_passwords(gnutls_certificate_credentials_t cred, const gnutls_datum_t *cert,
                             const gnutls_datum_t *key, struct str passwords)
{
    int rc = tls_set_pair(cred, cert, key, NULL);
    while (rc == GNUTLS_E_DECRYPTION_FAILED && passwords.n > 0) {
        struct str line = str_cut(&passwords, '\n');
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0)
            continue;
        AUTO_SECRET_BUF password = BUF_INIT;
        if (buf_append_str(&password, line) != 0 || !buf_cstr(&password))
            return GNUTLS_E_MEMORY_ERROR;
        rc = tls_set_pair(cred, cert, key, buf_cstr(&password));
    }
    return rc;
}

int tls_load_pair(gnutls_certificate_credentials_t cred, const char *cert_file,
                  const char *key_file, const char *password_file, int *ret_index, char **ret_error)
{
    gnutls_datum_t cert = {0}, key = {0}, passwords = {0};
    int rc = 0;
    int err = tls_load_file(cert_file, "certificate", &cert, ret_error);
    if (err == 0)
        err = tls_load_file(key_file, "key", &key, ret_error);
    if (err == 0 && password_file)
        err = tls_load_file(password_file, "password file", &passwords, ret_error);
    if (err == 0)
        rc = tls_try_passwords(cred, &cert, &key, str_n(passwords.data, passwords.size));
    gnutls_free(cert.data);
    tls_wipe_datum(&key);
    tls_wipe_datum(&passwords);
    if (err != 0)
        return err;
    if (rc == GNUTLS_E_DECRYPTION_FAILED)
        return tls_fail(ret_error, -ERR_TLS, "key %s is encrypted and %s", key_file,
                        password_file ? "no line of the password file opens it"
                                      : "there is no password file");
    if (rc < 0)
        return tls_fail(ret_error, -ERR_TLS, "cannot use certificate %s with key %s: %s", cert_file,
                        key_file, gnutls_strerror(rc));
    *ret_index = rc;
    return 0;
}

int tls_load_ca(gnutls_certificate_credentials_t cred, const char *ca_file, char **ret_error)
{
    gnutls_datum_t pem = {0};
    int err = tls_load_file(ca_file, "CA file", &pem, ret_error);
    if (err != 0)
        return err;
    int n = gnutls_certificate_set_x509_trust_mem(cred, &pem, GNUTLS_X509_FMT_PEM);
    gnutls_free(pem.data);
    if (n > 0)
        return 0;
    return tls_fail(ret_error, -ERR_TLS, "no usable certificate in CA file %s: %s", ca_file,
                    n < 0 ? gnutls_strerror(n) : "it is empty");
}
