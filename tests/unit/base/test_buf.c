/* SPDX-License-Identifier: ISC */
/* The byte buffer: growth, consuming, printing, stealing, and that secrets do not stay behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include <cmocka.h>

static void check(const struct buf *b, const char *want)
{
    struct str s = buf_str(b);
    if (!str_eq(s, str_of(want)))
        fail_msg("%.*s instead of %s", STR_ARG(s), want);
}

static void test_empty(void **state)
{
    struct buf b = BUF_INIT;
    check(&b, "");
    assert_int_equal(buf_tail_room(&b), 0);
    buf_consume(&b, 0);
    buf_consume(&b, 10);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_null(b.data); /* nothing was asked for */
    assert_string_equal(buf_cstr(&b), "");
    buf_fini(&b);
    buf_wipe(&b);
    char *s = buf_steal(&b);
    assert_string_equal(s, "");
    free(s);
}

static void test_append_consume(void **state)
{
    AUTO_BUF b = BUF_INIT;
    assert_int_equal(buf_append_c(&b, "abc"), 0);
    assert_int_equal(buf_append_char(&b, 'd'), 0);
    assert_int_equal(buf_append_str(&b, STR("ef\0g")), 0);
    assert_int_equal(b.len, 8);
    buf_consume(&b, 3);
    assert_true(str_eq(buf_str(&b), STR("def\0g")));
    buf_consume(&b, 4);
    check(&b, "g");
    buf_consume(&b, 99);
    check(&b, "");
    assert_int_equal(b.start, 0);
}

/* A stream that is consumed as it comes needs no more memory with time. */
static void test_stream(void **state)
{
    AUTO_BUF b = BUF_INIT;
    unsigned next_in = 0, next_out = 0;
    size_t cap = 0;
    for (int turn = 0; turn < 10000; turn++) {
        for (int i = 0; i < 7; i++)
            assert_int_equal(buf_append_char(&b, (char)(next_in++ % 251)), 0);
        while (b.len > 30) {
            assert_int_equal((unsigned char)buf_str(&b).p[0], next_out++ % 251);
            buf_consume(&b, 1);
        }
        if (turn == 100)
            cap = b.cap;
    }
    assert_int_equal(b.cap, cap);
}

static void test_reserve(void **state)
{
    AUTO_BUF b = BUF_INIT;
    assert_int_equal(buf_append_c(&b, "keep"), 0);
    for (size_t n = 1; n < 100000; n *= 3) {
        assert_int_equal(buf_reserve(&b, n), 0);
        assert_true(buf_tail_room(&b) >= n);
        check(&b, "keep");
    }
    memcpy(buf_tail(&b), "er", 2);
    buf_commit(&b, 2);
    check(&b, "keeper");
    size_t cap = b.cap;
    buf_commit(&b, SIZE_MAX); /* never beyond what there is */
    assert_int_equal(b.len, cap);
    buf_clear(&b);
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2), -ERR_NOMEM);
    assert_int_equal(b.cap, cap);
}

static void test_printf(void **state)
{
    AUTO_BUF b = BUF_INIT;
    assert_int_equal(buf_printf(&b, "%s-%d", "a", 7), 0);
    assert_int_equal(buf_printf(&b, "%s", ""), 0);
    check(&b, "a-7");
    char big[3000];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(buf_printf(&b, "%s", big), 0);
    assert_int_equal(b.len, 3 + sizeof(big) - 1);
}

static void test_steal(void **state)
{
    struct buf b = BUF_INIT;
    assert_int_equal(buf_append_c(&b, "abcdef"), 0);
    buf_consume(&b, 2);
    char *s = buf_steal(&b);
    assert_string_equal(s, "cdef");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(s);
}

/* Growing moves a secret: the old block must be empty before it is given away. The next buffer gets
 * the same block, so what it holds then is what was left in it. */
static void test_growth_wipes(void **state)
{
    static const char secret[] = "correct horse battery staple";
    AUTO_SECRET_BUF b = BUF_INIT;
    assert_int_equal(buf_append_c(&b, secret), 0);
    size_t cap = b.cap;
    const char *before = b.data;
    uintptr_t old = (uintptr_t)before;
    assert_int_equal(buf_reserve(&b, 100 * cap), 0);
    assert_true((uintptr_t)b.data != old);
    AUTO_BUF again = BUF_INIT;
    assert_int_equal(buf_reserve(&again, cap), 0);
#if !defined(__SANITIZE_ADDRESS__)
    assert_true((uintptr_t)again.data == old);
    /* a link takes its first bytes */
    for (size_t i = sizeof(void *); i < cap; i++)
        assert_int_equal(again.data[i], 0);
#endif
    check(&b, secret);
}

/* Blocks of buffers that are gone are used again, each by one buffer, whatever their sizes and
 * however many they are. */
static void test_blocks(void **state)
{
    struct buf bufs[200] = {0};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
            assert_int_equal(buf_reserve(&bufs[i], 1 + i * 17 % 1200), 0);
            memset(bufs[i].data, (int)i, bufs[i].cap);
            bufs[i].len = bufs[i].cap;
        }
        for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
            for (size_t k = 0; k < bufs[i].cap; k++)
                assert_int_equal((unsigned char)bufs[i].data[k], i);
        for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
            i % 2 ? buf_fini(&bufs[i]) : buf_wipe(&bufs[i]);
    }
    /* what was taken away is free()d by its owner */
    AUTO_BUF b = BUF_INIT;
    assert_int_equal(buf_append_c(&b, "text"), 0);
    free(buf_steal(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_append_consume),
        cmocka_unit_test(test_stream),       cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_printf),       cmocka_unit_test(test_steal),
        cmocka_unit_test(test_growth_wipes), cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
