/* SPDX-License-Identifier: ISC */
/* The callbacks of the SASL code against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "io/crypto.h"

static void assert_digest(const uint8_t *got, size_t n, const char *want_hex)
{
    char hex[2 * 32 + 1];
    str_hex(hex, got, n);
    assert_string_equal(hex, want_hex);
}

/* RFC 2202 section 2, cases 1 and 2; RFC 2195 section 2 */
static void test_hmac_md5(void **state)
{
    uint8_t out[16];
    const struct sasl_crypto *c = crypto_sasl();
    c->hmac_md5(STR("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"),
                STR("Hi There"), out);
    assert_digest(out, sizeof(out), "9294727a3638bb1c13f48ef8158bfc9d");
    c->hmac_md5(STR("Jefe"), STR("what do ya want for nothing?"), out);
    assert_digest(out, sizeof(out), "750c783e6ab0b503eaa86e310a5db738");
    c->hmac_md5(STR("tanstaaftanstaaf"), STR("<1896.697170952@postoffice.reston.mci.net>"), out);
    assert_digest(out, sizeof(out), "b913a602c7eda7a495b4e6e7334d3890");
}

/* RFC 4231 case 2; FIPS 180 "abc" and the empty message */
static void test_sha256(void **state)
{
    uint8_t out[32];
    const struct sasl_crypto *c = crypto_sasl();
    c->hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out);
    assert_digest(out, sizeof(out),
                  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    c->sha256(STR("abc"), out);
    assert_digest(out, sizeof(out),
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    c->sha256(STR_NULL, out);
    assert_digest(out, sizeof(out),
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231 cases 1 and 2; the same again after another text. */
static void test_hmac_of_one_key(void **state)
{
    uint8_t out[32];
    struct crypto_hmac *h;
    const struct str key = STR("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
                               "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b");
    assert_int_equal(crypto_hmac_new(key, &h), 0);
    for (int i = 0; i < 2; i++) {
        crypto_hmac_of(h, STR("Hi There"), out);
        assert_digest(out, sizeof(out),
                      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        crypto_hmac_of(h, STR_NULL, out);
    }
    crypto_hmac_free(h);
    crypto_hmac_free(NULL);
    assert_int_equal(crypto_hmac_new(STR("Jefe"), &h), 0);
    crypto_hmac_of(h, STR("what do ya want for nothing?"), out);
    assert_digest(out, sizeof(out),
                  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    crypto_hmac_free(h);
}

static void test_random(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    crypto_sasl()->random(a, sizeof(a));
    crypto_sasl()->random(b, sizeof(b));
    assert_memory_not_equal(a, zero, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hmac_md5),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac_of_one_key),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
