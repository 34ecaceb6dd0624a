/* SPDX-License-Identifier: ISC */
/* Moving one user: the order of the steps, and what is taken back when one of them fails. */
#include "ops_case.h"

#include "ops/user_move_step.h"

#define BUSY_MS 600 /* a plan that runs out while the test looks */

static struct ops_case k;
static struct pool pool;
static struct config_pool pool_config;
static struct pool_member members[2];
static struct user_move_plan plan;
static struct user_move_step *step;
static int outcome;
static char outcome_text[128], carried_from[64];
static bool was_changed, is_carrier_there;
static size_t n_done;

static void on_done(void *arg, const struct user_moved *r)
{
    (void)arg;
    case_log(&k, "done");
    n_done++;
    outcome = r->err;
    was_changed = r->is_changed;
    (void)str_copy(outcome_text, sizeof(outcome_text), str_of(r->text));
}

static void on_carry(void *arg, struct user_move_step *m, const char *user,
                     const struct user_place *from)
{
    (void)arg;
    (void)m;
    snprintf(carried_from, sizeof(carried_from), "%s/%s", from->pool, from->backend);
    case_log(&k, "carry:%s", user);
}

static bool on_carry_stop(void *arg, const char *user)
{
    (void)arg;
    case_log(&k, "carry_stop:%s", user);
    return is_carrier_there;
}

static int setup(void **state)
{
    case_begin(&k);
    pool_config = (struct config_pool){.name = (char *)"main"};
    for (size_t i = 0; i < 2; i++) {
        members[i] = (struct pool_member){.weight = 1, .host = (char *)"127.0.0.1"};
        assert_int_equal(backend_new("main", i ? "b2" : "b1", &members[i].backend), 0);
    }
    pool = (struct pool){.config = &pool_config, .members = members, .n_members = 2};
    atomic_store(&k.plane.pools.refs, 1);
    k.plane.pools.v = &pool;
    k.plane.pools.n = 1;
    plan = (struct user_move_plan){.pool = (char *)"main",
                                   .backend = (char *)"b2",
                                   .timeout_ms = 20000,
                                   .tally = kill_tally_new(),
                                   .done = on_done};
    assert_non_null(plan.tally);
    n_done = 0;
    outcome = 1;
    is_carrier_there = true;
    outcome_text[0] = carried_from[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    case_finish(&k);
    kill_tally_unref(plan.tally);
    backend_unref(members[0].backend);
    backend_unref(members[1].backend);
    return 0;
}

static void start(void)
{
    assert_int_equal(user_move_step_start(&k.plane.object, &plan, "bob", &step), 0);
    assert_int_equal(n_done, 0);
}

static bool is_done(struct plane *p)
{
    (void)p;
    return n_done > 0;
}

static bool is_carried(struct plane *p)
{
    (void)p;
    return carried_from[0] != '\0';
}

static bool is_killing(struct plane *p)
{
    return strstr(case_said((struct ops_case *)p), "kill") != NULL;
}

/* The pin in the store; "" = none. */
static const char *pin(void)
{
    static char text[64];
    CLEANUP(store_user_fini) struct store_user u = {0};
    int err = store_user_get(k.plane.host.store, "bob", &u);
    snprintf(text, sizeof(text), "%s", err == 0 && u.backend ? u.backend : "");
    return text;
}

static void held_ended_pinned_released(void **state)
{
    (void)case_add(&k, 0, "bob", "relay", "main", "b1");
    (void)case_add(&k, 1, "bob", "relay", "main", "b2"); /* there already */
    (void)case_add(&k, 1, "bobby", "relay", "main", "b1");
    start();
    assert_int_equal(user_move_step_start(&k.plane.object, &plan, "bob", &step), -ERR_BUSY);
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, 0);
    assert_true(was_changed);
    assert_string_equal(pin(), "b2");
    assert_string_equal(case_said(&k),
                        "hold:bob query query kill:1 query forget:bob release:bob done");
    assert_int_equal(plan.tally->ended, 1);
    assert_non_null(k.v[1].state);
    assert_non_null(k.v[2].state);
}

/* Whoever is on the way to a backend reaches the relay first and is ended there. */
static void a_login_under_way_is_waited_for(void **state)
{
    struct case_session *s = case_add(&k, 0, "bob", "backend-login", "main", "b1");
    start();
    case_run_ms(&k, 300);
    assert_int_equal(n_done, 0);
    assert_null(strstr(case_said(&k), "kill:"));
    s->state = "relay";
    plane_run(&k.plane, is_done);
    assert_non_null(strstr(case_said(&k), "kill:1 query forget:bob release:bob"));
    assert_int_equal(outcome, 0);
}

static void a_session_that_stays_rolls_it_back(void **state)
{
    case_add(&k, 0, "bob", "relay", "main", "b1")->is_stubborn = true;
    plan.timeout_ms = BUSY_MS;
    start();
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_TIMEOUT);
    assert_string_equal(outcome_text, "sessions did not end in time");
    assert_false(was_changed);
    assert_string_equal(pin(), "");
    assert_non_null(strstr(case_said(&k), "release:bob done"));
    case_end(&k, k.v[0].id); /* its end comes later, to nobody */
    case_run_ms(&k, 20);
    assert_int_equal(n_done, 1);
    n_done = 0;
    start(); /* and nothing of the first try is in the way */
    plane_run(&k.plane, is_done);
}

static void a_silent_worker_rolls_it_back(void **state)
{
    k.is_silent[1] = true;
    plan.timeout_ms = BUSY_MS;
    start();
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_TIMEOUT);
    assert_string_equal(outcome_text, "a worker does not answer");
    assert_string_equal(case_said(&k), "hold:bob release:bob done");
}

static void stopped_by_the_operator(void **state)
{
    case_add(&k, 0, "bob", "relay", "main", "b1")->is_stubborn = true;
    start();
    plane_run(&k.plane, is_killing);
    user_move_step_stop(step);
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_CANCELLED);
    assert_string_equal(pin(), "");
    assert_non_null(strstr(case_said(&k), "release:bob done"));
}

static void the_new_place_is_gone(void **state)
{
    plan.backend = (char *)"b9";
    start();
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_NO_BACKEND);
    assert_string_equal(pin(), "");
    assert_string_equal(case_said(&k), "hold:bob query release:bob done");
}

static void there_already(void **state)
{
    start();
    plane_run(&k.plane, is_done);
    n_done = 0;
    start();
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, 0);
    assert_false(was_changed);
    assert_string_equal(pin(), "b2");
}

/* ---- with the mailbox ---- */

static void with_mailbox(void)
{
    plan.carry = on_carry;
    plan.carry_stop = on_carry_stop;
    plan.carry_ms = 20000;
    (void)case_add(&k, 0, "bob", "relay", "main", "b1");
}

/* Nobody is at the old place, and nobody gets in, while the mailbox is carried. */
static void carried_between_end_and_pin(void **state)
{
    with_mailbox();
    start();
    plane_run(&k.plane, is_carried);
    assert_string_equal(carried_from, "main/b1");
    assert_string_equal(pin(), "");
    assert_null(k.v[0].state);
    assert_null(strstr(case_said(&k), "release"));
    user_move_step_carried(step, 0, NULL);
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, 0);
    assert_string_equal(pin(), "b2");
    assert_non_null(strstr(case_said(&k), "carry:bob forget:bob release:bob done"));
}

static void carrying_fails(void **state)
{
    with_mailbox();
    start();
    plane_run(&k.plane, is_carried);
    user_move_step_carried(step, -ERR_IO, "the command failed with 1");
    assert_int_equal(n_done, 1);
    assert_int_equal(outcome, -ERR_IO);
    assert_string_equal(outcome_text, "the command failed with 1");
    assert_string_equal(pin(), "");
}

static void carrying_takes_too_long(void **state)
{
    with_mailbox();
    plan.carry_ms = 300;
    start();
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_TIMEOUT);
    assert_string_equal(pin(), "");
}

/* A mailbox that came over all the same stays where it is: the operator said no. */
static void stopped_while_it_is_carried(void **state)
{
    with_mailbox();
    start();
    plane_run(&k.plane, is_carried);
    user_move_step_stop(step);
    assert_int_equal(n_done, 0);
    assert_non_null(strstr(case_said(&k), "carry_stop:bob"));
    user_move_step_carried(step, 0, NULL);
    assert_int_equal(outcome, -ERR_CANCELLED);
    assert_string_equal(pin(), "");
}

static void nobody_is_there_to_stop(void **state)
{
    with_mailbox();
    is_carrier_there = false;
    start();
    plane_run(&k.plane, is_carried);
    user_move_step_stop(step);
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_CANCELLED);
    assert_string_equal(pin(), "");
}

/* Two backends have sessions of the user: which of them has the mailbox? */
static void a_scattered_user_is_not_carried(void **state)
{
    with_mailbox();
    (void)case_add(&k, 1, "bob", "relay", "main", "b2");
    start();
    plane_run(&k.plane, is_done);
    assert_int_equal(outcome, -ERR_NOT_FOUND);
    assert_non_null(strstr(outcome_text, "several backends"));
    assert_null(strstr(case_said(&k), "kill"));
    assert_non_null(strstr(case_said(&k), "release:bob done"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(held_ended_pinned_released),
        T(a_login_under_way_is_waited_for),
        T(a_session_that_stays_rolls_it_back),
        T(a_silent_worker_rolls_it_back),
        T(stopped_by_the_operator),
        T(the_new_place_is_gone),
        T(there_already),
        T(carried_between_end_and_pin),
        T(carrying_fails),
        T(carrying_takes_too_long),
        T(stopped_while_it_is_carried),
        T(nobody_is_there_to_stop),
        T(a_scattered_user_is_not_carried),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
