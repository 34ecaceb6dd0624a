/* SPDX-License-Identifier: ISC */
/* The whole dashboard without a terminal, before a daemon of the test's own: what it asks, what it
 * shows, and what its keys do. */
#include "tests/unit/tui/app_case.h"

#include "ctl/words.h"
#include "tui/query.h"

/* ---- what is shown ---- */

static void test_overview(void **state)
{
    start(NULL, false);
    settle();
    check_shows("n1  mailproxy 0.1.0  up 2m");
    check_shows("admin");
    check_shows("! backend main/b2 is down: refused");
    check_shows("main/b1");
    check_shows("drain of main/b1: 3 of 10, 5s left");
    check_shows("peak 5");
    check_shows("imap");
    AUTO_FREE char *list = asked("session.list");
    assert_null(list); /* only for what is on the screen */
}

/* The screen of last time, unless this daemon may have none like it. */
static void test_begins_where_it_ended(void **state)
{
    t.last_screen = "limits";
    start(NULL, false);
    assert_int_equal(t.app.screen, SCREEN_BANS);
    assert_int_equal(teardown(state), 0);
    assert_int_equal(setup(state), 0);
    t.last_screen = "conflicts";
    start(NULL, false);
    assert_int_equal(t.app.screen, SCREEN_OVERVIEW);
}

static void test_sessions(void **state)
{
    start(NULL, false);
    settle();
    keys("2");
    check_shows("5, 1000 in all");
    check_shows("user1");
    /* Whatever a name holds, it cannot steer the terminal. */
    check_shows("evil\\x1b[2J\\u202ename");
    AUTO_FREE char *list = asked("session.list");
    assert_non_null(strstr(list, "\"sort\": \"id\""));
    keys("sp"); /* from the menu */
    AUTO_FREE char *sorted = asked("session.list");
    assert_non_null(strstr(sorted, "\"sort\": \"proto\""));
    keys("r");
    AUTO_FREE char *reversed = asked("session.list");
    assert_non_null(strstr(reversed, "\"sort\": \"-proto\""));
}

static void test_filter(void **state)
{
    start(NULL, false);
    settle();
    keys("2/anna !tls=no");
    AUTO_FREE char *list = asked("session.list");
    assert_non_null(strstr(list, "\"filter\": \"user=*anna* !tls=no\""));
    check_shows("5 of 1000"); /* counted while it is typed */
    keys("\n");
    check_shows("filter: user=*anna* !tls=no");
    app_key(&t.app, INPUT_ESC);
    settle();
    AUTO_FREE char *all = asked("session.list");
    assert_null(strstr(all, "filter"));
    /* What is wrong is said, and what was there stays. */
    keys("/idle>");
    check_shows("a duration is missing");
    check_shows("user1");
    app_key(&t.app, INPUT_ESC);
    settle();
    assert_string_equal(app_table(&t.app)->filter, "");
}

static void test_unknown_command(void **state)
{
    start(NULL, false);
    settle();
    keys("5");
    if (pane_command(PANE_BANS))
        check_shows("the daemon (version 0.1.0) does not know \"ban list\"");
    else
        check_shows("knows no such list");
}

static void test_roles(void **state)
{
    start("{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"product\":\"mailproxy\","
          "\"version\":\"0.1.0\",\"protocol\":1,\"node\":\"n1\",\"role\":\"viewer\"}}\n",
          false);
    settle();
    keys("2x");
    assert_false(t.app.dialog.is_open);
    check_shows("this needs the role operator; the daemon takes you for viewer");
    keys("7");
    check_shows("to see this needs the role admin");
    AUTO_FREE char *audit = asked("audit.list");
    assert_null(audit);
    keys("2?");
    check_shows("grey keys need the role in brackets; the daemon takes you for viewer");
    check_shows("(operator)");
}

static void test_read_only(void **state)
{
    start(NULL, true);
    settle();
    keys("2x");
    assert_false(t.app.dialog.is_open);
    check_shows("nothing is changed from here");
    check_shows("READ ONLY");
}

/* ---- what changes things ---- */

static void test_kill(void **state)
{
    start(NULL, false);
    settle();
    keys("2");
    app_key(&t.app, INPUT_DOWN);
    keys("x");
    check_shows("End session 1-2 (user2)?");
    /* The default is No. */
    keys("\n");
    AUTO_FREE char *none = asked("session.kill");
    assert_null(none);
    check_shows("nothing was done");
    keys("x");
    /* What was captured counts, whatever the list does meanwhile. */
    t.sessions = 1;
    app_refresh(&t.app);
    settle();
    keys("y");
    check_asked("session.kill", "{\"filter\": [\"1-2\"]}");
    check_shows("session 1-2 (user2): ended");
}

static void test_kill_marked_with_words(void **state)
{
    start(NULL, false);
    settle();
    keys("2  ");
    assert_int_equal(app_table(&t.app)->marks.count, 2);
    keys("x");
    check_shows("End 2 sessions?");
    check_shows("│ 1-1  imap   relay  -      user1  192.0.2.1  -          -     -   -    -  │");
    keys("2");
    app_key(&t.app, INPUT_TAB); /* the next field */
    keys("hi");
    app_key(&t.app, INPUT_BACKTAB);
    keys("\n");
    check_asked("session.kill", "{\"filter\": [\"1-1\", \"1-2\"], \"text\": \"hi\"}");
    assert_int_equal(app_table(&t.app)->marks.count, 0);
}

static void test_drain_checks_its_fields(void **state)
{
    start(NULL, false);
    settle();
    keys("3d");
    check_shows("Drain backend main/b1?");
    size_t deadline = 0;
    while (strcmp(t.app.dialog.fields[deadline].label, "deadline") != 0)
        deadline++;
    edit_set(&t.app.dialog.fields[deadline].edit, "soon");
    keys("y");
    assert_true(t.app.dialog.is_open);
    assert_non_null(strstr(t.app.dialog.wrong, "deadline"));
    edit_set(&t.app.dialog.fields[deadline].edit, "5m");
    t.app.dialog.focus = t.app.dialog.n_fields;
    keys("y");
    assert_false(t.app.dialog.is_open);
    AUTO_FREE char *text = asked("backend.drain");
    assert_non_null(strstr(text, "\"name\": \"main/b1\""));
    assert_non_null(strstr(text, "\"deadline\": "));
    check_shows("backend main/b1: the drain has begun; drains");
}

static void test_edit_sends_what_changed(void **state)
{
    start(NULL, false);
    settle();
    keys("4e");
    size_t note = 0;
    while (strcmp(t.app.dialog.fields[note].label, "note") != 0)
        note++;
    assert_string_equal(t.app.dialog.fields[note].edit.text, "old");
    t.app.dialog.focus = t.app.dialog.n_fields;
    keys("y");
    assert_non_null(strstr(t.app.dialog.wrong, "nothing is changed"));
    edit_set(&t.app.dialog.fields[note].edit, "");
    keys("y");
    check_asked("user.set", "{\"name\": \"anna\", \"note\": \"\"}");
}

static void test_reload_shows_the_difference(void **state)
{
    start(NULL, false);
    settle();
    keys("R");
    check_shows("Reload the configuration? 1 key differs");
    check_shows("workers");
    keys("n");
    AUTO_FREE char *none = asked("config.reload");
    assert_null(none);
    keys("R");
    keys("y");
    check_asked("config.reload", "{}");
}

/* ---- events ---- */

static void event(int number)
{
    struct node *n = &t.app.nodes[0];
    json_t *e = json_pack("{s:i, s:i, s:s, s:s}", "stream", 5, "time", number * 1000, "type",
                          "login", "user", "anna");
    row_table_append(&n->lists[PANE_EVENTS].table, e, NULL, NODE_EVENTS_MAX);
}

static void test_events(void **state)
{
    start(NULL, false);
    settle();
    AUTO_FREE char *early = asked("event.watch");
    assert_null(early);
    keys("6");
    AUTO_FREE char *watch = asked("event.watch");
    assert_non_null(watch);
    event(1);
    event(2);
    app_draw(&t.app, 24, 80);
    check_shows("events  2");
    /* Leaving the screen ends the stream. */
    keys("1");
    check_asked("stream.cancel", "{\"stream\": 5}");
}

/* ---- the connection ---- */

static void test_loss(void **state)
{
    start(NULL, false);
    settle();
    keys("2");
    t.hangs_up = true;
    app_refresh(&t.app);
    uint64_t end = clock_ms() + WAIT_MS;
    while (!t.app.nodes[0].is_lost && clock_ms() < end)
        turn();
    app_draw(&t.app, 24, 80);
    check_shows("LOST: ");
    check_shows("user1"); /* the last that is known, greyed */
    assert_int_equal(screen_at(&t.app.view, 6, 1)->style, STYLE_DIM);
    app_key(&t.app, 'x');
    app_draw(&t.app, 24, 80);
    check_shows("there is no connection");
}

static void test_another_version(void **state)
{
    start("{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"product\":\"mailproxy\","
          "\"version\":\"9.0\",\"protocol\":9,\"node\":\"n1\",\"role\":\"admin\"}}\n",
          false);
    uint64_t end = clock_ms() + WAIT_MS;
    while (!t.app.nodes[0].is_lost && clock_ms() < end)
        turn();
    app_draw(&t.app, 24, 120);
    check_shows(
        "LOST: the daemon 9.0 speaks version 9 of the control protocol, this program version 1");
}

/* ---- the command line ---- */

static void test_terms(void **state)
{
    static const struct {
        const char *value, *term;
    } cases[] = {
        {"anna@example.org", "user=anna@example.org"},
        {"", "user=\"\""},
        {"two words", "user=\"two words\""},
        {"a,b", "user=\"a,b\""},
        {"a\"\\b", "user=\"a\\\"\\\\b\""},
        {"日本", "user=\"日本\""},
        {"a*b", "user==\"a*b\""}, /* that name, and no other */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF out = BUF_INIT;
        assert_int_equal(query_term(&out, "user", cases[i].value), 0);
        assert_string_equal(buf_cstr(&out), cases[i].term);
    }
    AUTO_BUF two = BUF_INIT;
    assert_int_equal(query_term(&two, "backend", "b1"), 0);
    assert_int_equal(query_term(&two, "pool", "main"), 0);
    assert_string_equal(buf_cstr(&two), "backend=b1 pool=main");
}

static void test_quoting(void **state)
{
    static const char *const texts[] = {"plain", "two words", "it's \"odd\"",
                                        "\\",    "#x",        "a\tb\nc"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_FREE char *word = shell_quote(texts[i]);
        AUTO_FREE char *line = str_printf("%s last", word);
        const char *words[64];
        size_t n = 0;
        assert_int_equal(words_split(line, words, &n), 0);
        assert_int_equal(n, 2);
        assert_string_equal(words[0], texts[i]);
    }
}

/* ---- sizes ---- */

static void test_all_sizes(void **state)
{
    start(NULL, false);
    settle();
    for (char screen = '1'; screen <= '7'; screen++) {
        char text[2] = {screen, 0};
        keys(text);
        for (int rows = 1; rows <= 50; rows += rows < 12 ? 1 : 9)
            for (int cols = 1; cols <= 160; cols += cols < 12 ? 1 : 13)
                app_draw(&t.app, rows, cols);
        app_draw(&t.app, 24, 80);
    }
    keys("2x");
    for (int rows = 1; rows <= 20; rows++)
        for (int cols = 1; cols <= 90; cols += 4)
            app_draw(&t.app, rows, cols);
}

static void test_keys_that_mean_nothing(void **state)
{
    start(NULL, false);
    settle();
    for (char screen = '1'; screen <= '7'; screen++) {
        app_key(&t.app, screen);
        for (int key = 1; key < 128; key++) {
            if (key == INPUT_CTRL('Z') || key == 'S')
                continue;
            app_key(&t.app, key);
            for (int i = 0; i < 2; i++) /* whatever opened is closed */
                app_key(&t.app, INPUT_ESC);
            app_key(&t.app, screen);
            t.app.is_over = false;
        }
    }
    AUTO_FREE char *killed = asked("session.kill");
    assert_null(killed);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_overview),
        CASE(test_begins_where_it_ended),
        CASE(test_sessions),
        CASE(test_filter),
        CASE(test_unknown_command),
        CASE(test_roles),
        CASE(test_read_only),
        CASE(test_kill),
        CASE(test_terms),
        CASE(test_kill_marked_with_words),
        CASE(test_drain_checks_its_fields),
        CASE(test_edit_sends_what_changed),
        CASE(test_reload_shows_the_difference),
        CASE(test_events),
        CASE(test_loss),
        CASE(test_another_version),
        CASE(test_quoting),
        CASE(test_all_sizes),
        CASE(test_keys_that_mean_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
