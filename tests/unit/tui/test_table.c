/* SPDX-License-Identifier: ISC */
/* The model of a list: selection, marks, rows that go, order, what is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tui/row_table.h"

static const struct row_table_part whole;

static const struct command *sessions(void)
{
    return commands_find("session", "list");
}

static void start(struct row_table *t)
{
    row_table_init(t, sessions(), "id", "id");
    row_table_set_page(t, 4);
}

/* Sessions of these ids, ("1 2 3"), as an answer of a list of `matched` rows. */
static void take(struct row_table *t, const char *ids, int matched, size_t at)
{
    json_t *rows = json_array();
    struct str rest = str_of(ids);
    for (struct str id; (id = str_word(&rest)).n;)
        json_array_append_new(rows, json_pack("{s:s%, s:s}", "id", id.p, id.n, "user", "anna"));
    json_t *result = json_pack("{s:o, s:b, s:i, s:i}", "rows", rows, "more", 0, "matched", matched,
                               "seen", matched);
    const struct row_table_part part = {.offset = at};
    row_table_take(t, result, &part);
    json_decref(result);
}

/* The loaded rows in order, those that are gone in brackets. */
static void check(const struct row_table *t, const char *want)
{
    char text[512] = "", id[TABLE_ID_MAX];
    for (size_t i = 0; i < json_array_size(t->rows); i++) {
        row_table_identity(t, json_array_get(t->rows, i), id);
        size_t n = strlen(text);
        snprintf(text + n, sizeof(text) - n, row_table_is_gone(t, id) ? "%s(%s)" : "%s%s",
                 n ? " " : "", id);
    }
    assert_string_equal(text, want);
}

static void test_selection_follows_identity(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "1 2 3 4 5 6", 6, 0);
    row_table_move(&t, 2);
    assert_string_equal(t.selected, "3");
    take(&t, "0 1 2 3 4 5 6", 7, 0);
    assert_string_equal(t.selected, "3");
    assert_int_equal(t.index, 3);
    take(&t, "3 4", 2, 0);
    assert_string_equal(t.selected, "3");
    row_table_fini(&t);
}

static void test_gone_rows_stay_once(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "1 2 3 4 5 6", 6, 0);
    row_table_move(&t, 1);
    row_table_mark(&t, "2", row_table_row(&t, 1));
    row_table_mark(&t, "3", row_table_row(&t, 2));
    take(&t, "1 4 5 6", 4, 0);
    check(&t, "1 (2) (3) 4 5 6");
    assert_string_equal(t.selected, "2");
    assert_int_equal(t.total, 6);
    /* Nothing is done to what is gone. */
    json_t *rows, *targets = row_table_targets(&t, &rows);
    assert_int_equal(json_array_size(targets), 0);
    json_decref(targets);
    json_decref(rows);
    take(&t, "1 4 5 6", 4, 0);
    check(&t, "1 4 5 6");
    assert_string_equal(t.selected, "4");
    assert_int_equal(t.total, 4);
    row_table_fini(&t);
}

static void test_first_row_goes(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "1 2 3", 3, 0);
    take(&t, "2 3", 2, 0);
    check(&t, "(1) 2 3");
    assert_string_equal(t.selected, "1");
    take(&t, "", 0, 0);
    check(&t, "(2) (3)");
    take(&t, "", 0, 0);
    check(&t, "");
    assert_string_equal(t.selected, "");
    assert_null(row_table_selected(&t));
    row_table_fini(&t);
}

static void test_no_ghosts_of_another_question(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "1 2 3", 3, 0);
    row_table_set_filter(&t, "user=b*");
    take(&t, "7 8", 2, 0);
    check(&t, "7 8");
    assert_string_equal(t.selected, "7");
    row_table_reverse(&t);
    take(&t, "8", 1, 0);
    check(&t, "8");
    row_table_fini(&t);
}

static void test_scrolled_list_keeps_its_place(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "1 2 3 4 5 6 7 8 9", 9, 0);
    row_table_move(&t, 6);
    assert_int_equal(t.top, 3);
    /* Two new ones above: the row stays on its line. */
    take(&t, "a b 1 2 3 4 5 6 7 8 9", 11, 0);
    assert_string_equal(t.selected, "7");
    assert_int_equal(t.index - t.top, 3);
    row_table_fini(&t);
}

static void test_moving_is_clamped(void **state)
{
    struct row_table t;
    start(&t);
    row_table_move(&t, 1); /* nothing is there yet */
    take(&t, "1 2 3 4 5 6", 6, 0);
    row_table_move(&t, -5);
    assert_int_equal(t.index, 0);
    row_table_move(&t, 1000);
    assert_int_equal(t.index, 5);
    assert_int_equal(t.top, 2);
    row_table_page(&t, -1);
    assert_int_equal(t.index, 1);
    assert_int_equal(t.top, 0);
    row_table_page(&t, 1);
    assert_int_equal(t.index, 5);
    assert_int_equal(t.top, 2);
    row_table_page(&t, 1);
    assert_int_equal(t.index, 5);
    row_table_set_page(&t, 10);
    assert_int_equal(t.top, 0);
    row_table_set_page(&t, 1);
    assert_int_equal(t.top, 5);
    row_table_fini(&t);
}

static void test_window(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "0 1 2 3 4 5 6 7 8 9 10 11", 1000, 0);
    assert_int_equal(t.total, 1000);
    assert_true(row_table_has_margin(&t));
    row_table_move(&t, 200);
    /* It is not loaded yet: nothing is selected that would be acted on. */
    assert_null(row_table_selected(&t));
    assert_string_equal(t.selected, "");
    assert_false(row_table_has_margin(&t));
    struct row_table_part part = row_table_want(&t);
    assert_int_equal(part.offset, t.top - 4);
    assert_int_equal(part.limit, 12);
    assert_false(part.is_from_end);
    take(&t, "193 194 195 196 197 198 199 200 201 202 203 204", 1000, part.offset);
    assert_string_equal(t.selected, "200");
    assert_null(row_table_row(&t, 0));
    assert_non_null(row_table_row(&t, 195));
    assert_true(row_table_has_margin(&t));
    row_table_fini(&t);
}

/* The end is counted from the end: the list may be longer than is sorted. */
static void test_window_from_end(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "0 1 2 3 4 5 6 7 8 9 10 11", 100000, 0);
    row_table_move(&t, 1000000);
    assert_int_equal(t.index, 99999);
    struct row_table_part part = row_table_want(&t);
    assert_true(part.is_from_end);
    assert_int_equal(part.offset, 0);
    /* Two have ended meanwhile. */
    json_t *result = json_pack("{s:[{s:s}{s:s}{s:s}], s:i}", "rows", "id", "x", "id", "y", "id",
                               "z", "matched", 99998);
    row_table_take(&t, result, &part);
    json_decref(result);
    assert_int_equal(t.start, 99995);
    assert_int_equal(t.index, 99997);
    assert_string_equal(t.selected, "z");
    assert_non_null(row_table_row(&t, 99995));
    row_table_move(&t, -100);
    part = row_table_want(&t);
    assert_true(part.is_from_end && part.offset > 0);
    row_table_fini(&t);
}

static void test_marks(void **state)
{
    struct row_table t;
    start(&t);
    take(&t, "1 2 3", 3, 0);
    json_t *rows, *targets = row_table_targets(&t, &rows);
    assert_string_equal(json_string_value(json_array_get(targets, 0)), "1");
    assert_ptr_equal(json_array_get(rows, 0), row_table_row(&t, 0));
    json_decref(targets);
    json_decref(rows);
    json_t *elsewhere = json_pack("{s:s}", "id", "elsewhere");
    row_table_mark(&t, "3", row_table_row(&t, 2));
    row_table_mark(&t, "2", row_table_row(&t, 1));
    row_table_mark(&t, "elsewhere", elsewhere);
    targets = row_table_targets(&t, &rows);
    assert_int_equal(json_array_size(targets), 3);
    /* What is on the screen comes first, in its order. */
    assert_string_equal(json_string_value(json_array_get(targets, 0)), "2");
    assert_string_equal(json_string_value(json_array_get(targets, 1)), "3");
    assert_string_equal(json_string_value(json_array_get(targets, 2)), "elsewhere");
    assert_ptr_equal(json_array_get(rows, 2), elsewhere);
    json_decref(targets);
    json_decref(rows);
    json_decref(elsewhere);
    row_table_unmark_all(&t);
    assert_int_equal(t.marks.count, 0);
    row_table_fini(&t);
}

static void test_sorting(void **state)
{
    struct row_table t;
    char text[72];
    start(&t);
    assert_string_equal(row_table_sort_text(&t, text), "id");
    row_table_sort_next(&t, 1, 0);
    assert_string_equal(row_table_sort_text(&t, text), "proto"); /* listener is not shown */
    row_table_sort_next(&t, -1, 0);
    row_table_sort_next(&t, -1, 0);
    assert_string_equal(row_table_sort_text(&t, text), "");
    row_table_sort_by(&t, "in");
    assert_string_equal(row_table_sort_text(&t, text), "-in"); /* the highest first */
    row_table_sort_by(&t, "in");
    assert_string_equal(row_table_sort_text(&t, text), "in");
    row_table_sort_by(&t, "nonsense");
    assert_string_equal(row_table_sort_text(&t, text), "in");
    assert_true(t.is_changed);
    /* Rows of several daemons: the node is in front of the first column. */
    row_table_sort_by(&t, TABLE_NODE);
    assert_string_equal(row_table_sort_text(&t, text), "in");
    t.has_node = true;
    row_table_sort_by(&t, TABLE_NODE);
    assert_string_equal(row_table_sort_text(&t, text), "node");
    row_table_sort_by(&t, TABLE_NODE);
    assert_string_equal(row_table_sort_text(&t, text), "-node");
    row_table_sort_next(&t, 1, 0);
    assert_string_equal(row_table_sort_text(&t, text), "id");
    row_table_sort_next(&t, -1, 0);
    assert_string_equal(row_table_sort_text(&t, text), "node");
    row_table_sort_next(&t, -1, 0);
    assert_string_equal(row_table_sort_text(&t, text), "");
    row_table_fini(&t);
}

static void test_sorted_here(void **state)
{
    struct row_table t;
    row_table_init(&t, commands_find("listener", "list"), "name", "-name");
    row_table_set_page(&t, 4);
    assert_false(row_table_can_sort(&t));
    json_t *result =
        json_pack("{s:[{s:s}{s:s}{s:s}]}", "rows", "name", "b", "name", "c", "name", "a");
    row_table_take(&t, result, &whole);
    check(&t, "c b a");
    row_table_reverse(&t);
    row_table_take(&t, result, &whole);
    check(&t, "a b c");
    json_decref(result);
    row_table_fini(&t);
}

static void test_identity_of_backends(void **state)
{
    struct row_table t;
    char id[TABLE_ID_MAX];
    row_table_init(&t, commands_find("backend", "list"), "pool name", "");
    json_t *row = json_pack("{s:s, s:s}", "name", "b1", "pool", "main");
    assert_string_equal(row_table_identity(&t, row, id), "main/b1");
    json_object_del(row, "pool");
    assert_string_equal(row_table_identity(&t, row, id), "b1");
    json_decref(row);
    row_table_fini(&t);
}

static void test_events(void **state)
{
    struct row_table t;
    row_table_init(&t, commands_find("event", "watch"), "", "");
    row_table_set_page(&t, 3);
    for (int i = 0; i < 5; i++)
        row_table_append(&t, json_pack("{s:i}", "time", 7), NULL, 4);
    assert_int_equal(t.total, 4);
    assert_int_equal(t.index, 3); /* at the end, it stays there */
    row_table_move(&t, -2);
    char before[TABLE_ID_MAX];
    memcpy(before, t.selected, sizeof(before));
    row_table_append(&t, json_pack("{s:i}", "time", 7), NULL, 4);
    assert_string_equal(t.selected, before);
    assert_int_equal(t.index, 0);
    row_table_fini(&t);
}

/* A row goes behind those that are not greater. */
static void test_events_in_order(void **state)
{
    static const int times[] = {5, 1, 9, 5, 3, 9, 1, 5};
    static const int order[] = {1, 6, 4, 0, 3, 7, 2, 5};
    struct row_table t;
    row_table_init(&t, commands_find("event", "watch"), "", "");
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        row_table_append(&t, json_pack("{s:i, s:i}", "time", times[i], "n", (int)i), "time", 100);
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(t.rows, i), "n")),
                         order[i]);
    row_table_fini(&t);
}

/* A long night: the newest are kept, both ends are a key away, and the selected row stays. */
static void test_many_events(void **state)
{
    const size_t max = 100000;
    struct row_table t;
    row_table_init(&t, commands_find("event", "watch"), "", "");
    row_table_set_page(&t, 40);
    for (json_int_t i = 0; i < 250000; i++)
        row_table_append(&t, json_pack("{s:I}", "time", i), NULL, max);
    assert_true(t.total <= max && t.total > max * 8 / 10);
    assert_int_equal(t.index, t.total - 1);
    assert_int_equal(json_integer_value(json_object_get(row_table_row(&t, t.total - 1), "time")),
                     249999);
    row_table_move(&t, -(long)t.total);
    assert_true(t.index == 0 && t.top == 0 && row_table_selected(&t));
    row_table_move(&t, 50000);
    json_t *chosen = json_incref((json_t *)row_table_selected(&t));
    for (json_int_t i = 0; i < 20000; i++)
        row_table_append(&t, json_pack("{s:I}", "time", i), NULL, max);
    assert_ptr_equal(row_table_selected(&t), chosen);
    assert_true(t.top <= t.index && t.index < t.top + t.page);
    json_decref(chosen);
    row_table_fini(&t);
}

static void test_unknown_total(void **state)
{
    struct row_table t;
    row_table_init(&t, commands_find("user", "list"), "name", "name");
    row_table_set_page(&t, 2);
    json_t *result = json_pack("{s:[{s:s}{s:s}], s:b, s:i}", "rows", "name", "a", "name", "b",
                               "more", 1, "matched", 2);
    row_table_take(&t, result, &whole);
    assert_true(t.has_more);
    assert_int_equal(t.total, 2);
    json_decref(result);
    row_table_fini(&t);
}

static void test_without_a_command(void **state)
{
    struct row_table t;
    char text[72];
    row_table_init(&t, NULL, "", "");
    assert_false(row_table_can_sort(&t));
    assert_false(row_table_can_skip(&t));
    row_table_move(&t, 1);
    row_table_sort_next(&t, 1, UINT64_MAX);
    assert_string_equal(row_table_sort_text(&t, text), "");
    row_table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selection_follows_identity),
        cmocka_unit_test(test_gone_rows_stay_once),
        cmocka_unit_test(test_first_row_goes),
        cmocka_unit_test(test_no_ghosts_of_another_question),
        cmocka_unit_test(test_scrolled_list_keeps_its_place),
        cmocka_unit_test(test_moving_is_clamped),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_from_end),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_sorting),
        cmocka_unit_test(test_sorted_here),
        cmocka_unit_test(test_identity_of_backends),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_in_order),
        cmocka_unit_test(test_many_events),
        cmocka_unit_test(test_unknown_total),
        cmocka_unit_test(test_without_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
