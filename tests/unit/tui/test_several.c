/* SPDX-License-Identifier: ISC */
/* The dashboard before two daemons that are late, silent or lost at the worst moment. */
#include "tests/unit/tui/app_case.h"

/* ---- the daemons ---- */

#define EVENTS 600 /* more than are looked through for a failure and its end */

static struct {
    _Atomic int sessions;
    _Atomic int n_pages;     /* of sessions to be marked, asked for so far */
    _Atomic bool holds;      /* such a page is not answered until this is over, */
    _Atomic json_int_t held; /* and which one that is */
    _Atomic bool drops;      /* hangs up instead */
    _Atomic bool is_silent;  /* answers nothing at all */
    _Atomic bool has_count;  /* a count of sessions is answered */
    _Atomic bool has_end;    /* an event is to be told */
    _Atomic int n_watches;
} d[2];

static char *sessions_of(size_t k, int first, int limit, json_int_t id)
{
    json_t *rows = json_array();
    for (int i = first; i < d[k].sessions && i < first + limit; i++) {
        json_t *row = json_pack("{s:s, s:s}", "state", "relay", "proto", "imap");
        json_object_set_new(row, "id", json_sprintf("%zu-%d", k + 1, i));
        json_object_set_new(row, "user", json_sprintf("user%d", i));
        json_array_append_new(rows, row);
    }
    json_t *result = json_pack("{s:o, s:b, s:i, s:i}", "rows", rows, "more", 0, "matched",
                               (int)d[k].sessions, "seen", (int)d[k].sessions);
    AUTO_FREE char *text = json_dumps(result, 0);
    json_decref(result);
    return fake_result(id, text);
}

/* Two answers, or an event and an answer, as one text. */
static char *both_lines(char *first, char *second)
{
    char *text = str_printf("%s%s", first, second);
    free(first);
    free(second);
    return text;
}

static char *event_line(int64_t time, const char *type, int session)
{
    return str_printf("{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"stream\":5,"
                      "\"time\":%lld,\"type\":\"%s\",\"session\":\"1-%d\",\"text\":\"%s\"}}\n",
                      (long long)time, type, session, type);
}

/* The first daemon has a failure long before the many logins of the second one. */
static char *watch_of(size_t k, json_int_t id)
{
    char *text = fake_result(id, "{\"stream\":5}");
    d[k].n_watches++;
    if (k == 0)
        return both_lines(text, event_line(1000, "failure", 1));
    for (int i = 0; i < EVENTS; i++)
        text = both_lines(text, event_line(2000 + i, "login", 2 + i));
    return text;
}

static char *answer_list(size_t k, const json_t *params, json_int_t id)
{
    int offset = (int)json_integer_value(json_object_get(params, "offset"));
    int limit = (int)json_integer_value(json_object_get(params, "limit"));
    if (limit == 1 && !d[k].has_count)
        return fake_error(id, "E_INTERNAL", "no count today", "");
    if (limit != TABLE_LIMIT_MAX)
        return sessions_of(k, offset, limit, id);
    d[k].n_pages++;
    if (d[k].drops)
        return str_dup_c("");
    if (!d[k].holds)
        return sessions_of(k, offset, limit, id);
    d[k].held = id;
    return NULL;
}

static char *answer_of(size_t k, const char *method, const json_t *params, json_int_t id)
{
    char *text = NULL;
    if (d[k].is_silent)
        return NULL;
    if (strcmp(method, "event.watch") == 0)
        return watch_of(k, id);
    text = strcmp(method, "session.list") == 0 ? answer_list(k, params, id)
                                               : answer(method, params, id);
    if (text && *text && d[k].held && !d[k].holds) {
        text = both_lines(text, sessions_of(k, 0, TABLE_LIMIT_MAX, d[k].held));
        d[k].held = 0;
    }
    if (text && *text && d[k].has_end) {
        text = both_lines(event_line(1001, "end", 1), text);
        d[k].has_end = false;
    }
    return text;
}

static char *answer_first(const char *method, const json_t *params, json_int_t id)
{
    return answer_of(0, method, params, id);
}

static char *answer_second(const char *method, const json_t *params, json_int_t id)
{
    return answer_of(1, method, params, id);
}

static int begin(void **state)
{
    (void)setup(state);
    memset(d, 0, sizeof(d));
    t.fake.answer = answer_first;
    t.other.answer = answer_second;
    t.n_daemons = 2;
    for (size_t k = 0; k < 2; k++) {
        d[k].sessions = 200;
        d[k].has_count = true;
    }
    return 0;
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end = clock_ms() + WAIT_MS;                                                       \
        while (!(condition) && clock_ms() < end)                                                   \
            turn();                                                                                \
        assert_true(condition);                                                                    \
    } while (0)

/* ---- marks ---- */

static size_t n_marked_of(const char *prefix)
{
    const struct row_table *table = app_table(&t.app);
    size_t n = 0;
    char id[TABLE_ID_MAX];
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "%s%d", prefix, i);
        n += row_table_is_marked(table, id);
    }
    return n;
}

/* An answer to what is not asked any more is nobody's rows. */
static void test_late_marks(void **state)
{
    start(NULL, false);
    settle();
    keys("2");
    d[0].holds = d[1].holds = true;
    app_key(&t.app, '*');
    UNTIL(d[0].n_pages == 1);
    d[0].holds = false;
    app_refresh(&t.app); /* which brings the held answer */
    UNTIL(d[1].n_pages == 1);
    app_key(&t.app, INPUT_ESC);
    d[0].holds = true;
    app_key(&t.app, '*');
    UNTIL(d[0].n_pages == 2);
    d[1].holds = false;
    app_refresh(&t.app);
    UNTIL(!d[1].held);
    for (int i = 0; i < 20; i++)
        turn();
    d[0].holds = false;
    app_refresh(&t.app);
    UNTIL(!t.app.marking);
    assert_int_equal(app_table(&t.app)->marks.count, 400);
    assert_int_equal(n_marked_of("0/1-"), 200);
    assert_int_equal(n_marked_of("1/2-"), 200);
}

/* In a daemon's own tab its rows are marked, once. */
static void test_marks_of_one(void **state)
{
    start(NULL, false);
    settle();
    keys("2]");
    UNTIL(app_table(&t.app)->rows && app_table(&t.app)->matched == 200);
    app_key(&t.app, '*');
    UNTIL(!t.app.marking);
    assert_int_equal(app_table(&t.app)->marks.count, 200);
    assert_int_equal(d[0].n_pages, 1);
    assert_int_equal(d[1].n_pages, 0);
}

static void test_marks_without_a_lost_one(void **state)
{
    start(NULL, false);
    settle();
    keys("2");
    d[1].drops = true;
    app_key(&t.app, '*');
    UNTIL(!t.app.marking);
    assert_non_null(strstr(t.app.message, "not all of n1"));
    assert_non_null(strstr(t.app.message, "the connection was lost"));
    assert_int_equal(n_marked_of("0/1-"), 200);
    /* Of a single one there is nothing to go on with. */
    app_key(&t.app, ']');
    app_key(&t.app, ']');
    UNTIL(app_table(&t.app)->rows && app_table(&t.app)->matched == 200);
    app_key(&t.app, '*');
    UNTIL(!t.app.marking);
    assert_non_null(strstr(t.app.message, "the connection was lost"));
}

static void test_marks_without_a_silent_one(void **state)
{
    start(NULL, false);
    settle();
    keys("2");
    d[0].is_silent = true;
    app_key(&t.app, '*');
    app_refresh(&t.app);
    UNTIL(!t.app.marking);
    assert_non_null(strstr(t.app.message, "does not answer"));
    assert_int_equal(n_marked_of("1/2-"), 200);
}

/* ---- questions ---- */

static bool body_has(const char *text)
{
    app_draw(&t.app, 24, 80);
    return shows(text);
}

/* Sessions that a daemon does not count are not waited for. */
static void test_counted_in_part(void **state)
{
    start(NULL, false);
    settle();
    keys("4");
    UNTIL(json_array_size(app_table(&t.app)->rows) == 2);
    keys("*");
    d[1].has_count = false;
    app_key(&t.app, 'L');
    assert_true(t.app.dialog.is_open);
    UNTIL(body_has("at least 200 sessions"));
    app_key(&t.app, INPUT_ESC);
    d[0].has_count = false;
    app_key(&t.app, '*');
    app_key(&t.app, 'L');
    UNTIL(body_has("could not be counted"));
}

/* ---- events ---- */

/* An end joins its failure, whatever other daemons had since then. */
static void test_end_of_an_old_failure(void **state)
{
    start(NULL, false);
    settle();
    keys("6");
    const struct row_table *events = &t.app.nodes[0].lists[PANE_EVENTS].table;
    UNTIL(json_array_size(events->rows) == EVENTS + 1);
    d[0].has_end = true;
    app_refresh(&t.app);
    UNTIL(!d[0].has_end && node_pending(&t.app.nodes[0]) == 0);
    settle();
    assert_int_equal(json_array_size(events->rows), EVENTS + 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(events->rows, 0), "text")),
                        "failure; end");
}

/* After a loss of all there is one stream, not one more. */
static void test_one_stream_after_losses(void **state)
{
    start(NULL, false);
    settle();
    keys("6");
    UNTIL(t.app.nodes[0].stream);
    for (int i = 2; i < 4; i++) {
        t.hangs_up = true;
        app_refresh(&t.app);
        UNTIL(t.app.nodes[0].is_lost);
        t.hangs_up = false;
        UNTIL(cluster_connected(t.app.nodes[0].cluster) == 2 && t.app.nodes[0].stream);
        settle();
        assert_int_equal(d[0].n_watches, i);
        assert_int_equal(d[1].n_watches, i);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_late_marks),
        CASE(test_marks_of_one),
        CASE(test_marks_without_a_lost_one),
        CASE(test_marks_without_a_silent_one),
        CASE(test_counted_in_part),
        CASE(test_end_of_an_old_failure),
        CASE(test_one_stream_after_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
