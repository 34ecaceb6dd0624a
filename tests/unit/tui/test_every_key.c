/* SPDX-License-Identifier: ISC */
/* Every key of the table on every list, with no row, one and many; with marks; over details; and
 * every question answered. Nothing crashes, and nothing changes without a yes. */
#include "tests/unit/tui/app_case.h"

/* How many requests so far would have changed something. */
static size_t n_changes(void)
{
    size_t n = 0;
    pthread_mutex_lock(&t.fake.mutex);
    for (size_t i = 0; i < json_array_size(t.fake.requests); i++) {
        const json_t *r = json_array_get(t.fake.requests, i);
        const struct command *c = command_of(json_string_value(json_object_get(r, "method")));
        n += c && c->flags & COMMANDS_CHANGES;
    }
    pthread_mutex_unlock(&t.fake.mutex);
    return n;
}

static void open_pane(enum pane p)
{
    int focus = 0;
    int screen = screen_find(pane_rows[p].name, &focus);
    app_close_page(&t.app);
    app_show(&t.app, (enum screen_id)screen, focus);
}

/* Until whatever the key opened is closed again. */
static void close_all(void)
{
    for (int i = 0; i < 4; i++)
        app_key(&t.app, INPUT_ESC);
    shell_fini(&t.app.shell);
    t.app.is_over = t.app.wants_suspend = false;
}

static void press(int key)
{
    app_key(&t.app, key);
    app_draw(&t.app, 24, 80);
}

/* Presses a key, and says yes to what it asks, with the number typed where it is wanted. */
static void press_and_answer(int key, bool is_yes)
{
    press(key);
    for (size_t i = 0; is_yes && t.app.dialog.is_open && i < t.app.dialog.n_fields; i++)
        if (t.app.dialog.fields[i].must[0])
            edit_set(&t.app.dialog.fields[i].edit, t.app.dialog.fields[i].must);
    if (is_yes && t.app.dialog.is_open) {
        t.app.dialog.focus = t.app.dialog.n_fields;
        press('y');
    }
    (void)app_tick(&t.app);
    close_all();
}

static void every_key(enum pane p, bool is_yes, bool is_marked, bool is_detail)
{
    size_t n;
    const struct key_row *k = keys_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (!(k[i].where & (1u << p)) || k[i].action == ACTION_TRACE ||
            (is_yes && !act_has(p, k[i].action)))
            continue;
        open_pane(p);
        if (is_marked)
            press('*');
        if (is_detail)
            press(INPUT_ENTER);
        press_and_answer(k[i].key, is_yes);
        if (k[i].other && !is_yes)
            press_and_answer(k[i].other, false);
    }
}

static void drive(int rows)
{
    t.rows = rows;
    start(NULL, false);
    settle();
    for (int p = 0; p < PANE_COUNT; p++) {
        open_pane((enum pane)p);
        app_draw(&t.app, 24, 80);
        settle();
        if (p == PANE_EVENTS)
            for (int i = 0; i < rows; i++)
                row_table_append(&t.app.nodes[0].lists[p].table,
                                 json_pack("{s:i, s:s, s:s, s:s}", "time", i, "type", "failure",
                                           "user", "anna", "ip", "192.0.2.1"),
                                 NULL, NODE_EVENTS_MAX);
        size_t before = n_changes();
        every_key((enum pane)p, false, false, false);
        every_key((enum pane)p, false, true, false);
        every_key((enum pane)p, false, false, true);
        settle();
        assert_int_equal(n_changes(), before);
        every_key((enum pane)p, true, false, false);
        every_key((enum pane)p, true, true, false);
        settle();
    }
}

static void test_no_rows(void **state)
{
    drive(0);
}

static void test_one_row(void **state)
{
    drive(1);
}

static void test_many_rows(void **state)
{
    drive(30);
}

/* The same where all daemons are shown as one. */
static void test_two_daemons(void **state)
{
    t.n_daemons = 2;
    drive(3);
    assert_int_equal(t.app.n_nodes, 3);
    assert_true(shows("2 daemons"));
}

/* A key that was pressed before the question could be read is no answer to it, and neither is
 * what is pasted. */
static void test_no_answer_by_accident(void **state)
{
    start(NULL, false);
    settle();
    app_key(&t.app, '2');
    settle();
    app_key(&t.app, 'x');
    assert_true(app_has_new_question(&t.app));
    app_key(&t.app, 'y');
    assert_true(t.app.dialog.is_open);
    app_draw(&t.app, 24, 80);
    app_paste(&t.app, STR("y\n"));
    assert_true(t.app.dialog.is_open);
    settle();
    assert_null(asked("session.kill"));
    app_key(&t.app, INPUT_ESC);
    app_paste(&t.app, STR("proxy"));
    assert_false(t.app.dialog.is_open);
    /* A field takes it, in one line. */
    app_key(&t.app, '/');
    app_paste(&t.app, STR("anna\r\nbob\x1b[2J\n"));
    assert_string_equal(t.app.prompt.edit.text, "anna  bob[2J");
}

/* Above one object nothing is done before the number is typed. */
static void test_number_is_typed(void **state)
{
    start(NULL, false);
    settle();
    keys("2  x");
    check_shows("End 2 sessions?");
    keys("y\n");
    assert_true(t.app.dialog.is_open);
    app_key(&t.app, INPUT_BACKSPACE);
    keys("2\n");
    check_asked("session.kill", "{\"filter\": [\"1-1\", \"1-2\"]}");
}

/* Rows that are marked and not on the screen any more are hit by their columns, too. */
static void test_marks_keep_their_rows(void **state)
{
    t.rows = 200; /* more than are loaded at once */
    start(NULL, false);
    settle();
    keys("2*B");
    check_shows("Lock out these 200?");
}

/* "*" means all, even when the rest of them is still on its way. */
static void test_all_are_marked_before_they_are_hit(void **state)
{
    t.rows = 1500; /* more than one answer has */
    start(NULL, false);
    settle();
    keys("2");
    app_key(&t.app, '*');
    app_key(&t.app, 'x');
    settle();
    check_shows("End 1500 sessions?");
}

/* The view stays where it is, until the operator has chosen a row. */
static void test_follows_only_what_was_chosen(void **state)
{
    struct row_table *table;
    start(NULL, false);
    settle();
    keys("2>");
    table = app_table(&t.app);
    json_t *rows = json_pack("{s:[{s:s},{s:s},{s:s}], s:i}", "rows", "id", "1-9", "id", "1-1", "id",
                             "1-2", "matched", 3);
    const struct row_table_part part = {.limit = 100};
    row_table_take(table, rows, &part);
    assert_int_equal(table->index, 0);
    assert_string_equal(table->selected, "1-9");
    app_key(&t.app, INPUT_DOWN);
    json_t *other = json_pack("{s:[{s:s},{s:s},{s:s}], s:i}", "rows", "id", "1-1", "id", "1-9",
                              "id", "1-2", "matched", 3);
    row_table_take(table, other, &part);
    assert_string_equal(table->selected, "1-1");
    assert_int_equal(table->index, 0);
    app_draw(&t.app, 24, 80);
    check_shows("following");
    app_key(&t.app, INPUT_HOME);
    row_table_take(table, rows, &part);
    assert_string_equal(table->selected, "1-9");
    json_decref(rows);
    json_decref(other);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_no_rows),
        CASE(test_one_row),
        CASE(test_many_rows),
        CASE(test_two_daemons),
        CASE(test_no_answer_by_accident),
        CASE(test_number_is_typed),
        CASE(test_marks_keep_their_rows),
        CASE(test_all_are_marked_before_they_are_hit),
        CASE(test_follows_only_what_was_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
