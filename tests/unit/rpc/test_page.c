/* SPDX-License-Identifier: ISC */
/* Parts of lists: which rows belong to one, what is counted, and how the answer begins and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "rpc/page.h"

/* Users of a list, in its order: "A" is locked, "a" is active. */
static const char users[] = "aAaAAaaA";

static struct filter *locked(void)
{
    size_t n;
    char *error = NULL;
    struct filter *f = NULL;
    const struct filter_field *fields =
        command_filter_fields(commands_find_method("user.list"), &n);
    assert_int_equal(filter_parse(STR("state=locked"), fields, n, &f, &error), 0);
    return f;
}

static void test_parts(void **state)
{
    static const struct {
        bool is_filtered;
        size_t offset, limit;
        const char *want; /* positions of the rows of the part */
        size_t matched;
        bool has_more;
    } cases[] = {
        {false, 0, 3, "012", 8, true},  {false, 2, 3, "234", 8, true},
        {false, 5, 3, "567", 8, false}, {false, 6, 9, "67", 8, false},
        {false, 8, 3, "", 8, false},    {false, 9, 3, "", 8, false},
        {true, 0, 2, "13", 4, true},    {true, 1, 2, "34", 4, true},
        {true, 2, 2, "47", 4, false},   {true, 4, 2, "", 4, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct page p = {.filter = cases[i].is_filtered ? locked() : NULL,
                         .offset = cases[i].offset,
                         .limit = cases[i].limit};
        AUTO_BUF got = BUF_INIT;
        for (size_t k = 0; users[k]; k++) {
            bool is_wanted = page_wants(&p);
            json_t *row = json_pack("{s:s}", "state", users[k] == 'A' ? "locked" : "active");
            if (page_match(&p, p.filter || is_wanted ? row : NULL) && is_wanted) {
                assert_int_equal(buf_append_char(&got, (char)('0' + k)), 0);
                p.n++;
            }
            json_decref(row);
        }
        assert_string_equal(got.len ? buf_cstr(&got) : "", cases[i].want);
        assert_int_equal(p.seen, strlen(users));
        assert_int_equal(p.matched, cases[i].matched);
        assert_int_equal(page_has_more(&p), cases[i].has_more);
        page_fini(&p);
        page_fini(&p); /* no harm */
    }
}

/* A row that could not be made is none that a filter takes. */
static void test_no_row(void **state)
{
    struct page p = {.filter = locked(), .limit = 5};
    assert_false(page_match(&p, NULL));
    assert_int_equal(p.seen, 1);
    assert_int_equal(p.matched, 0);
    page_fini(&p);
}

static void test_text(void **state)
{
    static const struct {
        const char *cursor, *want;
    } cases[] = {
        {NULL, "{\"rows\":[],\"more\":false,\"seen\":7,\"matched\":5}"},
        {"joe\"", "{\"rows\":[],\"more\":true,\"seen\":7,\"matched\":5,\"cursor\":\"joe\\\"\"}"},
    };
    const struct page p = {.seen = 7, .matched = 5};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF text = BUF_INIT;
        assert_int_equal(page_begin(&text), 0);
        assert_int_equal(page_end(&p, &text, cases[i].cursor), 0);
        assert_string_equal(buf_cstr(&text), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_no_row),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
