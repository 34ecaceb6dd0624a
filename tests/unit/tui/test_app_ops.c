/* SPDX-License-Identifier: ISC */
/* The end of an operation is told wherever the operator is, and what an action did is told in
 * words. */
#include "tests/unit/tui/app_case.h"
#include "tui/row_action.h"

#define OUTCOME(id, state, text)                                                                   \
    "{\"id\":\"" id "\",\"kind\":\"drain\",\"target\":\"main/b1\",\"state\":\"" state              \
    "\",\"text\":\"" text "\"}"

static void look_again(void)
{
    app_refresh(&t.app);
    settle();
    settle(); /* what became of it was asked, and is answered now */
}

/* Of an operation that was running when the operator came. */
static void check_end(char screen, const char *outcome, const char *words, bool is_bad)
{
    setup(NULL);
    start(NULL, false);
    settle();
    app_key(&t.app, screen);
    settle();
    check_shows("drain of main/b1: 3 of 10, 5s left");
    t.outcome = outcome;
    t.has_ended = true;
    look_again();
    check_shows(words);
    assert_int_equal(t.app.is_message_bad, is_bad);
    assert_int_equal(t.app.n_errors, is_bad); /* what is bad is found again with '!' */
    teardown(NULL);
    t.has_app = false;
}

static void test_ends(void **state)
{
    static const struct {
        const char *outcome, *words;
        bool is_bad;
    } cases[] = {
        {OUTCOME("7", "done", "no sessions left"), "drain of main/b1: done: no sessions left",
         false},
        {OUTCOME("7", "failed", "the store is full"), "drain of main/b1: failed: the store is full",
         true},
        {OUTCOME("7", "cancelled", ""), "drain of main/b1: cancelled", false},
        {OUTCOME("7", "partly done", "2 left"), "drain of main/b1: partly done: 2 left", true},
        {OUTCOME("7", "interrupted", "the engine ended"),
         "drain of main/b1: interrupted: the engine ended", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_end((char)('1' + (int)i * 2), cases[i].outcome, cases[i].words, cases[i].is_bad);
}

/* A question is not disturbed, and neither is who types; it is told when that is over, and a key
 * that is being held does not wipe it away. */
static void test_told_after_the_question(void **state)
{
    start(NULL, false);
    settle();
    keys("2x");
    assert_true(t.app.dialog.is_open);
    t.outcome = OUTCOME("7", "done", "no sessions left");
    t.has_ended = true;
    look_again();
    assert_false(shows("no sessions left"));
    app_key(&t.app, INPUT_ESC);
    settle();
    check_shows("drain of main/b1: done: no sessions left");
    app_key(&t.app, INPUT_DOWN);
    app_draw(&t.app, 24, 80);
    check_shows("drain of main/b1: done: no sessions left");
    t.app.told_until_ms = 0;
    app_key(&t.app, INPUT_DOWN);
    app_draw(&t.app, 24, 80);
    assert_false(shows("no sessions left"));
}

/* What the operator began is told of, too, however soon it ends; what still runs is not over. */
static void test_own_operation(void **state)
{
    t.has_ended = true;
    start(NULL, false);
    settle();
    t.outcome = OUTCOME("8", "running", "");
    keys("3dy");
    settle();
    assert_false(shows("running"));
    t.outcome = OUTCOME("8", "done", "nobody was there");
    look_again();
    look_again();
    check_shows("drain of main/b1: done: nobody was there");
}

/* An operation of a daemon that is away is neither shown as running nor told as over. */
static void test_away(void **state)
{
    start(NULL, false);
    settle();
    check_shows("drain of main/b1: 3 of 10");
    t.outcome = OUTCOME("7", "interrupted", "");
    t.has_ended = t.hangs_up = true;
    app_refresh(&t.app);
    uint64_t end = clock_ms() + WAIT_MS;
    while (!t.app.nodes[0].is_lost && clock_ms() < end)
        turn();
    app_draw(&t.app, 24, 80);
    assert_false(shows("drain of main/b1"));
    t.hangs_up = false;
    while (!shows("drain of main/b1: interrupted") && clock_ms() < end) {
        turn();
        app_draw(&t.app, 24, 80);
    }
    check_shows("drain of main/b1: interrupted");
}

/* ---- what was done ---- */

static void test_sentences(void **state)
{
    static const struct {
        enum pane pane;
        enum action action;
        const char *object, *result, *text;
    } cases[] = {
        {PANE_SESSIONS, ACTION_KILL, "session 1-2 (anna)",
         "{\"count\":1,\"changed\":true,\"clean\":1,\"cut\":0}", "1 session ended"},
        {PANE_SESSIONS, ACTION_KILL, "34 sessions",
         "{\"count\":34,\"changed\":true,\"clean\":32,\"cut\":2}",
         "34 sessions ended, 2 commands cut"},
        {PANE_SESSIONS, ACTION_KILL, "34 sessions",
         "{\"count\":34,\"changed\":true,\"op\":\"6\",\"message\":\"operation 6\"}",
         "34 sessions: ending"},
        {PANE_USERS, ACTION_LOCK, "user anna",
         "{\"count\":3,\"changed\":true,\"clean\":3,\"cut\":1}",
         "user anna: locked, 3 sessions ended, 1 command cut"},
        {PANE_USERS, ACTION_LOCK, "user anna",
         "{\"count\":0,\"changed\":true,\"clean\":0,\"cut\":0}", "user anna: locked"},
        {PANE_USERS, ACTION_KILL, "user anna",
         "{\"count\":0,\"changed\":true,\"clean\":0,\"cut\":0}", "user anna: 0 sessions ended"},
        {PANE_USERS, ACTION_UNLOCK, "user anna", "{\"count\":0,\"changed\":false}",
         "user anna: already so"},
        {PANE_BACKENDS, ACTION_READY, "backend main/b1", "{\"count\":1,\"changed\":true}",
         "backend main/b1: takes new logins"},
        {PANE_BACKENDS, ACTION_DRAIN, "backend main/b1",
         "{\"count\":0,\"changed\":true,\"op\":\"3\",\"message\":\"operation 3; no backend of pool "
         "main takes logins now\"}",
         "backend main/b1: the drain has begun; no backend of pool main takes logins now"},
        {PANE_BANS, ACTION_UNBAN, "2 bans", "{\"count\":2,\"changed\":true}",
         "2 bans: let in again"},
        {PANE_BANS, ACTION_UNBAN, "2 bans", "{\"count\":2,\"message\":\"words of the daemon\"}",
         "words of the daemon"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct act act = {.action = row_action_find(cases[i].pane, cases[i].action),
                          .object = (char *)cases[i].object};
        act.command = commands_find(act.action->noun, act.action->verb);
        json_t *result = json_loads(cases[i].result, 0, NULL);
        AUTO_FREE char *text = act_said(&act, result);
        assert_string_equal(text, cases[i].text);
        json_decref(result);
    }
    struct act ban = {.action = row_action_find(PANE_BANS, ACTION_BAN),
                      .command = commands_find("ban", "add")};
    ban.params = json_pack("{s:[s]}", "subject", "192.0.2.1");
    json_t *result = json_pack("{s:i, s:b}", "count", 1, "changed", 1);
    AUTO_FREE char *text = act_said(&ban, result);
    assert_string_equal(text, "192.0.2.1: locked out");
    json_decref(result);
    json_decref(ban.params);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),      CASE(test_told_after_the_question),
        CASE(test_own_operation),         CASE(test_away),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
