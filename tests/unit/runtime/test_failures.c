/* SPDX-License-Identifier: ISC */
/* What is remembered of failed logins: newest first, bounded, ended by a success. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "runtime/failures.h"

static struct login_failure failure(uint64_t at_ms, const char *words)
{
    struct login_failure f = {.at_ms = at_ms,
                              .proto = PROTO_IMAP,
                              .cause = "auth-failed",
                              .source = "users",
                              .ip = "192.0.2.1"};
    (void)snprintf(f.words, sizeof(f.words), "%s", words);
    return f;
}

static void note(struct failures *f, const char *user, uint64_t at_ms, const char *words)
{
    struct login_failure x = failure(at_ms, words);
    failures_note(f, user, 0, &x);
}

static void test_newest_first(void **state)
{
    struct failures *f;
    assert_int_equal(failures_new(&f), 0);
    assert_null(failures_of_user(f, "anna"));
    for (unsigned i = 1; i <= 5; i++) {
        char words[8];
        (void)snprintf(words, sizeof(words), "n%u", i);
        note(f, "Anna@Example.ORG", i, words);
    }
    const struct user_failures *u = failures_of_user(f, "anna@example.org");
    assert_non_null(u);
    assert_int_equal(u->n, FAILURES_OF_USER);
    assert_string_equal(u->v[0].words, "n5");
    assert_string_equal(u->v[FAILURES_OF_USER - 1].words, "n3");
    assert_true(user_failures_are_last(u));
    failures_note_login(f, "anna@example.org", 0, "users", 6);
    assert_false(user_failures_are_last(u));
    note(f, "anna@example.org", 7, "again");
    assert_true(user_failures_are_last(failures_of_user(f, "anna@example.org")));
    assert_null(failures_of_user(f, "bob"));
    note(f, "", 8, "no name");
    note(f, "bad\nname", 8, "no name");
    assert_null(failures_of_user(f, ""));
    failures_free(f);
}

static void test_bounded(void **state)
{
    struct failures *f;
    char name[32];
    assert_int_equal(failures_new(&f), 0);
    for (unsigned i = 0; i < FAILURES_USERS_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "user%u", i);
        note(f, name, i + 1, "x");
        if (i > 0)
            note(f, "user0", i + 1, "again"); /* who fails again stays */
    }
    assert_non_null(failures_of_user(f, "user0"));
    assert_null(failures_of_user(f, "user1"));
    assert_non_null(failures_of_user(f, name));
    failures_free(f);
}

static void test_providers(void **state)
{
    struct failures *f;
    struct login_failure x = failure(10, "connection refused");
    assert_int_equal(failures_new(&f), 0);
    x.cause = "auth-tempfail";
    x.source = "http";
    failures_note(f, "anna", 1, &x);
    assert_null(failures_of_provider(f, 0));
    assert_true(provider_failures_are_last(failures_of_provider(f, 1)));
    failures_note_login(f, "bob", 1, "http (cached)", 11); /* says nothing of the server */
    assert_true(provider_failures_are_last(failures_of_provider(f, 1)));
    x.cause = "auth-failed";
    x.at_ms = 12;
    failures_note(f, "anna", 1, &x); /* it judged */
    assert_false(provider_failures_are_last(failures_of_provider(f, 1)));
    failures_note(f, "anna", 4000, &x);
    assert_null(failures_of_provider(f, 4000));
    assert_false(provider_failures_are_last(NULL));
    assert_false(user_failures_are_last(NULL));
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(login_failure_print(&x, 5012, &text), 0);
    assert_string_equal(buf_cstr(&text),
                        "5s ago from 192.0.2.1 by imap: connection refused (http)");
    failures_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_first),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_providers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
