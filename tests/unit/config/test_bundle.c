/* SPDX-License-Identifier: ISC */
/* A configuration goes through a bundle unchanged, with its files, and without the disk. */
#include "load_case.h"

#include "base/record.h"
#include "config/config_bundle.h"

static void make(const char *text, struct buf *out, struct config **ret)
{
    struct loaded l;
    load_write("main.conf", str_of(text));
    load_run(&l);
    assert_int_equal(config_bundle_append(l.config, &l.problems, out), 0);
    config_problems_fini(&l.problems);
    *ret = l.config;
}

static void test_both_ways(void **state)
{
    AUTO_BUF bundle = BUF_INIT;
    struct config *c, *copy = NULL;
    struct config_problems problems = {0};
    CLEANUP(config_changes_fini) struct config_changes changes = {0};
    struct str content;
    char secret[128];
    load_write("secret", STR("pa\"ss\n"));
    load_path(secret, "secret");
    AUTO_FREE char *text = str_printf(
        "user = \"nobody\"; server_name = \"a.example\";\n" LOAD_AUTH
        "pools = ( { name = \"p\"; master_user = \"m\"; master_password_file = \"%s\";\n"
        "backends = ( { name = \"b\"; host = \"h\"; } ); } );\n"
        "listeners = ( { name = \"i\"; protocol = \"imap\"; address = \"127.0.0.1:1\"; } );\n",
        secret);
    make(text, &bundle, &c);
    assert_non_null(c);
    load_remove("secret");
    load_remove("main.conf");
    assert_int_equal(config_bundle_load(buf_str(&bundle), &copy, &problems), 0);
    assert_int_equal(config_diff(c, copy, &changes), 0);
    assert_int_equal(changes.n, 0);
    assert_string_equal(copy->path, load_file);
    assert_int_equal(files_read(copy->files, secret, &content), 0);
    assert_true(str_eq(content, STR("pa\"ss\n")));
    assert_true(problems.n > 0); /* nobody can log in without TLS */
    for (size_t i = 0; i < problems.n; i++)
        assert_true(problems.v[i].is_warning && problems.v[i].line > 0);
    config_problems_fini(&problems);
    config_unref(c);
    config_unref(copy);
}

static void test_broken_file(void **state)
{
    AUTO_BUF bundle = BUF_INIT;
    AUTO_BUF said = BUF_INIT;
    struct config *c;
    struct config_problems problems = {0};
    make("workerz = 1;\n", &bundle, &c);
    assert_null(c);
    assert_int_equal(config_bundle_load(buf_str(&bundle), &c, &problems), -ERR_CONFIG);
    assert_int_equal(config_problems_format(&problems, &said), 0);
    assert_non_null(strstr(buf_cstr(&said), "main.conf:1: workerz: "));
    config_problems_fini(&problems);
    load_remove("main.conf");
}

static void test_no_bundle(void **state)
{
    AUTO_BUF bundle = BUF_INIT;
    struct config *c;
    struct config_problems problems = {0};
    make(LOAD_AUTH, &bundle, &c);
    config_unref(c);
    struct str all = buf_str(&bundle);
    for (size_t n = 0; n < all.n; n++)
        assert_true(config_bundle_load(str_n(all.p, n), &c, &problems) < 0);
    config_problems_fini(&problems);
    load_remove("main.conf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_broken_file),
        cmocka_unit_test(test_no_bundle),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
