/* SPDX-License-Identifier: ISC */
/* The list of operations over crashes, restarts and upgrades. */
#include "ops_case.h"

static struct ops_case k;
static const struct peer who = {.role = ROLE_OPERATOR, .user = "otto"};
static size_t n_started, n_dropped;

static void on_start(void *arg)
{
    (void)arg;
    n_started++;
}

static void on_drop(void *arg)
{
    (void)arg;
    n_dropped++;
}

static const struct op_kind kind = {.name = "drain", .start = on_start, .drop = on_drop};
static const struct op_kind steady = {
    .name = "steady", .drop = on_drop, .is_uninterruptible = true};
static const struct op_kind upgrade = {.name = OP_UPGRADE, .drop = on_drop};

static int setup(void **state)
{
    case_begin(&k);
    n_started = n_dropped = 0;
    return 0;
}

static int teardown(void **state)
{
    case_finish(&k);
    return 0;
}

static struct op *begin(const struct op_kind *of, const char *target)
{
    struct op *op = NULL;
    assert_int_equal(op_begin(&k.plane.object, of, target, &who, &k, &op), 0);
    return op;
}

static bool is_started(struct plane *p)
{
    (void)p;
    return n_started > 0;
}

static bool is_stored(struct plane *p)
{
    return list_is_empty(&p->object.rpc.works);
}

/* What a crash interrupts has to be known: the work begins when the store has it. */
static void stored_before_it_starts(void **state)
{
    struct op *op = begin(&kind, "main/b1");
    op_start(op);
    assert_int_equal(n_started, 0);
    plane_run(&k.plane, is_started);
    assert_int_equal(n_started, 1);
    case_restart(&k, false);
    assert_int_equal(n_dropped, 1);
    op = op_of_id(k.plane.object.ops, 1);
    assert_non_null(op);
    assert_int_equal(op->state, OP_INTERRUPTED);
    assert_string_equal(op->name, "drain");
    assert_string_equal(op->target, "main/b1");
    assert_string_equal(op->peer.user, "otto");
    assert_non_null(strstr(op->text, "restarted"));
    assert_true(op->ended_ms > 0);
}

static void ended_before_the_store_had_it(void **state)
{
    struct op *op = begin(&kind, "main/b1");
    op_start(op);
    op_end(op, OP_CANCELLED, "cancelled");
    plane_run(&k.plane, is_stored);
    assert_int_equal(n_started, 0);
    case_restart(&k, false);
    op = op_of_id(k.plane.object.ops, 1);
    assert_non_null(op);
    assert_int_equal(op->state, OP_CANCELLED); /* the end is not overtaken by the beginning */
}

static void numbers_go_on(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct op *op = begin(&kind, "t");
        op_start(op);
        op_end(op, OP_DONE, "done");
    }
    plane_run(&k.plane, is_stored);
    case_restart(&k, false);
    assert_int_equal(begin(&kind, "t")->id, 4);
    plane_run(&k.plane, is_stored);
    /* An engine before the upgrade may still begin some. */
    case_restart(&k, true);
    assert_true(begin(&kind, "t")->id > 100);
}

/* The engine that began it goes on beside the successor, and stores its end itself. */
static void of_the_engine_before(void **state)
{
    op_start(begin(&kind, "main/b1"));
    op_start(begin(&upgrade, "engine"));
    plane_run(&k.plane, is_stored);
    case_restart(&k, true);
    const struct op *drain = op_of_id(k.plane.object.ops, 1);
    const struct op *switched = op_of_id(k.plane.object.ops, 2);
    assert_int_equal(drain->state, OP_INTERRUPTED);
    assert_non_null(strstr(drain->text, "before the upgrade"));
    assert_true(drain->is_unstored);
    assert_int_equal(switched->state, OP_DONE);
    assert_string_equal(switched->text, "the new program serves");
}

static void of_a_retired_engine(void **state)
{
    ops_retire(k.plane.object.ops);
    struct op *op = begin(&kind, "main/b1");
    op_start(op);
    assert_int_equal(n_started, 1); /* nothing is to be waited for */
    op_end(op, OP_DONE, "done");
    plane_run(&k.plane, is_stored);
    case_restart(&k, false);
    assert_true(list_is_empty(ops_all(k.plane.object.ops)));
}

static void found_while_it_runs(void **state)
{
    struct control *c = &k.plane.object;
    struct op *op = begin(&kind, "main/b1");
    assert_ptr_equal(op_find(c, &kind, "main/b1"), op);
    assert_null(op_find(c, &kind, "main/b2"));
    assert_null(op_find(c, &steady, "main/b1"));
    assert_null(op_uninterruptible(c));
    struct op *wall = begin(&steady, "w");
    assert_ptr_equal(op_uninterruptible(c), wall);
    op_end(wall, OP_DONE, "done");
    assert_null(op_uninterruptible(c));
    op_end(op, OP_FAILED, "no");
    assert_null(op_find(c, &kind, "main/b1"));
}

/* Room for those that failed is theirs alone. */
static void users_that_failed_find_room(void **state)
{
    struct op *op = begin(&kind, "t");
    for (int i = 0; i < 10050; i++)
        op_note_user(op, json_pack("{s:s, s:s}", "user", "u", "state", "moved"));
    assert_int_equal(json_array_size(op->users), 10000);
    op_note_user(op, json_pack("{s:s, s:s}", "user", "u", "state", "failed"));
    assert_int_equal(json_array_size(op->users), 10001);
}

/* What became of users is known after a restart too; those that failed first where they are many.
 */
static void users_outlive_the_engine(void **state)
{
    struct op *op = begin(&kind, "t");
    for (int i = 0; i < 2500; i++)
        op_note_user(op, json_pack("{s:s, s:s}", "user", "u", "state", "moved"));
    op_note_user(op, json_pack("{s:s, s:s, s:s}", "user", "v", "state", "failed", "output", "no"));
    op_start(op);
    op_end(op, OP_PARTIAL, "one failed");
    op = begin(&kind, "t");
    op_note_user(op, json_pack("{s:s, s:s}", "user", "w", "state", "moved"));
    op_start(op); /* it runs: who knows what becomes of the rest */
    plane_run(&k.plane, is_stored);
    case_restart(&k, false);
    op = op_of_id(k.plane.object.ops, 1);
    assert_int_equal(json_array_size(op->users), 2000);
    const json_t *first = json_array_get(op->users, 0);
    assert_string_equal(json_string_value(json_object_get(first, "user")), "v");
    assert_string_equal(json_string_value(json_object_get(first, "output")), "no");
    json_t *row = op_row(op);
    assert_null(json_object_get(row, "users")); /* a list of its own */
    json_decref(row);
    assert_null(op_of_id(k.plane.object.ops, 2)->users);
}

static void check_told(bool is_anew, size_t n, const char *first)
{
    json_t *rows = ops_own(k.plane.object.ops, is_anew);
    const json_t *row = json_array_get(rows, 0);
    assert_int_equal(json_array_size(rows), n);
    if (n > 0)
        assert_string_equal(json_string_value(json_object_get(row, "state")), first);
    json_decref(rows);
}

/* An outcome is told once to the engine that serves: it does not change any more. */
static void outcomes_are_told_once(void **state)
{
    struct op *a = begin(&kind, "main/b1"), *b = begin(&kind, "main/b2");
    check_told(true, 2, "running");
    check_told(false, 2, "running");
    op_end(a, OP_DONE, "done");
    check_told(false, 2, "done");
    check_told(false, 1, "running"); /* b alone */
    op_end(b, OP_FAILED, "no");
    check_told(false, 1, "failed");
    check_told(false, 0, NULL);
    /* The engine after the next upgrade, or a new connection: nothing is known there. */
    check_told(true, 2, "done");
    check_told(false, 0, NULL);
    plane_run(&k.plane, is_stored);
}

static void its_row(void **state)
{
    struct op *op = begin(&kind, "main/b1");
    op->done = 3;
    op->total = 4;
    op->eta_ms = 9000;
    op_say(op, "%d left", 1);
    json_t *row = op_row(op);
    assert_int_equal(json_integer_value(json_object_get(row, "percent")), 75);
    assert_int_equal(json_integer_value(json_object_get(row, "eta")), 9000);
    assert_string_equal(json_string_value(json_object_get(row, "text")), "1 left");
    assert_string_equal(json_string_value(json_object_get(row, "state")), "running");
    json_decref(row);
    op_end(op, OP_PARTIAL, "some");
    row = op_row(op);
    assert_null(json_object_get(row, "eta"));
    assert_string_equal(json_string_value(json_object_get(row, "state")), "partly done");
    json_decref(row);
}

/* A clock that goes back makes no time left of half a million years. */
static void time_left(void **state)
{
    const uint64_t now = clock_wall_ms();
    struct op op = {.done = 10, .started_ms = now - 60000};
    uint64_t left = op_time_left(&op, 20);
    assert_true(left >= 120000 && left < 240000);
    op.done = 0;
    assert_int_equal(op_time_left(&op, 20), 0);
    op = (struct op){.done = 10, .started_ms = now + 86400000};
    assert_int_equal(op_time_left(&op, 20), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(stored_before_it_starts),
        T(ended_before_the_store_had_it),
        T(numbers_go_on),
        T(of_the_engine_before),
        T(of_a_retired_engine),
        T(found_while_it_runs),
        T(users_that_failed_find_room),
        T(users_outlive_the_engine),
        T(outcomes_are_told_once),
        T(its_row),
        T(time_left),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
