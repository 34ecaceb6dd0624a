/* SPDX-License-Identifier: ISC */
/* Password hashes: crypt(3) in all its forms, and the schemes that Dovecot writes in front. */
#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

#include "auth/provider.h"
#include "base/cleanup.h"

#define DIGEST_MAX 64
#define DES_HASH_CHARS 13
#define PBKDF2_SHA1_BYTES 20
#define PBKDF2_ROUNDS_MAX 10000000

/* What stands in front of a hash, "{SSHA.HEX}", and what follows. */
struct scheme {
    struct str name;
    struct str rest;
    bool is_raw;        /* rest was decoded as the label said */
    struct buf decoded; /* where it then is */
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode_hex(struct str in, struct buf *out)
{
    if (in.n % 2 != 0)
        return -ERR_SYNTAX;
    for (size_t i = 0; i < in.n; i += 2) {
        int high = hex_value(in.p[i]), low = hex_value(in.p[i + 1]);
        if (high < 0 || low < 0)
            return -ERR_SYNTAX;
        if (buf_append_char(out, (char)(high << 4 | low)) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}

static void scheme_fini(struct scheme *s)
{
    buf_wipe(&s->decoded);
}

/* "{NAME}rest", "{NAME.ENCODING}rest", or a bare hash of crypt(3). */
static int scheme_parse(const char *hash, struct scheme *ret)
{
    struct str rest = str_of(hash);
    *ret = (struct scheme){.name = STR("CRYPT"), .rest = rest};
    if (rest.n == 0 || rest.p[0] != '{')
        return 0;
    rest = str_n(rest.p + 1, rest.n - 1);
    struct str label = str_cut(&rest, '}');
    *ret = (struct scheme){.name = str_cut(&label, '.'), .rest = rest};
    if (!rest.p)
        return -ERR_UNSUPPORTED;
    if (!label.p)
        return 0;
    int err = str_ieq(label, STR("HEX")) ? decode_hex(rest, &ret->decoded)
              : str_ieq(label, STR("B64")) || str_ieq(label, STR("BASE64"))
                  ? str_base64_decode(rest, &ret->decoded)
                  : -ERR_UNSUPPORTED;
    ret->rest = buf_str(&ret->decoded);
    ret->is_raw = true;
    return err;
}

/* ---- crypt(3) ---- */

/* -ERR_INVAL when crypt(3) cannot make a hash of it. */
static int crypt_make(struct str password, const char *setting, char ret[CRYPT_OUTPUT_SIZE])
{
    AUTO_SECRET_BUF phrase = BUF_INIT;
    int err = buf_append_str(&phrase, password);
    if (err < 0 || !buf_cstr(&phrase))
        return -ERR_NOMEM;
    struct crypt_data *data = calloc(1, sizeof(*data)); /* 32 KB: too much for a thread's stack */
    if (!data)
        return -ERR_NOMEM;
    const char *hash = crypt_r(buf_cstr(&phrase), setting, data);
    if (hash && hash[0] != '*')
        (void)str_copy(ret, CRYPT_OUTPUT_SIZE, str_of(hash));
    else
        err = -ERR_INVAL;
    explicit_bzero(data, sizeof(*data));
    free(data);
    return err;
}

static int crypt_verify(const struct scheme *s, struct str password)
{
    char got[CRYPT_OUTPUT_SIZE];
    AUTO_FREE char *wanted = str_dup(s->rest);
    int err = wanted ? crypt_make(password, wanted, got) : -ERR_NOMEM;
    if (err == 0 && !str_eq_secret(str_of(got), s->rest))
        err = -ERR_AUTH;
    return err == -ERR_INVAL ? -ERR_AUTH : err;
}

static bool crypt_is_known(const struct scheme *s)
{
    AUTO_FREE char *hash = str_dup(s->rest);
    if (!hash || str_has_crlf_nul(s->rest))
        return false;
    bool is_des = hash[0] != '$' && hash[0] != '_';
    int kind = crypt_checksalt(hash);
    return (kind == CRYPT_SALT_OK || kind == CRYPT_SALT_METHOD_LEGACY) &&
           (!is_des || strlen(hash) == DES_HASH_CHARS);
}

/* ---- PLAIN ---- */

static int plain_verify(const struct scheme *s, struct str password)
{
    return str_eq_secret(s->rest, password) ? 0 : -ERR_AUTH;
}

/* ---- plain digests: H(password salt) salt ---- */

static const struct digest {
    const char *name;
    gnutls_digest_algorithm_t algorithm;
    bool is_salted;
} digests[] = {
    {"SHA", GNUTLS_DIG_SHA1, false},      {"SHA1", GNUTLS_DIG_SHA1, false},
    {"SHA256", GNUTLS_DIG_SHA256, false}, {"SHA512", GNUTLS_DIG_SHA512, false},
    {"SSHA", GNUTLS_DIG_SHA1, true},      {"SSHA256", GNUTLS_DIG_SHA256, true},
    {"SSHA512", GNUTLS_DIG_SHA512, true}, {"SMD5", GNUTLS_DIG_MD5, true},
    {"LDAP-MD5", GNUTLS_DIG_MD5, false},  {"PLAIN-MD5", GNUTLS_DIG_MD5, false},
};

static const struct digest *digest_find(const struct scheme *s)
{
    for (size_t i = 0; i < ARRAY_LEN(digests); i++)
        if (str_ieq(s->name, str_of(digests[i].name)))
            return &digests[i];
    return NULL;
}

/* Unsalted digests tell by their length whether they are hex, as for Dovecot. */
static int digest_decode(const struct scheme *s, const struct digest *d, struct buf *out)
{
    size_t n = gnutls_hash_get_len(d->algorithm);
    bool is_hex = !d->is_salted && s->rest.n == 2 * n;
    int err = s->is_raw ? buf_append_str(out, s->rest)
              : is_hex  ? decode_hex(s->rest, out)
                        : str_base64_decode(s->rest, out);
    if (err < 0)
        return err == -ERR_NOMEM ? err : -ERR_UNSUPPORTED;
    return out->len == n || (d->is_salted && out->len > n) ? 0 : -ERR_UNSUPPORTED;
}

static int digest_verify(const struct scheme *s, struct str password)
{
    const struct digest *d = digest_find(s);
    AUTO_SECRET_BUF wanted = BUF_INIT;
    AUTO_SECRET_BUF text = BUF_INIT;
    uint8_t got[DIGEST_MAX];
    size_t n = gnutls_hash_get_len(d->algorithm);
    int err = digest_decode(s, d, &wanted);
    if (err < 0)
        return err;
    struct str salt = str_n(buf_str(&wanted).p + n, wanted.len - n);
    if (buf_append_str(&text, password) < 0 || buf_append_str(&text, salt) < 0)
        return -ERR_NOMEM;
    if (gnutls_hash_fast(d->algorithm, buf_str(&text).p, text.len, got) < 0)
        return -ERR_UNSUPPORTED;
    bool is_right = str_eq_secret(str_n(got, n), str_n(buf_str(&wanted).p, n));
    explicit_bzero(got, sizeof(got));
    return is_right ? 0 : -ERR_AUTH;
}

static bool digest_is_known(const struct scheme *s)
{
    AUTO_SECRET_BUF out = BUF_INIT;
    return digest_decode(s, digest_find(s), &out) == 0;
}

/* ---- PBKDF2 as Dovecot writes it: $1$salt$rounds$hex, HMAC-SHA-1 ---- */

struct pbkdf2 {
    struct str salt;
    uint64_t rounds;
    struct buf wanted;
};

static int pbkdf2_parse(const struct scheme *s, struct pbkdf2 *ret)
{
    struct str rest = s->rest;
    struct str empty = str_cut(&rest, '$'), version = str_cut(&rest, '$');
    struct pbkdf2 p = {.salt = str_cut(&rest, '$')};
    if (empty.n > 0 || !str_eq(version, STR("1")) ||
        str_to_u64(str_cut(&rest, '$'), PBKDF2_ROUNDS_MAX, &p.rounds) < 0 || p.rounds == 0)
        return -ERR_UNSUPPORTED;
    int err = decode_hex(rest, &p.wanted);
    if (err == 0 && p.wanted.len != PBKDF2_SHA1_BYTES)
        err = -ERR_SYNTAX;
    if (err < 0) {
        buf_wipe(&p.wanted);
        return err == -ERR_NOMEM ? err : -ERR_UNSUPPORTED;
    }
    *ret = p;
    return 0;
}

static int pbkdf2_verify(const struct scheme *s, struct str password)
{
    struct pbkdf2 p;
    uint8_t got[PBKDF2_SHA1_BYTES];
    int err = pbkdf2_parse(s, &p);
    if (err < 0)
        return err;
    const gnutls_datum_t key = {(void *)password.p, (unsigned)password.n};
    const gnutls_datum_t salt = {(void *)p.salt.p, (unsigned)p.salt.n};
    if (gnutls_pbkdf2(GNUTLS_MAC_SHA1, &key, &salt, (unsigned)p.rounds, got, sizeof(got)) < 0)
        err = -ERR_UNSUPPORTED;
    else
        err = str_eq_secret(str_n(got, sizeof(got)), buf_str(&p.wanted)) ? 0 : -ERR_AUTH;
    buf_wipe(&p.wanted);
    explicit_bzero(got, sizeof(got));
    return err;
}

static bool pbkdf2_is_known(const struct scheme *s)
{
    struct pbkdf2 p;
    if (pbkdf2_parse(s, &p) < 0)
        return false;
    buf_wipe(&p.wanted);
    return true;
}

/* ---- SCRAM keys prove a password too ---- */

static int scram_verify(const struct scheme *s, struct str password)
{
    struct sasl_scram_keys keys;
    AUTO_FREE char *text = str_dup(s->rest);
    int err = text ? password_scram_parse(text, &keys) : -ERR_NOMEM;
    if (err < 0)
        return err == -ERR_NOMEM ? err : -ERR_UNSUPPORTED;
    err = password_scram_verify(&keys, password);
    explicit_bzero(&keys, sizeof(keys));
    return err;
}

static bool scram_is_known(const struct scheme *s)
{
    struct sasl_scram_keys keys;
    AUTO_FREE char *text = str_dup(s->rest);
    return text && password_scram_parse(text, &keys) == 0;
}

/* ---- the schemes ---- */

static bool plain_is_known(const struct scheme *s)
{
    return s->rest.n > 0;
}

static const struct scheme_row {
    const char *name;
    int (*verify)(const struct scheme *s, struct str password);
    bool (*is_known)(const struct scheme *s);
} schemes[] = {
    {"PLAIN", plain_verify, plain_is_known},        {"CLEAR", plain_verify, plain_is_known},
    {"CLEARTEXT", plain_verify, plain_is_known},    {"CRYPT", crypt_verify, crypt_is_known},
    {"DES-CRYPT", crypt_verify, crypt_is_known},    {"MD5-CRYPT", crypt_verify, crypt_is_known},
    {"MD5", crypt_verify, crypt_is_known},          {"SHA256-CRYPT", crypt_verify, crypt_is_known},
    {"SHA512-CRYPT", crypt_verify, crypt_is_known}, {"BLF-CRYPT", crypt_verify, crypt_is_known},
    {"PBKDF2", pbkdf2_verify, pbkdf2_is_known},     {"SCRAM-SHA-256", scram_verify, scram_is_known},
};

/* The row of a scheme that fits its hash, NULL when there is none. */
static const struct scheme_row *scheme_find(const struct scheme *s)
{
    static const struct scheme_row digest_row = {"", digest_verify, digest_is_known};
    const struct scheme_row *row = digest_find(s) ? &digest_row : NULL;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_ieq(s->name, str_of(schemes[i].name)))
            row = &schemes[i];
    return row && row->is_known(s) ? row : NULL;
}

bool password_is_known(const char *hash)
{
    CLEANUP(scheme_fini) struct scheme s;
    return scheme_parse(hash, &s) == 0 && scheme_find(&s);
}

int password_verify(const char *hash, struct str password)
{
    CLEANUP(scheme_fini) struct scheme s;
    const struct scheme_row *row = scheme_parse(hash, &s) == 0 ? scheme_find(&s) : NULL;
    if (!row)
        return -ERR_UNSUPPORTED;
    if (str_has_crlf_nul(password)) /* never set by anybody; a NUL would cut it */
        return -ERR_AUTH;
    return row->verify(&s, password);
}

int password_hash(struct str password, char **ret_hash)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE], hash[CRYPT_OUTPUT_SIZE];
    if (str_has_crlf_nul(password) || password.n >= CRYPT_MAX_PASSPHRASE_SIZE)
        return -ERR_INVAL;
    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)))
        return -ERR_UNSUPPORTED;
    int err = crypt_make(password, setting, hash);
    char *copy = err == 0 ? str_dup_c(hash) : NULL;
    if (err == 0 && !copy)
        err = -ERR_NOMEM;
    if (err == 0)
        *ret_hash = copy;
    return err;
}
