/* SPDX-License-Identifier: ISC */
/* Sealed texts: they open with their key and at their place, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "fleet/seal.h"

static const uint8_t secret[SEAL_SECRET_BYTES] = "one secret of 32 bytes, and more";
static const uint8_t other[SEAL_SECRET_BYTES] = "one secret of 32 bytes, and none";

static struct seal key_of(const uint8_t *from, const char *label)
{
    struct seal s;
    assert_int_equal(seal_init(&s, from, label), 0);
    return s;
}

static int opens(const struct seal *s, const char *place, struct str sealed)
{
    AUTO_SECRET_BUF out = BUF_INIT;
    int err = seal_open(s, str_of(place), sealed, &out);
    if (err < 0)
        assert_int_equal(out.len, 0);
    return err;
}

static void test_there_and_back(void **state)
{
    static const char bytes[] = {0, 1, '\n', (char)0xff, 0};
    const struct str texts[] = {STR(""), STR("a"), str_n(bytes, sizeof(bytes)),
                                STR("{\"password_hash\": \"$6$abc\"}")};
    const struct seal s = key_of(secret, "user");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_BUF sealed = BUF_INIT, text = BUF_INIT;
        assert_int_equal(buf_append_c(&sealed, "before"), 0);
        assert_int_equal(seal_text(&s, STR("mp:mail:users/1"), texts[i], &sealed), 0);
        assert_int_equal(sealed.len, 6 + texts[i].n + SEAL_MORE_BYTES);
        buf_consume(&sealed, 6);
        assert_int_equal(buf_append_c(&text, ">"), 0);
        assert_int_equal(seal_open(&s, STR("mp:mail:users/1"), buf_str(&sealed), &text), 0);
        buf_consume(&text, 1);
        assert_true(str_eq(buf_str(&text), texts[i]));
    }
}

/* The same text never looks the same, and shows nothing of itself. */
static void test_nothing_to_see(void **state)
{
    const struct seal s = key_of(secret, "user");
    AUTO_BUF a = BUF_INIT, b = BUF_INIT;
    assert_int_equal(seal_text(&s, STR("x"), STR("the-text"), &a), 0);
    assert_int_equal(seal_text(&s, STR("x"), STR("the-text"), &b), 0);
    assert_false(str_eq(buf_str(&a), buf_str(&b)));
    assert_null(memmem(buf_str(&a).p, a.len, "text", 4));
}

static void test_refused(void **state)
{
    const struct seal s = key_of(secret, "user"), foreign = key_of(other, "user"),
                      ticket = key_of(secret, "ticket");
    AUTO_BUF sealed = BUF_INIT;
    assert_int_equal(seal_text(&s, STR("users/1"), STR("some text"), &sealed), 0);
    struct str whole = buf_str(&sealed);
    assert_int_equal(opens(&s, "users/1", whole), 0);
    assert_int_equal(opens(&foreign, "users/1", whole), -ERR_AUTH);
    assert_int_equal(opens(&ticket, "users/1", whole), -ERR_AUTH);
    assert_int_equal(opens(&s, "users/2", whole), -ERR_AUTH);
    assert_int_equal(opens(&s, "users/", whole), -ERR_AUTH);
    assert_int_equal(opens(&s, "", whole), -ERR_AUTH);
    for (size_t n = 0; n < whole.n; n++)
        assert_int_equal(opens(&s, "users/1", str_n(whole.p, n)), -ERR_AUTH);
    for (size_t i = 0; i < whole.n; i++) {
        ((char *)whole.p)[i] ^= 1;
        assert_int_equal(opens(&s, "users/1", whole), -ERR_AUTH);
        ((char *)whole.p)[i] ^= 1;
    }
    assert_int_equal(buf_append_char(&sealed, 'x'), 0);
    assert_int_equal(opens(&s, "users/1", buf_str(&sealed)), -ERR_AUTH);
}

static void test_bounds(void **state)
{
    struct seal s;
    AUTO_BUF out = BUF_INIT;
    AUTO_FREE char *big = calloc(1, SEAL_TEXT_MAX + SEAL_MORE_BYTES + 1);
    assert_non_null(big);
    assert_int_equal(
        seal_init(&s, secret, "a label that is longer than any purpose has ever been or will be"),
        -ERR_TLS);
    s = key_of(secret, "user");
    assert_int_equal(seal_text(&s, STR(""), str_n(big, SEAL_TEXT_MAX + 1), &out), -ERR_TOO_LONG);
    assert_int_equal(out.len, 0);
    assert_int_equal(seal_text(&s, STR(""), str_n(big, SEAL_TEXT_MAX), &out), 0);
    assert_int_equal(opens(&s, "", buf_str(&out)), 0);
    big[0] = 1;
    assert_int_equal(opens(&s, "", str_n(big, SEAL_TEXT_MAX + SEAL_MORE_BYTES + 1)), -ERR_TOO_LONG);
    seal_fini(&s);
    static const uint8_t zeros[SEAL_KEY_BYTES];
    assert_memory_equal(s.key, zeros, sizeof(zeros));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_nothing_to_see),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
