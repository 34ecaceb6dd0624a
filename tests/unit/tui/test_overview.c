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
    struct overview o = {.backends = backends()};
    struct overview_warning w[8];
    o.status = json_loads("{\"state\":\"running\",\"restarts\":2,\"uptime\":5000}", 0, NULL);
    o.listeners = json_loads("[{\"name\":\"imap\",\"paused\":true},{\"name\":\"pop3\"}]", 0, NULL);
    assert_int_equal(overview_warnings(&o, w, 8), 7);
    assert_string_equal(w[0].text, "pool spare has no backend that takes logins");
    assert_int_equal(w[0].style, STYLE_ALARM);
    /* The worst first. */
    assert_string_equal(w[1].text, "the certificate of backend main/b2 ends in 2 days");
    assert_int_equal(w[1].style, STYLE_BAD);
    assert_string_equal(w[2].text, "backend spare/s1 is down: connect: refusedA");
    assert_int_equal(w[2].style, STYLE_BAD);
    assert_string_equal(w[3].text, "pop3 of backend main/b1 is down: timeout");
    assert_int_equal(w[3].style, STYLE_WARN);
    assert_string_equal(w[4].text, "backend main/b2 is draining: disk");
    assert_non_null(strstr(w[5].text, "2 times"));
    assert_string_equal(w[6].text, "listener imap is paused: clients wait");
    assert_int_equal(overview_warnings(&o, w, 2), 2);
    overview_fini(&o);
    assert_int_equal(overview_warnings(&o, w, 8), 0);
}

/* Pools and certificates of the same name at two daemons are two. */
/* Words for people: since when, which protocols, and why without saying them twice. */
static void test_words_of_warnings(void **state)
{
    static const struct {
        const char *health, *down, *admin, *reason;
        int since_ms; /* ago; 0 = nobody knows */
        const char *text;
    } cases[] = {
        {"up", "pop3,smtp,sieve", "ready", "pop3: connect: connection refused", 0,
         "pop3, smtp and sieve of backend main/b1 are down: connect: connection refused"},
        {"up", "pop3,smtp", "ready", "imap: timeout", 0,
         "pop3 and smtp of backend main/b1 are down: imap: timeout"},
        {"up", "pop3", "ready", "", 0, "pop3 of backend main/b1 is down"},
        {"down", "imap", "ready", "imap: timeout", 3 * 60 * 1000,
         "backend main/b1 has been down for 3m: timeout"},
        {"down", "", "ready", "timeout", 0, "backend main/b1 is down: timeout"},
        {"up", "", "drain", "", 30 * 1000, "backend main/b1 has been draining for 30s"},
        {"up", "", "hold", "", 0, "backend main/b1 is on hold"},
        {"up", "", "disabled", "", 0, "backend main/b1 is disabled"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct overview o = {0};
        struct overview_warning w[8];
        json_int_t since = (json_int_t)clock_wall_ms() - cases[i].since_ms;
        o.backends = json_pack("[{s:s, s:s, s:s, s:s, s:s, s:s}, {s:s, s:s, s:s}]", "name", "b1",
                               "pool", "main", "health", cases[i].health, "down", cases[i].down,
                               "admin", cases[i].admin, "reason", cases[i].reason, "name", "b2",
                               "pool", "main", "health", "up");
        json_t *b = json_array_get(o.backends, 0);
        if (cases[i].since_ms) {
            json_object_set_new(b, "health_since", json_integer(since));
            json_object_set_new(b, "admin_since", json_integer(since));
        }
        assert_int_equal(overview_warnings(&o, w, 8), 1);
        assert_string_equal(w[0].text, cases[i].text);
        overview_fini(&o);
    }
}

static void test_warnings_of_several(void **state)
{
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
    assert_string_equal(w[1].text, "mx2: backend main/b1 is down");
    assert_string_equal(w[4].text, "mx1: the certificate of listener a and 1 more ends in 5 days");
    assert_string_equal(w[5].text, "mx2: the certificate of listener a ends in 5 days");
    overview_fini(&o);
}

/* Of the warning with this text, which has to be there. */
static enum style style_of(const struct overview_warning *w, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(w[i].text, text) == 0)
            return w[i].style;
    fail_msg("no warning \"%s\"", text);
    return STYLE_NORMAL;
}

static void test_warnings_of_certificates(void **state)
{
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
        size_t n = overview_warnings(&o, w, 8);
        assert_int_equal(n, cases[i].text ? 3 : 2);
        if (cases[i].text)
            assert_int_equal(style_of(w, n, cases[i].text), cases[i].style);
        assert_int_equal(style_of(w, n, "the certificate of listener other ends in 2 days"),
                         STYLE_BAD);
        assert_int_equal(style_of(w, n, "the certificate of backend main/b1 has ended"), STYLE_BAD);
        overview_fini(&o);
    }
}

static void test_warnings_of_an_upgrade(void **state)
{
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

/* What is drawn of an overview on a screen of its own; owned. */
static char *drawn(struct overview *o, enum glyphs glyphs, int rows, int cols)
{
    struct screen s = {.glyphs = glyphs};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_true(screen_reset(&s, rows, cols));
    overview_draw(o, &s, 0, rows, false);
    screen_print(&s, f);
    fclose(f);
    screen_fini(&s);
    return text;
}

static json_t *busy_backends(void)
{
    json_t *all = backends(), *b = json_array_get(all, 0);
    json_object_set_new(b, "p50", json_integer(12));
    json_object_set_new(b, "p95", json_integer(400));
    json_object_set_new(b, "fail", json_integer(3));
    json_object_set_new(b, "full", json_string("30 of 30"));
    json_object_set_new(b, "slow", json_string("400 ms, the pool's median 9 ms"));
    json_object_set_new(b, "recent", json_string("0 0 0 0 4 4 8 8"));
    json_object_set_new(b, "last_check", json_integer((json_int_t)clock_wall_ms() - 60 * 1000));
    json_object_set_new(json_array_get(all, 2), "health_since",
                        json_integer((json_int_t)clock_wall_ms() - 7 * 60 * 1000));
    return all;
}

/* What matters most has room on the smallest of usual terminals, everything on a wide one; why one
 * is down takes the place of what it does not have. */
static void test_backend_line(void **state)
{
    static const struct {
        int cols;
        const char *texts[6];
    } cases[] = {
        {80,
         {"BACKEND       STATE      SESSIONS  SHARE ", "  P50     P95  FAIL",
          "main/b1       up               30  ", " 75%    12ms   400ms    3%", "   80\n",
          "spare/s1      DOWN              0  for 7m: connect: refusedA"}},
        {100, {"LOGINS/S", "▂█", " 12ms   400ms    3%", "    80\n", "CERT", "for 7m: "}},
        {160,
         {"LOGINS  FAILED", "▄█", " 12ms   400ms    3%", "3ms    1m ago", "   80\n", "CHECKED"}},
    };
    struct overview o = {.backends = busy_backends(), .stats = json_object()};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = drawn(&o, GLYPHS_FULL, 24, cases[i].cols);
        for (size_t k = 0; k < ARRAY_LEN(cases[i].texts); k++)
            if (!strstr(text, cases[i].texts[k]))
                fail_msg("no \"%s\" in\n%s", cases[i].texts[k], text);
        free(text);
    }
    overview_fini(&o);
}

static void test_backend_warnings(void **state)
{
    struct overview o = {.backends = busy_backends()};
    struct overview_warning w[12];
    size_t n = overview_warnings(&o, w, ARRAY_LEN(w)), found = 0;
    for (size_t i = 0; i < n; i++)
        found += strcmp(w[i].text, "backend main/b1 is full: 30 of 30") == 0 ||
                 strcmp(w[i].text, "logins at backend main/b1 are slow: p95 400 ms, the pool's "
                                   "median 9 ms") == 0;
    assert_int_equal(found, 2);
    overview_fini(&o);
}

/* On a low screen the worst are shown; the others come when they are picked. */
static void test_many_warnings(void **state)
{
    struct overview o = {.backends = json_array(), .stats = json_object()};
    for (int i = 0; i < 9; i++) {
        char name[8];
        snprintf(name, sizeof(name), "b%d", i);
        json_array_append_new(o.backends, json_pack("{s:s, s:s, s:s, s:s}", "name", name, "pool",
                                                    "main", "admin", "drain", "health", "up"));
    }
    char *text = drawn(&o, GLYPHS_ASCII, 24, 80);
    assert_non_null(strstr(text, "! pool main has no backend"));
    assert_non_null(strstr(text, "! backend main/b2 is draining"));
    assert_null(strstr(text, "! backend main/b3 is draining"));
    assert_non_null(strstr(text, " 6 more\n"));
    free(text);
    for (int i = 0; i < 10; i++)
        overview_move(&o, 1);
    text = drawn(&o, GLYPHS_ASCII, 24, 80);
    assert_non_null(strstr(text, "! backend main/b8 is draining"));
    assert_null(strstr(text, "! pool main"));
    assert_string_equal(json_string_value(json_object_get(overview_picked(&o)->object, "name")),
                        "b8");
    free(text);
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
    assert_string_equal(json_string_value(json_object_get(l->object, "name")), "b2");
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

/* A warning grows older while it is looked at. */
static void test_picked_warning_ages(void **state)
{
    struct overview o = {.backends = busy_backends(), .stats = json_object()};
    struct screen s = {.glyphs = GLYPHS_FULL};
    assert_true(screen_reset(&s, 50, 160));
    overview_draw(&o, &s, 0, 50, false);
    const struct overview_line *l = picked_after(&o, 1);
    while (!l->object || strcmp(json_string_value(json_object_get(l->object, "name")), "s1") != 0)
        l = picked_after(&o, 1);
    int row = l->row;
    AUTO_BUF before = BUF_INIT;
    assert_int_equal(buf_append_c(&before, l->id), 0);
    assert_in_range(row, 0, 5);
    json_object_set_new(json_array_get(o.backends, 2), "health_since",
                        json_integer((json_int_t)clock_wall_ms() - 9 * 60 * 1000));
    overview_draw(&o, &s, 0, 50, false);
    l = overview_picked(&o);
    assert_non_null(l);
    assert_int_equal(l->row, row);
    assert_int_equal(screen_at(&s, row, 1)->style, STYLE_SELECTED);
    assert_string_equal(l->id, buf_cstr(&before));
    screen_fini(&s);
    overview_fini(&o);
}

static void test_all_sizes(void **state)
{
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
        cmocka_unit_test(test_picked_warning_ages),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_words_of_warnings),
        cmocka_unit_test(test_warnings_of_several),
        cmocka_unit_test(test_warnings_of_certificates),
        cmocka_unit_test(test_warnings_of_an_upgrade),
        cmocka_unit_test(test_backend_states),
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_backend_line),
        cmocka_unit_test(test_backend_warnings),
        cmocka_unit_test(test_many_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
