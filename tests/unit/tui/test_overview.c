/* SPDX-License-Identifier: ISC */
/* Samples merged, the cursor, warnings, lines that lead somewhere, and the whole at many sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tui/overview.h"

/* Samples of the seconds first..last (times in s), with sessions = the second. */
static json_t *history(int first, int last)
{
    json_t *rows = json_array();
    for (int i = first; i <= last; i++)
        json_array_append_new(rows, json_pack("{s:I, s:i, s:i}", "time", (json_int_t)i * 1000,
                                              "sessions", i, "logins", 60));
    return json_pack("{s:o}", "rows", rows);
}

static void take(struct overview *o, int first, int last)
{
    json_t *result = history(first, last);
    overview_take_history(o, result);
    json_decref(result);
}

static void test_history_is_merged(void **state)
{
    (void)state;
    struct overview o = {0};
    unsigned all = overview_wanted(&o, 1000000);
    assert_int_equal(all, 240);
    take(&o, 1, 10);
    take(&o, 8, 12); /* what overlaps is there once */
    assert_int_equal(json_array_size(o.history), 12);
    assert_int_equal(overview_wanted(&o, 15000), 5);
    assert_int_equal(overview_wanted(&o, 9000000), all); /* long not looked at */
    take(&o, 13, 2000);
    assert_int_equal(json_array_size(o.history), all);
    overview_set_span(&o, 1);
    assert_null(o.history);
    overview_set_span(&o, -1);
    overview_set_span(&o, -1);
    assert_string_equal(overview_span(&o)->step, "1m");
    overview_fini(&o);
}

/* Each span asks for what is compared, too. */
static void test_spans(void **state)
{
    (void)state;
    static const unsigned samples[] = {240, 1200, 120, 1800, 2880};
    struct overview o = {0};
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        assert_int_equal(overview_wanted(&o, 1000000), samples[i]);
        overview_set_span(&o, 1);
    }
    assert_int_equal(overview_span(&o)->length_s, 120);
    overview_fini(&o);
}

static void test_cursor(void **state)
{
    (void)state;
    struct overview o = {.cols = 60};
    overview_move_cursor(&o, -1); /* there is nothing yet */
    assert_int_equal(o.cursor_ms, 0);
    take(&o, 1000, 1240);
    overview_move_cursor(&o, -1);
    assert_int_equal(o.cursor_ms, 1238000);
    overview_move_cursor(&o, -1);
    assert_int_equal(o.cursor_ms, 1236000);
    take(&o, 1241, 1242); /* time goes on, what is looked at stays */
    assert_int_equal(o.cursor_ms, 1236000);
    for (int i = 0; i < 200; i++)
        overview_move_cursor(&o, -1);
    assert_int_equal(o.cursor_ms, 1123000); /* the middle of the first cell */
    for (int i = 0; i < 200; i++)
        overview_move_cursor(&o, 1);
    assert_int_equal(o.cursor_ms, 0);
    overview_move_cursor(&o, -1);
    assert_true(overview_unpick(&o));
    assert_false(overview_unpick(&o));
    overview_move_cursor(&o, -1);
    overview_set_span(&o, 1);
    assert_int_equal(o.cursor_ms, 0);
    overview_fini(&o);
}

static json_t *backends(void)
{
    return json_loads("[{\"name\":\"b1\",\"pool\":\"main\",\"admin\":\"ready\",\"health\":\"up\","
                      "\"sessions\":30,\"check_ms\":3,\"last_check\":1,\"cert_days\":80,"
                      "\"down\":\"pop3\",\"reason\":\"pop3: timeout\"},"
                      "{\"name\":\"b2\",\"pool\":\"main\",\"admin\":\"drain\",\"health\":\"up\","
                      "\"sessions\":10,\"cert_days\":2,\"admin_reason\":\"disk\"},"
                      "{\"name\":\"s1\",\"pool\":\"spare\",\"admin\":\"ready\",\"health\":\"down\","
                      "\"reason\":\"connect: refused\x41\",\"sessions\":0}]",
                      0, NULL);
}

static void test_warnings(void **state)
{
    (void)state;
    struct overview o = {.backends = backends()};
    struct overview_warning w[8];
    o.status = json_loads("{\"state\":\"running\",\"restarts\":2,\"uptime\":5000}", 0, NULL);
    o.listeners = json_loads("[{\"name\":\"imap\",\"paused\":true},{\"name\":\"pop3\"}]", 0, NULL);
    assert_int_equal(overview_warnings(&o, w, 8), 7);
    assert_string_equal(w[0].text, "pool spare has no backend that takes logins");
    assert_int_equal(w[0].style, STYLE_ALARM);
    assert_string_equal(w[1].text, "pop3 of backend main/b1 is down: pop3: timeout");
    assert_string_equal(w[2].text, "backend main/b2 is set to drain: disk");
    assert_int_equal(w[2].style, STYLE_WARN);
    assert_string_equal(w[3].text, "the certificate of backend main/b2 ends in 2 days");
    assert_int_equal(w[3].style, STYLE_BAD);
    assert_string_equal(w[4].text, "backend spare/s1 is down: connect: refusedA");
    assert_non_null(strstr(w[5].text, "2 times"));
    assert_string_equal(w[6].text, "listener imap is paused: clients wait");
    assert_int_equal(overview_warnings(&o, w, 2), 2);
    overview_fini(&o);
    assert_int_equal(overview_warnings(&o, w, 8), 0);
}

/* Pools and certificates of the same name at two daemons are two. */
static void test_warnings_of_several(void **state)
{
    (void)state;
    struct overview o = {0};
    struct overview_warning w[8];
    o.backends = json_loads(
        "[{\"node\":\"mx1\",\"node#\":0,\"pool\":\"main\",\"name\":\"b1\",\"health\":\"up\"},"
        "{\"node\":\"mx2\",\"node#\":1,\"pool\":\"main\",\"name\":\"b1\",\"health\":\"down\"},"
        "{\"node\":\"mx2\",\"node#\":1,\"pool\":\"main\",\"name\":\"b2\",\"health\":\"down\"},"
        "{\"node\":\"mx3\",\"node#\":2,\"pool\":\"main\",\"name\":\"b1\",\"health\":\"down\"},"
        "{\"node\":\"mx3\",\"node#\":2,\"pool\":\"main\",\"name\":\"b2\",\"health\":\"up\"}]",
        0, NULL);
    o.listeners = json_loads(
        "[{\"node\":\"mx1\",\"node#\":0,\"name\":\"a\",\"cert_file\":\"/a\",\"cert_days\":5},"
        "{\"node\":\"mx1\",\"node#\":0,\"name\":\"b\",\"cert_file\":\"/a\",\"cert_days\":5},"
        "{\"node\":\"mx2\",\"node#\":1,\"name\":\"a\",\"cert_file\":\"/a\",\"cert_days\":5}]",
        0, NULL);
    assert_int_equal(overview_warnings(&o, w, 8), 6);
    assert_string_equal(w[0].text, "mx2: pool main has no backend that takes logins");
    assert_string_equal(w[1].text, "mx1: the certificate of listener a and 1 more ends in 5 days");
    assert_string_equal(w[2].text, "mx2: the certificate of listener a ends in 5 days");
    overview_fini(&o);
}

static void test_warnings_of_certificates(void **state)
{
    (void)state;
    static const struct {
        int days;
        const char *text; /* NULL = no warning */
        enum style style;
    } cases[] = {
        {14, NULL, STYLE_NORMAL},
        {13, "the certificate of listener imap and 1 more ends in 13 days", STYLE_WARN},
        {3, "the certificate of listener imap and 1 more ends in 3 days", STYLE_WARN},
        {1, "the certificate of listener imap and 1 more ends in 1 day", STYLE_BAD},
        {0, "the certificate of listener imap and 1 more ends in 0 days", STYLE_BAD},
        {-1, "the certificate of listener imap and 1 more has ended", STYLE_BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct overview o = {0};
        struct overview_warning w[8];
        int days = cases[i].days;
        o.backends = json_pack("[{s:s, s:s, s:s, s:i}]", "name", "b1", "pool", "main", "health",
                               "up", "cert_days", -2);
        o.listeners = json_pack("[{s:s, s:s, s:i}, {s:s}, {s:s, s:s, s:i}, {s:s, s:s, s:i}]",
                                "name", "imap", "cert_file", "/a.pem", "cert_days", days, "name",
                                "clear", "name", "other", "cert_file", "/b.pem", "cert_days", 2,
                                "name", "pop3", "cert_file", "/a.pem", "cert_days", days);
        size_t n = 0;
        assert_int_equal(overview_warnings(&o, w, 8), cases[i].text ? 3 : 2);
        if (cases[i].text) {
            assert_string_equal(w[0].text, cases[i].text);
            assert_int_equal(w[0].style, cases[i].style);
            n++;
        }
        assert_string_equal(w[n].text, "the certificate of listener other ends in 2 days");
        assert_string_equal(w[n + 1].text, "the certificate of backend main/b1 has ended");
        assert_int_equal(w[n + 1].style, STYLE_BAD);
        overview_fini(&o);
    }
}

static void test_warnings_of_an_upgrade(void **state)
{
    (void)state;
    struct overview o = {0};
    struct overview_warning w[8];
    o.status = json_loads("{\"state\":\"running\",\"old_pid\":7,\"old_sessions\":3,"
                          "\"old_control\":\"/run/c.old\"}",
                          0, NULL);
    assert_int_equal(overview_warnings(&o, w, 8), 1);
    assert_string_equal(w[0].text,
                        "the program before the upgrade has 3 more sessions: /run/c.old");
    json_decref(o.status);
    o.status = json_loads("{\"state\":\"retired\"}", 0, NULL);
    assert_int_equal(overview_warnings(&o, w, 8), 1);
    assert_int_equal(w[0].style, STYLE_ALARM);
    overview_fini(&o);
}

static void test_backend_states(void **state)
{
    (void)state;
    static const struct {
        const char *admin, *health, *text;
        enum style style;
    } cases[] = {
        {"ready", "up", "up", STYLE_GOOD},
        {"ready", "down", "DOWN", STYLE_BAD},
        {"drain", "up", "up, drain", STYLE_WARN},
        {"disabled", "down", "DOWN, disabled", STYLE_BAD},
        {"ready", "unknown", "unknown", STYLE_WARN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[32];
        json_t *b = json_pack("{s:s, s:s}", "admin", cases[i].admin, "health", cases[i].health);
        assert_int_equal(overview_backend_state(b, text), cases[i].style);
        assert_string_equal(text, cases[i].text);
        json_decref(b);
    }
}

/* Everything about a backend has room on the smallest of usual terminals. */
static void test_backend_line(void **state)
{
    (void)state;
    struct overview o = {.backends = backends(), .stats = json_object()};
    struct screen s = {.glyphs = GLYPHS_ASCII};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    json_object_set_new(json_array_get(o.backends, 0), "last_check",
                        json_integer((json_int_t)clock_wall_ms() - 60 * 1000));
    assert_true(screen_reset(&s, 24, 80));
    overview_draw(&o, &s, 0, 24, false);
    screen_print(&s, f);
    fclose(f);
    assert_non_null(strstr(text, "main/b2       up, drain           10  ###"));
    assert_non_null(strstr(text, " 25%"));
    const char *line = strstr(text, "main/b1       up ");
    assert_non_null(line);
    assert_non_null(strstr(line, "  3 ms, 1m ago  80d\n"));
    free(text);
    screen_fini(&s);
    overview_fini(&o);
}

/* Where there is room: how long logins take, how many fail, and how many there were lately. */
static void test_backend_times(void **state)
{
    (void)state;
    struct overview o = {.backends = backends(), .stats = json_object()};
    struct overview_warning w[8];
    struct screen s = {.glyphs = GLYPHS_FULL};
    json_t *b = json_array_get(o.backends, 0);
    json_object_set_new(b, "p50", json_integer(12));
    json_object_set_new(b, "p95", json_integer(400));
    json_object_set_new(b, "fail", json_integer(3));
    json_object_set_new(b, "full", json_string("30 of 30"));
    json_object_set_new(b, "slow", json_string("400 ms, the pool's median 9 ms"));
    json_object_set_new(b, "recent", json_string("0 0 0 0 4 4 8 8"));
    static const struct {
        int cols;
        bool has_times, has_spark;
    } cases[] = {{80, false, false}, {130, true, false}, {160, true, true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);
        assert_true(screen_reset(&s, 24, cases[i].cols));
        overview_draw(&o, &s, 0, 24, false);
        screen_print(&s, f);
        fclose(f);
        assert_int_equal(strstr(text, " 12 ms, 400 ms, 3%") != NULL, cases[i].has_times);
        assert_int_equal(strstr(text, "▄█") != NULL, cases[i].has_spark);
        free(text);
    }
    size_t n = overview_warnings(&o, w, ARRAY_LEN(w));
    assert_true(n >= 3);
    assert_string_equal(w[2].text, "backend main/b1 is full: 30 of 30");
    assert_string_equal(w[3].text, "logins at backend main/b1 are slow: p95 400 ms, the pool's "
                                   "median 9 ms");
    screen_fini(&s);
    overview_fini(&o);
}

static const struct overview_line *picked_after(struct overview *o, int by)
{
    overview_move(o, by);
    const struct overview_line *l = overview_picked(o);
    assert_non_null(l);
    return l;
}

/* Every line leads somewhere, and what is picked stays so wherever it is drawn. */
static void test_lines(void **state)
{
    (void)state;
    struct overview o = {.backends = backends(), .stats = json_object()};
    struct screen s = {.glyphs = GLYPHS_FULL};
    o.top_users = json_loads("[{\"key\":\"anna\",\"sessions\":7}]", 0, NULL);
    o.top_addresses = json_loads("[{\"key\":\"192.0.2.1\",\"sessions\":7}]", 0, NULL);
    o.listeners = json_loads("[{\"name\":\"imap\",\"paused\":true}]", 0, NULL);
    assert_true(screen_reset(&s, 50, 160));
    overview_draw(&o, &s, 0, 50, false);
    assert_null(overview_picked(&o));
    const struct overview_line *l = picked_after(&o, 1);
    assert_true(l->row == 0 && l->pane == PANE_BACKENDS && !l->object); /* pool spare */
    l = picked_after(&o, 1);
    assert_int_equal(l->pane, PANE_BACKENDS);
    assert_string_equal(json_string_value(json_object_get(l->object, "name")), "b1");
    while (l->pane == PANE_BACKENDS)
        l = picked_after(&o, 1);
    assert_int_equal(l->pane, PANE_LISTENERS);
    l = picked_after(&o, 1);
    assert_int_equal(l->pane, PANE_USERS);
    assert_string_equal(json_string_value(json_object_get(l->object, "name")), "anna");
    assert_int_equal(screen_at(&s, l->row, l->col)->style, STYLE_NORMAL);
    overview_draw(&o, &s, 0, 50, false);
    l = overview_picked(&o);
    assert_int_equal(screen_at(&s, l->row, l->col)->style, STYLE_SELECTED);
    l = picked_after(&o, 1);
    assert_int_equal(l->pane, PANE_LIMITS);
    for (int i = 0; i < 9; i++)
        l = picked_after(&o, 1);
    assert_string_equal(json_string_value(json_object_get(l->object, "name")), "s1");
    /* Once more, smaller: the line moved, the choice did not. */
    assert_true(screen_reset(&s, 24, 80));
    overview_draw(&o, &s, 0, 24, false);
    l = overview_picked(&o);
    assert_non_null(l);
    assert_string_equal(json_string_value(json_object_get(l->object, "name")), "s1");
    assert_false(overview_pick_at(&o, 23, 200));
    assert_true(overview_pick_at(&o, 0, 5));
    assert_int_equal(overview_picked(&o)->row, 0);
    screen_fini(&s);
    overview_fini(&o);
}

static void test_all_sizes(void **state)
{
    (void)state;
    struct overview o = {.backends = backends()};
    int now = (int)(clock_wall_ms() / 1000 % 1000000);
    take(&o, now - 100, now);
    o.stats = json_loads("{\"sessions\":40,\"login_rate\":3}", 0, NULL);
    json_t *listeners = json_loads(
        "{\"rows\":[{\"proto\":\"imap\"},{\"proto\":\"imap\"},{\"proto\":\"pop3\"}]}", 0, NULL);
    overview_take_listeners(&o, listeners);
    json_decref(listeners);
    assert_int_equal(o.n_protos, 2);
    for (int rows = 1; rows < 60; rows++)
        for (int cols = 1; cols < 200; cols += 3) {
            struct screen s = {.glyphs = GLYPHS_FULL};
            assert_true(screen_reset(&s, rows, cols));
            overview_draw(&o, &s, 0, rows, rows % 2);
            screen_fini(&s);
        }
    overview_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_is_merged),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_warnings_of_several),
        cmocka_unit_test(test_warnings_of_certificates),
        cmocka_unit_test(test_warnings_of_an_upgrade),
        cmocka_unit_test(test_backend_states),
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_backend_line),
        cmocka_unit_test(test_backend_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
