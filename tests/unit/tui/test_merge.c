/* SPDX-License-Identifier: ISC */
/* Answers of several daemons as one: the order of long lists at each place, sums, samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tui/merge.h"

#define NODES 3

/* Rows of each daemon, in its order. */
static json_t *lists[NODES];

static int drop_lists(void **state)
{
    for (int i = 0; i < NODES; i++) {
        json_decref(lists[i]);
        lists[i] = NULL;
    }
    return 0;
}

/* Daemon i has sizes[i] rows whose "in" ascends by steps of its own. */
static void make_lists(const size_t *sizes)
{
    unsigned random = 7;
    for (int i = 0; i < NODES; i++) {
        json_int_t in = 0;
        lists[i] = json_array();
        for (size_t k = 0; k < sizes[i]; k++) {
            random = random * 1103515245 + 12345;
            in += 1 + (random >> 16) % (i == 1 && k < 300 ? 2 : 40);
            json_array_append_new(lists[i],
                                  json_pack("{s:s, s:I}", "id", "1-1", "in", in * NODES + i));
        }
    }
}

/* What daemon i answers. */
static json_t *answer_part(int i, const json_t *params)
{
    size_t n = json_array_size(lists[i]);
    size_t offset = (size_t)json_integer_value(json_object_get(params, "offset"));
    size_t limit = (size_t)json_integer_value(json_object_get(params, "limit"));
    assert_true(limit <= TABLE_LIMIT_MAX);
    if (json_is_true(json_object_get(params, "from_end")))
        offset = n > offset + limit ? n - offset - limit : 0;
    json_t *rows = json_array();
    for (size_t k = offset; k < n && k < offset + limit; k++)
        json_array_append_new(rows, json_copy(json_array_get(lists[i], k)));
    return json_pack("{s:o, s:i}", "rows", rows, "matched", (int)n);
}

/* Asks for a part; compares each row with the whole in its order. */
static void check_part(struct merge_window *w, size_t offset, size_t limit, bool is_from_end,
                       const json_int_t *all, size_t n_all)
{
    const struct command *c = commands_find("session", "list");
    struct merge_answer a[NODES] = {{.name = "n0"}, {.name = "n1"}, {.name = "n2"}};
    json_t *params = json_pack("{s:s, s:i, s:i}", "sort", "in", "limit", (int)limit, "offset",
                               (int)offset),
           *each[NODES];
    if (is_from_end)
        json_object_set_new(params, "from_end", json_true());
    merge_params(c, params, w, a, NODES, each);
    for (int i = 0; i < NODES; i++) {
        a[i].result = answer_part(i, each[i]);
        json_decref(each[i]);
    }
    json_t *result = merge_answers(c, params, w, a, NODES), *row;
    json_t *rows = json_object_get(result, "rows");
    size_t start = is_from_end ? n_all - offset - limit : offset, i;
    assert_int_equal(json_integer_value(json_object_get(result, "matched")), n_all);
    assert_int_equal(json_array_size(rows), start + limit < n_all ? limit : n_all - start);
    json_array_foreach (rows, i, row) {
        json_int_t in = json_integer_value(json_object_get(row, "in"));
        assert_int_equal(in, all[start + i]);
        assert_int_equal(json_integer_value(json_object_get(row, MERGE_PLACE)), in % NODES);
        assert_int_equal(json_string_value(json_object_get(row, MERGE_NODE))[1], '0' + in % NODES);
    }
    for (int k = 0; k < NODES; k++)
        json_decref(a[k].result);
    json_decref(result);
    json_decref(params);
}

static int compare(const void *a, const void *b)
{
    json_int_t x = *(const json_int_t *)a, y = *(const json_int_t *)b;
    return (x > y) - (x < y);
}

/* Down by pages, to the end, and up again: the rows are those of the whole order, though no daemon
 * gives more than a thousand at once. */
static void test_pages(void **state)
{
    static const size_t sizes[NODES] = {4000, 900, 2500};
    size_t n = 0, limit = 180;
    struct merge_window w = {0};
    make_lists(sizes);
    AUTO_FREE json_int_t *all = calloc(sizes[0] + sizes[1] + sizes[2], sizeof(*all));
    for (int i = 0; i < NODES; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            all[n++] = json_integer_value(json_object_get(json_array_get(lists[i], k), "in"));
    qsort(all, n, sizeof(*all), compare);
    for (size_t at = 0; at < n; at += 60)
        check_part(&w, at, limit, false, all, n);
    check_part(&w, 0, limit, true, all, n);
    for (size_t at = 0; at + limit < n; at += 60)
        check_part(&w, at, limit, true, all, n);
}

/* Asks until the rows are together; returns how often. Those that are not there answer nothing. */
static size_t rounds(struct merge_window *w, size_t offset, size_t limit, unsigned there,
                     const json_int_t *all, size_t n_all)
{
    const struct command *c = commands_find("session", "list");
    json_t *params =
        json_pack("{s:s, s:i, s:i}", "sort", "in", "limit", (int)limit, "offset", (int)offset);
    size_t n = 0;
    for (bool is_again = true; is_again; n++) {
        struct merge_answer a[NODES] = {{.name = "n0"}, {.name = "n1"}, {.name = "n2"}};
        json_t *each[NODES], *row;
        size_t i;
        assert_true(n < 40);
        merge_params(c, params, w, a, NODES, each);
        for (int k = 0; k < NODES; k++) {
            a[k].result = there >> k & 1 ? answer_part(k, each[k]) : NULL;
            json_decref(each[k]);
        }
        json_t *result = merge_answers(c, params, w, a, NODES);
        json_t *rows = json_object_get(result, "rows");
        is_again = json_is_true(json_object_get(result, "again"));
        if (!is_again) {
            assert_int_equal(json_array_size(rows),
                             offset + limit < n_all ? limit : n_all - offset);
            json_array_foreach (rows, i, row)
                assert_int_equal(json_integer_value(json_object_get(row, "in")), all[offset + i]);
        }
        for (int k = 0; k < NODES; k++)
            json_decref(a[k].result);
        json_decref(result);
    }
    json_decref(params);
    return n;
}

/* What the daemons of a set have, in its order; owned. */
static json_int_t *whole_order(unsigned there, size_t *ret_n)
{
    size_t n = 0;
    for (int k = 0; k < NODES; k++)
        n += there >> k & 1 ? json_array_size(lists[k]) : 0;
    json_int_t *all = calloc(n + 1, sizeof(*all));
    *ret_n = 0;
    for (int k = 0; k < NODES; k++)
        for (size_t i = 0; there >> k & 1 && i < json_array_size(lists[k]); i++)
            all[(*ret_n)++] =
                json_integer_value(json_object_get(json_array_get(lists[k], i), "in"));
    qsort(all, *ret_n, sizeof(*all), compare);
    return all;
}

/* Deep within a long list daemons go and come back, also one whose rows are all before or behind
 * those of the others: the place is found again in a few answers, and kept by scrolling. */
static void test_daemons_come_and_go(void **state)
{
    static const size_t sizes[2][NODES] = {{20000, 20000, 20000}, {30000, 500, 12000}};
    static const struct {
        unsigned there;
        size_t offset;
    } steps[] = {{1, 11000}, {3, 11000}, {7, 11000}, {7, 11060}, {6, 11060}, {5, 11000},
                 {7, 11900}, {7, 31000}, {3, 9000},  {7, 41000}, {4, 2000},  {7, 20000}};
    for (int set = 0; set < 4; set++) {
        struct merge_window w = {0};
        make_lists(sizes[set % 2]);
        for (int k = 0; set >= 2 && k < NODES; k++) { /* one behind the other */
            size_t i;
            json_t *row;
            json_array_foreach (lists[k], i, row)
                json_object_set_new(
                    row, "in",
                    json_integer(json_integer_value(json_object_get(row, "in")) + k * 30000000));
        }
        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
            size_t n;
            AUTO_FREE json_int_t *all = whole_order(steps[i].there, &n);
            size_t offset = steps[i].offset + 180 < n ? steps[i].offset : n - 180;
            size_t took = rounds(&w, offset, 180, steps[i].there, all, n);
            if (took > 20)
                fail_msg("set %d, step %zu: %zu answers", set, i, took);
            /* What was found is kept: a page further is one answer. */
            if (offset + 60 + 180 < n)
                assert_int_equal(rounds(&w, offset + 60, 180, steps[i].there, all, n), 1);
        }
        (void)drop_lists(NULL);
    }
}

/* A place far away is a guess at first, and right when it is asked for again. */
static void test_jump(void **state)
{
    static const size_t sizes[NODES] = {4000, 900, 2500};
    struct merge_window w = {0};
    const struct command *c = commands_find("session", "list");
    json_t *params = json_pack("{s:s, s:i, s:i}", "sort", "in", "limit", 100, "offset", 3000);
    json_int_t last = 0;
    make_lists(sizes);
    for (int round = 0; round < 4; round++) {
        struct merge_answer a[NODES] = {{.name = "n0"}, {.name = "n1"}, {.name = "n2"}};
        json_t *each[NODES], *row;
        size_t i;
        merge_params(c, params, &w, a, NODES, each);
        for (int k = 0; k < NODES; k++) {
            a[k].result = answer_part(k, each[k]);
            json_decref(each[k]);
        }
        json_t *result = merge_answers(c, params, &w, a, NODES);
        last = 0;
        json_array_foreach (json_object_get(result, "rows"), i, row) {
            assert_true(json_integer_value(json_object_get(row, "in")) > last);
            last = json_integer_value(json_object_get(row, "in"));
        }
        for (int k = 0; k < NODES; k++)
            json_decref(a[k].result);
        json_decref(result);
    }
    size_t n_before = 0;
    for (int i = 0; i < NODES; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            n_before +=
                json_integer_value(json_object_get(json_array_get(lists[i], k), "in")) <= last;
    assert_int_equal(n_before, 3100);
    json_decref(params);
}

/* Pages of a list ordered by the daemons' names are theirs in turn; the first answer in the middle
 * of it finds out where one ends. */
static void test_by_node(void **state)
{
    static const size_t sizes[NODES] = {700, 90, 400};
    static const char *const names[NODES] = {"mx2", "mx3", "mx1"};
    const struct command *c = commands_find("session", "list");
    make_lists(sizes);
    for (int is_descending = 0; is_descending < 2; is_descending++) {
        static const int turns[2][NODES] = {{2, 0, 1}, {1, 0, 2}};
        struct merge_window w = {0};
        for (size_t offset = 350; offset < 1190; offset += 120) {
            json_t *params = json_pack("{s:s, s:i, s:i}", "sort", is_descending ? "-node" : "node",
                                       "limit", 180, "offset", (int)offset);
            json_t *result = NULL, *row;
            for (int round = 0; round == 0 || json_object_get(result, "again"); round++) {
                struct merge_answer a[NODES] = {0};
                json_t *each[NODES];
                assert_true(round < 2);
                json_decref(result);
                for (int k = 0; k < NODES; k++)
                    a[k].name = names[k];
                merge_params(c, params, &w, a, NODES, each);
                for (int k = 0; k < NODES; k++) {
                    assert_string_equal(json_string_value(json_object_get(each[k], "sort")), "id");
                    a[k].result = answer_part(k, each[k]);
                    json_decref(each[k]);
                }
                result = merge_answers(c, params, &w, a, NODES);
                for (int k = 0; k < NODES; k++)
                    json_decref(a[k].result);
            }
            size_t i, n = offset + 180 < 1190 ? 180 : 1190 - offset;
            assert_int_equal(json_array_size(json_object_get(result, "rows")), n);
            json_array_foreach (json_object_get(result, "rows"), i, row) {
                size_t at = offset + i;
                const int *turn = turns[is_descending];
                for (; at >= sizes[*turn]; turn++)
                    at -= sizes[*turn];
                assert_string_equal(json_string_value(json_object_get(row, MERGE_NODE)),
                                    names[*turn]);
                assert_true(json_equal(json_object_get(row, "in"),
                                       json_object_get(json_array_get(lists[*turn], at), "in")));
            }
            json_decref(result);
            json_decref(params);
        }
    }
}

static json_t *merge(const char *noun, const char *verb, const char *params, const char *first,
                     const char *second)
{
    const struct command *c = commands_find(noun, verb);
    struct merge_answer a[2] = {{.name = "mx1"}, {.name = "mx2"}};
    struct merge_window w = {0};
    json_t *p = json_loads(params, 0, NULL);
    a[0].result = first ? json_loads(first, 0, NULL) : NULL;
    a[1].result = second ? json_loads(second, 0, NULL) : NULL;
    json_t *result = merge_answers(c, p, merge_is_window(c) ? &w : NULL, a, 2);
    json_decref(a[0].result);
    json_decref(a[1].result);
    json_decref(p);
    return result;
}

static void check_merge(const char *noun, const char *verb, const char *params, const char *first,
                        const char *second, const char *want)
{
    json_t *result = merge(noun, verb, params, first, second), *w = json_loads(want, 0, NULL);
    AUTO_FREE char *text = json_dumps(result, JSON_SORT_KEYS);
    AUTO_FREE char *wanted = json_dumps(w, JSON_SORT_KEYS);
    assert_string_equal(text, wanted);
    json_decref(result);
    json_decref(w);
}

/* Counts are added up, of times the longest is taken. */
static void test_totals(void **state)
{
    check_merge("stats", "show", "{}", "{\"sessions\":5,\"in\":10,\"p95\":400}",
                "{\"sessions\":2,\"in\":1,\"p95\":30}", "{\"sessions\":7,\"in\":11,\"p95\":400}");
    check_merge("stats", "show", "{}", NULL, "{\"sessions\":2}", "{\"sessions\":2}");
}

static void test_groups(void **state)
{
    check_merge("session", "top", "{\"by\":\"user\",\"sort\":\"-sessions\",\"limit\":2}",
                "{\"rows\":[{\"key\":\"bob\",\"sessions\":4,\"age\":9,\"share\":66},"
                "{\"key\":\"eve\",\"sessions\":2,\"age\":1,\"share\":33}]}",
                "{\"rows\":[{\"key\":\"eve\",\"sessions\":3,\"age\":5,\"share\":75},"
                "{\"key\":\"tim\",\"sessions\":1,\"age\":5,\"share\":25}]}",
                "{\"rows\":[{\"key\":\"eve\",\"sessions\":5,\"age\":5,\"share\":50},"
                "{\"key\":\"bob\",\"sessions\":4,\"age\":9,\"share\":40}],"
                "\"matched\":3,\"more\":false,\"seen\":0}");
    check_merge("event", "top", "{\"by\":[\"ip\",\"user\"],\"sort\":\"-last\",\"limit\":9}",
                "{\"rows\":[{\"ip\":\"a\",\"user\":\"x\",\"count\":1,\"first\":5,\"last\":6}]}",
                "{\"rows\":[{\"ip\":\"a\",\"user\":\"x\",\"count\":2,\"first\":3,\"last\":9},"
                "{\"ip\":\"a\",\"user\":\"y\",\"count\":1,\"first\":1,\"last\":1}]}",
                "{\"rows\":[{\"ip\":\"a\",\"user\":\"x\",\"count\":3,\"first\":3,\"last\":9},"
                "{\"ip\":\"a\",\"user\":\"y\",\"count\":1,\"first\":1,\"last\":1}],"
                "\"matched\":2,\"more\":false,\"seen\":0}");
}

/* The clocks of two daemons do not tick together; one has a longer past. */
static void test_samples(void **state)
{
    check_merge("stats", "history", "{\"step\":\"1s\"}",
                "{\"rows\":[{\"time\":2400,\"sessions\":10},{\"time\":3400,\"sessions\":20}]}",
                "{\"rows\":[{\"time\":1000,\"sessions\":1},{\"time\":2000,\"sessions\":2},"
                "{\"time\":3000,\"sessions\":3}]}",
                "{\"rows\":[{\"time\":1000,\"sessions\":1},{\"time\":2000,\"sessions\":12},"
                "{\"time\":3000,\"sessions\":23}]}");
    /* One clock goes before the other: what both say last is of now. */
    check_merge("stats", "history", "{\"step\":\"1s\"}",
                "{\"rows\":[{\"time\":8400,\"sessions\":10},{\"time\":9400,\"sessions\":20}]}",
                "{\"rows\":[{\"time\":1000,\"sessions\":1},{\"time\":2000,\"sessions\":2},"
                "{\"time\":3000,\"sessions\":3}]}",
                "{\"rows\":[{\"time\":1000,\"sessions\":1},{\"time\":2000,\"sessions\":12},"
                "{\"time\":3000,\"sessions\":23}]}");
}

static void test_objects(void **state)
{
    check_merge("system", "status", "{}", "{\"uptime\":9,\"state\":\"running\"}",
                "{\"uptime\":4,\"state\":\"stopping\"}",
                "{\"uptime\":4,\"nodes\":["
                "{\"uptime\":9,\"state\":\"running\",\"node\":\"mx1\",\"node#\":0},"
                "{\"uptime\":4,\"state\":\"stopping\",\"node\":\"mx2\",\"node#\":1}]}");
    check_merge("user", "show", "{\"name\":\"anna\"}", NULL, "{\"name\":\"anna\"}",
                "{\"name\":\"anna\",\"node\":\"mx2\",\"node#\":1}");
    check_merge("session", "kill", "{}", "{\"count\":2,\"changed\":true,\"message\":\"two\"}",
                "{\"count\":0,\"changed\":false}",
                "{\"count\":2,\"changed\":true,\"message\":\"mx1: two\"}");
}

/* What happened is given newest first, whoever tells it; lists without an order one by one. */
static void test_order(void **state)
{
    check_merge("audit", "list", "{}", "{\"rows\":[{\"time\":9},{\"time\":3}]}",
                "{\"rows\":[{\"time\":5}]}",
                "{\"rows\":[{\"time\":9,\"node\":\"mx1\",\"node#\":0},"
                "{\"time\":5,\"node\":\"mx2\",\"node#\":1},"
                "{\"time\":3,\"node\":\"mx1\",\"node#\":0}],"
                "\"matched\":0,\"more\":false,\"seen\":0}");
    check_merge("listener", "list", "{}", "{\"rows\":[{\"name\":\"z\"}],\"more\":true}",
                "{\"rows\":[{\"name\":\"a\"}],\"matched\":1}",
                "{\"rows\":[{\"name\":\"z\",\"node\":\"mx1\",\"node#\":0},"
                "{\"name\":\"a\",\"node\":\"mx2\",\"node#\":1}],"
                "\"matched\":1,\"more\":true,\"seen\":0}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pages, drop_lists),
        cmocka_unit_test_teardown(test_jump, drop_lists),
        cmocka_unit_test_teardown(test_by_node, drop_lists),
        cmocka_unit_test_teardown(test_daemons_come_and_go, drop_lists),
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
