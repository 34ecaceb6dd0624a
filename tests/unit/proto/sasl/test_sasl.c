/* SPDX-License-Identifier: ISC */
/* SASL exchanges: RFC vectors, malformed responses, and what must never become a credential. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/crypto.h>

#include "base/cleanup.h"
#include "io/crypto.h"
#include "proto/sasl/sasl.h"

#define IN(text)                                                                                   \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }
#define NONE                                                                                       \
    {                                                                                              \
        NULL, 0                                                                                    \
    } /* no response: the client waits for a challenge */
#define END                                                                                        \
    {                                                                                              \
        "(end)", SIZE_MAX                                                                          \
    }

static struct sasl_env make_env(void)
{
    return (struct sasl_env){
        .crypto = crypto_sasl(),
        .server_name = "mail.example.org",
        .external_identity = STR("cert@example.org"),
        .challenge_seed = 0x0000000700000009,
        .fake_secret = STR("the secret of this process"),
    };
}

static void log_credentials(struct buf *log, struct sasl *s)
{
    const struct credentials *c = sasl_credentials(s);
    assert_int_equal(buf_printf(log, "= user=%.*s authzid=%.*s secret=%.*s%s%s",
                                STR_ARG(buf_str(&c->user)), STR_ARG(buf_str(&c->authzid)),
                                STR_ARG(buf_str(&c->secret)), c->salt.len ? " salted" : "",
                                c->is_proved ? " proved" : ""),
                     0);
}

/* Feeds the responses (each in a block of exactly its size) and writes down what comes back. */
static void converse(struct sasl *s, const struct str *responses, struct buf *log)
{
    for (; responses->n != SIZE_MAX; responses++) {
        AUTO_BUF out = BUF_INIT;
        char *exact = malloc(responses->n ? responses->n : 1);
        assert_non_null(exact);
        if (responses->n)
            memcpy(exact, responses->p, responses->n);
        enum sasl_result r = sasl_step(s, responses->p != NULL, str_n(exact, responses->n), &out);
        free(exact);
        if (r == SASL_CHALLENGE)
            assert_int_equal(buf_printf(log, "C(%.*s) ", STR_ARG(buf_str(&out))), 0);
        else if (r == SASL_CREDENTIALS)
            log_credentials(log, s);
        else if (r == SASL_NEED_KEYS)
            assert_int_equal(buf_append_c(log, "K "), 0);
        else
            assert_int_equal(buf_append_c(log, "F "), 0);
        if (r == SASL_FAILED) {
            assert_int_equal(sasl_credentials(s)->user.len, 0);
            assert_int_equal(sasl_credentials(s)->secret.len, 0);
            assert_false(sasl_credentials(s)->is_proved);
        }
    }
}

struct sasl_case {
    enum sasl_mech mech;
    struct str responses[4];
    const char *want;
};

static void run_cases(const struct sasl_case *cases, size_t n)
{
    struct sasl_env env = make_env();
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF log = BUF_INIT;
        struct sasl *s = sasl_new(cases[i].mech, &env);
        assert_non_null(s);
        assert_int_equal(sasl_credentials(s)->mech, cases[i].mech);
        converse(s, cases[i].responses, &log);
        if (!str_eq(str_trim(buf_str(&log)), str_trim(str_of(cases[i].want))))
            fail_msg("case %zu (%s): got \"%.*s\", want \"%s\"", i, sasl_name(cases[i].mech),
                     STR_ARG(buf_str(&log)), cases[i].want);
        sasl_free(s);
    }
}

static void test_plain(void **state)
{
    static const struct sasl_case cases[] = {
        /* RFC 4616 section 4 */
        {SASL_PLAIN,
         {NONE, IN("\0tim\0tanstaaftanstaaf"), END},
         "C() = user=tim authzid= secret=tanstaaftanstaaf"},
        {SASL_PLAIN,
         {IN("Ursel\0Kurt\0xipj3plmq"), END},
         "= user=Kurt authzid=Ursel secret=xipj3plmq"},
        {SASL_PLAIN, {IN("\0u\0p w=\"\\{3}"), END}, "= user=u authzid= secret=p w=\"\\{3}"},
        {SASL_PLAIN, {IN("\0\xc3\xa9\0\xe9"), END}, "= user=\xc3\xa9 authzid= secret=\xe9"},
        {SASL_PLAIN, {IN(""), END}, "F"},
        {SASL_PLAIN, {IN("u"), END}, "F"},
        {SASL_PLAIN, {IN("\0u"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\0"), END}, "F"},
        {SASL_PLAIN, {IN("\0\0p"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\0p\0"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\0p\0q"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\0p\r\nDELE 1"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\0p\n"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\rx\0p"), END}, "F"},
        {SASL_PLAIN, {IN("a\nb\0u\0p"), END}, "F"},
        {SASL_PLAIN, {IN("\0u\xff\0p"), END}, "F"},
        {SASL_PLAIN, {NONE, NONE, END}, "C() F"},
        /* what is over stays over */
        {SASL_PLAIN, {IN("bad"), IN("\0u\0p"), END}, "F F"},
        {SASL_PLAIN, {IN("\0u\0p"), IN("\0v\0p"), END}, "= user=u authzid= secret=pF"},
    };
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_login(void **state)
{
    static const struct sasl_case cases[] = {
        {SASL_LOGIN,
         {NONE, IN("tim"), IN("pw"), END},
         "C(Username:) C(Password:) = user=tim authzid= secret=pw"},
        {SASL_LOGIN, {IN("tim"), IN("p w"), END}, "C(Password:) = user=tim authzid= secret=p w"},
        {SASL_LOGIN,
         {IN(""), IN("tim"), IN("pw"), END},
         "C(Username:) C(Password:) = user=tim authzid= secret=pw"},
        {SASL_LOGIN, {NONE, IN(""), END}, "C(Username:) F"},
        {SASL_LOGIN, {NONE, IN("u\0v"), END}, "C(Username:) F"},
        {SASL_LOGIN, {NONE, IN("u\n"), END}, "C(Username:) F"},
        {SASL_LOGIN, {NONE, IN("u"), IN(""), END}, "C(Username:) C(Password:) F"},
        {SASL_LOGIN, {NONE, IN("u"), IN("p\r"), END}, "C(Username:) C(Password:) F"},
        {SASL_LOGIN, {NONE, IN("u"), NONE, END}, "C(Username:) C(Password:) F"},
    };
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_cram_md5(void **state)
{
#define CHALLENGE "C(<7.9@mail.example.org>) "
#define DIGEST "b913a602c7eda7a495b4e6e7334d3890"
    static const struct sasl_case cases[] = {
        {SASL_CRAM_MD5,
         {NONE, IN("tim " DIGEST), END},
         CHALLENGE "= user=tim authzid= secret=" DIGEST " salted"},
        {SASL_CRAM_MD5,
         {IN(""), IN("a b c " DIGEST), END},
         CHALLENGE "= user=a b c authzid= secret=" DIGEST " salted"},
        {SASL_CRAM_MD5,
         {NONE, IN("tim B913A602C7EDA7A495B4E6E7334D3890"), END},
         CHALLENGE "= user=tim authzid= secret=" DIGEST " salted"},
        {SASL_CRAM_MD5, {IN("tim " DIGEST), END}, "F"},
        {SASL_CRAM_MD5, {NONE, NONE, END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN(""), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN(DIGEST), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN(" " DIGEST), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN("tim" DIGEST), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN("tim g913a602c7eda7a495b4e6e7334d3890"), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN("tim " DIGEST "0"), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN("t\0m " DIGEST), END}, CHALLENGE "F"},
        {SASL_CRAM_MD5, {NONE, IN("t\nm " DIGEST), END}, CHALLENGE "F"},
    };
    run_cases(cases, ARRAY_LEN(cases));
    /* The digest is the one that a keeper of the password computes over the salt. */
    uint8_t mac[16];
    char hex[33];
    crypto_sasl()->hmac_md5(STR("tanstaaftanstaaf"),
                            STR("<1896.697170952@postoffice.reston.mci.net>"), mac);
    str_hex(hex, mac, sizeof(mac));
    assert_string_equal(hex, DIGEST);
}

static void test_external(void **state)
{
    static const struct sasl_case cases[] = {
        {SASL_EXTERNAL, {NONE, IN(""), END}, "C() = user=cert@example.org authzid= secret= proved"},
        {SASL_EXTERNAL, {IN(""), END}, "= user=cert@example.org authzid= secret= proved"},
        {SASL_EXTERNAL,
         {IN("cert@example.org"), END},
         "= user=cert@example.org authzid= secret= proved"},
        {SASL_EXTERNAL, {IN("other"), END}, "= user=cert@example.org authzid=other secret= proved"},
        {SASL_EXTERNAL, {IN("oth\0er"), END}, "F"},
        {SASL_EXTERNAL, {IN("oth\r\ner"), END}, "F"},
        {SASL_EXTERNAL, {NONE, NONE, END}, "C() F"},
    };
    run_cases(cases, ARRAY_LEN(cases));
    struct sasl_env env = make_env();
    AUTO_BUF out = BUF_INIT;
    env.external_identity = STR_NULL; /* no certificate */
    struct sasl *s = sasl_new(SASL_EXTERNAL, &env);
    assert_int_equal(sasl_step(s, true, STR("me"), &out), SASL_FAILED);
    sasl_free(s);
}

/* Without a certificate a name is only a claim; with one it is what it was. */
static void test_external_any(void **state)
{
    static const struct {
        struct str identity, response;
        const char *want;
    } cases[] = {
        {STR_NULL, STR("me"), "= user=me authzid= secret="},
        {STR_NULL, STR(""), "F"},
        {STR_NULL, STR("m\r\ne"), "F"},
        {STR_NULL, STR("m\xff"), "F"},
        {STR("cert"), STR("me"), "= user=cert authzid=me secret= proved"},
        {STR("cert"), STR(""), "= user=cert authzid= secret= proved"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sasl_env env = make_env();
        AUTO_BUF out = BUF_INIT, log = BUF_INIT;
        env.external_identity = cases[i].identity;
        env.is_external_any = true;
        struct sasl *s = sasl_new(SASL_EXTERNAL, &env);
        assert_int_equal(sasl_step(s, false, STR_NULL, &out), SASL_CHALLENGE);
        if (sasl_step(s, true, cases[i].response, &out) == SASL_CREDENTIALS)
            log_credentials(&log, s);
        else
            assert_int_equal(buf_append_c(&log, "F"), 0);
        assert_string_equal(buf_cstr(&log), cases[i].want);
        sasl_free(s);
    }
}

#define A "\x01"

static void test_xoauth2(void **state)
{
    static const struct sasl_case cases[] = {
        {SASL_XOAUTH2,
         {NONE, IN("user=u@x" A "auth=Bearer ya29.vF9d-_~+/=" A A), END},
         "C() = user=u@x authzid= secret=ya29.vF9d-_~+/="},
        {SASL_XOAUTH2, {IN("user=u" A "auth=bearer t" A A), END}, "= user=u authzid= secret=t"},
        {SASL_XOAUTH2,
         {IN("auth=Bearer t" A "user=u" A "x=" A A), END},
         "= user=u authzid= secret=t"},
        {SASL_XOAUTH2, {IN(""), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("auth=Bearer t" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=" A "auth=Bearer t" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "auth=Basic t" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "auth=Bearer " A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "auth=Bearer a b" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "auth=Bearer a\r\nb" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u\n" A "auth=Bearer a" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "auth=Bearer t" A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "auth=Bearer t" A A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "user=v" A "auth=Bearer t" A A), END}, "F"},
        {SASL_XOAUTH2, {IN("user=u" A "nonsense" A "auth=Bearer t" A A), END}, "F"},
    };
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_oauthbearer(void **state)
{
#define ERROR_JSON "{\"status\":\"invalid_token\",\"schemes\":\"bearer\",\"scope\":\"mail\"}"
    static const struct sasl_case cases[] = {
        /* RFC 7628 section 4.1 */
        {SASL_OAUTHBEARER,
         {IN("n,a=user@example.com," A "host=server.example.com" A "port=143" A
             "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" A A),
          END},
         "= user=user@example.com authzid= secret=vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
        {SASL_OAUTHBEARER,
         {NONE, IN("y,a=a=2Cb=3Dc," A "auth=Bearer t" A A), END},
         "C() = user=a,b=c authzid= secret=t"},
        {SASL_OAUTHBEARER,
         {IN("n,," A "user=u" A "auth=Bearer t" A A), END},
         "= user=u authzid= secret=t"},
        /* section 4.3: asking where a token can be had */
        {SASL_OAUTHBEARER, {IN("n,a=u," A "auth=" A A), IN(A), END}, "C(" ERROR_JSON ") F"},
        {SASL_OAUTHBEARER, {IN("n,," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("p=tls-exporter,a=u," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,u," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u=20," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u=," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u\n," A "auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u,auth=Bearer t" A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u," A A), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u,"), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n,a=u"), END}, "F"},
        {SASL_OAUTHBEARER, {IN("n"), END}, "F"},
        {SASL_OAUTHBEARER, {IN(""), END}, "F"},
    };
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_error_challenge(void **state)
{
    struct sasl_env env = make_env();
    AUTO_BUF out = BUF_INIT;
    struct sasl *s = sasl_new(SASL_XOAUTH2, &env);
    assert_int_equal(sasl_step(s, true, STR("user=u" A "auth=Bearer t" A A), &out),
                     SASL_CREDENTIALS);
    assert_true(sasl_error_challenge(s, NULL, &out));
    assert_true(str_is_prefix(buf_str(&out), STR("{\"status\":\"401\"")));
    assert_false(sasl_error_challenge(s, NULL, &out)); /* once */
    sasl_free(s);
    s = sasl_new(SASL_OAUTHBEARER, &env);
    buf_clear(&out);
    assert_true(sasl_error_challenge(s, "{\"status\":\"gone\"}", &out)); /* the judge's words */
    assert_true(str_eq(buf_str(&out), STR("{\"status\":\"gone\"}")));
    sasl_free(s);
    s = sasl_new(SASL_XOAUTH2, &env);
    assert_true(sasl_error_challenge(s, NULL, &out));
    assert_int_equal(sasl_step(s, true, STR(""), &out), SASL_FAILED);
    sasl_free(s);
    s = sasl_new(SASL_PLAIN, &env);
    buf_clear(&out);
    assert_false(sasl_error_challenge(s, NULL, &out));
    assert_int_equal(out.len, 0);
    sasl_free(s);
}

/* ---- SCRAM ---- */

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

/* "Random" bytes that become the nonce of RFC 7677. */
static void fixed_random(void *p, size_t n)
{
    const char nonce[] = SERVER_NONCE;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)(nonce[i % (sizeof(nonce) - 1)] - '!');
}

static struct sasl_crypto fixed_crypto(void)
{
    struct sasl_crypto c = *crypto_sasl();
    c.random = fixed_random;
    return c;
}

/* RFC 5802 section 3, the side of whoever stores the password. */
static void salted_password(const char *password, struct str salt, unsigned iterations,
                            uint8_t ret[32])
{
    const gnutls_datum_t key = {(unsigned char *)(uintptr_t)password, (unsigned)strlen(password)};
    const gnutls_datum_t datum = {(unsigned char *)(uintptr_t)salt.p, (unsigned)salt.n};
    assert_int_equal(gnutls_pbkdf2(GNUTLS_MAC_SHA256, &key, &datum, iterations, ret, 32), 0);
}

static struct sasl_scram_keys make_keys(const char *password, const char *salt64,
                                        unsigned iterations)
{
    struct sasl_scram_keys keys = {.iterations = iterations};
    AUTO_BUF salt = BUF_INIT;
    uint8_t salted[32], client[32];
    assert_int_equal(str_base64_decode(str_of(salt64), &salt), 0);
    keys.salt_len = salt.len;
    memcpy(keys.salt, buf_str(&salt).p, salt.len);
    salted_password(password, buf_str(&salt), iterations, salted);
    crypto_sasl()->hmac_sha256(str_n(salted, 32), STR("Client Key"), client);
    crypto_sasl()->sha256(str_n(client, 32), keys.stored_key);
    crypto_sasl()->hmac_sha256(str_n(salted, 32), STR("Server Key"), keys.server_key);
    return keys;
}

/* A client: builds the final message for what the server said. */
static void client_final(struct buf *out, const char *password, const char *bare,
                         struct str server_first, struct str binding)
{
    AUTO_BUF message = BUF_INIT;
    AUTO_BUF salt = BUF_INIT;
    uint8_t salted[32], client[32], stored[32], signature[32];
    struct str rest = server_first;
    struct str nonce = str_cut(&rest, ','), salt64 = str_cut(&rest, ',');
    uint64_t iterations;
    assert_int_equal(str_to_u64(str_n(rest.p + 2, rest.n - 2), 1000000, &iterations), 0);
    assert_int_equal(str_base64_decode(str_n(salt64.p + 2, salt64.n - 2), &salt), 0);
    salted_password(password, buf_str(&salt), (unsigned)iterations, salted);
    crypto_sasl()->hmac_sha256(str_n(salted, 32), STR("Client Key"), client);
    crypto_sasl()->sha256(str_n(client, 32), stored);
    assert_int_equal(buf_append_c(out, "c="), 0);
    assert_int_equal(str_base64_encode(binding, out), 0);
    assert_int_equal(buf_printf(out, ",%.*s", STR_ARG(nonce)), 0);
    assert_int_equal(
        buf_printf(&message, "%s,%.*s,%.*s", bare, STR_ARG(server_first), STR_ARG(buf_str(out))),
        0);
    crypto_sasl()->hmac_sha256(str_n(stored, 32), buf_str(&message), signature);
    for (size_t i = 0; i < 32; i++)
        client[i] ^= signature[i];
    assert_int_equal(buf_append_c(out, ",p="), 0);
    assert_int_equal(str_base64_encode(str_n(client, 32), out), 0);
}

/* RFC 7677 section 3, to the byte. */
static void test_scram_vector(void **state)
{
    struct sasl_crypto crypto = fixed_crypto();
    struct sasl_env env = make_env();
    struct sasl_scram_keys keys = make_keys("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
    AUTO_BUF out = BUF_INIT;
    AUTO_BUF final = BUF_INIT;
    env.crypto = &crypto;
    struct sasl *s = sasl_new(SASL_SCRAM_SHA_256, &env);
    assert_int_equal(sasl_step(s, false, STR_NULL, &out), SASL_CHALLENGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(sasl_step(s, true, STR("n,,n=user,r=" CLIENT_NONCE), &out), SASL_NEED_KEYS);
    assert_true(str_eq(buf_str(&sasl_credentials(s)->user), STR("user")));
    assert_false(sasl_credentials(s)->is_proved);
    assert_int_equal(sasl_set_keys(s, &keys, &out), SASL_CHALLENGE);
    assert_true(str_eq(buf_str(&out),
                       STR("r=" CLIENT_NONCE SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")));
    client_final(&final, "pencil", "n=user,r=" CLIENT_NONCE, buf_str(&out), STR("n,,"));
    assert_true(str_eq(buf_str(&final), STR("c=biws,r=" CLIENT_NONCE SERVER_NONCE
                                            ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")));
    buf_clear(&out);
    assert_int_equal(sasl_step(s, true, buf_str(&final), &out), SASL_CREDENTIALS);
    assert_true(str_eq(buf_str(&out), STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
    assert_true(sasl_credentials(s)->is_proved);
    assert_int_equal(sasl_credentials(s)->secret.len, 0);
    assert_int_equal(sasl_step(s, true, buf_str(&final), &out), SASL_FAILED);
    sasl_free(s);
}

static void test_scram_first(void **state)
{
    static const struct sasl_case cases[] = {
        {SASL_SCRAM_SHA_256, {IN("n,,n=u,r=abc"), END}, "K"},
        {SASL_SCRAM_SHA_256, {IN("y,,n=u,r=abc,ext=1"), END}, "K"},
        {SASL_SCRAM_SHA_256, {IN("n,a=admin,n=u,r=abc"), END}, "K"},
        {SASL_SCRAM_SHA_256,
         {IN("n,,n=u,r=abc"), IN("c=biws"), END},
         "K F"}, /* nobody brought keys */
        {SASL_SCRAM_SHA_256, {IN(""), END}, "F"},
        {SASL_SCRAM_SHA_256, {NONE, NONE, END}, "C() F"},
        {SASL_SCRAM_SHA_256, {IN("n"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=u,r="), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=u"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=u=2x,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,m=1,n=u,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=u\n,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=u,r=a\nc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,,n=u,r=a\0c"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("n,b=x,n=u,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("x,,n=u,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256, {IN("p=tls-unique,,n=u,r=abc"), END}, "F"},
        {SASL_SCRAM_SHA_256_PLUS, {IN("p=tls-unique,,n=u,r=abc"), END}, "F"}, /* no binding here */
        {SASL_SCRAM_SHA_256_PLUS, {IN("n,,n=u,r=abc"), END}, "F"},
    };
    run_cases(cases, ARRAY_LEN(cases));
}

/* One exchange with real randomness; returns how it ended. */
static enum sasl_result scram_run(enum sasl_mech mech, struct sasl_env *env, const char *gs2,
                                  const char *bare, const char *password, struct str binding,
                                  const struct sasl_scram_keys *keys,
                                  void (*tamper)(struct buf *final))
{
    AUTO_BUF first = BUF_INIT;
    AUTO_BUF out = BUF_INIT;
    AUTO_BUF final = BUF_INIT;
    struct sasl *s = sasl_new(mech, env);
    assert_int_equal(buf_printf(&first, "%s%s", gs2, bare), 0);
    enum sasl_result r = sasl_step(s, true, buf_str(&first), &out);
    if (r == SASL_NEED_KEYS) {
        assert_int_equal(sasl_set_keys(s, keys, &out), SASL_CHALLENGE);
        client_final(&final, password, bare, buf_str(&out), binding);
        if (tamper)
            tamper(&final);
        r = sasl_step(s, true, buf_str(&final), &out);
    }
    sasl_free(s);
    return r;
}

static void tamper_nonce(struct buf *final)
{
    final->data[final->start + 9] ^= 1; /* within the client's part */
}

static void tamper_proof_short(struct buf *final)
{
    final->len -= 4;
}

static void tamper_proof_gone(struct buf *final)
{
    final->len = (size_t)(strstr(buf_cstr(final), ",p=") - buf_cstr(final));
}

static void tamper_reorder(struct buf *final)
{
    buf_clear(final);
    assert_int_equal(buf_append_c(final, "r=abc,c=biws,p=AAAA"), 0);
}

static void test_scram_outcomes(void **state)
{
    struct sasl_env env = make_env();
    struct sasl_scram_keys keys = make_keys("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 1000);
    const enum sasl_mech mech = SASL_SCRAM_SHA_256;
    const char *bare = "n=user,r=0123456789";
    assert_int_equal(scram_run(mech, &env, "n,,", bare, "pencil", STR("n,,"), &keys, NULL),
                     SASL_CREDENTIALS);
    assert_int_equal(scram_run(mech, &env, "y,,", bare, "pencil", STR("y,,"), &keys, NULL),
                     SASL_CREDENTIALS);
    assert_int_equal(scram_run(mech, &env, "n,,", bare, "Pencil", STR("n,,"), &keys, NULL),
                     SASL_FAILED);
    assert_int_equal(scram_run(mech, &env, "n,,", bare, "pencil", STR("n,,"), NULL, NULL),
                     SASL_FAILED);
    /* the header that comes back must be the one that was sent */
    assert_int_equal(scram_run(mech, &env, "n,,", bare, "pencil", STR("y,,"), &keys, NULL),
                     SASL_FAILED);
    assert_int_equal(scram_run(mech, &env, "n,a=x,", bare, "pencil", STR("n,,"), &keys, NULL),
                     SASL_FAILED);
    assert_int_equal(scram_run(mech, &env, "n,,", bare, "pencil", STR("n,,"), &keys, tamper_nonce),
                     SASL_FAILED);
    assert_int_equal(
        scram_run(mech, &env, "n,,", bare, "pencil", STR("n,,"), &keys, tamper_proof_short),
        SASL_FAILED);
    assert_int_equal(
        scram_run(mech, &env, "n,,", bare, "pencil", STR("n,,"), &keys, tamper_proof_gone),
        SASL_FAILED);
    assert_int_equal(
        scram_run(mech, &env, "n,,", bare, "pencil", STR("n,,"), &keys, tamper_reorder),
        SASL_FAILED);
}

static void test_scram_plus(void **state)
{
    struct sasl_env env = make_env();
    struct sasl_scram_keys keys = make_keys("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 1000);
    const enum sasl_mech plus = SASL_SCRAM_SHA_256_PLUS;
    const char *bare = "n=user,r=0123456789", *gs2 = "p=tls-exporter,,";
    env.cb_name = "tls-exporter";
    env.channel_binding = STR("0123456789abcdef0123456789abcdef");
    const struct str good = STR("p=tls-exporter,,0123456789abcdef0123456789abcdef");
    const struct str other = STR("p=tls-exporter,,0123456789abcdef0123456789abcdeX");
    assert_int_equal(scram_run(plus, &env, gs2, bare, "pencil", good, &keys, NULL),
                     SASL_CREDENTIALS);
    assert_int_equal(scram_run(plus, &env, gs2, bare, "pencil", other, &keys, NULL), SASL_FAILED);
    assert_int_equal(
        scram_run(plus, &env, gs2, bare, "pencil", STR("p=tls-exporter,,"), &keys, NULL),
        SASL_FAILED);
    assert_int_equal(scram_run(plus, &env, "p=tls-unique,,", bare, "pencil", good, &keys, NULL),
                     SASL_FAILED);
    assert_int_equal(scram_run(plus, &env, "y,,", bare, "pencil", STR("y,,"), &keys, NULL),
                     SASL_FAILED);
    /* Downgrade: we offered PLUS, yet the client says that it saw no offer. */
    assert_int_equal(
        scram_run(SASL_SCRAM_SHA_256, &env, "y,,", bare, "pencil", STR("y,,"), &keys, NULL),
        SASL_FAILED);
    /* A client that cannot bind says so and is welcome. */
    assert_int_equal(
        scram_run(SASL_SCRAM_SHA_256, &env, "n,,", bare, "pencil", STR("n,,"), &keys, NULL),
        SASL_CREDENTIALS);
}

static void fake_challenge(struct sasl_env *env, const char *first, struct buf *out)
{
    struct sasl *s = sasl_new(SASL_SCRAM_SHA_256, env);
    assert_int_equal(sasl_step(s, true, str_of(first), out), SASL_NEED_KEYS);
    assert_int_equal(sasl_set_keys(s, NULL, out), SASL_CHALLENGE);
    struct str rest = buf_str(out);
    (void)str_cut(&rest, ',');
    buf_consume(out, out->len - rest.n);
    sasl_free(s);
}

/* A user that does not exist has a salt like the others: always the same one, and not that of a
 * neighbour. */
static void test_scram_unknown_user(void **state)
{
    struct sasl_env env = make_env();
    AUTO_BUF a = BUF_INIT;
    AUTO_BUF b = BUF_INIT;
    AUTO_BUF c = BUF_INIT;
    env.fake_iterations = 15000;
    fake_challenge(&env, "n,,n=ghost,r=abc", &a);
    fake_challenge(&env, "n,,n=ghost,r=xyz", &b);
    fake_challenge(&env, "n,,n=other,r=abc", &c);
    assert_true(str_eq(buf_str(&a), buf_str(&b)));
    assert_false(str_eq(buf_str(&a), buf_str(&c)));
    assert_int_equal(a.len, strlen("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=15000"));
}

/* Every prefix of a right response: no crash, and nothing but a shorter password may pass. */
static void test_prefixes(void **state)
{
    static const struct {
        enum sasl_mech mech;
        struct str whole;
    } cases[] = {
        {SASL_PLAIN, IN("a\0tim\0tanstaaf")},
        {SASL_XOAUTH2, IN("user=u@x" A "auth=Bearer ya29" A A)},
        {SASL_OAUTHBEARER, IN("n,a=u@x," A "host=h" A "auth=Bearer ya29" A A)},
        {SASL_SCRAM_SHA_256, IN("n,a=x=2C,n=user=3D,r=abcdef")},
        {SASL_SCRAM_SHA_256_PLUS, IN("p=tls-exporter,,n=user,r=abcdef")},
    };
    struct sasl_env env = make_env();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t n = 0; n < cases[i].whole.n; n++) {
            const struct str responses[] = {{cases[i].whole.p, n}, END};
            AUTO_BUF log = BUF_INIT;
            struct sasl *s = sasl_new(cases[i].mech, &env);
            converse(s, responses, &log);
            bool is_prefix_fine = (cases[i].mech == SASL_PLAIN && n > 6) ||
                                  (cases[i].mech == SASL_SCRAM_SHA_256 && n > 21);
            if (!is_prefix_fine && !str_eq(buf_str(&log), STR("F ")))
                fail_msg("%s, %zu bytes: %.*s", sasl_name(cases[i].mech), n,
                         STR_ARG(buf_str(&log)));
            sasl_free(s);
        }
}

static void test_table(void **state)
{
    struct sasl_env env = make_env();
    AUTO_BUF list = BUF_INIT;
    for (unsigned i = 0; i < SASL_MECH_COUNT; i++)
        assert_int_equal(sasl_find(str_of(sasl_name((enum sasl_mech)i))), i);
    assert_int_equal(sasl_find(STR("scram-sha-256-plus")), SASL_SCRAM_SHA_256_PLUS);
    assert_int_equal(sasl_find(STR("PLAI")), SASL_NONE);
    assert_int_equal(sasl_find(STR_NULL), SASL_NONE);
    assert_string_equal(sasl_method(SASL_LOGIN), "plain");
    assert_string_equal(sasl_method(SASL_NONE), "none");
    assert_true(sasl_is_clear_text(SASL_XOAUTH2));
    assert_false(sasl_is_clear_text(SASL_SCRAM_SHA_256));
    assert_int_equal(sasl_append_list(&list,
                                      SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_APOP) |
                                          SASL_BIT(SASL_CRAM_MD5) | SASL_BIT_COMMAND,
                                      " AUTH="),
                     0);
    assert_true(str_eq(buf_str(&list), STR(" AUTH=PLAIN AUTH=CRAM-MD5")));
    assert_null(sasl_new(SASL_APOP, &env));
    assert_null(sasl_new(SASL_NONE, &env));
    sasl_free(NULL);
}

static void test_credentials(void **state)
{
    struct credentials a = {.mech = SASL_PLAIN, .is_proved = true}, b = {.mech = SASL_LOGIN};
    assert_int_equal(buf_append_c(&a.user, "tim"), 0);
    assert_int_equal(buf_append_c(&a.secret, "pw"), 0);
    assert_int_equal(buf_append_c(&b.authzid, "old"), 0);
    assert_int_equal(credentials_copy(&b, &a), 0);
    assert_int_equal(b.mech, SASL_PLAIN);
    assert_true(b.is_proved);
    assert_true(str_eq(buf_str(&b.user), STR("tim")));
    assert_int_equal(b.authzid.len, 0);
    assert_ptr_not_equal(a.user.data, b.user.data);
    credentials_wipe(&a);
    assert_true(str_eq(buf_str(&b.secret), STR("pw")));
    credentials_wipe(&b);
    assert_null(b.user.data);
    assert_int_equal(b.mech, SASL_NONE);
    assert_false(b.is_proved);
    credentials_wipe(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_cram_md5),
        cmocka_unit_test(test_external),
        cmocka_unit_test(test_external_any),
        cmocka_unit_test(test_xoauth2),
        cmocka_unit_test(test_oauthbearer),
        cmocka_unit_test(test_error_challenge),
        cmocka_unit_test(test_scram_vector),
        cmocka_unit_test(test_scram_first),
        cmocka_unit_test(test_scram_outcomes),
        cmocka_unit_test(test_scram_plus),
        cmocka_unit_test(test_scram_unknown_user),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
