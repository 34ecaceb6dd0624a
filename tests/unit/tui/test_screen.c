/* SPDX-License-Identifier: ISC */
/* Cells: clipping, cutting, escaping, wide characters, shapes; pages and lists drawn onto them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tui/input.h"
#include "tui/list_view.h"
#include "tui/page_rows.h"
#include "tui/text_page.h"

static char *printed(const struct screen *s)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    screen_print(s, f);
    fclose(f);
    return text;
}

static void check(const struct screen *s, const char *want)
{
    AUTO_FREE char *text = printed(s);
    assert_string_equal(text, want);
}

static struct screen new_screen(int rows, int cols, enum glyphs glyphs)
{
    struct screen s = {.glyphs = glyphs};
    assert_true(screen_reset(&s, rows, cols));
    return s;
}

static void test_text(void **state)
{
    static const struct {
        int col, width;
        const char *text, *full, *ascii;
    } cases[] = {
        {0, 10, "hello", "hello\n", "hello\n"},
        {0, 4, "hello", "hel…\n", "hel~\n"},
        {7, 10, "hello", "       he…\n", "       he~\n"},
        {-2, 10, "hello", "hello\n", "hello\n"},
        {20, 10, "hello", "\n", "\n"},
        {0, 0, "hello", "\n", "\n"},
        {0, 10, "a\033[2Jb", "a\\x1b[2Jb\n", "a\\x1b[2Jb\n"},
        {0, 10, "a\r\nb", "a\\r\\nb\n", "a\\r\\nb\n"},
        {0, 10, "\xff\xfe", "\\xff\\xfe\n", "\\xff\\xfe\n"},
        {0, 10, "x\u202ey", "x\\u202ey\n", "x\\u202ey\n"},
        {0, 10, "日本語", "日本語\n", "??????\n"},
        {0, 5, "日本語", "日本…\n", "????~\n"},
        {0, 4, "日本語", "日…\n", "??~\n"},
        {0, 10, "e\u0301t", "e\u0301t\n", "et\n"},
        {0, 10, "né", "né\n", "n?\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct screen s = new_screen(1, 10, GLYPHS_FULL), a = new_screen(1, 10, GLYPHS_ASCII);
        (void)screen_text(&s, 0, cases[i].col, cases[i].width, STYLE_NORMAL, str_of(cases[i].text));
        (void)screen_text(&a, 0, cases[i].col, cases[i].width, STYLE_NORMAL, str_of(cases[i].text));
        check(&s, cases[i].full);
        check(&a, cases[i].ascii);
        screen_fini(&s);
        screen_fini(&a);
    }
}

static void test_wide_at_the_edge(void **state)
{
    struct screen s = new_screen(1, 3, GLYPHS_FULL);
    (void)screen_text(&s, 0, 2, 1, STYLE_NORMAL, str_of("日"));
    check(&s, "  …\n");
    (void)screen_text(&s, 0, 0, 3, STYLE_NORMAL, str_of("a日"));
    check(&s, "a日\n");
    assert_string_equal(screen_at(&s, 0, 2)->text, "");
    screen_fini(&s);
}

static void test_places(void **state)
{
    struct screen s = new_screen(2, 8, GLYPHS_FULL);
    screen_right(&s, 0, 0, 8, STYLE_NORMAL, STR("42"));
    screen_right(&s, 1, 0, 4, STYLE_NORMAL, STR("123456"));
    screen_right(&s, 7, 0, 4, STYLE_NORMAL, STR("no such row"));
    check(&s, "      42\n123…\n");
    screen_restyle(&s, 0, 0, 8, STYLE_SELECTED);
    assert_int_equal(screen_at(&s, 0, 7)->style, STYLE_SELECTED);
    assert_int_equal(screen_at(&s, 1, 7)->style, STYLE_NORMAL);
    screen_fini(&s);
}

static void test_shapes(void **state)
{
    struct screen s = new_screen(3, 10, GLYPHS_FULL), a = new_screen(3, 10, GLYPHS_ASCII);
    screen_box(&s, 0, 0, 3, 10, STR("hi"));
    check(&s, "┌─ hi ───┐\n│        │\n└────────┘\n");
    screen_box(&a, 0, 0, 3, 10, STR(""));
    check(&a, "+--------+\n|        |\n+--------+\n");
    screen_bar(&a, 1, 1, 4, STYLE_GOOD, 1, 1000); /* what is there is seen */
    screen_bar(&a, 1, 5, 4, STYLE_GOOD, 3, 4);
    check(&a, "+--------+\n|#...###.|\n+--------+\n");
    /* A box that does not fit is cut, not refused. */
    screen_box(&a, -1, -1, 20, 40, STR("x"));
    screen_fini(&s);
    screen_fini(&a);
}

static void test_columns(void **state)
{
    struct screen s = new_screen(2, 6, GLYPHS_FULL), a = new_screen(2, 3, GLYPHS_ASCII);
    for (int i = 0; i <= 4; i++)
        screen_column(&s, 1, i, 2, STYLE_GRAPH, (uint64_t)i, 4);
    check(&s, "   ▄█\n ▄█░░\n");
    screen_column(&a, 1, 0, 2, STYLE_GRAPH, 1, 4);
    screen_column(&a, 1, 1, 2, STYLE_GRAPH, 4, 4);
    check(&a, " :\n..\n");
    screen_column(&a, 1, 2, 2, STYLE_GRAPH, 0, 0);
    screen_fini(&s);
    screen_fini(&a);
}

static void test_sizes(void **state)
{
    struct screen s = {.glyphs = GLYPHS_FULL};
    assert_false(screen_reset(&s, 0, 0));
    assert_true(screen_reset(&s, 1, 1));
    (void)screen_text(&s, 0, 0, 80, STYLE_NORMAL, STR("hello"));
    check(&s, "…\n");
    assert_true(screen_reset(&s, 100, 300));
    screen_fini(&s);
}

/* ---- pages ---- */

static void test_page(void **state)
{
    struct screen s = new_screen(3, 12, GLYPHS_FULL);
    struct text_page p = {0};
    text_page_clear(&p); /* nothing there yet */
    assert_int_equal(text_page_add(&p, STYLE_NORMAL, STR("one\ntwo\nthree\nfour\nrest")), 4);
    assert_int_equal(p.n, 4);
    text_page_draw(&p, &s, 0, 0, 3, 12, false);
    check(&s, "one\ntwo\nthree\n");
    assert_true(text_page_key(&p, INPUT_DOWN));
    assert_true(text_page_key(&p, INPUT_DOWN)); /* the end */
    assert_int_equal(p.top, 1);
    assert_true(text_page_key(&p, INPUT_HOME));
    assert_int_equal(p.top, 0);
    assert_false(text_page_key(&p, 'x'));
    text_page_line(&p);
    text_page_put(&p, STYLE_BAD, STR("a\x01\n"));
    text_page_pad(&p, 8);
    text_page_put(&p, STYLE_GOOD, STR("b"));
    assert_true(text_page_key(&p, INPUT_END));
    (void)screen_reset(&s, 3, 12);
    text_page_draw(&p, &s, 0, 0, 3, 12, false);
    check(&s, "three\nfour\na\\x01\\n b\n");
    assert_int_equal(screen_at(&s, 2, 0)->style, STYLE_BAD);
    assert_int_equal(screen_at(&s, 2, 8)->style, STYLE_GOOD);
    AUTO_FREE char *text = text_page_text(&p);
    assert_string_equal(text, "one\ntwo\nthree\nfour\na\\x01\\n b\n");
    text_page_fini(&p);
    screen_fini(&s);
}

static void test_page_wraps(void **state)
{
    (void)state;
    struct screen s = new_screen(5, 12, GLYPHS_FULL);
    struct text_page p = {0};
    text_page_line(&p);
    text_page_put(&p, STYLE_KEY, STR("x  "));
    text_page_wrap(&p, STYLE_NORMAL, "one two three incomprehensible", 12);
    text_page_line(&p);
    text_page_wrap(&p, STYLE_NORMAL, "", 12);
    text_page_wrap(&p, STYLE_NORMAL, "b", 0);
    text_page_draw(&p, &s, 0, 0, 5, 12, false);
    check(&s, "x  one two\n   three\n   incompre\u2026\nb\n\n");
    text_page_fini(&p);
    screen_fini(&s);
}

static void test_page_sideways(void **state)
{
    struct screen s = new_screen(1, 6, GLYPHS_FULL);
    struct text_page p = {0};
    (void)text_page_add(&p, STYLE_NORMAL, STR("0123456789日本\n"));
    assert_true(text_page_key(&p, INPUT_RIGHT));
    text_page_draw(&p, &s, 0, 0, 1, 6, false);
    check(&s, "89日本\n");
    assert_true(text_page_key(&p, INPUT_LEFT));
    assert_int_equal(p.left, 0);
    text_page_fini(&p);
    screen_fini(&s);
}

static void test_page_follows(void **state)
{
    struct screen s = new_screen(2, 6, GLYPHS_FULL);
    struct text_page p = {.is_stream = true, .is_following = true};
    for (int i = 0; i < 5; i++) {
        text_page_line(&p);
        text_page_printf(&p, STYLE_NORMAL, "%d", i);
        text_page_draw(&p, &s, 0, 0, 2, 6, false);
    }
    assert_int_equal(p.top, 3);
    assert_true(text_page_key(&p, INPUT_UP));
    text_page_line(&p);
    text_page_draw(&p, &s, 0, 0, 2, 6, false);
    assert_int_equal(p.top, 2); /* it was left */
    assert_true(text_page_key(&p, INPUT_END));
    text_page_line(&p);
    text_page_draw(&p, &s, 0, 0, 2, 6, false);
    assert_int_equal(p.top, 5);
    text_page_fini(&p);
    screen_fini(&s);
}

/* ---- lists ---- */

static void list_take(struct list_view_view *l, const char *text)
{
    json_t *result = json_loads(text, 0, NULL);
    assert_non_null(result);
    const struct row_table_part whole = {0};
    row_table_take(&l->table, result, &whole);
    json_decref(result);
}

static const char two_backends[] =
    "{\"rows\":[{\"name\":\"b1\",\"pool\":\"main\",\"host\":\"10.0.0.1\",\"weight\":100,"
    "\"admin\":\"ready\",\"health\":\"up\",\"down\":\"pop3\",\"sessions\":12345,\"logins\":7,"
    "\"failures\":0},"
    "{\"name\":\"b2\",\"pool\":\"main\",\"host\":\"10.0.0.2\",\"weight\":1,\"admin\":\"drain\","
    "\"health\":\"down\",\"sessions\":0,\"logins\":0,\"failures\":3}]}";

static void test_list(void **state)
{
    struct screen s = new_screen(4, 82, GLYPHS_ASCII);
    struct list_view_view l;
    list_view_init(&l, commands_find("backend", "list"), "pool name", "sessions", "no backends");
    list_view_draw(&l, &s, 0, 4, false, NULL);
    AUTO_FREE char *before = printed(&s);
    assert_non_null(strstr(before, "waiting for the daemon"));
    list_take(&l, two_backends);
    l.has_focus = true;
    (void)screen_reset(&s, 4, 82);
    list_view_draw(&l, &s, 0, 4, false, NULL);
    check(&s,
          " BACKEND  POOL  HOST      WEIGHT  ADMIN  HEALTH  DOWN  SESSIONS^  LOGINS  FAILED\n"
          " b1       main  10.0.0.1     100  ready  up      pop3      12345       7       0\n"
          " b2       main  10.0.0.2       1  drain  down    -             0       0       3\n\n");
    assert_int_equal(l.n_hidden, 1);
    assert_int_equal(screen_at(&s, 1, 0)->style, STYLE_SELECTED);
    assert_int_equal(screen_at(&s, 2, 41)->style, STYLE_BAD);
    assert_int_equal(list_view_row_at(&l, 2), 1);
    assert_int_equal(list_view_row_at(&l, 3), -1);
    assert_string_equal(list_view_title_at(&l, 0, 58), "sessions");
    assert_null(list_view_title_at(&l, 1, 58));
    list_view_fini(&l);
    screen_fini(&s);
}

/* Where there is room for it, what has a value is shown though it is not by default. */
static void test_list_fills_the_room(void **state)
{
    struct screen s = new_screen(3, 110, GLYPHS_FULL);
    struct list_view_view l;
    list_view_init(&l, commands_find("backend", "list"), "pool name", "", "no backends");
    list_take(&l,
              "{\"rows\":[{\"name\":\"b1\",\"pool\":\"main\",\"host\":\"10.0.0.1\",\"weight\":1,"
              "\"admin\":\"ready\",\"health\":\"up\",\"sessions\":5,\"logins\":7,"
              "\"failures\":0,\"in\":0,\"edits\":\"\",\"cert_days\":29}]}");
    row_table_mark(&l.table, "main/b1", row_table_row(&l.table, 0));
    list_view_draw(&l, &s, 0, 3, false, NULL);
    check(&s,
          " BACKEND  POOL  HOST      WEIGHT  ADMIN  HEALTH  DOWN  SESSIONS  LOGINS  FAILED  SINCE  "
          "CERT-DAYS\n"
          "●b1       main  10.0.0.1       1  ready  up      -            5       7       0  -      "
          "       29\n\n");
    /* It goes first, and is not missed. */
    (void)screen_reset(&s, 3, 94);
    list_view_draw(&l, &s, 0, 3, false, NULL);
    AUTO_FREE char *narrow = printed(&s);
    assert_null(strstr(narrow, "CERT-DAYS"));
    assert_non_null(strstr(narrow, "10.0.0.1"));
    assert_int_equal(l.n_hidden, 0);
    /* What is shown can be sorted by. */
    list_view_sort_next(&l, -1);
    assert_string_equal(l.table.sort, "health_since");
    (void)screen_reset(&s, 3, 110);
    list_view_draw(&l, &s, 0, 3, false, NULL);
    list_view_sort_next(&l, 1);
    assert_string_equal(l.table.sort, "cert_days");
    list_view_fini(&l);
    screen_fini(&s);
}

static void test_list_colours_states(void **state)
{
    struct screen s = new_screen(3, 90, GLYPHS_FULL);
    struct list_view_view l;
    list_view_init(&l, commands_find("op", "list"), "id", "", "none");
    list_take(&l, "{\"rows\":[{\"id\":1,\"kind\":\"drain\",\"target\":\"main/b1\","
                  "\"state\":\"running\"}]}");
    list_view_draw(&l, &s, 0, 3, false, NULL);
    check(&s,
          " ID  KIND   TARGET   STATE    DONE  TOTAL  FAILED  %  ETA  STARTED  OPERATOR  TEXT\n"
          " 1   drain  main/b1  running     -      -       -  -    -  -        -         -\n\n");
    assert_int_equal(screen_at(&s, 1, 5)->style, STYLE_NORMAL);
    assert_int_equal(screen_at(&s, 1, 21)->style, STYLE_GOOD);
    list_view_fini(&l);
    screen_fini(&s);
}

/* Why a login failed is read before where it was: columns give way to the text. */
static void test_list_gives_way_to_text(void **state)
{
    static const char events[] =
        "{\"rows\":[{\"time\":1000,\"type\":\"failure\",\"session\":\"1-4711\","
        "\"proto\":\"imap\",\"user\":\"anna@example.org\",\"ip\":\"192.0.2.123\","
        "\"backend\":\"main/b1\",\"text\":\"wrong password; ended\"}]}";
    static const struct {
        int cols;
        const char *titles;
        size_t n_hidden;
    } rows[] = {
        {160, "TYPE     SESSION  PROTO  USER              IP           BACKEND  TEXT", 0},
        {100, "TYPE     PROTO  USER              IP           BACKEND  TEXT", 1},
        {94, "TYPE     USER              IP           BACKEND  TEXT", 1},
        {84, "TYPE     USER              IP           TEXT", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct screen s = new_screen(3, rows[i].cols, GLYPHS_FULL);
        struct list_view_view l;
        list_view_init(&l, commands_find("event", "watch"), "", "", "none");
        list_take(&l, events);
        list_view_draw(&l, &s, 0, 3, false, NULL);
        AUTO_FREE char *text = printed(&s);
        if (!strstr(text, rows[i].titles) || !strstr(text, "wrong password; ended"))
            fail_msg("%d columns: %s", rows[i].cols, text);
        assert_int_equal(l.n_hidden, rows[i].n_hidden);
        list_view_fini(&l);
        screen_fini(&s);
    }
}

/* What is long comes behind everything else. */
static void test_page_object(void **state)
{
    struct text_page p = {.glyphs = GLYPHS_FULL};
    const struct command *c = commands_find("backend", "show");
    json_t *b = json_pack("{s:s, s:s, s:o}", "name", "b1", "pool", "main", "capabilities",
                          json_sprintf("%0200d", 1));
    page_add_object(&p, c, b, 80);
    AUTO_FREE char *shorter = text_page_text(&p);
    assert_string_equal(shorter,
                        "name              b1                    pool              main\n");
    page_add_long(&p, c, b, 80);
    AUTO_FREE char *text = text_page_text(&p);
    assert_non_null(strstr(text, "main\n\ncapabilities\n0000"));
    json_decref(b);
    text_page_fini(&p);
}

/* Numbers are never cut, whatever the width; the name is the last to go. */
static void test_narrow_lists(void **state)
{
    struct list_view_view l;
    list_view_init(&l, commands_find("backend", "list"), "pool name", "", "no backends");
    list_take(&l, two_backends);
    for (int cols = 1; cols < 120; cols++) {
        struct screen s = new_screen(4, cols, GLYPHS_FULL);
        list_view_draw(&l, &s, 0, 4, false, NULL);
        AUTO_FREE char *text = printed(&s);
        const char *number = strstr(text, "123");
        if (number)
            assert_memory_equal(number, "12345", 5);
        assert_int_equal(text[strcspn(text, "\n") + 2] == 'b' || cols <= 2, 1);
        screen_fini(&s);
    }
    list_view_fini(&l);
}

static void test_wide_list(void **state)
{
    struct list_view_view l;
    struct screen s = new_screen(3, 40, GLYPHS_ASCII);
    list_view_init(&l, commands_find("backend", "list"), "pool name", "", "no backends");
    list_take(&l, two_backends);
    l.is_wide = true;
    list_view_draw(&l, &s, 0, 3, false, NULL);
    assert_true(l.n_hidden > 5);
    AUTO_FREE char *first = printed(&s);
    assert_non_null(strstr(first, "POOL"));
    list_view_scroll(&l, 1);
    list_view_scroll(&l, 1);
    (void)screen_reset(&s, 3, 40);
    list_view_draw(&l, &s, 0, 3, false, NULL);
    AUTO_FREE char *second = printed(&s);
    assert_null(strstr(second, "POOL"));
    assert_non_null(strstr(second, "BACKEND"));
    for (int i = 0; i < 100; i++) {
        list_view_scroll(&l, 1);
        list_view_draw(&l, &s, 0, 3, false, NULL);
    }
    assert_int_equal(l.n_hidden, 0);
    list_view_fini(&l);
    screen_fini(&s);
}

static void test_empty_lists(void **state)
{
    struct list_view_view l;
    struct screen s = new_screen(3, 60, GLYPHS_ASCII);
    list_view_init(&l, commands_find("backend", "list"), "pool name", "", "no backends");
    list_take(&l, "{\"rows\":[]}");
    list_view_draw(&l, &s, 0, 3, false, NULL);
    AUTO_FREE char *empty = printed(&s);
    assert_non_null(strstr(empty, "no backends"));
    row_table_set_filter(&l.table, "pool=x");
    (void)screen_reset(&s, 3, 60);
    list_view_draw(&l, &s, 0, 3, false, NULL);
    AUTO_FREE char *filtered = printed(&s);
    assert_non_null(strstr(filtered, "nothing matches the filter"));
    (void)screen_reset(&s, 3, 60);
    list_view_draw(&l, &s, 0, 3, false, "not for you");
    check(&s, " not for you\n\n\n");
    list_view_draw(&l, &s, 0, 0, false, NULL);
    list_view_fini(&l);
    screen_fini(&s);
}

/* What was picked is shown, whatever else there is; the last column stays. */
static void test_picked_columns(void **state)
{
    struct list_view_view l;
    struct screen s = {.glyphs = GLYPHS_ASCII};
    AUTO_BUF text = BUF_INIT;
    list_view_init(&l, commands_find("session", "list"), "id", "id", "none");
    json_t *result = json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "rows", "id", "1-1", "user", "anna",
                               "proto", "imap", "listener", "imaps");
    const struct row_table_part part = {0};
    row_table_take(&l.table, result, &part);
    assert_true(screen_reset(&s, 4, 60));
    list_view_draw(&l, &s, 0, 4, false, NULL);
    list_view_toggle_column(&l, "listener"); /* beside what is shown now */
    list_view_toggle_column(&l, "proto");
    list_view_draw(&l, &s, 0, 4, false, NULL);
    assert_int_equal(list_view_shown_text(&l, &text), 0);
    assert_non_null(strstr(buf_cstr(&text), "listener"));
    assert_null(strstr(buf_cstr(&text), "proto"));
    list_view_set_shown(&l, STR("user nonsense listener"));
    buf_clear(&text);
    assert_int_equal(list_view_shown_text(&l, &text), 0);
    assert_string_equal(buf_cstr(&text), "listener user"); /* as the table has them */
    list_view_toggle_column(&l, "user");
    list_view_toggle_column(&l, "listener");
    assert_true(l.shown != 0);
    list_view_toggle_column(&l, NULL);
    assert_true(l.shown == 0);
    json_decref(result);
    list_view_fini(&l);
    screen_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picked_columns),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_wide_at_the_edge),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_page_wraps),
        cmocka_unit_test(test_page_sideways),
        cmocka_unit_test(test_page_follows),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_narrow_lists),
        cmocka_unit_test(test_wide_list),
        cmocka_unit_test(test_empty_lists),
        cmocka_unit_test(test_list_fills_the_room),
        cmocka_unit_test(test_page_object),
        cmocka_unit_test(test_list_colours_states),
        cmocka_unit_test(test_list_gives_way_to_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
