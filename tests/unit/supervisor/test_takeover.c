/* SPDX-License-Identifier: ISC */
/* What one supervisor hands to the next: written and read again; broken texts are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "supervisor/takeover.h"

static void assert_engine(const struct engine_process *a, const struct engine_process *b)
{
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->wire, b->wire);
    assert_int_equal(a->started_ms, b->started_ms);
    assert_int_equal(a->stop_limit_ms, b->stop_limit_ms);
}

static void test_both_ways(void **state)
{
    (void)state;
    struct kept_socket kept[] = {{(char *)"0.0.0.0:143", 5, 0},
                                 {(char *)"[::1]:993", 6, 0},
                                 {(char *)"unix:/run/a b/control.sock.old", 2147483647, 77}};
    const struct takeover all = {.starts = 4294967295,
                                 .failures = 3,
                                 .now = {88, 9, UINT64_MAX, 10000},
                                 .old = {77, -1, 1, 0},
                                 .old_since_ms = 1789000000000,
                                 .old_sessions = 12,
                                 .kept = kept,
                                 .n_kept = ARRAY_LEN(kept)};
    const struct takeover least = {.starts = 1, .now = {88, 9, 5, 5}, .old = {.wire = -1}};
    const struct takeover *const cases[] = {&all, &least};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF text = BUF_INIT;
        struct takeover t;
        assert_int_equal(takeover_format(cases[i], &text), 0);
        assert_int_equal(takeover_parse(buf_str(&text), &t), 0);
        assert_int_equal(t.starts, cases[i]->starts);
        assert_int_equal(t.failures, cases[i]->failures);
        assert_engine(&t.now, &cases[i]->now);
        assert_engine(&t.old, &cases[i]->old);
        assert_int_equal(t.old_since_ms, cases[i]->old_since_ms);
        assert_int_equal(t.old_sessions, cases[i]->old_sessions);
        assert_int_equal(t.n_kept, cases[i]->n_kept);
        for (size_t k = 0; k < t.n_kept; k++) {
            assert_string_equal(t.kept[k].address, kept[k].address);
            assert_int_equal(t.kept[k].fd, kept[k].fd);
            assert_int_equal(t.kept[k].owner, kept[k].owner);
        }
        takeover_fini(&t);
    }
}

static void test_address_that_forges_a_line(void **state)
{
    (void)state;
    struct kept_socket kept = {(char *)"unix:/a\nnow 1 2 3 4", 5, 0};
    const struct takeover t = {.now = {88, 9, 1, 1}, .kept = &kept, .n_kept = 1};
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(takeover_format(&t, &text), -ERR_SYNTAX);
}

static void test_broken(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "counts 1 0 0 0\n",
        "counts 1 0\nnow 88 9 1 1\n",
        "counts 1 x 0 0\nnow 88 9 1 1\n",
        "now 88 9 1\n",
        "now 88 -2 1 1\n",
        "now 88888888888 9 1 1\n",
        "now 88 9 1 1\nsocket 5 0\n",
        "now 88 9 1 1\nsocket 5 0 \n",
        "now 88 9 1 1\nsocket -1 0 a\n",
        "now 88 9 1 1\nwhat 5\n",
        "now 88 9 1 1\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct takeover t;
        if (takeover_parse(str_of(cases[i]), &t) != -ERR_SYNTAX)
            fail_msg("case %zu is taken", i);
    }
    const struct str nul = STR("now 88 9 1 1\nsocket 5 0 unix:/a\0b\n"); /* it would be cut there */
    struct takeover t;
    assert_int_equal(takeover_parse(nul, &t), -ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_address_that_forges_a_line),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
