/* SPDX-License-Identifier: ISC */
/* Holds of users on a worker: what is known of one before, during and after, and the answers. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>

#include "session/admin/query.h"
#include "session/session_priv.h"

/* A worker's loop whose mail is run by hand, and somebody who asks. */
struct rig {
    struct session_env env;
    struct mailbox *worker, *asker;
    unsigned n_answers;
    uint64_t last_number;
};

static int setup(void **state)
{
    struct rig *g = calloc(1, sizeof(*g));
    assert_int_equal(loop_new(&g->env, &g->env.loop), 0);
    session_env_init(&g->env);
    g->env.worker = 3;
    assert_int_equal(mailbox_new(&g->worker), 0);
    assert_int_equal(mailbox_new(&g->asker), 0);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct rig *g = *state;
    mailbox_free(g->worker);
    mailbox_free(g->asker);
    session_env_fini(&g->env);
    loop_free(g->env.loop);
    free(g);
    return 0;
}

static void on_answer(struct mail *m, void *owner)
{
    struct rig *g = owner;
    struct session_killed *answer = CONTAINER_OF(m, struct session_killed, mail);
    assert_int_equal(answer->worker, 3);
    assert_int_equal(answer->n, 0);
    g->n_answers++;
    g->last_number = answer->number;
    free(answer);
}

static void hold(struct rig *g, const char *user, bool is_on, uint64_t number)
{
    const struct session_hold_spec spec = {.user = user,
                                           .is_on = is_on,
                                           .number = number,
                                           .reply = number ? g->asker : NULL,
                                           .deliver = on_answer};
    assert_int_equal(session_hold_post(g->worker, &spec), 0);
    mailbox_run(g->worker, &g->env);
    mailbox_run(g->asker, g);
}

/* A login of a user that was judged when so many holds were over. */
static enum hold_state look(struct rig *g, char *user, uint64_t judged)
{
    struct preauth pre = {.judged = judged};
    const struct session s = {.env = &g->env, .user = user, .pre = &pre};
    return hold_state_of(&s);
}

static void test_life(void **state)
{
    struct rig *g = *state;
    assert_int_equal(look(g, "anna", 0), HOLD_NONE);
    assert_int_equal(hold_count(&g->env), 0);
    hold(g, "anna", true, 41);
    assert_int_equal(g->n_answers, 1);
    assert_int_equal(g->last_number, 41);
    assert_int_equal(look(g, "anna", 0), HOLD_ON);
    assert_int_equal(look(g, "bert", 0), HOLD_NONE);
    assert_int_equal(look(g, NULL, 0), HOLD_NONE);
    hold(g, "anna", true, 42); /* twice is once */
    assert_int_equal(g->last_number, 42);
    hold(g, "anna", false, 0);
    assert_int_equal(g->n_answers, 2);
    assert_int_equal(hold_count(&g->env), 1);
    /* Judged before the end of the hold: not to be trusted. */
    assert_int_equal(look(g, "anna", 0), HOLD_STALE);
    assert_int_equal(look(g, "anna", hold_count(&g->env)), HOLD_NONE);
    assert_int_equal(look(g, "bert", 0), HOLD_NONE);
}

static void test_again(void **state)
{
    struct rig *g = *state;
    for (uint64_t i = 0; i < 3; i++) {
        hold(g, "anna", true, 0);
        assert_int_equal(look(g, "anna", i), HOLD_ON);
        hold(g, "anna", false, 0);
        assert_int_equal(look(g, "anna", i), HOLD_STALE);
        assert_int_equal(look(g, "anna", i + 1), HOLD_NONE);
    }
    hold(g, "anna", false, 7); /* not held: answered all the same */
    assert_int_equal(g->last_number, 7);
    assert_int_equal(hold_count(&g->env), 3);
}

static void test_end_without_beginning(void **state)
{
    struct rig *g = *state;
    hold(g, "anna", false, 9);
    assert_int_equal(g->n_answers, 1);
    assert_int_equal(look(g, "anna", 0), HOLD_NONE);
}

/* A word about a user: what was judged before it is judged again, but a hold goes on. */
static void test_judged_anew(void **state)
{
    struct rig *g = *state;
    session_judge_anew(&g->env, "anna");
    assert_int_equal(look(g, "anna", 0), HOLD_STALE);
    assert_int_equal(look(g, "anna", hold_count(&g->env)), HOLD_NONE);
    assert_int_equal(look(g, "bert", 0), HOLD_NONE);
    hold(g, "anna", true, 0);
    session_judge_anew(&g->env, "anna");
    assert_int_equal(look(g, "anna", hold_count(&g->env)), HOLD_ON);
    hold(g, "anna", false, 0);
    assert_int_equal(look(g, "anna", hold_count(&g->env) - 1), HOLD_STALE);
}

/* Mail that is not delivered any more is freed with its answer. */
static void test_closed(void **state)
{
    struct rig *g = *state;
    const struct session_hold_spec spec = {
        .user = "anna", .is_on = true, .number = 1, .reply = g->asker, .deliver = on_answer};
    mailbox_close(g->worker);
    assert_int_equal(session_hold_post(g->worker, &spec), 0);
    mailbox_run(g->asker, g);
    assert_int_equal(g->n_answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_without_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(test_judged_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
