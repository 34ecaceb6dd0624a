/* SPDX-License-Identifier: ISC */
/* The owner of limits and bans: words for clients, the store, restarts. */
#include "runtime/rules/limit_service.h"

#include "tests/unit/runtime/control_case.h"

static struct plane plane;

static struct limit_service *limit_service_of(struct plane *p)
{
    return p->object.limit_service;
}

static void start(void)
{
    AUTO_FREE char *error = NULL;
    assert_int_equal(limit_service_new(plane.control, &plane.object.limit_service, &error), 0);
}

static void stop(void)
{
    limit_service_stop(plane.object.limit_service);
    limit_service_free(STEAL(plane.object.limit_service));
}

static int begin(void **state)
{
    plane_begin(&plane);
    plane.config.limits.ban_ms = 600000;
    plane.config.limits.failure_window_ms = 600000;
    start();
    return 0;
}

static int end(void **state)
{
    stop();
    plane_end(&plane);
    return 0;
}

static void restart(void)
{
    stop();
    plane_stop(&plane);
    plane_start(&plane);
    start();
}

static struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(str_of(text), &a), 0);
    return a;
}

static struct limits *limits(void)
{
    return limit_service_limits(limit_service_of(&plane));
}

static const struct config_limits *config(void)
{
    return limit_service_config(limit_service_of(&plane));
}

static uint64_t now_ms(void)
{
    return limit_service_now(limit_service_of(&plane)).ms;
}

static struct limit_verdict admit(const char *from)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_connect(limits(), config(), &a, now_ms(), &v);
    return v;
}

static struct limit_verdict login(const char *from, const char *user)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_login(limits(), config(), &a, user, 0, now_ms(), &v);
    return v;
}

/* What a worker does, and the control thread with its mail. Banned? */
static bool fail_from(const char *from)
{
    struct limit_failure f;
    const struct addr a = addr(from);
    limits_fail(limits(), config(), &a, NULL, 0, 2000, now_ms(), &f);
    if (f.is_ban_due)
        control_ban_due(plane.control, &a, f.is_spraying, f.n);
    return f.is_banned;
}

struct found {
    const char *kind;
    char names[1000];
};

static bool on_found(void *arg, const char *kind, const char *name, const char *json,
                     uint64_t at_ms)
{
    struct found *f = arg;
    (void)json;
    (void)at_ms;
    if (strcmp(kind, f->kind) == 0) {
        size_t used = strlen(f->names);
        snprintf(f->names + used, sizeof(f->names) - used, "%s;", name);
    }
    return true;
}

/* Names of a kind in the store, each with ";". Static. */
static const char *stored(const char *kind)
{
    static struct found f;
    f = (struct found){.kind = kind};
    assert_int_equal(store_runtime_each(plane.host.store, on_found, &f), 0);
    return f.names;
}

static bool is_ban_stored(struct plane *p)
{
    (void)p;
    return strcmp(stored(RULE_DB_BAN), "192.0.2.1;") == 0;
}

static bool is_no_ban_stored(struct plane *p)
{
    (void)p;
    return stored(RULE_DB_BAN)[0] == '\0';
}

static struct rule *put(const char *kind, const char *subject, uint64_t life_ms)
{
    struct limits *l = limits();
    struct rule *r;
    const struct rules_time now = limit_service_now(limit_service_of(&plane));
    struct rule_spec spec = {.created_ms = now.wall_ms,
                             .until_ms = life_ms ? now.wall_ms + life_ms : 0,
                             .text = "words",
                             .by = "root",
                             .sessions = 7,
                             .login_rate = RULE_KEEP,
                             .failures = RULE_KEEP};
    assert_int_equal(limit_target_parse(str_of(subject), &spec.subject), 0);
    struct rules *rules = strcmp(kind, RULE_DB_BAN) == 0 ? &l->bans : &l->overrides;
    assert_int_equal(rules_put(rules, &spec, &now, &r), 0);
    return r;
}

static uint64_t audit_rows;
static char audit_args[64], audit_reason[64];

static bool on_audit(void *arg, const struct store_audit *a)
{
    (void)arg;
    audit_rows++;
    snprintf(audit_args, sizeof(audit_args), "%s %s", a->command, a->args);
    snprintf(audit_reason, sizeof(audit_reason), "%s", a->reason);
    return true;
}

/* A ban for failures is in the store soon, not only at the end: the engine may be killed. */
static void test_automatic_ban(void **state)
{
    plane.config.limits.failures_before_ban = 3;
    assert_false(fail_from("192.0.2.1"));
    assert_false(fail_from("192.0.2.1"));
    assert_true(fail_from("192.0.2.1"));
    assert_int_equal(admit("192.0.2.1").kind, LIMIT_BAN);
    assert_int_equal(admit("192.0.2.2").kind, LIMIT_NONE);
    plane_run(&plane, is_ban_stored);
    assert_int_equal(store_audit_each(plane.host.store, 0, 10, on_audit, NULL), 0);
    assert_int_equal(audit_rows, 1);
    assert_string_equal(audit_args, "ban.add 192.0.2.1");
    assert_string_equal(audit_reason, "3 failed logins");
    restart();
    assert_int_equal(admit("192.0.2.1").kind, LIMIT_BAN);
    struct limit_service_figures f;
    limit_service_figures(limit_service_of(&plane), &f);
    assert_int_equal(f.bans, 1);
    assert_int_equal(f.automatic_bans, 1);
}

/* Whatever the loop did not get to write is written at the end. */
static void test_flush_at_end(void **state)
{
    put(RULE_DB_BAN, "10.0.0.0/8", 0);
    put(RULE_DB_BAN, "alice", 0);
    put(RULE_DB_OVERRIDE, "2001:db8::/64", 0);
    restart();
    assert_string_equal(stored(RULE_DB_BAN), "10.0.0.0/8;alice;");
    struct limit_verdict v = admit("10.1.2.3");
    assert_int_equal(v.kind, LIMIT_BAN);
    assert_string_equal(v.text, "words");
    assert_int_equal(login("192.0.2.9", "alice").kind, LIMIT_BAN);
    const struct addr b = addr("2001:db8::5");
    assert_int_equal(limits_max_sessions(limit_service_limits(limit_service_of(&plane)),
                                         limit_service_config(limit_service_of(&plane)), &b),
                     7);
}

static void test_end_of_a_ban(void **state)
{
    plane.config.limits.failures_before_ban = 1;
    plane.config.limits.ban_ms = 1500;
    assert_true(fail_from("192.0.2.1"));
    plane_run(&plane, is_ban_stored);
    plane_run(&plane, is_no_ban_stored);
    assert_int_equal(admit("192.0.2.1").kind, LIMIT_NONE);
}

/* What ended while the daemon was down is neither in force nor kept. */
static void test_ended_meanwhile(void **state)
{
    put(RULE_DB_BAN, "192.0.2.1", 0)->until_ms = 1000;
    restart();
    assert_int_equal(admit("192.0.2.1").kind, LIMIT_NONE);
    plane_run(&plane, is_no_ban_stored);
}

static void test_unreadable(void **state)
{
    assert_int_equal(store_runtime_put(plane.host.store, "ban", "10.0.0.1/8", "{}", 1), 0);
    assert_int_equal(store_runtime_put(plane.host.store, "ban", "10.0.0.2", "nonsense", 1), 0);
    assert_int_equal(store_runtime_put(plane.host.store, "ban", "10.0.0.3", "{}", 1), 0);
    restart();
    assert_int_equal(admit("10.0.0.3").kind, LIMIT_BAN);
    assert_int_equal(admit("10.0.0.2").kind, LIMIT_NONE);
    assert_string_equal(stored(RULE_DB_BAN), "10.0.0.1/8;10.0.0.2;10.0.0.3;");
}

static const char *explain(const char *from, const char *user, unsigned max)
{
    static char text[300];
    AUTO_BUF out = BUF_INIT;
    const struct addr a = from ? addr(from) : (struct addr){0};
    assert_int_equal(
        limit_service_explain(limit_service_of(&plane), from ? &a : NULL, user, max, &out), 0);
    snprintf(text, sizeof(text), "%.*s", STR_ARG(buf_str(&out)));
    return text;
}

static void test_explain(void **state)
{
    plane.config.limits.sessions_per_ip = 1;
    assert_string_equal(explain("192.0.2.1", "alice", 0), "");
    (void)admit("192.0.2.1");
    assert_string_equal(explain("192.0.2.1", "alice", 0),
                        "refused: the address has 1 of 1 sessions");
    assert_string_equal(explain(NULL, "alice", 0), "");
    assert_true(login("192.0.2.1", "alice").is_counted);
    assert_string_equal(explain(NULL, "alice", 1), "refused: the user has 1 of 1 sessions");
    put(RULE_DB_BAN, "192.0.2.0/24", 0);
    assert_string_equal(explain("192.0.2.7", "bob", 0), "refused: 192.0.2.0/24 is banned");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_automatic_ban, begin, end),
        cmocka_unit_test_setup_teardown(test_flush_at_end, begin, end),
        cmocka_unit_test_setup_teardown(test_end_of_a_ban, begin, end),
        cmocka_unit_test_setup_teardown(test_ended_meanwhile, begin, end),
        cmocka_unit_test_setup_teardown(test_unreadable, begin, end),
        cmocka_unit_test_setup_teardown(test_explain, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
