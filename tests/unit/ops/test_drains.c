/* SPDX-License-Identifier: ISC */
/* The rules of a drain: whom it counts, whom it ends and when, how it ends itself. */
#include "ops_case.h"

#include "ops/drains.h"

static struct ops_case k;
static json_t *wishes; /* parameters of the next order */
static struct backend *backend;
static struct pool pool;
static struct config_pool pool_config;
static struct pool_member members[2];
static bool is_changed, is_removed;

static void backend_drain(struct request *r)
{
    const struct op_backends drained = {&backend, 1, BACKEND_DRAIN, is_changed};
    if (is_removed)
        drain_start_removal(r, &drained);
    else
        drain_start(r, &drained);
}

static void order(void)
{
    backend_set_admin(backend, BACKEND_DRAIN, clock_wall_ms(), NULL);
    assert_int_equal(json_object_set_new(wishes, "name", json_pack("[s]", "b1")), 0);
    case_ask(&k, "backend.drain", backend_drain, STEAL(wishes));
    wishes = json_object();
}

static int setup(void **state)
{
    case_begin(&k);
    wishes = json_object();
    is_changed = true;
    is_removed = false;
    assert_int_equal(backend_new("main", "b1", &backend), 0);
    assert_int_equal(backend_new("main", "b2", &members[1].backend), 0);
    pool_config = (struct config_pool){.name = (char *)"main"};
    members[0] = (struct pool_member){.backend = backend, .weight = 1};
    members[1].weight = 1;
    pool = (struct pool){.config = &pool_config, .members = members, .n_members = 2};
    k.plane.pools.v = &pool;
    k.plane.pools.n = 1;
    return 0;
}

static int teardown(void **state)
{
    case_finish(&k);
    json_decref(wishes);
    backend_unref(backend);
    backend_unref(members[1].backend);
    return 0;
}

/* A relayed session of the backend, counted as the backend counts it. */
static struct case_session *relayed(unsigned worker, const char *user, uint64_t idle)
{
    struct case_session *s = case_add(&k, worker, user, "relay", "main", "b1");
    s->idle = idle;
    atomic_fetch_add(&backend->sessions, 1);
    return s;
}

static void leaves(struct case_session *s)
{
    case_end(&k, s->id);
    atomic_fetch_sub(&backend->sessions, 1);
}

static void nothing_to_wait_for(void **state)
{
    is_changed = false; /* it was drained before */
    order();
    assert_int_equal(k.n_answers, 1);
    assert_null(case_op(&k));
    assert_true(json_is_false(case_result(&k, "changed")));
}

static bool is_asking_twice(struct plane *p)
{
    return strstr(case_said((struct ops_case *)p), "query query") != NULL;
}

/* The backend counts relayed sessions only: who logs in at this moment is asked for. */
static void logins_under_way_are_waited_for(void **state)
{
    struct case_session *s = case_add(&k, 1, "anna", "backend-login", "main", "b1");
    (void)case_add(&k, 0, "bob", "backend-login", "main", "b11");
    (void)case_add(&k, 0, "carl", "backend-login", "other", "b1");
    (void)case_add(&k, 0, "dora", "held", "main", "b1");
    order();
    assert_non_null(case_result(&k, "op"));
    plane_run(&k.plane, is_asking_twice);
    assert_int_equal(case_op(&k)->state, OP_RUNNING);
    s->state = NULL;
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_DONE);
    assert_string_equal(case_op(&k)->text, "no sessions left");
    assert_null(strstr(case_said(&k), "kill"));
}

static void nobody_is_ended_without_an_order(void **state)
{
    struct case_session *s = relayed(0, "anna", 5);
    order();
    case_run_ms(&k, 500);
    assert_string_equal(case_said(&k), ""); /* the backend's own count is enough */
    op_refresh(case_op(&k));
    assert_int_equal(case_op(&k)->total, 1);
    leaves(s);
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_DONE);
    assert_int_equal(case_op(&k)->done, 1);
}

static bool is_killing(struct plane *p)
{
    return strstr(case_said((struct ops_case *)p), "kill") != NULL;
}

static bool is_killing_twice(struct plane *p)
{
    const char *first = strstr(case_said((struct ops_case *)p), "kill");
    return first && strstr(first + 1, "kill");
}

/* At the deadline, the longest idle first, only those of exactly this backend that are relayed. */
static void the_deadline_ends_the_idle_ones_first(void **state)
{
    struct case_session *busy = relayed(0, "anna", 1), *idle = relayed(1, "bob", 900);
    (void)case_add(&k, 0, "carl", "relay", "main", "b11");
    (void)case_add(&k, 0, "dora", "auth", "main", "b1");
    busy->is_stubborn = idle->is_stubborn = true;
    json_decref(wishes);
    wishes = json_pack("{s:i, s:i, s:i, s:s}", "deadline", 600, "rate", 2, "grace", 1234, "text",
                       "moving house");
    uint64_t begun = clock_ms();
    order();
    plane_run(&k.plane, is_killing);
    assert_true(clock_ms() - begun >= 600);
    assert_non_null(strstr(case_said(&k), "kill:1002"));
    assert_int_equal(k.last_grace_ms, 1234);
    assert_string_equal(k.last_text, "moving house");
    leaves(idle);
    plane_run(&k.plane, is_killing_twice);
    assert_non_null(strstr(case_said(&k), "kill:1"));
    assert_null(strstr(case_said(&k), "kill:3"));
    leaves(busy);
    k.v[3].state = NULL;
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_DONE);
    assert_non_null(strstr(case_op(&k)->text, "2 ended, 2 clean"));
    assert_non_null(k.v[2].state);
}

/* Who is being ended is not told again. */
static void the_ending_are_left_alone(void **state)
{
    struct case_session *s = relayed(0, "anna", 1);
    s->is_stubborn = true;
    json_decref(wishes);
    wishes = json_pack("{s:b}", "kick", 1);
    order();
    plane_run(&k.plane, is_killing);
    case_run_ms(&k, 500);
    assert_false(is_killing_twice(&k.plane));
    leaves(s);
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_DONE);
}

static void a_second_order_joins_the_first(void **state)
{
    (void)relayed(0, "anna", 1);
    order();
    uint64_t id = case_op(&k)->id;
    json_decref(wishes);
    wishes = json_pack("{s:b}", "kick", 1);
    is_changed = false;
    order();
    assert_int_equal(k.n_answers, 2);
    assert_int_equal(case_op(&k)->id, id);
    plane_run(&k.plane, is_killing);
    atomic_store(&backend->sessions, 0);
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_DONE);
}

static void another_state_ends_it(void **state)
{
    (void)relayed(0, "anna", 1);
    order();
    drains_notice(&k.plane.object, backend);
    assert_int_equal(case_op(&k)->state, OP_RUNNING);
    backend_set_admin(backend, BACKEND_READY, clock_wall_ms(), NULL);
    drains_notice(&k.plane.object, backend);
    assert_int_equal(case_op(&k)->state, OP_CANCELLED);
    assert_non_null(strstr(case_op(&k)->text, "another state"));
}

/* While a question is under way its answer ends the operation: nothing comes to freed memory. */
static void cancelled_in_the_midst_of_a_question(void **state)
{
    order(); /* no session: it asks at its first tick */
    k.is_silent[1] = true;
    while (!strstr(case_said(&k), "query"))
        case_run_ms(&k, 10);
    struct op *op = case_op(&k);
    op->kind->cancel(op->arg);
    assert_int_equal(op->state, OP_RUNNING);
    sessions_free(k.plane.object.sessions); /* the end of the plane answers with -ERR_SHUTDOWN */
    assert_int_equal(sessions_new(&k.plane.object, &k.plane.object.sessions), 0);
    assert_int_equal(op->state, OP_RUNNING); /* dropped with the operations */
}

static void backend_remove(struct request *r)
{
    case_log(&k, "remove:%s", request_text(r, "name"));
    if (strstr(case_said(&k), "refuse"))
        request_fail(r, -ERR_STORE_READONLY, NULL, "the store says no");
    else
        request_done(r, 1, true, NULL);
}

static void taken_out_when_it_is_empty(void **state)
{
    k.functions[commands_index(commands_find_method("backend.remove"))] = backend_remove;
    struct case_session *s = relayed(0, "anna", 1);
    is_removed = true;
    order();
    case_run_ms(&k, 300);
    assert_null(strstr(case_said(&k), "remove"));
    leaves(s);
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_DONE);
    assert_non_null(strstr(case_said(&k), "query remove:main/b1"));
}

static void a_removal_that_fails_is_said(void **state)
{
    k.functions[commands_index(commands_find_method("backend.remove"))] = backend_remove;
    case_log(&k, "refuse");
    is_removed = true;
    order();
    plane_run(&k.plane, case_is_op_over);
    assert_int_equal(case_op(&k)->state, OP_FAILED);
    assert_string_equal(case_op(&k)->text, "the store says no");
}

/* What the operator may not have meant. */
static void the_last_one_is_noted(void **state)
{
    backend_set_admin(members[1].backend, BACKEND_DISABLED, clock_wall_ms(), NULL);
    (void)relayed(0, "anna", 1);
    order();
    const char *text = json_string_value(case_result(&k, "message"));
    assert_non_null(text);
    assert_non_null(strstr(text, "no backend of pool main takes logins now"));
}

static uint64_t n_looked;

static void on_looked(void *arg, const struct kill_result *result)
{
    (void)arg;
    assert_int_equal(result->err, 0);
    n_looked = result->matched;
}

static bool has_looked(struct plane *p)
{
    (void)p;
    return n_looked > 0;
}

/* What a dry run tells of: the sessions of exactly these backends, and it ends none. */
static void a_look_ends_nobody(void **state)
{
    struct backend *const both[] = {backend, members[1].backend};
    const struct kill_spec look = {.is_dry = true, .done = on_looked};
    (void)relayed(0, "anna", 1);
    (void)case_add(&k, 1, "bob", "auth", "main", "b2");
    (void)case_add(&k, 0, "carl", "relay", "main", "b11");
    (void)case_add(&k, 1, "dora", "relay", "other", "b1");
    n_looked = 0;
    assert_int_equal(drain_kill(&k.plane.object, both, 2, &look), 0);
    plane_run(&k.plane, has_looked);
    assert_int_equal(n_looked, 2);
    assert_string_equal(case_said(&k), "query");
    assert_null(case_op(&k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(nothing_to_wait_for),
        T(logins_under_way_are_waited_for),
        T(nobody_is_ended_without_an_order),
        T(the_deadline_ends_the_idle_ones_first),
        T(the_ending_are_left_alone),
        T(a_second_order_joins_the_first),
        T(another_state_ends_it),
        T(cancelled_in_the_midst_of_a_question),
        T(taken_out_when_it_is_empty),
        T(a_removal_that_fails_is_said),
        T(the_last_one_is_noted),
        T(a_look_ends_nobody),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
