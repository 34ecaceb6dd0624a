/* SPDX-License-Identifier: ISC */
/* Hash functions against published and independently computed values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/hash.h"
#include <cmocka.h>

static void test_sip(void **state)
{
    /* the paper's key and messages of the bytes 0, 1, 2... */
    static const struct {
        size_t n;
        uint64_t want;
    } cases[] = {{0, 0x726fdb47dd0e0e31},
                 {1, 0x74f839c593dc67fd},
                 {2, 0x0d6c8009d9a94f5a},
                 {8, 0x93f5f5799a932462},
                 {15, 0xa129ca6149be45e5}};
    uint8_t key[16];
    char message[16];
    for (int i = 0; i < 16; i++) {
        key[i] = (uint8_t)i;
        message[i] = (char)i;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(hash_sip(key, str_n(message, cases[i].n)) == cases[i].want);
    assert_true(hash_sip(key, STR_NULL) == cases[0].want);
    key[15]++;
    assert_true(hash_sip(key, str_n(message, 15)) != cases[4].want);
}

/* Which backend a user goes to depends on these: they never change. */
static void test_stable(void **state)
{
    assert_true(hash_stable(STR_NULL) == 0xf52a15e9a9b5e89b);
    assert_true(hash_stable(STR("a")) == 0x02c0bdbf481420f8);
    assert_true(hash_stable(STR("joe@example.org")) == 0xd3ee532c6ec80ede);
    assert_true(hash_mix(1) == 0x5692161d100b05e5);
    assert_true(hash_mix(0x9e3779b97f4a7c15) == 0xe220a8397b1dcdaf);
}

static void test_crc32c(void **state)
{
    /* RFC 3720 section B.4, and the check value of the polynomial */
    char bytes[32] = {0};
    assert_true(hash_crc32c(STR_NULL) == 0);
    assert_true(hash_crc32c(STR("123456789")) == 0xe3069283);
    assert_true(hash_crc32c(str_n(bytes, 32)) == 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_true(hash_crc32c(str_n(bytes, 32)) == 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (char)i;
    assert_true(hash_crc32c(str_n(bytes, 32)) == 0x46dd794e);
}

static void test_random(void **state)
{
    uint8_t a[64] = {0}, b[64] = {0}, guard[66];
    hash_random(a, sizeof(a));
    hash_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    memset(guard, 0xaa, sizeof(guard));
    hash_random(guard + 1, 64);
    assert_int_equal(guard[0], 0xaa);
    assert_int_equal(guard[65], 0xaa);
    hash_random(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sip),
        cmocka_unit_test(test_stable),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
