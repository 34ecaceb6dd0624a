/* SPDX-License-Identifier: ISC */
/* Loading of certificates, keys and priority strings, with errors a person can act on. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/os/files.h"
#include "base/str.h"
#include "io/tls/tls_key.h"
#include "io/tls/tls_key_file.h"
#include "io/tls/tls_session.h"

/* What is meant without tls.priorities: X25519 is the cheapest group, AES-GCM is 4 times faster
 * here than ChaCha20; CBC stays last for old mail clients that know ECDHE with nothing better. */
static const char TLS_DEFAULT_PRIORITY[] =
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

/* GnuTLS wants memory of its own kind. */
static int tls_load_content(struct files *files, const char *path, gnutls_datum_t *ret)
{
    struct str content;
    int err = files_read(files, path, &content);
    if (err < 0)
        return err;
    unsigned char *copy = gnutls_malloc(content.n + 1);
    if (!copy)
        return -ERR_NOMEM;
    memcpy(copy, content.p, content.n);
    copy[content.n] = '\0';
    *ret = (gnutls_datum_t){copy, (unsigned)content.n};
    return 0;
}

int tls_load_file(struct files *files, const char *path, const char *what, gnutls_datum_t *ret,
                  char **ret_error)
{
    errno = 0;
    if (files ? tls_load_content(files, path, ret) == 0 : gnutls_load_file(path, ret) == 0)
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

/* libcrypto signs with the key where it is faster, but never where a suite's key exchange decrypts
 * with it, which GnuTLS does in constant time. */
static int tls_import_key(gnutls_x509_privkey_t parsed, bool is_decrypting, gnutls_privkey_t *ret)
{
    struct tls_key *key;
    unsigned bits = 0;
    int kind = gnutls_x509_privkey_get_pk_algorithm2(parsed, &bits);
    bool is_better = kind > 0 && tls_key_is_faster((gnutls_pk_algorithm_t)kind, bits);
    int err = is_decrypting || !is_better ? -ERR_UNSUPPORTED : tls_key_new(parsed, &key);
    if (err == 0)
        return tls_key_import(key, ret) == 0 ? 0 : GNUTLS_E_MEMORY_ERROR;
    if (err != -ERR_UNSUPPORTED)
        return GNUTLS_E_MEMORY_ERROR;
    int rc = gnutls_privkey_init(ret);
    if (rc == 0)
        rc = gnutls_privkey_import_x509(*ret, parsed, GNUTLS_PRIVKEY_IMPORT_COPY);
    return rc;
}

int tls_load_key(const gnutls_datum_t *pem, struct str passwords, bool is_decrypting,
                 gnutls_privkey_t *ret)
{
    gnutls_x509_privkey_t parsed;
    struct tls_key_place place;
    if (tls_key_place_find(str_n(pem->data, pem->size), &place) == 0) {
        /* A key that another process has signs there; it decrypts nothing, see tls_load_pair. */
        struct tls_key *key;
        int err = tls_key_new_remote(&place, &key);
        return err == 0 && tls_key_import(key, ret) == 0 ? 0 : GNUTLS_E_MEMORY_ERROR;
    }
    int rc = tls_key_file_parse(pem, passwords, &parsed);
    if (rc < 0)
        return rc;
    rc = tls_import_key(parsed, is_decrypting, ret);
    gnutls_x509_privkey_deinit(parsed);
    return rc;
}

/* Takes the key over, whatever happens. Returns the index of the pair or what GnuTLS said. */
static int tls_set_pair(gnutls_certificate_credentials_t cred, const gnutls_datum_t *cert,
                        gnutls_privkey_t key)
{
    gnutls_pcert_st chain[TLS_CHAIN_MAX];
    unsigned n = TLS_CHAIN_MAX;
    int rc = gnutls_pcert_list_import_x509_raw(chain, &n, cert, GNUTLS_X509_FMT_PEM,
                                               GNUTLS_X509_CRT_LIST_SORT);
    if (rc < 0) {
        gnutls_privkey_deinit(key);
        return rc;
    }
    rc = gnutls_certificate_set_key(cred, NULL, 0, chain, (int)n, key);
    if (rc < 0) {
        for (unsigned i = 0; i < n; i++)
            gnutls_pcert_deinit(&chain[i]);
        gnutls_privkey_deinit(key);
    }
    return rc;
}

static bool tls_has_rsa_exchange(gnutls_priority_t priority)
{
    const unsigned *list;
    int n = gnutls_priority_kx_list(priority, &list);
    for (int i = 0; i < n; i++)
        if (list[i] == GNUTLS_KX_RSA || list[i] == GNUTLS_KX_RSA_PSK)
            return true;
    return false;
}

bool tls_priority_decrypts(const char *priority)
{
    gnutls_priority_t parsed;
    if (gnutls_priority_init(&parsed, priority ? priority : TLS_DEFAULT_PRIORITY, NULL) < 0)
        return false;
    bool is_decrypting = tls_has_rsa_exchange(parsed);
    gnutls_priority_deinit(parsed);
    return is_decrypting;
}

/* What a file that should hold the one kind of PEM block holds instead; NULL when it has one. */
static const char *tls_find_wrong(const gnutls_datum_t *file, bool is_key)
{
    static const char begin[] = "-----BEGIN ", key[] = "PRIVATE KEY-----",
                      cert[] = "CERTIFICATE-----";
    bool has_begin = memmem(file->data, file->size, begin, sizeof(begin) - 1);
    bool has_key = memmem(file->data, file->size, key, sizeof(key) - 1);
    bool has_cert = memmem(file->data, file->size, cert, sizeof(cert) - 1);
    if (has_begin && (is_key ? has_key : has_cert))
        return NULL;
    if (file->size == 0)
        return "is empty";
    if (has_begin && (is_key ? has_cert : has_key))
        return is_key ? "holds a certificate and no private key"
                      : "holds a private key and no certificate";
    return is_key ? "holds no private key in PEM form" : "holds no certificate in PEM form";
}

int tls_load_pair(gnutls_certificate_credentials_t cred, gnutls_priority_t priority,
                  struct files *files, const char *cert_file, const char *key_file,
                  const char *password_file, int *ret_index, char **ret_error)
{
    gnutls_datum_t cert = {0}, key = {0}, passwords = {0};
    gnutls_privkey_t private_key = NULL;
    int rc = 0;
    int err = tls_load_file(files, cert_file, "certificate", &cert, ret_error);
    if (err == 0)
        err = tls_load_file(files, key_file, "key", &key, ret_error);
    if (err == 0 && password_file)
        err = tls_load_file(files, password_file, "password file", &passwords, ret_error);
    struct tls_key_place place;
    bool is_remote = key.data && tls_key_place_find(str_n(key.data, key.size), &place) == 0;
    const char *wrong = err == 0 ? tls_find_wrong(&cert, false) : NULL;
    if (wrong)
        err = tls_fail(ret_error, -ERR_TLS, "certificate file %s %s", cert_file, wrong);
    wrong = err == 0 && !is_remote ? tls_find_wrong(&key, true) : NULL;
    if (wrong)
        err = tls_fail(ret_error, -ERR_TLS, "key file %s %s", key_file, wrong);
    if (err == 0)
        rc = tls_load_key(&key, str_n(passwords.data, passwords.size),
                          tls_has_rsa_exchange(priority), &private_key);
    if (is_remote) /* it was checked */
        gnutls_certificate_set_flags(cred, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
    if (err == 0 && rc == 0)
        rc = tls_set_pair(cred, &cert, private_key);
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

int tls_load_ca(gnutls_certificate_credentials_t cred, struct files *files, const char *ca_file,
                char **ret_error)
{
    gnutls_datum_t pem = {0};
    int err = tls_load_file(files, ca_file, "CA file", &pem, ret_error);
    if (err != 0)
        return err;
    int n = gnutls_certificate_set_x509_trust_mem(cred, &pem, GNUTLS_X509_FMT_PEM);
    gnutls_free(pem.data);
    if (n > 0)
        return 0;
    return tls_fail(ret_error, -ERR_TLS, "no usable certificate in CA file %s: %s", ca_file,
                    n < 0 ? gnutls_strerror(n) : "it is empty");
}
