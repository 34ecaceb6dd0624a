/* SPDX-License-Identifier: ISC */
/* The cipher suites that OpenSSL and GnuTLS share, the language that chooses among them, and the
 * way back from a set of suites to the parts that GnuTLS counts in. */
#include "nginx/nginx_ciphers.h"

#include "base/cleanup.h"

/* ---- the parts of a suite ---- */

enum { KX_ECDHE_ECDSA, KX_ECDHE_RSA, KX_DHE_RSA, KX_RSA, KX_COUNT };
enum { MAC_AEAD, MAC_SHA384, MAC_SHA256, MAC_SHA1, MAC_COUNT };

static const struct {
    const char *openssl, *gnutls; /* as a prefix of names */
    const char *groups;           /* of OpenSSL's words that it belongs to */
} ciphers_kx[KX_COUNT] = {
    {"ECDHE-ECDSA-", "ECDHE-ECDSA", "ECDHE EECDH kEECDH kECDHE ECDH ECDSA aECDSA"},
    {"ECDHE-RSA-", "ECDHE-RSA", "ECDHE EECDH kEECDH kECDHE ECDH aRSA"},
    {"DHE-RSA-", "DHE-RSA", "DHE EDH kEDH kDHE DH aRSA"},
    {"", "RSA", "kRSA RSA aRSA"},
};
static const struct {
    const char *openssl, *gnutls, *groups;
} ciphers_mac[MAC_COUNT] = {{"", "AEAD", ""},
                            {"SHA384", "SHA384", "SHA384"},
                            {"SHA256", "SHA256", "SHA256"},
                            {"SHA", "SHA1", "SHA1 SHA"}};

/* In OpenSSL's order of preference. */
static const struct ciphers_enc {
    const char *openssl, *gnutls, *groups;
    unsigned macs; /* bits of MAC_ */
    unsigned kx;   /* bits of KX_ that have it, ~0 = all */
    unsigned bits;
    const char *suite13; /* TLS 1.3 */
} ciphers_enc[] = {
    {"AES256-GCM-SHA384", "AES-256-GCM", "AESGCM AES AES256", 1 << MAC_AEAD, ~0U, 256,
     "TLS_AES_256_GCM_SHA384"},
    {"CHACHA20-POLY1305", "CHACHA20-POLY1305", "CHACHA20", 1 << MAC_AEAD, ~(1U << KX_RSA), 256,
     "TLS_CHACHA20_POLY1305_SHA256"},
    {"AES256-CCM8", "AES-256-CCM-8", "AESCCM8 AESCCM AES AES256", 1 << MAC_AEAD,
     ~(1U << KX_ECDHE_RSA), 256, NULL},
    {"AES256-CCM", "AES-256-CCM", "AESCCM AES AES256", 1 << MAC_AEAD, ~(1U << KX_ECDHE_RSA), 256,
     NULL},
    {"AES128-GCM-SHA256", "AES-128-GCM", "AESGCM AES AES128", 1 << MAC_AEAD, ~0U, 128,
     "TLS_AES_128_GCM_SHA256"},
    {"AES128-CCM8", "AES-128-CCM-8", "AESCCM8 AESCCM AES AES128", 1 << MAC_AEAD,
     ~(1U << KX_ECDHE_RSA), 128, "TLS_AES_128_CCM_8_SHA256"},
    {"AES128-CCM", "AES-128-CCM", "AESCCM AES AES128", 1 << MAC_AEAD, ~(1U << KX_ECDHE_RSA), 128,
     "TLS_AES_128_CCM_SHA256"},
    {"AES256-", "AES-256-CBC", "AES AES256 CBC", 1 << MAC_SHA384 | 1 << MAC_SHA256 | 1 << MAC_SHA1,
     ~0U, 256, NULL},
    {"CAMELLIA256-", "CAMELLIA-256-CBC", "CAMELLIA CAMELLIA256 CBC",
     1 << MAC_SHA384 | 1 << MAC_SHA256 | 1 << MAC_SHA1, ~0U, 256, NULL},
    {"AES128-", "AES-128-CBC", "AES AES128 CBC", 1 << MAC_SHA256 | 1 << MAC_SHA1, ~0U, 128, NULL},
    {"CAMELLIA128-", "CAMELLIA-128-CBC", "CAMELLIA CAMELLIA128 CBC",
     1 << MAC_SHA256 | 1 << MAC_SHA1, ~0U, 128, NULL},
};

struct ciphers_suite {
    unsigned char kx, enc, mac;
    bool is_chosen, is_killed;
};
enum { SUITES_MAX = KX_COUNT * ARRAY_LEN(ciphers_enc) * 3 };

/* All suites, in OpenSSL's order; those chosen stand in front of the others. */
struct ciphers {
    struct ciphers_suite v[SUITES_MAX];
    size_t n;
};

static bool ciphers_has_mac(size_t kx, const struct ciphers_enc *e, unsigned mac)
{
    bool is_ec = kx == KX_ECDHE_ECDSA || kx == KX_ECDHE_RSA;
    bool is_camellia = str_is_prefix(str_of(e->openssl), STR("CAMELLIA"));
    if (!(e->macs & 1U << mac))
        return false;
    /* With elliptic curves the MAC goes with the cipher; others know SHA-256 only. */
    if (mac == MAC_SHA384 || (mac == MAC_SHA256 && e->bits == 256))
        return is_ec == (mac == MAC_SHA384);
    return !(mac == MAC_SHA1 && is_camellia && is_ec);
}

static void ciphers_init(struct ciphers *c)
{
    static const struct {
        unsigned macs;
        unsigned char first, last; /* KX_ */
    } rounds[] = {
        {1 << MAC_AEAD, KX_ECDHE_ECDSA, KX_DHE_RSA},
        {1 << MAC_SHA384 | 1 << MAC_SHA256, KX_ECDHE_ECDSA, KX_DHE_RSA},
        {1 << MAC_SHA1, KX_ECDHE_ECDSA, KX_DHE_RSA},
        {1 << MAC_AEAD, KX_RSA, KX_RSA},
        {1 << MAC_SHA256, KX_RSA, KX_RSA},
        {1 << MAC_SHA1, KX_RSA, KX_RSA},
    };
    c->n = 0;
    for (size_t r = 0; r < ARRAY_LEN(rounds); r++)
        for (unsigned char e = 0; e < ARRAY_LEN(ciphers_enc); e++)
            for (unsigned char kx = rounds[r].first; kx <= rounds[r].last; kx++)
                for (unsigned char mac = 0; mac < MAC_COUNT; mac++)
                    if (rounds[r].macs & 1U << mac && ciphers_enc[e].kx & 1U << kx &&
                        ciphers_has_mac(kx, &ciphers_enc[e], mac))
                        c->v[c->n++] = (struct ciphers_suite){.kx = kx, .enc = e, .mac = mac};
}

static int ciphers_name(const struct ciphers_suite *s, struct buf *out)
{
    return BUF_APPEND(out, ciphers_kx[s->kx].openssl, ciphers_enc[s->enc].openssl,
                      ciphers_mac[s->mac].openssl);
}

/* ---- OpenSSL's language ---- */

static bool ciphers_has_word(const char *list, struct str word)
{
    struct str rest = str_of(list), one;
    while ((one = str_word(&rest)).n > 0)
        if (str_eq(one, word))
            return true;
    return false;
}

/* Does a word ("AESGCM", "HIGH", "ECDHE-RSA-AES128-SHA") mean this suite? */
static bool ciphers_word_has(const struct ciphers_suite *s, struct str word)
{
    AUTO_BUF name = BUF_INIT;
    static const char all[] = "ALL HIGH";
    if (ciphers_name(s, &name) == 0 && str_eq(buf_str(&name), word))
        return true;
    if (str_eq(word, STR("TLSv1.2")))
        return s->mac != MAC_SHA1;
    if (str_eq(word, STR("TLSv1")) || str_eq(word, STR("TLSv1.0")))
        return s->mac == MAC_SHA1 && s->kx <= KX_ECDHE_RSA;
    if (str_eq(word, STR("SSLv3")))
        return s->mac == MAC_SHA1 && s->kx > KX_ECDHE_RSA;
    if (str_eq(word, STR("DEFAULT")))
        return !ciphers_has_word(ciphers_enc[s->enc].groups, STR("AESCCM")) &&
               !ciphers_has_word(ciphers_enc[s->enc].groups, STR("CAMELLIA"));
    return ciphers_has_word(all, word) || ciphers_has_word(ciphers_kx[s->kx].groups, word) ||
           ciphers_has_word(ciphers_enc[s->enc].groups, word) ||
           ciphers_has_word(ciphers_mac[s->mac].groups, word);
}

static bool ciphers_match(const struct ciphers_suite *s, struct str words)
{
    while (words.n > 0)
        if (!ciphers_word_has(s, str_cut(&words, '+')))
            return false;
    return true;
}

/* Moves the suites for which is_moved is set behind the others, in their order. */
static void ciphers_move(struct ciphers *c, const bool *is_moved)
{
    struct ciphers out = {.n = 0};
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < c->n; i++)
            if (is_moved[i] == (round == 1))
                out.v[out.n++] = c->v[i];
    *c = out;
}

static void ciphers_apply(struct ciphers *c, char sign, struct str words)
{
    bool is_moved[SUITES_MAX] = {false};
    for (size_t i = 0; i < c->n; i++) {
        struct ciphers_suite *s = &c->v[i];
        if (s->is_killed || !ciphers_match(s, words))
            continue;
        is_moved[i] = sign == '+' ? s->is_chosen : sign == '\0' && !s->is_chosen;
        s->is_killed = sign == '!';
        if (sign != '+')
            s->is_chosen = sign == '\0';
    }
    ciphers_move(c, is_moved);
}

static void ciphers_choose(struct ciphers *c, struct str text)
{
    ciphers_init(c);
    while (text.n > 0) {
        size_t n = 0;
        while (n < text.n && !strchr(":, ;", text.p[n]))
            n++;
        struct str one = str_head(text, n);
        text = str_skip(text, n < text.n ? n + 1 : n);
        char sign = one.n > 0 && strchr("-+!", one.p[0]) ? one.p[0] : '\0';
        if (sign)
            one = str_skip(one, 1);
        if (str_eq(one, STR("@STRENGTH"))) {
            bool is_weaker[SUITES_MAX] = {false};
            for (size_t i = 0; i < c->n; i++)
                is_weaker[i] = ciphers_enc[c->v[i].enc].bits < 256;
            ciphers_move(c, is_weaker);
        } else if (one.n > 0 && one.p[0] != '@') {
            ciphers_apply(c, sign, one);
        }
    }
}

int nginx_ciphers_list(struct str ciphers, struct buf *ret)
{
    struct ciphers c;
    int err = 0;
    ciphers_choose(&c, ciphers);
    for (size_t i = 0; i < c.n && err == 0; i++) {
        if (!c.v[i].is_chosen)
            continue;
        err = ret->len > 0 ? buf_append_char(ret, ':') : 0;
        if (err == 0)
            err = ciphers_name(&c.v[i], ret);
    }
    return err;
}

/* ---- GnuTLS's ---- */

static int ciphers_why(struct buf *why, const char *text)
{
    return why->len > 0 ? BUF_APPEND(why, "; ", text) : BUF_APPEND(why, text);
}

/* Bits of the parts that are chosen. */
struct ciphers_parts {
    unsigned kx, enc, mac;
    unsigned order[ARRAY_LEN(ciphers_enc)]; /* of enc, as first seen */
    size_t n_order;
};

static void ciphers_add_enc(struct ciphers_parts *p, unsigned enc)
{
    if (!(p->enc & 1U << enc))
        p->order[p->n_order++] = enc;
    p->enc |= 1U << enc;
}

/* GnuTLS has one list of ciphers for TLS 1.3 and the older ones. */
static int ciphers_add_13(struct ciphers_parts *p, struct str suites, bool has_12, struct buf *why)
{
    struct str wanted = suites.n > 0 ? suites
                                     : STR("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                                           "TLS_AES_128_GCM_SHA256");
    unsigned found = 0, missing = 0;
    for (struct str one; wanted.n > 0 && (one = str_cut(&wanted, ':'), true);)
        for (unsigned e = 0; e < ARRAY_LEN(ciphers_enc); e++)
            if (ciphers_enc[e].suite13 && str_eq(one, str_of(ciphers_enc[e].suite13))) {
                *(p->enc & 1U << e ? &found : &missing) |= 1U << e;
                if (!has_12)
                    ciphers_add_enc(p, e);
            }
    p->mac |= 1U << MAC_AEAD;
    if (!has_12 || missing == 0)
        return 0;
    if (found)
        return ciphers_why(why, "TLS 1.3 has fewer cipher suites: those of ssl_ciphers only");
    for (unsigned e = 0; e < ARRAY_LEN(ciphers_enc); e++)
        if (missing & 1U << e)
            ciphers_add_enc(p, e);
    return ciphers_why(why, "the cipher suites of TLS 1.3 are allowed for TLS 1.2, too");
}

/* Suites that come in because GnuTLS combines all parts with each other. */
static int ciphers_tell_more(const struct ciphers *c, const struct ciphers_parts *p,
                             struct buf *why)
{
    size_t n = 0;
    AUTO_BUF names = BUF_INIT;
    int err = 0;
    for (size_t i = 0; i < c->n && err == 0; i++) {
        const struct ciphers_suite *s = &c->v[i];
        if (s->is_chosen ||
            !(p->kx & 1U << s->kx && p->enc & 1U << s->enc && p->mac & 1U << s->mac))
            continue;
        if (++n <= 3)
            err = n > 1 ? buf_append_char(&names, ' ') : 0;
        if (err == 0 && n <= 3)
            err = ciphers_name(s, &names);
    }
    if (err == 0 && n > 0)
        err = ciphers_why(why, "allows also ");
    if (err == 0 && n > 0)
        err = buf_append_str(why, buf_str(&names));
    return err == 0 && n > 3 ? buf_printf(why, " and %zu more", n - 3) : err;
}

static int ciphers_put(struct buf *out, const char *part)
{
    return BUF_APPEND(out, ":+", part);
}

static const struct {
    const char *openssl, *gnutls;
} ciphers_groups[] = {
    {"X25519", "GROUP-X25519"},       {"x25519", "GROUP-X25519"},
    {"X448", "GROUP-X448"},           {"prime256v1", "GROUP-SECP256R1"},
    {"P-256", "GROUP-SECP256R1"},     {"secp256r1", "GROUP-SECP256R1"},
    {"secp384r1", "GROUP-SECP384R1"}, {"P-384", "GROUP-SECP384R1"},
    {"secp521r1", "GROUP-SECP521R1"}, {"P-521", "GROUP-SECP521R1"},
    {"ffdhe2048", "GROUP-FFDHE2048"}, {"ffdhe3072", "GROUP-FFDHE3072"},
    {"ffdhe4096", "GROUP-FFDHE4096"}, {"ffdhe6144", "GROUP-FFDHE6144"},
    {"ffdhe8192", "GROUP-FFDHE8192"},
};

static int ciphers_put_groups(const struct nginx_tls_wish *w, struct buf *out, struct buf *why)
{
    struct str rest = w->groups;
    size_t n = 0;
    int err = 0;
    if (rest.n == 0 || str_eq(rest, STR("auto")))
        return ciphers_put(out, "GROUP-ALL");
    while (rest.n > 0 && err == 0) {
        struct str one = str_cut(&rest, ':');
        size_t i = 0;
        while (i < ARRAY_LEN(ciphers_groups) && !str_eq(one, str_of(ciphers_groups[i].openssl)))
            i++;
        bool is_known = i < ARRAY_LEN(ciphers_groups);
        err =
            is_known ? ciphers_put(out, ciphers_groups[i].gnutls) : ciphers_why(why, "the group ");
        if (!is_known && err == 0)
            err = buf_append_str(why, one);
        if (!is_known && err == 0)
            err = buf_append_c(why, " is left out");
        n += is_known;
    }
    return err == 0 && n == 0 ? ciphers_put(out, "GROUP-ALL") : err;
}

static int ciphers_put_parts(const struct ciphers_parts *p, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < KX_COUNT && err == 0; i++)
        if (p->kx & 1U << i)
            err = ciphers_put(out, ciphers_kx[i].gnutls);
    for (size_t i = 0; i < p->n_order && err == 0; i++)
        err = ciphers_put(out, ciphers_enc[p->order[i]].gnutls);
    for (size_t i = 0; i < MAC_COUNT && err == 0; i++)
        if (p->mac & 1U << i)
            err = ciphers_put(out, ciphers_mac[i].gnutls);
    return err;
}

int nginx_ciphers_priority(const struct nginx_tls_wish *w, struct buf *ret_priority,
                           struct buf *ret_why)
{
    static const char *const versions[] = {"VERS-TLS1.0", "VERS-TLS1.1", "VERS-TLS1.2",
                                           "VERS-TLS1.3"};
    struct ciphers c;
    struct ciphers_parts parts = {0};
    bool has_12 = w->versions & (NGINX_TLS_1_0 | NGINX_TLS_1_1 | NGINX_TLS_1_2);
    ciphers_choose(&c, w->ciphers);
    if (!w->has_dh_params)
        ciphers_apply(&c, '!', STR("DHE"));
    if (has_12) {
        for (size_t i = 0; i < c.n; i++)
            if (c.v[i].is_chosen) {
                parts.kx |= 1U << c.v[i].kx;
                parts.mac |= 1U << c.v[i].mac;
                ciphers_add_enc(&parts, c.v[i].enc);
            }
    }
    bool is_empty = has_12 && parts.kx == 0;
    int err = buf_append_c(ret_priority, "NONE");
    if (w->versions & NGINX_TLS_1_3 && err == 0)
        err = ciphers_add_13(&parts, w->suites, has_12 && !is_empty, ret_why);
    if (is_empty && err == 0)
        err = ciphers_why(ret_why, "GnuTLS has none of the cipher suites of ssl_ciphers");
    if (err < 0 || parts.enc == 0 || w->versions == 0)
        return err < 0 ? err : -ERR_INVAL;
    if (has_12)
        err = ciphers_tell_more(&c, &parts, ret_why);
    for (size_t i = ARRAY_LEN(versions); i-- > 0 && err == 0;)
        if (w->versions & 1U << i)
            err = ciphers_put(ret_priority, versions[i]);
    if (err == 0)
        err = ciphers_put_parts(&parts, ret_priority);
    if (err == 0)
        err = BUF_APPEND(ret_priority, ":+COMP-NULL:+CTYPE-X509:+SIGN-ALL");
    if (err == 0)
        err = ciphers_put_groups(w, ret_priority, ret_why);
    if (err == 0 && w->is_server_choosing)
        err = buf_append_c(ret_priority, ":%SERVER_PRECEDENCE");
    return err;
}
