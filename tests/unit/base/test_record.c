/* SPDX-License-Identifier: ISC */
/* Records: both ways, and cut or wrong at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/record.h"

static void make(struct buf *out)
{
    const uint64_t number = UINT64_MAX;
    const struct record r[] = {{1, 0, {STR_NULL}},
                               {7, 3, {STR("a"), STR(""), record_field(&number)}},
                               {UINT32_MAX, 1, {STR("x\0y")}}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(record_append(out, &r[i]), 0);
}

static void test_both_ways(void **state)
{
    AUTO_BUF text = BUF_INIT;
    struct record r;
    uint64_t number;
    char *word;
    make(&text);
    struct str in = buf_str(&text);
    assert_int_equal(record_next(&in, &r), 0);
    assert_true(r.kind == 1 && r.n == 0);
    assert_int_equal(record_next(&in, &r), 0);
    assert_true(r.kind == 7 && r.n == 3 && str_eq(r.v[0], STR("a")) && r.v[1].n == 0);
    assert_int_equal(record_number(&r, 2, UINT64_MAX, &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(record_number(&r, 2, UINT64_MAX - 1, &number), -ERR_SYNTAX);
    assert_int_equal(record_number(&r, 0, 5, &number), -ERR_SYNTAX);
    assert_int_equal(record_number(&r, 3, 5, &number), -ERR_SYNTAX);
    assert_int_equal(record_text(&r, 0, &word), 0);
    assert_string_equal(word, "a");
    free(word);
    assert_int_equal(record_text(&r, 1, &word), 0);
    assert_null(word);
    assert_int_equal(record_next(&in, &r), 0);
    assert_true(r.kind == UINT32_MAX && str_eq(r.v[0], STR("x\0y")));
    assert_int_equal(record_text(&r, 0, &word), -ERR_SYNTAX);
    assert_int_equal(record_next(&in, &r), -ERR_EOF);
}

/* A copy of its own size, so that a sanitizer sees a read behind its end. */
static int read_all(const char *bytes, size_t n)
{
    struct record r;
    char *copy = malloc(n + 1);
    memcpy(copy, bytes, n);
    struct str in = str_n(copy, n);
    int err;
    while ((err = record_next(&in, &r)) == 0)
        ;
    free(copy);
    return err;
}

static void test_cut(void **state)
{
    AUTO_BUF text = BUF_INIT;
    make(&text);
    struct str all = buf_str(&text);
    size_t whole = 0;
    for (size_t n = 0; n <= all.n; n++)
        whole += read_all(all.p, n) == -ERR_EOF;
    assert_int_equal(whole, 4); /* behind no, one, two and three records */
}

static void test_wrong_lengths(void **state)
{
    const uint32_t many[] = {1, RECORD_FIELDS_MAX + 1}, far[] = {1, 1, UINT32_MAX};
    assert_int_equal(read_all((const char *)many, sizeof(many)), -ERR_SYNTAX);
    assert_int_equal(read_all((const char *)far, sizeof(far)), -ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_wrong_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
