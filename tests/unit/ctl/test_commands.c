/* SPDX-License-Identifier: ISC */
/* The command table as the clients see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "ctl/help.h"
#include "rpc/commands.h"

static void test_find(void **state)
{
    const struct command *c = commands_find("session", "list");
    assert_non_null(c);
    assert_string_equal(c->method, "session.list");
    assert_true(c->flags & COMMANDS_LIST);
    assert_int_equal(c->role, ROLE_VIEWER);
    assert_ptr_equal(commands_find("session", "ls"), c);
    assert_ptr_equal(commands_find("user", "rm"), commands_find("user", "remove"));
    assert_string_equal(commands_find("system", "log-level")->method, "system.log_level");
    assert_ptr_equal(commands_find("system", "log_level"), commands_find("system", "log-level"));
    assert_null(commands_find("session", "nope"));
    assert_null(commands_find("nope", "list"));
}

static void test_nouns(void **state)
{
    static const struct {
        const char *word, *noun, *method;
        bool is_plural;
    } cases[] = {
        {"sessions", "session", "session.list", true},
        {"users", "user", "user.list", true},
        {"backends", "backend", "backend.list", true},
        {"pools", "pool", "pool.list", true},
        {"listeners", "listener", "listener.list", true},
        {"events", "event", "event.list", true},
        {"audits", "audit", "audit.list", true},
        {"routes", "route", "route.list", true},
        {"session", "session", "session.list", false},
        {"limits", "limit", "limit.list", true},
        {"stats", "stats", "stats.show", true},
        {"stat", "stats", "stats.show", false},
        {"system", "system", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool is_plural = !cases[i].is_plural;
        const char *noun = commands_noun(cases[i].word, &is_plural);
        assert_string_equal(noun, cases[i].noun);
        assert_int_equal(is_plural, cases[i].is_plural);
        const struct command *c = commands_default(noun);
        if (cases[i].method)
            assert_string_equal(c->method, cases[i].method);
        else
            assert_null(c);
    }
    assert_null(commands_noun("nope", NULL));
    assert_string_equal(commands_shortcut("status")->method, "system.status");
    assert_null(commands_shortcut("session"));
    assert_string_equal(commands_nearest_noun("sesion"), "session");
    assert_string_equal(commands_nearest_noun("bakcends"), "backends");
    assert_string_equal(commands_nearest_verb("session", "kil"), "kill");
    assert_null(commands_nearest_verb("session", "frobnicate"));
}

static void test_args(void **state)
{
    const struct command *kill = commands_find("session", "kill");
    const struct command_arg *arg = commands_arg(kill, "dry-run");
    assert_string_equal(arg->name, "dry_run");
    assert_int_equal(arg->type, COMMANDS_BOOL);
    assert_ptr_equal(commands_arg(kill, "dry_run"), arg);
    assert_null(commands_arg(kill, "nope"));
    assert_int_equal(commands_arg(kill, "grace")->type, COMMANDS_DURATION);
    arg = commands_arg(commands_find("user", "remove"), "name");
    assert_int_equal(arg->flags, COMMANDS_NEEDED | COMMANDS_POSITIONAL | COMMANDS_MANY);
    const struct command *list = commands_find("session", "list");
    assert_int_equal(commands_column(list, "age")->unit, COMMANDS_DURATION);
    assert_true(commands_column(list, "worker")->is_wide);
    assert_false(commands_column(list, "user")->is_wide);
    assert_string_equal(commands_nearest_column(list, "bakend"), "backend");
}

/* What the tools rely on holds for every row of the table. */
static void test_table(void **state)
{
    size_t n, n_args, n_columns;
    const struct command *c = commands_all(&n);
    assert_true(n > 30);
    for (size_t i = 0; i < n; i++) {
        const struct command_arg *arg = commands_args(&c[i], &n_args);
        const struct command_column *col = commands_columns(&c[i], &n_columns);
        bool has_many = false, has_optional = false;
        assert_ptr_equal(commands_find(c[i].noun, c[i].verb), &c[i]);
        assert_non_null(commands_noun(c[i].noun, NULL));
        for (size_t k = 0; k < n_args; k++) {
            assert_ptr_equal(commands_arg(&c[i], arg[k].name), &arg[k]);
            if (!(arg[k].flags & COMMANDS_POSITIONAL))
                continue;
            /* Several words go to the last positional; needed ones come first. */
            assert_false(has_many);
            assert_false(has_optional && arg[k].flags & COMMANDS_NEEDED);
            has_many = arg[k].flags & COMMANDS_MANY;
            has_optional = !(arg[k].flags & COMMANDS_NEEDED);
        }
        for (size_t k = 0; k < n_columns; k++)
            assert_ptr_equal(commands_column(&c[i], col[k].name), &col[k]);
        if (c[i].flags & (COMMANDS_LIST | COMMANDS_ONE))
            assert_true(n_columns > 0);
        AUTO_FREE char *usage = help_usage(&c[i]);
        AUTO_FREE char *example = help_example(&c[i], 0);
        assert_non_null(usage);
        assert_non_null(example);
    }
}

static void test_words(void **state)
{
    const struct command_arg *format = commands_arg(commands_find("user", "import"), "format");
    const char *rest = format->help;
    assert_true(commands_has_words(format));
    static const char *const words[] = {"csv", "passwd", "libconfig"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct str word = commands_next_word(&rest);
        assert_true(str_eq(word, str_of(words[i])));
    }
    assert_int_equal(*rest, '\0');
    assert_true(commands_has_words(commands_arg(commands_find("system", "log_level"), "level")));
    assert_false(commands_has_words(commands_arg(commands_find("user", "add"), "name")));
    assert_false(commands_has_words(commands_arg(commands_find("user", "add"), "protocols")));
    assert_false(commands_has_words(commands_arg(commands_find("user", "add"), "reason")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),  cmocka_unit_test(test_nouns), cmocka_unit_test(test_args),
        cmocka_unit_test(test_table), cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
