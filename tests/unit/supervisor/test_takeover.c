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
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->is_ready, b->is_ready);
}

static void assert_content(const struct takeover_content *a, const struct takeover_content *b)
{
    assert_int_equal(a->fd, b->fd);
    assert_int_equal(a->number, b->number);
    assert_int_equal(!a->keys, !b->keys);
    if (!a->keys)
        return;
    assert_int_equal(a->keys->pid, b->keys->pid);
    assert_int_equal(a->keys->memory, b->keys->memory);
    assert_int_equal(a->keys->n, b->keys->n);
    for (size_t i = 0; i < a->keys->n; i++)
        assert_true(a->keys->engines[i] == b->keys->engines[i] &&
                    a->keys->own[i] == b->keys->own[i]);
}

static void test_both_ways(void **state)
{
    struct kept_socket kept[] = {{.address = (char *)"0.0.0.0:143", .fd = 5},
                                 {.address = (char *)"[::1]:993", .fd = 6},
                                 {.address = (char *)"unix:/run/a b/control.sock.old",
                                  .fd = 2147483647,
                                  .owner = 77,
                                  .use = LISTEN_CONTROL,
                                  .file = {3, UINT64_MAX}}};
    struct key_process keys = {
        .pid = 99, .memory = 13, .n = 2, .engines = {14, 16}, .own = {15, 17}};
    struct key_process dead = {.memory = 13, .n = KEY_CHANNELS_MAX};
    const struct takeover_content none = {.fd = -1};
    const struct takeover all = {.starts = 4294967295,
                                 .failures = 3,
                                 .now = {.pid = 88,
                                         .wire = 9,
                                         .started_ms = UINT64_MAX,
                                         .stop_limit_ms = 10000,
                                         .number = 7,
                                         .is_ready = true},
                                 .last_number = 7,
                                 .running = {10, 7, &keys},
                                 .kept = {11, 6, &dead},
                                 .olds = {{.process = {.pid = 77, .wire = -1, .started_ms = 1},
                                           .since_ms = 1789000000000,
                                           .sessions = 12,
                                           .number = 1},
                                          {.process = {.pid = 79, .wire = 14, .is_ready = true},
                                           .since_ms = UINT64_MAX,
                                           .number = 2}},
                                 .finishing = {{12, 5, NULL}, none},
                                 .n_olds = 2,
                                 .kept_sockets = kept,
                                 .n_kept = ARRAY_LEN(kept)};
    const struct takeover least = {
        .starts = 1,
        .now = {.pid = 88, .wire = 9, .started_ms = 5, .stop_limit_ms = 5},
        .running = none,
        .kept = none};
    const struct takeover *const cases[] = {&all, &least};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF text = BUF_INIT;
        struct takeover t;
        assert_int_equal(takeover_format(cases[i], &text), 0);
        assert_int_equal(takeover_parse(buf_str(&text), &t), 0);
        assert_int_equal(t.starts, cases[i]->starts);
        assert_int_equal(t.failures, cases[i]->failures);
        assert_engine(&t.now, &cases[i]->now);
        assert_int_equal(t.n_olds, cases[i]->n_olds);
        for (size_t k = 0; k < t.n_olds; k++) {
            const struct old_engine *a = &t.olds[k], *b = &cases[i]->olds[k];
            assert_engine(&a->process, &b->process);
            assert_true(a->since_ms == b->since_ms && a->sessions == b->sessions &&
                        a->number == b->number);
            assert_content(&t.finishing[k], &cases[i]->finishing[k]);
        }
        assert_int_equal(t.last_number, cases[i]->last_number);
        assert_content(&t.running, &cases[i]->running);
        assert_content(&t.kept, &cases[i]->kept);
        assert_int_equal(t.n_kept, cases[i]->n_kept);
        for (size_t k = 0; k < t.n_kept; k++) {
            assert_string_equal(t.kept_sockets[k].address, kept[k].address);
            assert_int_equal(t.kept_sockets[k].fd, kept[k].fd);
            assert_int_equal(t.kept_sockets[k].owner, kept[k].owner);
            assert_int_equal(t.kept_sockets[k].use, kept[k].use);
            assert_true(t.kept_sockets[k].file.inode == kept[k].file.inode &&
                        t.kept_sockets[k].file.device == kept[k].file.device);
        }
        takeover_fini(&t);
    }
}

static void test_address_that_forges_a_line(void **state)
{
    struct kept_socket kept = {.address = (char *)"unix:/a\nnow 1 2 3 4", .fd = 5};
    const struct takeover t = {.now = {.pid = 88, .wire = 9}, .kept_sockets = &kept, .n_kept = 1};
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(takeover_format(&t, &text), -ERR_SYNTAX);
}

static void test_broken(void **state)
{
    static const char *const cases[] = {
        "",
        "counts 1 0 0\n",
        "counts 1 0\nnow 88 9 1 1 1 1\n",
        "counts 1 x 0\nnow 88 9 1 1 1 1\n",
        "now 88 9 1 1 1\n",
        "now 88 9 1 1 1 2\n",
        "now 88 -2 1 1 1 1\n",
        "now 88888888888 9 1 1 1 1\n",
        "now 88 9 1 1 1 1\nsocket 5 0 0 0 0\n",
        "now 88 9 1 1 1 1\nsocket 5 0 0 0 0 \n",
        "now 88 9 1 1 1 1\nsocket -1 0 0 0 0 a\n",
        "now 88 9 1 1 1 1\nsocket 5 0 3 0 0 a\n",
        "now 88 9 1 1 1 1\nkept 5\n",
        "now 88 9 1 1 1 1\nkept 5 1 99\n",
        "now 88 9 1 1 1 1\nkept 5 1 99 6\n",
        "now 88 9 1 1 1 1\nkept 5 1 99 6 7\n",
        "now 88 9 1 1 1 1\nkept 5 1 99 6 7 x\n",
        "now 88 9 1 1 1 1\nkept 5 1 -1 6 7 8\n",
        "now 88 9 1 1 1 1\nkept 5 1 99 6 7 8\nkept 5 1 99 6 7 8\n",
        "now 88 9 1 1 1 1\nwhat 5\n",
        "now 0 9 1 1 1 1\n",
        "now 88 9 1 1 1 1\nold 0 9 1 1 1 1\n",
        "now 88 9 1 1 1 1\nfinishes 1 1 1\n",
        "now 88 9 1 1 1 1\nfinishing 5 1\n",
        "now 88 9 1 1 1 1\nold 77 9 1 1 1 1\nfinishes 1 1\n",
        "now 1 9 1 1 1 1\nold 2 9 1 1 1 1\nold 3 9 1 1 1 1\nold 4 9 1 1 1 1\nold 5 9 1 1 1 1\n"
        "old 6 9 1 1 1 1\nold 7 9 1 1 1 1\nold 8 9 1 1 1 1\nold 9 9 1 1 1 1\nold 10 9 1 1 1 1\n",
        "now 88 9 1 1 1 1\n\n",
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
