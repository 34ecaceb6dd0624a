/* SPDX-License-Identifier: ISC */
/* Values by time, axes, and curves in dots of each kind of terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tui/graph.h"
#include "tui/plot.h"

static const struct graph sessions = {"sessions", {{"sessions", NULL, STYLE_GRAPH}}, false, false};
static const struct graph logins = {
    "logins/s", {{"logins", "ok", STYLE_GOOD}, {"failures", "failed", STYLE_BAD}}, true, false};
static const struct graph_span seconds = {"1s", 1, 20, 20, "20 s before"};
static const struct graph_span minutes = {"1m", 60, 3600, 86400, "yesterday"};

/* Samples of the seconds first..last, with sessions = the second, without some. */
static json_t *history(int first, int last, int gap_first, int gap_last)
{
    json_t *rows = json_array();
    for (int i = first; i <= last; i++)
        if (i < gap_first || i > gap_last)
            json_array_append_new(rows,
                                  json_pack("{s:I, s:i, s:i, s:i}", "time", (json_int_t)i * 1000,
                                            "sessions", i, "logins", 60, "failures", i % 7 == 0));
    return rows;
}

static void test_values(void **state)
{
    double v[64];
    json_t *rows = history(1, 100, 92, 97);
    const struct graph_view view = {rows, &seconds, 0};
    /* A part of two samples has the higher one. */
    graph_values(&view, &sessions, "sessions", 0, 10, v);
    assert_true(v[9] == 100 && v[8] == 99 && v[0] == 83);
    assert_true(v[5] == 91 || isnan(v[5]));
    assert_true(isnan(v[6]) && isnan(v[7]));
    /* More parts than samples: one holds until the next one comes; a gap is a gap. */
    graph_values(&view, &sessions, "sessions", 0, 40, v);
    assert_true(v[39] == 100 && v[38] == 99 && v[37] == 99);
    assert_true(isnan(v[30]));
    /* What was before. */
    graph_values(&view, &sessions, "sessions", 20, 20, v);
    assert_true(v[19] == 80 && v[0] == 61);
    /* The parts stay when time goes on: only one is new. */
    double older[8], newer[8];
    json_t *more = history(1, 102, 0, 0);
    const struct graph_span eights = {"1s", 1, 16, 16, ""};
    const struct graph_view before = {rows, &eights, 0}, after = {more, &eights, 0};
    graph_values(&before, &sessions, "sessions", 0, 8, older);
    graph_values(&after, &sessions, "sessions", 0, 8, newer);
    assert_true(older[1] == newer[0]);
    /* Rates; none at all. */
    const struct graph_view slow = {more, &minutes, 0};
    graph_values(&slow, &logins, "logins", 0, 60, v);
    assert_true(v[59] == 1);
    const struct graph_view none = {NULL, &minutes, 0};
    graph_values(&none, &logins, "logins", 0, 60, v);
    assert_true(isnan(v[0]) && isnan(v[59]));
    json_decref(rows);
    json_decref(more);
}

static void test_nice(void **state)
{
    static const struct {
        double value;
        bool is_size;
        double nice;
    } cases[] = {
        {0, false, 1},
        {1, false, 1},
        {1.1, false, 1.5},
        {3.1, false, 4},
        {6, false, 6},
        {99, false, 100},
        {101, false, 150},
        {999, false, 1000},
        {123456, false, 150000},
        {0.25, false, 0.3},
        {1000, true, 1024},
        {1025, true, 1536},
        {900 * 1024, true, 1024 * 1024},
        {NAN, false, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_true(fabs(graph_nice(cases[i].value, cases[i].is_size) - cases[i].nice) < 1e-9);
}

static char *drawn(const struct graph_view *v, const struct graph *g, enum glyphs glyphs,
                   int height, int width, enum style *ret_styles)
{
    struct screen s = {.glyphs = glyphs};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_true(screen_reset(&s, height, width));
    graph_draw(v, g, &s, 0, 0, height, width);
    for (int i = 0; ret_styles && i < height * width; i++)
        ret_styles[i] = (enum style)screen_at(&s, i / width, i % width)->style;
    screen_print(&s, f);
    fclose(f);
    screen_fini(&s);
    return text;
}

static void test_words(void **state)
{
    json_t *rows = history(1000, 1100, 0, 0);
    struct graph_view view = {rows, &seconds, 0};
    AUTO_FREE char *text = drawn(&view, &sessions, GLYPHS_FULL, 8, 80, NULL);
    assert_non_null(strstr(text, "sessions 1100"));
    assert_non_null(strstr(text, " peak 1100\n"));
    assert_non_null(strstr(text, "  1500"));
    assert_non_null(strstr(text, "-20s  (faint: 20 s before) "));
    assert_non_null(strstr(text, " now\n"));
    AUTO_FREE char *low = drawn(&view, &sessions, GLYPHS_FULL, 4, 80, NULL);
    assert_non_null(strstr(low, "peak 1100 in 20s\n")); /* no room for times below */
    AUTO_FREE char *narrow = drawn(&view, &sessions, GLYPHS_FULL, 8, 34, NULL);
    assert_non_null(strstr(narrow, "-20s  (faint: before) "));
    AUTO_FREE char *narrowest = drawn(&view, &sessions, GLYPHS_FULL, 8, 20, NULL);
    assert_null(strstr(narrowest, "faint"));
    /* The values of a time, and those of before in brackets. */
    view.cursor_ms = 1095000;
    AUTO_FREE char *at = drawn(&view, &logins, GLYPHS_FULL, 8, 80, NULL);
    assert_non_null(strstr(at, "logins/s ok 60 (60)  failed "));
    assert_non_null(strstr(at, " at 00:18:15\n"));
    json_decref(rows);
}

/* Two curves: one up, one down, told apart without colours. */
static void test_curves(void **state)
{
    enum style styles[6 * 20];
    json_t *rows = json_array();
    for (int i = 1; i <= 20; i++)
        json_array_append_new(rows, json_pack("{s:I, s:i, s:i}", "time", (json_int_t)i * 1000,
                                              "logins", i == 20 ? 2 : 0, "failures", i == 1));
    const struct graph_view view = {rows, &seconds, 0};
    AUTO_FREE char *ascii = drawn(&view, &logins, GLYPHS_ASCII, 5, 20, NULL);
    assert_string_equal(ascii, "logins/s ok 2.0\n"
                               "                   :\n"
                               "___________________:\n"
                               ":___________________\n"
                               ":\n");
    AUTO_FREE char *full = drawn(&view, &logins, GLYPHS_FULL, 5, 20, styles);
    assert_non_null(strstr(full, "⢸\n"));
    assert_int_equal(styles[1 * 20 + 19], STYLE_GOOD);
    assert_int_equal(styles[4 * 20 + 0], STYLE_BAD);
    assert_int_equal(styles[2 * 20 + 5], STYLE_DIM); /* zero is quiet */
    json_decref(rows);
}

static void test_all_sizes(void **state)
{
    json_t *rows = history(1, 200, 50, 60);
    for (int height = 0; height < 20; height++)
        for (int width = 0; width < 130; width++)
            for (enum glyphs glyphs = GLYPHS_ASCII; glyphs <= GLYPHS_FULL; glyphs++) {
                const struct graph_view view = {rows, &seconds, width % 3 ? 190000 : 0};
                struct screen s = {.glyphs = glyphs};
                assert_true(screen_reset(&s, height + 1, width + 1));
                graph_draw(&view, height % 2 ? &logins : &sessions, &s, 0, 0, height, width);
                screen_fini(&s);
            }
    json_decref(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),    cmocka_unit_test(test_nice),
        cmocka_unit_test(test_words),     cmocka_unit_test(test_curves),
        cmocka_unit_test(test_all_sizes),
    };
    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
