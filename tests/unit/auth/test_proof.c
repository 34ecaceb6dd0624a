/* SPDX-License-Identifier: ISC */
/* Proofs: of a hash and a password, for a while, and never of a wrong one. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "auth/auth.h"
#include "auth/proof.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define LIFE_MS 60000

static char *hash;

static int setup(void **state)
{
    return password_hash(STR("right"), &hash);
}

static int teardown(void **state)
{
    free(hash);
    return 0;
}

/* How long n verifications take, us. */
static uint64_t measure(int n, uint64_t life_ms)
{
    uint64_t begin = clock_us();
    for (int i = 0; i < n; i++)
        assert_int_equal(proof_verify(hash, STR("right"), life_ms), 0);
    return clock_us() - begin;
}

static void test_answers(void **state)
{
    AUTO_FREE char *other = NULL;
    assert_int_equal(password_hash(STR("other"), &other), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(proof_verify(hash, STR("right"), LIFE_MS), 0);
        assert_int_equal(proof_verify(hash, STR("wrong"), LIFE_MS), -ERR_AUTH);
        assert_int_equal(proof_verify(hash, STR(""), LIFE_MS), -ERR_AUTH);
        /* a new hash: what was proved of the old one is no proof */
        assert_int_equal(proof_verify(other, STR("right"), LIFE_MS), -ERR_AUTH);
        assert_int_equal(proof_verify(other, STR("other"), LIFE_MS), 0);
    }
    assert_int_equal(proof_verify("{NONE}x", STR("right"), LIFE_MS), -ERR_UNSUPPORTED);
}

static void test_is_cheap(void **state)
{
    uint64_t once = measure(1, 0);
    assert_int_equal(proof_verify(hash, STR("right"), LIFE_MS), 0);
    assert_true(measure(100, LIFE_MS) < 50 * once);
}

static void test_can_be_off(void **state)
{
    assert_int_equal(proof_verify(hash, STR("right"), LIFE_MS), 0);
    uint64_t known = measure(20, LIFE_MS);
    assert_true(measure(20, 0) > known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_is_cheap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_can_be_off, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
