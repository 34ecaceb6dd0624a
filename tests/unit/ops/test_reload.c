/* SPDX-License-Identifier: ISC */
/* Reloads: what is published and what is not, and going back when nobody confirms. */
#include "ops_case.h"

#include "ops/configs.h"
#include "runtime/runtime.h"
#include "runtime/trouble.h"

#define ONE "workers = 1;\n"
#define TWO "workers = 2;\n"
#define NOBODY "auth = ( { type = \"users\"; } );\n"
#define LISTENER                                                                                   \
    "listeners = ( { name = \"imap\"; protocol = \"imap\"; address = \"127.0.0.1:1\";\n"           \
    "  allow_plaintext = true; tls = \"off\"; } );\n"
#define REST                                                                                       \
    NOBODY "pools = ( { name = \"main\"; tls = \"off\"; backends = ( { name = \"b1\"; host = "     \
           "\"127.0.0.1\"; } ); } );\nroutes = ( { pool = \"main\"; } );\n"

static struct ops_case k;
static struct snapshot *current;
static const char *file; /* what the engine reads */
/* Written by a job thread before its answer leaves. */
static enum control_read how;
static const char *confirmed; /* what is there to come back with */

static struct snapshot *reload_snapshot(void *arg)
{
    (void)arg;
    return current;
}

static int reload_read(void *arg, enum control_read which, struct config **ret,
                       struct config_problems *ret_problems, char **ret_error)
{
    (void)arg;
    (void)ret_error;
    how = which;
    const char *text = which == CONTROL_READ_BACK ? confirmed : file;
    return config_load_text("main.conf", str_of(text), NULL, ret, ret_problems);
}

static int reload_publish(void *arg, struct snapshot *next, char **ret_error)
{
    (void)arg;
    (void)ret_error;
    case_log(&k, "publish:%u%s", next->config->workers, how == CONTROL_READ_BACK ? "(back)" : "");
    snapshot_unref(current);
    current = next;
    return 0;
}

static void reload_drop(void *arg)
{
    (void)arg;
    case_log(&k, "drop");
}

static void reload_keep(void *arg)
{
    (void)arg;
    case_log(&k, "keep");
}

static void make_snapshot(const char *text)
{
    struct config *config = NULL;
    struct config_problems problems = {0};
    struct pools *pools = NULL;
    AUTO_FREE char *error = NULL;
    assert_int_equal(config_load_text("main.conf", str_of(text), NULL, &config, &problems), 0);
    config_problems_fini(&problems);
    assert_int_equal(pools_build(config, NULL, 0, k.plane.host.registry, &pools, &error), 0);
    assert_int_equal(snapshot_new(config, pools, NULL, &current, &error), 0);
}

static int setup(void **state)
{
    AUTO_FREE char *error = NULL;
    case_begin(&k);
    make_snapshot(ONE LISTENER REST);
    file = confirmed = ONE LISTENER REST;
    k.plane.host.snapshot = reload_snapshot;
    k.plane.host.read_config = reload_read;
    k.plane.host.publish_config = reload_publish;
    k.plane.host.drop_config = reload_drop;
    k.plane.host.keep_last_good_config = reload_keep;
    struct control *c = &k.plane.object;
    assert_int_equal(configs_new(c, &c->configs), 0);
    assert_int_equal(trouble_new(c, &c->trouble), 0);
    assert_int_equal(runtime_new(c, &c->runtime, &error), 0);
    return 0;
}

static int teardown(void **state)
{
    struct control *c = &k.plane.object;
    configs_free(STEAL(c->configs));
    trouble_free(STEAL(c->trouble));
    jobs_free(STEAL(c->rpc.jobs)); /* what still reads the file ends first */
    snapshot_unref(current);
    runtime_free(STEAL(c->runtime));
    case_finish(&k);
    return 0;
}

static void reload(const char *confirm)
{
    k.n_answers = 0;
    case_forget(&k);
    case_ask(&k, "config.reload", configs_request_reload,
             confirm ? json_pack("{s:s}", "confirm", confirm) : json_object());
}

static void reloaded(const char *confirm)
{
    reload(confirm);
    plane_run(&k.plane, case_is_answered);
}

static bool is_at_rest(struct plane *p)
{
    return list_is_empty(&p->object.rpc.works);
}

static void published_and_kept(void **state)
{
    file = TWO LISTENER REST;
    reloaded(NULL);
    assert_string_equal(case_said(&k), "publish:2 keep forget:*");
    assert_int_equal(json_integer_value(case_result(&k, "count")), 1);
    assert_true(json_is_true(case_result(&k, "changed")));
    /* A restart alone changes the number of workers, and stays in sight until then. */
    const char *text = json_string_value(case_result(&k, "message"));
    assert_non_null(strstr(text, "after a restart only"));
    plane_run(&k.plane, is_at_rest);
    reloaded(NULL);
    assert_int_equal(json_integer_value(case_result(&k, "count")), 0);
    plane_run(&k.plane, is_at_rest);
}

static void an_error_changes_nothing(void **state)
{
    const struct snapshot *before = current;
    file = "wrokers = 2;\n" LISTENER REST;
    reloaded(NULL);
    assert_string_equal(case_said(&k), "drop");
    assert_ptr_equal(current, before);
    const json_t *error = json_object_get(k.answer, "error");
    assert_non_null(strstr(json_string_value(json_object_get(error, "message")), "wrokers"));
}

/* Whoever writes a file empties it first. */
static void an_empty_file_is_hardly_meant(void **state)
{
    file = ONE NOBODY;
    reloaded(NULL);
    assert_string_equal(case_said(&k), "drop");
    const json_t *error = json_object_get(k.answer, "error");
    assert_non_null(strstr(json_string_value(json_object_get(error, "message")), "no listeners"));
}

static void confirm(void)
{
    k.n_answers = 0;
    case_ask(&k, "config.confirm", configs_request_confirm, json_object());
    assert_int_equal(k.n_answers, 1);
}

static void kept_once_it_is_confirmed(void **state)
{
    file = TWO LISTENER REST;
    reloaded("1h");
    assert_string_equal(case_said(&k), "publish:2 forget:*");
    assert_true(configs_is_waiting(&k.plane.object));
    confirm();
    assert_true(json_is_true(case_result(&k, "changed")));
    assert_string_equal(case_said(&k), "publish:2 forget:* keep");
    assert_false(configs_is_waiting(&k.plane.object));
    confirm(); /* twice does no harm */
    assert_true(json_is_false(case_result(&k, "changed")));
    plane_run(&k.plane, is_at_rest);
    assert_int_equal(current->config->workers, 2);
}

static bool is_back(struct plane *p)
{
    (void)p;
    return strstr(case_said(&k), "(back)") && list_is_empty(&p->object.rpc.works);
}

static void taken_back_when_it_is_not(void **state)
{
    file = TWO LISTENER REST;
    reloaded("1s");
    assert_int_equal(current->config->workers, 2);
    plane_run(&k.plane, is_back);
    assert_int_equal(current->config->workers, 1);
    assert_string_equal(case_said(&k), "publish:2 forget:* publish:1(back) keep forget:*");
    confirm();
    assert_true(json_is_false(case_result(&k, "changed"))); /* too late */
}

/* A file that cannot be loaded leaves the wait for the confirmation as it is. */
static void a_failure_confirms_nothing(void **state)
{
    file = TWO LISTENER REST;
    reloaded("1h");
    file = "nonsense";
    reloaded(NULL);
    assert_true(configs_is_waiting(&k.plane.object));
    file = ONE LISTENER REST;
    reloaded(NULL); /* a good one without a wait keeps itself */
    assert_false(configs_is_waiting(&k.plane.object));
    plane_run(&k.plane, is_at_rest);
}

static bool are_both_answered(struct plane *p)
{
    (void)p;
    return k.n_answers == 2;
}

/* One after another: each sees what the one before it published. */
static void two_at_once(void **state)
{
    file = TWO LISTENER REST;
    reload(NULL);
    case_ask(&k, "config.reload", configs_request_reload, json_object());
    plane_run(&k.plane, are_both_answered);
    assert_int_equal(json_integer_value(case_result(&k, "count")), 0);
    plane_run(&k.plane, is_at_rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(published_and_kept),
        T(an_error_changes_nothing),
        T(an_empty_file_is_hardly_meant),
        T(kept_once_it_is_confirmed),
        T(taken_back_when_it_is_not),
        T(a_failure_confirms_nothing),
        T(two_at_once),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
