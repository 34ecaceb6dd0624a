/* SPDX-License-Identifier: ISC */
/* Ending sessions: who is meant, what is asked before anything is done, what is counted. */
#include "ops_case.h"

#include "ops/kill.h"

static struct ops_case k;
static struct kill_result result; /* without what it borrows */
static struct kill_tally *tally;
static char rows[512];
static size_t n_done, n_told;
static uint64_t told;

static int setup(void **state)
{
    case_begin(&k);
    n_done = n_told = 0;
    told = 0;
    rows[0] = '\0';
    tally = kill_tally_new();
    assert_non_null(tally);
    return 0;
}

static int teardown(void **state)
{
    case_finish(&k);
    kill_tally_unref(tally);
    return 0;
}

static void on_told(void *arg, int err, uint64_t n)
{
    (void)arg;
    (void)err;
    assert_int_equal(n_done, 0);
    n_told++;
    told = n;
}

static void on_done(void *arg, const struct kill_result *r)
{
    (void)arg;
    n_done++;
    result = *r;
    (void)str_copy(rows, sizeof(rows), r->rows);
}

static bool is_done(struct plane *p)
{
    (void)p;
    return n_done > 0;
}

static void start(struct kill_spec *spec, const char *filter)
{
    struct filter *f = NULL;
    AUTO_FREE char *error = NULL;
    if (filter)
        assert_int_equal(
            filter_parse(str_of(filter), session_filter_fields, SESSION_FIELD_COUNT, &f, &error),
            0);
    spec->filter = f;
    spec->done = on_done;
    spec->told = on_told;
    spec->tally = tally;
    assert_int_equal(kill_start(&k.plane.object, spec), 0);
    filter_unref(f);
    assert_int_equal(n_done, 0); /* never within kill_start */
}

static void found_told_and_waited_for(void **state)
{
    struct case_session *slow = case_add(&k, 1, "anna", "relay", "main", "b1");
    (void)case_add(&k, 0, "anna", "relay", "main", "b2");
    (void)case_add(&k, 0, "bob", "relay", "main", "b1");
    slow->is_stubborn = true;
    slow->n_cut = 2;
    struct kill_spec spec = {.has_rows = true, .kind = REPLY_KICKED, .grace_ms = 7};
    start(&spec, "user=anna");
    case_run_ms(&k, 100);
    assert_int_equal(n_told, 1);
    assert_int_equal(told, 2);
    assert_int_equal(n_done, 0);
    assert_int_equal(tally->n_running, 1);
    case_end(&k, slow->id);
    plane_run(&k.plane, is_done);
    assert_int_equal(result.err, 0);
    assert_int_equal(result.matched, 2);
    assert_int_equal(tally->n_running, 0);
    assert_int_equal(tally->ended, 2);
    assert_int_equal(tally->clean, 1);
    assert_int_equal(tally->cut, 2);
    assert_non_null(strstr(rows, "\"cut\":2"));
    assert_string_equal(case_said(&k), "query kill:2 kill:1001");
    assert_non_null(k.v[2].state);
}

/* Wildcards of the filter match more than the name that was meant. */
static void a_name_is_no_pattern(void **state)
{
    (void)case_add(&k, 0, "b*b", "relay", "main", "b1");
    (void)case_add(&k, 0, "bob", "relay", "main", "b1");
    struct filter *filter = NULL;
    assert_int_equal(kill_filter_user("b*b", &filter), 0);
    struct kill_spec spec = {.filter = filter, .done = on_done, .kind = REPLY_KICKED};
    assert_int_equal(kill_start(&k.plane.object, &spec), 0);
    filter_unref(filter);
    plane_run(&k.plane, is_done);
    assert_int_equal(result.matched, 1);
    assert_string_equal(case_said(&k), "query kill:1");
}

/* A backend is one of a pool: who has both is left out. */
static void a_backend_is_one_of_a_pool(void **state)
{
    (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    (void)case_add(&k, 0, "anna", "relay", "main", "b2");
    (void)case_add(&k, 0, "anna", "relay", "other", "b1");
    struct kill_spec spec = {.kind = REPLY_KICKED};
    start(&spec, "!backend==main/b1");
    plane_run(&k.plane, is_done);
    assert_string_equal(case_said(&k), "query kill:2,3");
}

static void too_many_before_anything_is_done(void **state)
{
    (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    (void)case_add(&k, 1, "anna", "relay", "main", "b1");
    struct kill_spec spec = {.has_max = true, .max = 1};
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    assert_int_equal(result.err, -ERR_TOO_MANY);
    assert_string_equal(case_said(&k), "query");
    n_done = 0;
    case_forget(&k);
    spec.max = 0; /* nothing at all is a guard, too */
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    assert_int_equal(result.err, -ERR_TOO_MANY);
    n_done = 0;
    spec.max = 2;
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    assert_int_equal(result.err, 0);
    assert_int_equal(tally->ended, 2);
}

static void a_dry_run_only_looks(void **state)
{
    (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    struct kill_spec spec = {.is_dry = true, .has_rows = true};
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    assert_int_equal(result.matched, 1);
    assert_int_equal(tally->ended, 1);
    assert_non_null(strstr(rows, "\"user\":\"anna\""));
    assert_string_equal(case_said(&k), "query");
    assert_non_null(k.v[0].state);
}

static void the_longest_idle_of_all_workers(void **state)
{
    for (unsigned i = 0; i < 6; i++)
        case_add(&k, i % 2, "anna", "relay", "main", "b1")->idle = (i * 5) % 7;
    struct kill_spec spec = {.first_idle = 2}; /* idle: 0 5 3 1 6 4 */
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    assert_string_equal(case_said(&k), "query kill:5 kill:1002");
    assert_int_equal(result.matched, 6);
}

static void ids_need_no_search(void **state)
{
    (void)case_add(&k, 1, "anna", "relay", "main", "b1");
    const uint64_t ids[] = {1001, 1099}, nobodys[] = {9001};
    struct kill_spec spec = {.ids = ids, .n_ids = 2};
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    assert_string_equal(case_said(&k), "kill:1001,1099");
    assert_int_equal(tally->ended, 1); /* the other one was gone before */
    spec = (struct kill_spec){.ids = nobodys, .n_ids = 1, .tally = tally};
    assert_int_equal(kill_start(&k.plane.object, &spec), -ERR_NO_MATCH);
    assert_int_equal(tally->n_running, 0);
}

/* The end of the control plane answers whoever waits, once. */
static void the_end_answers(void **state)
{
    case_add(&k, 0, "anna", "relay", "main", "b1")->is_stubborn = true;
    struct kill_spec spec = {.kind = REPLY_KICKED};
    start(&spec, NULL);
    while (n_told == 0)
        case_run_ms(&k, 5);
    struct control *c = &k.plane.object;
    sessions_free(c->sessions);
    assert_int_equal(n_done, 1);
    assert_int_equal(result.err, -ERR_SHUTDOWN);
    assert_int_equal(n_told, 1);
    assert_int_equal(sessions_new(c, &c->sessions), 0);
    case_end(&k, k.v[0].id); /* an answer that comes too late finds nobody */
    case_run_ms(&k, 20);
    assert_int_equal(n_done, 1);
}

/* What was cut is named, and of many some. */
static void cuts_are_named(void **state)
{
    for (unsigned i = 0; i < 7; i++)
        case_add(&k, 0, "anna", "relay", "main", "b1")->n_cut = 1;
    struct kill_spec spec = {.kind = REPLY_KICKED};
    start(&spec, NULL);
    plane_run(&k.plane, is_done);
    AUTO_FREE char *text = kill_tally_text(tally);
    assert_non_null(strstr(text, "7 ended, 0 clean, 7 commands cut: "));
    assert_non_null(strstr(text, ", ..."));
    struct kill_tally *all = kill_tally_new();
    assert_non_null(all);
    kill_tally_merge(all, tally);
    kill_tally_merge(all, tally);
    assert_int_equal(all->ended, 14);
    assert_int_equal(all->n_cuts, 14);
    kill_tally_unref(all);
}

static void kill_all(struct request *r)
{
    struct kill_spec spec = {.kind = REPLY_KICKED};
    kill_for_request(r, &spec);
}

static void what_a_request_says_holds(void **state)
{
    (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    case_ask(&k, "session.kill", kill_all,
             json_pack("{s:b, s:s, s:s}", "all", 1, "text", "good night", "grace", "5s"));
    plane_run(&k.plane, case_is_answered);
    assert_int_equal(json_integer_value(case_result(&k, "count")), 1);
    assert_true(json_is_true(case_result(&k, "changed")));
    assert_int_equal(k.last_grace_ms, 5000);
    assert_string_equal(k.last_text, "good night");
    k.n_answers = 0;
    (void)case_add(&k, 0, "anna", "relay", "main", "b1");
    case_ask(&k, "session.kill", kill_all,
             json_pack("{s:b, s:b, s:i}", "all", 1, "now", 1, "max", 0));
    plane_run(&k.plane, case_is_answered);
    assert_string_equal(case_error(&k), "E_TOO_MANY");
    assert_int_equal(k.last_grace_ms, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(found_told_and_waited_for),
        T(a_name_is_no_pattern),
        T(a_backend_is_one_of_a_pool),
        T(too_many_before_anything_is_done),
        T(a_dry_run_only_looks),
        T(the_longest_idle_of_all_workers),
        T(ids_need_no_search),
        T(the_end_answers),
        T(cuts_are_named),
        T(what_a_request_says_holds),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
