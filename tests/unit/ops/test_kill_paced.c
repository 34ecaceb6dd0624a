/* SPDX-License-Identifier: ISC */
/* What goes on by a clock: session kill with a rate, backend hold with an end. */
#include "ops_case.h"

#include "ops/kill.h"
#include "ops/timed_holds.h"

static struct ops_case k;
static struct backend *backend;

static int setup(void **state)
{
    case_begin(&k);
    assert_int_equal(backend_new("main", "b1", &backend), 0);
    return 0;
}

static int teardown(void **state)
{
    case_finish(&k);
    backend_unref(backend);
    return 0;
}

/* ---- session kill --rate ---- */

static void kill_all(struct request *r)
{
    kill_paced(r, NULL);
}

static void ask(const char *member, json_int_t value)
{
    case_ask(&k, "session.kill", kill_all,
             json_pack("{s:b, s:i, s:I}", "all", 1, "rate", 5, member, value));
    plane_run(&k.plane, case_is_answered);
}

static void the_longest_idle_first_at_the_rate(void **state)
{
    for (unsigned i = 0; i < 5; i++)
        case_add(&k, 0, "anna", "relay", "main", "b1")->idle = (i * 3) % 5; /* 0 3 1 4 2 */
    uint64_t begun = clock_ms();
    ask("max", 5);
    assert_int_equal(json_integer_value(case_result(&k, "count")), 5);
    assert_non_null(case_result(&k, "op"));
    plane_run(&k.plane, case_is_op_over);
    /* The answer comes first. */
    assert_true(strstr(case_said(&k), "kill") >= case_said(&k) + k.said_before);
    assert_true(clock_ms() - begun >= 900);
    assert_int_equal(case_op(&k)->state, OP_DONE);
    assert_int_equal(case_op(&k)->done, 5);
    AUTO_BUF order = BUF_INIT;
    for (const char *c = case_said(&k); *c; c++) /* the ids alone: several may go in one turn */
        if (*c >= '0' && *c <= '9')
            assert_int_equal(buf_append_char(&order, *c), 0);
    assert_string_equal(buf_cstr(&order), "42531");
}

static void more_than_meant(void **state)
{
    (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    ask("max", 0);
    assert_string_equal(case_error(&k), "E_TOO_MANY");
    assert_null(case_op(&k));
}

static void nobody_matches(void **state)
{
    ask("max", 9);
    assert_string_equal(case_error(&k), "E_NO_MATCH");
    assert_null(case_op(&k));
}

static bool is_killing(struct plane *p)
{
    return strstr(case_said((struct ops_case *)p), "kill") != NULL;
}

static void cancelled_the_others_go_on(void **state)
{
    for (unsigned i = 0; i < 10; i++)
        (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    ask("max", 10);
    plane_run(&k.plane, is_killing);
    struct op *op = case_op(&k);
    op->kind->cancel(op->arg);
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(op->state, OP_CANCELLED);
    assert_non_null(strstr(op->text, "the others go on"));
    size_t n = 0;
    for (size_t i = 0; i < k.n; i++)
        n += k.v[i].state != NULL;
    assert_true(n > 0);
    case_run_ms(&k, 500);
    for (size_t i = 0; i < k.n; i++)
        n -= k.v[i].state != NULL;
    assert_int_equal(n, 0); /* nobody was ended afterwards */
}

/* ---- backend hold --for ---- */

static void backend_hold(struct request *r)
{
    backend_set_admin(backend, BACKEND_HOLD, clock_wall_ms(), NULL);
    const struct op_backends held = {&backend, 1, BACKEND_HOLD, 1};
    timed_hold_start(r, &held);
}

static void backend_release(struct request *r)
{
    case_log(&k, "release:%s", request_text(r, "name"));
    request_done(r, 1, true, NULL);
}

static void hold(uint64_t ms)
{
    k.functions[commands_index(commands_find_method("backend.release"))] = backend_release;
    case_ask(&k, "backend.hold", backend_hold,
             json_pack("{s:s, s:I}", "name", "b1", "for", (json_int_t)ms));
}

static void released_by_itself(void **state)
{
    uint64_t begun = clock_ms();
    hold(300);
    plane_run(&k.plane, case_is_op_over);
    assert_true(clock_ms() - begun >= 300);
    assert_int_equal(case_op(&k)->state, OP_DONE);
    assert_string_equal(case_said(&k), "release:main/b1");
}

/* The last order counts, in one operation. */
static void prolonged(void **state)
{
    hold(200);
    uint64_t id = case_op(&k)->id, begun = clock_ms();
    hold(900);
    assert_int_equal(case_op(&k)->id, id);
    plane_run(&k.plane, case_is_op_over);
    assert_true(clock_ms() - begun >= 900);
    assert_string_equal(case_said(&k), "release:main/b1");
}

static void another_state_ends_the_hold(void **state)
{
    hold(300);
    timed_holds_notice(&k.plane.object, backend);
    assert_int_equal(case_op(&k)->state, OP_RUNNING);
    backend_set_admin(backend, BACKEND_READY, clock_wall_ms(), NULL);
    timed_holds_notice(&k.plane.object, backend);
    assert_int_equal(case_op(&k)->state, OP_CANCELLED);
    case_run_ms(&k, 600);
    assert_string_equal(case_said(&k), "");
}

/* The last order has no end: the operation is over, and nobody releases the backend. */
static void held_without_an_end(void **state)
{
    hold(300);
    case_ask(&k, "backend.hold", backend_hold, json_pack("{s:s}", "name", "b1"));
    assert_int_equal(k.n_answers, 2);
    assert_null(case_result(&k, "op"));
    assert_int_equal(case_op(&k)->state, OP_CANCELLED);
    assert_non_null(strstr(case_op(&k)->text, "no end any more"));
    case_run_ms(&k, 600);
    assert_string_equal(case_said(&k), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(the_longest_idle_first_at_the_rate), T(more_than_meant),     T(nobody_matches),
        T(cancelled_the_others_go_on),         T(released_by_itself),  T(prolonged),
        T(another_state_ends_the_hold),        T(held_without_an_end),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
