/* SPDX-License-Identifier: ISC */
/* States of a session: which may follow which, their deadlines, ids, and the words for ends. */
#include "session_case.h"

static struct session_case c;

/* The table once more, as the test's own graph. */
static const struct {
    const char *name;
    size_t timeout;
    unsigned next;
} states[SESSION_STATE_COUNT] = {
#define S(id, name, timeout_, next)                                                                \
    [SESSION_##id] = {name, offsetof(struct config_timeouts, timeout_), next},
#include "session/states.def"
#undef S
};

#define TO(id) (1u << SESSION_##id)

static uint64_t *timeout_of(enum session_state s)
{
    return (uint64_t *)((char *)&c.listener_config.timeouts + states[s].timeout);
}

static int setup(void **state)
{
    session_case_init(&c);
    uint64_t *timeouts = (uint64_t *)&c.listener_config.timeouts;
    for (size_t i = 0; i < sizeof(c.listener_config.timeouts) / sizeof(uint64_t); i++)
        timeouts[i] = (i + 1) * 10000;
    return 0;
}

static int teardown(void **state)
{
    session_case_fini(&c);
    return 0;
}

/* From each state to each other one: what the table does not allow ends the session. */
static void test_transitions(void **state)
{
    uint64_t id = 1;
    for (int from = 0; from < SESSION_STATE_COUNT; from++)
        for (int to = 0; to < SESSION_STATE_COUNT; to++) {
            struct session *s = session_case_add(&c, id++);
            s->state = (uint8_t)from;
            session_enter(s, (enum session_state)to);
            bool is_allowed = to == SESSION_CLOSING || (states[from].next & (1u << to));
            assert_int_equal(s->is_ended, !is_allowed);
            assert_int_equal(s->state, is_allowed ? to : from);
            assert_int_equal(s->end, is_allowed ? SESSION_END_NONE : SESSION_END_PROTOCOL);
            session_end(s, SESSION_END_SHUTDOWN);
            session_enter(s, SESSION_RELAY); /* harmless now */
            assert_true(s->is_ended);
        }
    assert_int_equal(c.env.count, 0);
}

/* States that can be reached without going through one of them. */
static unsigned reachable_without(unsigned barred)
{
    unsigned seen = 1u << SESSION_ACCEPT, before = 0;
    while (seen != before) {
        before = seen;
        for (int i = 0; i < SESSION_STATE_COUNT; i++)
            if ((seen & ~barred) & (1u << i))
                seen |= states[i].next;
    }
    return seen;
}

static void test_no_way_around(void **state)
{
    assert_true(reachable_without(0) & TO(RELAY));
    assert_false(reachable_without(TO(AUTH)) & TO(RELAY));
    assert_false(reachable_without(TO(CONNECT)) & TO(RELAY));
    assert_false(reachable_without(TO(COMMAND)) & TO(AUTH));
    assert_int_equal(states[SESSION_RELAY].next, 0); /* there is no way back from it */
    assert_int_equal(states[SESSION_CLOSING].next, 0);
    unsigned all = (1u << SESSION_STATE_COUNT) - 1;
    assert_int_equal(reachable_without(0) | TO(CLOSING), all); /* no state is dead */
}

static void test_deadlines(void **state)
{
    for (int from = 0; from < SESSION_STATE_COUNT; from++)
        for (int to = 0; to < SESSION_STATE_COUNT; to++) {
            if (!(states[from].next & (1u << to)))
                continue;
            struct session *s = session_case_add(&c, 1);
            s->state = (uint8_t)from;
            uint64_t before_ms = loop_now_ms(c.loop);
            session_enter(s, (enum session_state)to);
            uint64_t due_ms = s->timer.wheel.due_ms, after_ms = loop_now_ms(c.loop);
            assert_true(due_ms >= before_ms + *timeout_of((enum session_state)to));
            assert_true(due_ms <= after_ms + *timeout_of((enum session_state)to));
            session_end(s, SESSION_END_SHUTDOWN);
            assert_int_equal(s->timer.wheel.due_ms, 0);
        }
}

/* Everything before the relay has one deadline above those of the states. */
static void test_preauth_deadline(void **state)
{
    struct session *s = session_case_add(&c, 1);
    s->pre = calloc(1, sizeof(*s->pre));
    list_init(&s->pre->held);
    assert_non_null(s->pre);
    s->pre->deadline_ms = loop_now_ms(c.loop) + 5000;
    s->state = SESSION_GREETING;
    session_enter(s, SESSION_COMMAND);
    assert_in_range(s->timer.wheel.due_ms, s->pre->deadline_ms, s->pre->deadline_ms + 100);
    session_set_timer(s, 20);
    assert_true(s->timer.wheel.due_ms < s->pre->deadline_ms);
    session_set_timer(s, 0);
    assert_int_equal(s->timer.wheel.due_ms, 0);
    /* an operator's hold is not counted */
    s->state = SESSION_AUTH;
    session_enter(s, SESSION_HELD);
    assert_true(s->timer.wheel.due_ms > s->pre->deadline_ms + 1000);
}

static void test_ids(void **state)
{
    static const struct {
        uint64_t id;
        const char *text;
    } cases[] = {
        {0, "0-0"},
        {3ull << 40 | 0x1a2b, "3-1a2b"},
        {1ull << 40 | 1, "1-1"},
        {0x12345full << 40 | 0xffffffffffull, "12345f-ffffffffff"},
    };
    static const char *const bad[] = {"",    "1",         "1-",   "-1",
                                      "1-G", "1-1A",      "1--1", "1-12345678901",
                                      "1 1", "1234567-1", "1-1 ", "0x1-1"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[32];
        uint64_t id;
        session_id_format(text, cases[i].id);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(session_id_parse(str_of(text), &id), 0);
        assert_true(id == cases[i].id);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t id = 7;
        if (session_id_parse(str_of(bad[i]), &id) != -ERR_SYNTAX)
            fail_msg("%s is understood", bad[i]);
        assert_int_equal(id, 7);
    }
    assert_int_equal(session_id_worker(3ull << 40 | 5), 2);
}

static void test_words(void **state)
{
    for (int i = 0; i < SESSION_STATE_COUNT; i++) {
        assert_string_equal(session_state_name((enum session_state)i), states[i].name);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(states[i].name, states[j].name);
    }
    for (int i = 0; i < SESSION_END_COUNT; i++) {
        assert_true(session_end_name((enum session_end)i)[0]);
        assert_true(session_end_who((enum session_end)i)[0]);
    }
    assert_string_equal(session_end_who(SESSION_END_KILLED), "operator");
}

/* A session that an operator ends at once, twice; and its counters. */
static void test_kill_at_once(void **state)
{
    struct session *s = session_case_add(&c, 9);
    assert_ptr_equal(session_find(&c.env, 9), s);
    assert_true(session_kill(s, REPLY_KICKED, NULL, 0, NULL));
    assert_true(s->is_ended);
    assert_int_equal(s->end, SESSION_END_KILLED);
    assert_null(session_find(&c.env, 9));
    assert_false(session_kill(s, REPLY_KICKED, NULL, 0, NULL));
    assert_int_equal(counter_get(&c.counters, PROTO_IMAP, COUNTER_KILLED), 1);
    s = session_case_add(&c, 10);
    session_kill(s, REPLY_SHUTDOWN, NULL, 0, NULL); /* no kill of an operator */
    assert_int_equal(s->end, SESSION_END_SHUTDOWN);
    assert_int_equal(counter_get(&c.counters, PROTO_IMAP, COUNTER_KILLED), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_transitions, setup, teardown),
        cmocka_unit_test(test_no_way_around),
        cmocka_unit_test_setup_teardown(test_deadlines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_preauth_deadline, setup, teardown),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_words),
        cmocka_unit_test_setup_teardown(test_kill_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
