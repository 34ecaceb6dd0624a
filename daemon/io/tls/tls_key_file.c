/* SPDX-License-Identifier: ISC */
/* PEM blocks of private keys, and the block that stands for one. */
#include "io/tls/tls_key_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"

static const char place_begin[] = "-----BEGIN MAILPROXY KEY PLACE-----\n";
static const char place_end[] = "-----END MAILPROXY KEY PLACE-----\n";

/* ---- reading ---- */

static int key_file_open(const gnutls_datum_t *pem, const char *password,
                         gnutls_x509_privkey_t *ret)
{
    gnutls_x509_privkey_t key;
    int rc = gnutls_x509_privkey_init(&key);
    if (rc < 0)
        return rc;
    rc = gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, password, 0);
    if (rc < 0)
        gnutls_x509_privkey_deinit(key);
    else
        *ret = key;
    return rc;
}

int tls_key_file_parse(const gnutls_datum_t *pem, struct str passwords, gnutls_x509_privkey_t *ret)
{
    int rc = key_file_open(pem, NULL, ret);
    while (rc == GNUTLS_E_DECRYPTION_FAILED && passwords.n > 0) {
        struct str line = str_cut(&passwords, '\n');
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0)
            continue;
        AUTO_SECRET_BUF password = BUF_INIT;
        if (buf_append_str(&password, line) != 0 || !buf_cstr(&password))
            return GNUTLS_E_MEMORY_ERROR;
        rc = key_file_open(pem, buf_cstr(&password), ret);
    }
    return rc;
}

int tls_key_file_take(struct str pem, struct str passwords, struct buf *out,
                      struct tls_key_place *ret)
{
    const gnutls_datum_t text = {(unsigned char *)(uintptr_t)pem.p, (unsigned)pem.n};
    gnutls_x509_privkey_t key;
    gnutls_datum_t der = {0};
    unsigned bits = 0;
    int rc = tls_key_file_parse(&text, passwords, &key);
    if (rc < 0)
        return rc == GNUTLS_E_MEMORY_ERROR ? -ERR_NOMEM : -ERR_TLS;
    int kind = gnutls_x509_privkey_get_pk_algorithm2(key, &bits);
    rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN, &der);
    gnutls_x509_privkey_deinit(key);
    if (rc < 0 || kind < 0)
        return rc == GNUTLS_E_MEMORY_ERROR ? -ERR_NOMEM : -ERR_TLS;
    int err = buf_append(out, der.data, der.size);
    gnutls_memset(der.data, 0, der.size);
    gnutls_free(der.data);
    ret->kind = (gnutls_pk_algorithm_t)kind;
    ret->bits = bits;
    return err;
}

/* ---- taking out ---- */

/* Of a first line: "-----BEGIN ... PRIVATE KEY-----". */
static bool is_key_line(struct str line, const char *begin)
{
    static const char end[] = "PRIVATE KEY-----";
    line = str_trim(line);
    return str_is_prefix(line, str_of(begin)) && line.n >= sizeof(end) - 1 &&
           memcmp(line.p + line.n - (sizeof(end) - 1), end, sizeof(end) - 1) == 0;
}

int tls_key_file_strip(struct str pem, struct buf *out)
{
    bool is_key = false;
    int err = 0;
    while (pem.n > 0 && err == 0) {
        struct str line = str_cut(&pem, '\n');
        bool is_last = is_key && is_key_line(line, "-----END ");
        is_key = is_key || is_key_line(line, "-----BEGIN ");
        if (!is_key)
            err = buf_append_str(out, line);
        if (!is_key && err == 0)
            err = buf_append_char(out, '\n');
        is_key = is_key && !is_last;
    }
    return err;
}

/* ---- what stands for a key ---- */

int tls_key_place_append(const struct tls_key_place *p, struct buf *out)
{
    return buf_printf(out, "%s%" PRIu64 " %" PRIu32 " %u %u\n%s", place_begin, p->service,
                      p->number, (unsigned)p->kind, p->bits, place_end);
}

int tls_key_place_find(struct str text, struct tls_key_place *ret)
{
    ptrdiff_t at = str_find(text, str_of(place_begin));
    if (at < 0)
        return -ERR_NOT_FOUND;
    struct str rest = str_skip(text, (size_t)at + sizeof(place_begin) - 1);
    struct str line = str_cut(&rest, '\n');
    uint64_t service, v[3] = {0};
    int err = str_to_u64(str_word(&line), UINT64_MAX, &service);
    for (size_t i = 0; i < ARRAY_LEN(v) && err == 0; i++)
        err = str_to_u64(str_word(&line), UINT32_MAX, &v[i]);
    if (err < 0 || v[1] > INT32_MAX)
        return -ERR_SYNTAX;
    *ret = (struct tls_key_place){service, (uint32_t)v[0], (gnutls_pk_algorithm_t)v[1],
                                  (unsigned)v[2]};
    return 0;
}
