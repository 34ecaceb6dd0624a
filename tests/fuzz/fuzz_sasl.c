/* SPDX-License-Identifier: ISC */
/* SASL exchanges. Input: a byte that picks the mechanism, a byte of choices, then the client's
 * responses, parted by "\n--\n". */
#include "fuzz.h"
#include "io/crypto.h"
#include "proto/sasl/sasl.h"

#define OUT_MAX 4096

static void fake_random(void *p, size_t n)
{
    memset(p, 'r', n);
}

static struct sasl_env make_env(unsigned choices, const struct sasl_crypto *crypto)
{
    struct sasl_env env = {
        .crypto = crypto,
        .server_name = "proxy.example.org",
        .external_identity = choices & 1 ? STR_NULL : STR("joe"),
        .channel_binding = choices & 2 ? STR_NULL : STR("binding"),
        .cb_name = choices & 4 ? "tls-unique" : "tls-exporter",
        .challenge_seed = 7,
        .fake_secret = choices & 8 ? STR_NULL : STR("fake"),
    };
    return env;
}

static void check_credentials(const struct credentials *c)
{
    FUZZ_CHECK(c);
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&c->user)) && str_is_utf8(buf_str(&c->user)));
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&c->authzid)));
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&c->secret)));
    FUZZ_CHECK(c->user.len > 0 || c->secret.len > 0);
}

static enum sasl_result find_keys(struct sasl *s, unsigned choices, struct buf *out)
{
    const struct sasl_scram_keys keys = {.iterations = 4096, .salt = "salt", .salt_len = 4};
    check_credentials(sasl_credentials(s));
    return sasl_set_keys(s, choices & 16 ? NULL : &keys, out);
}

static void exchange(struct sasl *s, unsigned choices, struct str in)
{
    bool has_response = !(choices & 32);
    for (unsigned step = 0; step < 8; step++) {
        AUTO_SECRET_BUF out = BUF_INIT;
        struct str response = has_response ? fuzz_cut(&in, STR("\n--\n")) : STR_NULL;
        enum sasl_result result = sasl_step(s, has_response, response, &out);
        has_response = true;
        if (result == SASL_NEED_KEYS)
            result = find_keys(s, choices, &out);
        FUZZ_CHECK(result != SASL_NEED_KEYS);
        FUZZ_CHECK(out.len <= OUT_MAX);
        if (result == SASL_CREDENTIALS) {
            AUTO_BUF words = BUF_INIT;
            check_credentials(sasl_credentials(s));
            (void)sasl_error_challenge(s, NULL, &words);
            FUZZ_CHECK(words.len <= OUT_MAX);
        }
        if (result != SASL_CHALLENGE)
            return;
    }
    FUZZ_CHECK(!"an exchange of this many steps");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n(data, size);
    enum sasl_mech mech = (enum sasl_mech)(fuzz_choice(&in) % SASL_MECH_COUNT);
    unsigned choices = fuzz_choice(&in);
    struct sasl_crypto crypto = *crypto_sasl();
    crypto.random = fake_random; /* the same input is the same run */
    struct sasl_env env = make_env(choices, &crypto);
    struct sasl *s = sasl_new(mech, &env);
    FUZZ_CHECK((s == NULL) == (mech == SASL_APOP));
    if (s)
        exchange(s, choices, in);
    sasl_free(s);
    return 0;
}
