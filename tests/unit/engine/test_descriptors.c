/* SPDX-License-Identifier: ISC */
/* How descriptors are shared between sessions and everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/descriptors.h"

static void test_share(void **state)
{
    struct config_control controls[2] = {{.max_clients = 200}, {.max_clients = 100}};
    struct config_auth auths[1] = {{.connections = 16}};
    struct config_pool pools[1] = {{.n_backends = 10, .warm = 2}};
    const struct config c = {.controls = controls,
                             .n_controls = 2,
                             .auths = auths,
                             .n_auths = 1,
                             .pools = pools,
                             .n_pools = 1};
    const uint64_t reserve = 64 + 4 * 16 + 300 + 4 * 16 + 10 * PROTO_COUNT * (1 + 4 * 2);
    static const struct config none;
    const struct {
        uint64_t limit;
        const struct config *config;
        size_t n_workers;
        uint64_t sessions;
    } cases[] = {
        {1 << 20, &c, 4, ((1 << 20) - reserve) / 2},
        {2 * reserve, &c, 4, reserve / 2},
        {2 * reserve - 2, &c, 4, (reserve - 1) / 2}, /* from here on half and half */
        {256, &c, 4, 64},
        {128, &none, 2, (128 - 72) / 2},
        {72, &none, 2, 3}, /* what is for others never becomes sessions' */
        {64, &none, 2, 1},
        {1024, &none, 2, (1024 - 64 - 32) / 2},
        {3, &none, 2, 1},
        {0, &none, 2, 1},
        {UINT64_MAX, &none, 2, (UINT64_MAX - 96) / 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(
            descriptors_sessions_max(cases[i].limit, cases[i].config, cases[i].n_workers),
            cases[i].sessions);
}

static void test_needed(void **state)
{
    (void)state;
    static const struct config none;
    for (size_t workers = 1; workers < 300; workers = workers * 3 / 2 + 1) {
        uint64_t needed = descriptors_needed(&none, workers);
        assert_in_range(descriptors_sessions_max(needed, &none, workers), 8, 9);
        assert_in_range(descriptors_sessions_max(needed - 1, &none, workers), 1, 8);
    }
    assert_int_equal(descriptors_needed(&none, 2),
                     82); /* 56, 16 for sessions, an eighth of it all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
