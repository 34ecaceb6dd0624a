/* SPDX-License-Identifier: ISC */
/* The command table: what parameters pass and as what, what is said of those that do not, what the
 * audit gets to see, and the columns that filters know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "rpc/command.h"

static const struct command *find(const char *method)
{
    const struct command *c = commands_find_method(method);
    if (!c)
        fail_msg("no command %s", method);
    return c;
}

/* JSON with ' in place of ". */
static json_t *parse(const char *text)
{
    AUTO_FREE char *json = str_dup_c(text);
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_error_t error;
    json_t *v = json_loads(json, JSON_DECODE_ANY, &error);
    if (!v)
        fail_msg("%s: %s", json, error.text);
    return v;
}

/* ---- checking ---- */

static void test_good(void **state)
{
    static const struct {
        const char *method, *given, *want;
    } cases[] = {
        {"session.list", "{}", "{}"},
        {"session.list", "{'limit': 5, 'sort': '-in', 'cursor': 'x'}",
         "{'limit': 5, 'sort': '-in', 'cursor': 'x'}"},
        {"session.list", "{'filter': 'user=joe idle>5m'}", "{'filter': 'user=joe idle>5m'}"},
        {"session.list", "{'filter': ['user=joe', 'idle>5m']}", "{'filter': 'user=joe idle>5m'}"},
        /* words that are no terms name rows */
        {"session.kill", "{'filter': ['1-2a', '1-2b']}", "{'filter': 'id=1-2a,1-2b'}"},
        {"session.kill", "{'filter': ['1-2a', '!user=joe']}", "{'filter': '!user=joe id=1-2a'}"},
        {"user.list", "{'filter': 'joe@example.org'}", "{'filter': 'name=joe@example.org'}"},
        {"session.list", "{'filter': ''}", "{'filter': ''}"},
        {"session.list", "{'filter': []}", "{'filter': ''}"},
        {"session.kill", "{'all': true, 'grace': '90s', 'reason': 'x'}",
         "{'all': true, 'grace': 90000, 'reason': 'x'}"},
        {"session.kill", "{'all': true, 'grace': 1500}", "{'all': true, 'grace': 1500}"},
        {"session.show", "{'id': '3-1a2b'}", "{'id': '3-1a2b'}"},
        {"user.add", "{'name': 'Joe@EXAMPLE.org'}", "{'name': 'joe@example.org'}"},
        {"ban.add", "{'subject': '10.0.0.1'}", "{'subject': ['10.0.0.1']}"},
        {"ban.add", "{'subject': ['10.0.0.1', 'joe'], 'for': '1h'}",
         "{'subject': ['10.0.0.1', 'joe'], 'for': 3600000}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *given = parse(cases[i].given), *want = parse(cases[i].want), *got = NULL;
        struct command_failure failure = {0};
        if (command_check(find(cases[i].method), given, &got, &failure) < 0)
            fail_msg("%s %s: %s", cases[i].method, cases[i].given,
                     failure.text ? failure.text : err_text(failure.err));
        AUTO_FREE char *text = json_dumps(got, JSON_SORT_KEYS);
        if (!json_equal(got, want))
            fail_msg("%s %s became %s", cases[i].method, cases[i].given, text);
        json_decref(given);
        json_decref(want);
        json_decref(got);
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *method, *given;
        int err;
        const char *hint; /* NULL = none */
    } cases[] = {
        {"session.list", "{'limt': 5}", -ERR_NO_PARAM, "limit"},
        {"session.list", "{'nonsense': 5}", -ERR_NO_PARAM, NULL},
        {"session.list", "{'limit': '5'}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'limit': -1}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'limit': 1.5}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'limit': null}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'cursor': 5}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'sort': 'usr'}", -ERR_BAD_PARAM, "user"},
        {"session.list", "{'sort': '--user'}", -ERR_BAD_PARAM, "user"},
        {"session.list", "{'sort': 5}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'filter': 5}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'filter': ['a=b', 5]}", -ERR_BAD_PARAM, NULL},
        {"session.list", "{'filter': {'user': 'joe'}}", -ERR_BAD_PARAM, NULL},
        {"session.show", "{}", -ERR_MISSING_PARAM, "id"},
        {"session.show", "{'id': 'x'}", -ERR_BAD_PARAM, NULL},
        {"session.show", "{'id': 5}", -ERR_BAD_PARAM, NULL},
        {"session.kill", "{'all': 'true'}", -ERR_BAD_PARAM, NULL},
        {"session.kill", "{'grace': 'soon'}", -ERR_BAD_PARAM, NULL},
        {"session.kill", "{'grace': '5'}", -ERR_BAD_PARAM, NULL},
        {"session.kill", "{'grace': -5}", -ERR_BAD_PARAM, NULL},
        {"session.kill", "{'grace': '99999999999999d'}", -ERR_BAD_PARAM, NULL},
        {"session.kill", "{'grace': '18446744073709551615ms'}", -ERR_BAD_PARAM, NULL},
        {"user.add", "{'name': ''}", -ERR_BAD_PARAM, NULL},
        {"user.add", "{'name': ' joe'}", -ERR_BAD_PARAM, NULL},
        {"user.add", "{'name': 'a\\nb'}", -ERR_BAD_PARAM, NULL},
        {"user.add", "{'name': ['joe']}", -ERR_BAD_PARAM, NULL},
        {"ban.add", "{'subject': []}", -ERR_MISSING_PARAM, "subject"},
        {"ban.add", "{'subject': ['a', 5]}", -ERR_BAD_PARAM, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *given = parse(cases[i].given), *got = NULL;
        struct command_failure f = {0};
        int err = command_check(find(cases[i].method), given, &got, &f);
        if (err != cases[i].err)
            fail_msg("%s %s: %s", cases[i].method, cases[i].given, err_name(err));
        assert_null(got);
        assert_int_equal(f.err, err);
        assert_true(f.text && f.text[0]);
        if (cases[i].hint)
            assert_string_equal(f.hint, cases[i].hint);
        else
            assert_null(f.hint);
        command_failure_fini(&f);
        json_decref(given);
    }
}

/* No parameters at all are an empty object. */
static void test_none(void **state)
{
    json_t *got = NULL;
    struct command_failure f = {0};
    assert_int_equal(command_check(find("session.list"), NULL, &got, &f), 0);
    assert_int_equal(json_object_size(got), 0);
    json_decref(got);
    got = NULL;
    assert_int_equal(command_check(find("session.show"), NULL, &got, &f), -ERR_MISSING_PARAM);
    assert_null(got);
    command_failure_fini(&f);
}

/* ---- audit ---- */

static void test_mask(void **state)
{
    static const struct {
        const char *method, *given, *want;
    } cases[] = {
        {"user.passwd", "{'name': 'joe', 'password': 'geheim'}", "name=joe password=***"},
        {"user.import", "{'data': 'joe:geheim', 'format': 'passwd'}", "data=*** format=passwd"},
        {"session.kill", "{'filter': ['a', 'b'], 'all': true, 'max': 5}",
         "filter=a,b all=true max=5"},
        {"ban.add", "{'subject': ['192.0.2.1'], 'for': '2d'}", "subject=192.0.2.1 for=2d"},
        {"ban.add", "{'subject': ['a', 3, ['b']]}", "subject=a,3,[\"b\"]"},
        {"ban.add", "{'subject': []}", "subject="},
        {"session.kill", "{'reason': 'has a place of its own'}", ""},
        /* what the table does not know may be anything */
        {"session.kill", "{'pasword': 'geheim'}", "pasword=***"},
        {"user.passwd", "{'password': ['geheim', {'x': 'geheim'}]}", "password=***"},
        {"user.passwd", "['geheim']", ""},
        {"user.passwd", "'geheim'", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *given = parse(cases[i].given);
        AUTO_BUF text = BUF_INIT;
        assert_int_equal(command_mask(find(cases[i].method), given, &text), 0);
        assert_string_equal(buf_cstr(&text), cases[i].want);
        json_decref(given);
    }
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(command_mask(find("user.passwd"), NULL, &text), 0);
    assert_int_equal(text.len, 0);
}

/* What an upgrade leaves behind would be forgotten by a command that does not say where it goes. */
static void test_reach(void **state)
{
    size_t n;
    const struct command *all = commands_all(&n);
    for (size_t i = 0; i < n; i++)
        if (commands_reach(&all[i]) == COMMAND_REACH_UNSAID)
            fail_msg("%s has no line REACH in commands.def", all[i].method);
}

/* Every secret of every command, whatever its name. */
static void test_all_secrets_are_masked(void **state)
{
    size_t n, n_args, n_secrets = 0;
    const struct command *all = commands_all(&n);
    for (size_t i = 0; i < n; i++) {
        const struct command_arg *args = commands_args(&all[i], &n_args);
        for (size_t j = 0; j < n_args; j++) {
            if (args[j].type != COMMANDS_SECRET)
                continue;
            AUTO_BUF text = BUF_INIT;
            json_t *params = json_pack("{s:s}", args[j].name, "geheim");
            assert_int_equal(command_mask(&all[i], params, &text), 0);
            assert_null(strstr(buf_cstr(&text), "geheim"));
            json_decref(params);
            n_secrets++;
        }
    }
    assert_true(n_secrets > 0);
}

/* ---- what filters know of columns ---- */

static int values_parse(const char *method, const char *text)
{
    size_t n;
    struct filter *f = NULL;
    AUTO_FREE char *error = NULL;
    const struct filter_field *fields = command_filter_fields(commands_find_method(method), &n);
    int err = filter_parse(str_of(text), fields, n, &f, &error);
    filter_unref(f);
    return err;
}

/* What a column cannot have finds nothing whatever happens: it is a mistake. */
static void test_values(void **state)
{
    static const struct {
        const char *method, *good, *bad;
    } cases[] = {
        {"user.list", "state=locked,held", "state=lokced"},
        {"user.list", "source=store", "source=sotre"},
        {"backend.list", "admin=drain health=up,down", "admin=drained"},
        {"backend.list", "origin=run*", "health=dead"},
        {"op.list", "state=\"partly done\" kind=ready", "state=partly"},
        {"op.users", "state=there", "state=gone"},
        {"ban.list", "kind=network", "kind=net"},
        {"limit.list", "kind=address", "kind=ip"},
        {"event.watch", "type=failure,end proto=imap", "type=failed"},
        {"event.list", "cause=auth-failed", "cause=auth_failed"},
        {"event.watch", "type=guessing", "proto=http"},
        {"audit.list", "command=backend.* result=ok,E_BUSY", "command=backend.drained"},
        {"audit.list", "result==E_NO_USER", "result=failed"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(values_parse(cases[i].method, cases[i].good), 0);
        assert_int_equal(values_parse(cases[i].method, cases[i].bad), -ERR_SYNTAX);
    }
}

static void test_within(void **state)
{
    size_t n;
    struct filter *f = NULL;
    AUTO_FREE char *error = NULL;
    json_t *row = json_pack("{s:s, s:s}", "name", "dc1", "pool", "main");
    const struct filter_field *fields =
        command_filter_fields(commands_find_method("backend.list"), &n);
    assert_int_equal(filter_parse(STR("name=main/dc1"), fields, n, &f, &error), 0);
    assert_true(filter_match(f, command_row_get, row));
    json_object_set_new(row, "pool", json_string("other"));
    assert_false(filter_match(f, command_row_get, row));
    filter_unref(f);
    json_decref(row);
}

/* ---- the table ---- */

static void test_table(void **state)
{
    size_t n, n_columns, n_args, n_fields;
    const struct command *all = commands_all(&n);
    assert_true(n > 30);
    for (size_t i = 0; i < n; i++) {
        const struct command *c = &all[i];
        assert_ptr_equal(commands_find_method(c->method), c); /* no method twice */
        assert_true(c->role >= ROLE_VIEWER && c->role <= ROLE_ADMIN);
        /* who may only look cannot change anything */
        assert_false(c->role == ROLE_VIEWER &&
                     (c->flags & (COMMANDS_CHANGES | COMMANDS_DESTRUCTIVE)));
        assert_true(!(c->flags & COMMANDS_DESTRUCTIVE) || (c->flags & COMMANDS_CHANGES));
        const struct command_arg *args = commands_args(c, &n_args);
        for (size_t j = 0; j < n_args; j++)
            for (size_t k = 0; k < j; k++)
                assert_string_not_equal(args[j].name, args[k].name);
        const struct command_column *columns = commands_columns(c, &n_columns);
        const struct filter_field *fields = command_filter_fields(c, &n_fields);
        assert_int_equal(n_columns, n_fields);
        for (size_t j = 0; j < n_columns; j++)
            assert_string_equal(columns[j].name, fields[j].name);
        assert_true(!(c->flags & COMMANDS_LIST) || n_columns > 0);
    }
    assert_null(commands_find_method("session"));
    assert_null(commands_find_method(""));
    assert_string_equal(command_nearest("session.lst"), "session.list");
    assert_null(command_nearest("quite.other"));
    assert_string_equal(role_name(ROLE_NONE), "none");
    assert_string_equal(role_name(ROLE_ADMIN), "admin");
}

/* ---- filters over rows ---- */

static bool matches(const char *method, const char *filter, const char *row)
{
    size_t n;
    const struct filter_field *fields = command_filter_fields(find(method), &n);
    struct filter *f = NULL;
    char *error = NULL;
    if (filter_parse(str_of(filter), fields, n, &f, &error) < 0)
        fail_msg("%s", error);
    json_t *object = parse(row);
    bool is_match = filter_match(f, command_row_get, object);
    json_decref(object);
    filter_unref(f);
    return is_match;
}

static void test_columns(void **state)
{
    static const char row[] = "{'id': '1-2a', 'user': 'joe', 'ip': '10.1.2.3', 'in': 4096,"
                              " 'idle': 90000, 'port': 993, 'tls': 'no'}";
    static const char *const good[] = {
        "",          "user=j*", "ip=10.0.0.0/8", "in=4k",         "idle>1m",   "port>=993",
        "!user=ann", "pool=",   "id=1-2a,x",     "idle<2m in>1k", "!pool=main"};
    static const char *const bad[] = {"user=ann", "ip=11.0.0.0/8", "in>4k",    "idle>2m",
                                      "port=1",   "pool=main",     "!user=joe"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!matches("session.list", good[i], row))
            fail_msg("%s does not match", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (matches("session.list", bad[i], row))
            fail_msg("%s matches", bad[i]);
    /* a member of another type is as if it were not there */
    assert_false(matches("session.list", "in>0", "{'in': '4096'}"));
    assert_false(matches("session.list", "user=5", "{'user': 5}"));
    assert_false(matches("session.list", "ip=10.0.0.0/8", "{'ip': 'nonsense'}"));
    assert_true(matches("session.list", "user=", "{}"));
}

/* Whatever asks before it acts can say whom it would hit, and answers that to everybody alike. */
static void test_what_asks_has_a_dry_run(void **state)
{
    size_t n;
    const struct command *all = commands_all(&n);
    for (size_t i = 0; i < n; i++) {
        const struct command_arg *dry = commands_arg(&all[i], "dry_run");
        if (all[i].flags & (COMMANDS_DESTRUCTIVE | COMMANDS_ASKS) && !dry)
            fail_msg("%s asks, but has no dry_run", all[i].method);
        if (dry && !(all[i].flags & COMMANDS_CHANGES))
            fail_msg("%s changes nothing, but has a dry_run", all[i].method);
        if (commands_arg(&all[i], "max") && !dry)
            fail_msg("%s has a max, but no dry_run", all[i].method);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reach),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_what_asks_has_a_dry_run),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_all_secrets_are_masked),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_within),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
