/* SPDX-License-Identifier: ISC */
/* Subjects and rules: reading and printing them, the narrowest match, ends, and the cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "limits/rules.h"

/* ---- subjects ---- */

static const struct {
    const char *text, *printed; /* printed NULL = refused */
    enum limit_target_kind kind;
} subjects[] = {
    {"10.1.2.3", "10.1.2.3", LIMIT_TARGET_ADDRESS},
    {"10.0.0.0/8", "10.0.0.0/8", LIMIT_TARGET_NETWORK},
    {"10.1.2.3/32", "10.1.2.3", LIMIT_TARGET_ADDRESS},
    {"0.0.0.0/0", "0.0.0.0/0", LIMIT_TARGET_NETWORK},
    {"2001:DB8::1", "2001:db8::1", LIMIT_TARGET_ADDRESS},
    {"2001:db8::/32", "2001:db8::/32", LIMIT_TARGET_NETWORK},
    {"::/0", "::/0", LIMIT_TARGET_NETWORK},
    {"unix:", "unix:", LIMIT_TARGET_ADDRESS},
    {"Alice@Example.ORG", "alice@example.org", LIMIT_TARGET_USER},
    {"user:alice", "alice", LIMIT_TARGET_USER},
    {"user:10.1.2.3", "user:10.1.2.3", LIMIT_TARGET_USER},
    {"user:user:x", "user:user:x", LIMIT_TARGET_USER},
    {"user:unix:", "user:unix:", LIMIT_TARGET_USER},
    {"a/b", "a/b", LIMIT_TARGET_USER},
    {"10.0.0.1/8", NULL, LIMIT_TARGET_NETWORK},
    {"10.0.0.0/33", NULL, LIMIT_TARGET_NETWORK},
    {"10.0.0.0/x", NULL, LIMIT_TARGET_NETWORK},
    {"10.0.0.1:25", NULL, LIMIT_TARGET_ADDRESS},
    {"[::1]:25", NULL, LIMIT_TARGET_ADDRESS},
    {"2001:db8::1/32", NULL, LIMIT_TARGET_NETWORK},
    {"10.0.0.*", NULL, LIMIT_TARGET_NETWORK},
    {"10.0.0.1-10.0.0.9", NULL, LIMIT_TARGET_NETWORK},
    {"2001:db8:1", NULL, LIMIT_TARGET_ADDRESS},
    {"fe80::1%eth0", NULL, LIMIT_TARGET_ADDRESS},
    {"555-1234", "555-1234", LIMIT_TARGET_USER},
    {"bad:cafe", "bad:cafe", LIMIT_TARGET_USER},
    {"a::b@example.org", "a::b@example.org", LIMIT_TARGET_USER},
    {"", NULL, LIMIT_TARGET_USER},
    {"user:", NULL, LIMIT_TARGET_USER},
    {"a\nb", NULL, LIMIT_TARGET_USER},
};

static void test_subjects(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        struct limit_target s, back;
        char text[LIMIT_TARGET_TEXT_MAX];
        int err = limit_target_parse(str_of(subjects[i].text), &s);
        if (!subjects[i].printed) {
            assert_int_equal(err, -ERR_SYNTAX);
            continue;
        }
        assert_int_equal(err, 0);
        assert_int_equal(s.kind, subjects[i].kind);
        limit_target_format(text, &s);
        assert_string_equal(text, subjects[i].printed);
        assert_int_equal(limit_target_parse(str_of(text), &back), 0);
        assert_int_equal(back.kind, s.kind);
        assert_string_equal(back.user, s.user);
    }
}

static void test_subject_of_addr(void **state)
{
    static const char *const rows[][2] = {{"192.0.2.7", "192.0.2.7"},
                                          {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
                                          {"::1", "::/64"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;
        struct limit_target s;
        char text[LIMIT_TARGET_TEXT_MAX];
        assert_int_equal(addr_parse(str_of(rows[i][0]), &a), 0);
        limit_target_of_addr(&s, &a);
        limit_target_format(text, &s);
        assert_string_equal(text, rows[i][1]);
        assert_true(addr_net_has(&s.net, &a));
    }
}

/* ---- rules ---- */

struct fixture {
    struct rules rules;
    struct rules_time now;
    char gone[4096]; /* "expired 10.0.0.1;" */
};

static void on_gone(void *arg, const struct rule *r, enum rule_end why)
{
    struct fixture *f = arg;
    struct limit_target s;
    char text[LIMIT_TARGET_TEXT_MAX];
    size_t used = strlen(f->gone);
    rule_subject(r, &s);
    limit_target_format(text, &s);
    snprintf(f->gone + used, sizeof(f->gone) - used, "%s %s;",
             why == RULE_EXPIRED ? "expired" : "evicted", text);
}

static void begin(struct fixture *f, size_t max_automatic)
{
    *f = (struct fixture){.now = {.ms = 1000000, .wall_ms = 1700000000000}};
    rules_init(&f->rules, max_automatic, f->now.ms);
    f->rules.gone = on_gone;
    f->rules.arg = f;
}

static struct rule *put(struct fixture *f, const char *subject, uint64_t life_ms, bool is_automatic)
{
    struct rule *r = NULL;
    struct rule_spec spec = {.is_automatic = is_automatic,
                             .created_ms = f->now.wall_ms,
                             .until_ms = life_ms ? f->now.wall_ms + life_ms : 0,
                             .text = subject,
                             .sessions = RULE_KEEP,
                             .login_rate = RULE_KEEP,
                             .failures = RULE_KEEP};
    assert_int_equal(limit_target_parse(str_of(subject), &spec.subject), 0);
    assert_int_equal(rules_put(&f->rules, &spec, &f->now, &r), 0);
    return r;
}

static void advance(struct fixture *f, uint64_t ms, uint64_t wall_ms)
{
    f->now.ms += ms;
    f->now.wall_ms += wall_ms;
    rules_expire(&f->rules, &f->now);
}

static const char *match(const struct fixture *f, const char *text)
{
    struct addr a = {.family = AF_UNIX};
    if (strcmp(text, "unix:") != 0)
        assert_int_equal(addr_parse(str_of(text), &a), 0);
    const struct rule *r = rules_match_addr(&f->rules, &a);
    return r ? r->text : "none";
}

static void test_narrowest(void **state)
{
    struct fixture f;
    begin(&f, 10);
    put(&f, "10.0.0.0/8", 0, false);
    put(&f, "10.1.0.0/16", 0, false);
    put(&f, "10.1.2.3", 0, false);
    put(&f, "2001:db8::/32", 0, false);
    assert_string_equal(match(&f, "10.1.2.3"), "10.1.2.3");
    assert_string_equal(match(&f, "10.1.2.4"), "10.1.0.0/16");
    assert_string_equal(match(&f, "10.2.0.1"), "10.0.0.0/8");
    assert_string_equal(match(&f, "11.0.0.1"), "none");
    assert_string_equal(match(&f, "2001:db8:ffff::1"), "2001:db8::/32");
    assert_string_equal(match(&f, "2001:db9::1"), "none");
    assert_string_equal(match(&f, "unix:"), "none");
    put(&f, "::/0", 0, false);
    assert_string_equal(match(&f, "2001:db9::1"), "::/0");
    assert_string_equal(match(&f, "11.0.0.1"), "none"); /* families are apart */
    put(&f, "0.0.0.0/0", 0, false);
    assert_string_equal(match(&f, "11.0.0.1"), "0.0.0.0/0");
    put(&f, "unix:", 0, false);
    assert_string_equal(match(&f, "unix:"), "unix:");
    rules_fini(&f.rules);
}

static void test_users(void **state)
{
    struct fixture f;
    begin(&f, 10);
    assert_null(rules_match_user(&f.rules, "alice"));
    struct rule *r = put(&f, "Alice", 0, false);
    assert_ptr_equal(rules_match_user(&f.rules, "alice"), r);
    assert_null(rules_match_user(&f.rules, "bob"));
    assert_null(rules_match_user(&f.rules, ""));
    assert_null(rules_match_user(&f.rules, NULL));
    rules_remove(&f.rules, r);
    assert_null(rules_match_user(&f.rules, "alice"));
    assert_int_equal(rules_count(&f.rules), 0);
    assert_string_equal(f.gone, "");
    rules_fini(&f.rules);
}

static void test_ends(void **state)
{
    struct fixture f;
    begin(&f, 10);
    put(&f, "10.0.0.1", 1000, true);
    put(&f, "10.0.0.2", 3600000, false);
    put(&f, "10.0.0.3", 0, false);
    advance(&f, 999, 999);
    assert_string_equal(match(&f, "10.0.0.1"), "10.0.0.1");
    advance(&f, 300, 300);
    assert_string_equal(match(&f, "10.0.0.1"), "none");
    assert_string_equal(f.gone, "expired 10.0.0.1;");
    for (int i = 0; i < 3599; i++)
        advance(&f, 1000, 1000);
    assert_int_equal(rules_count(&f.rules), 1);
    assert_string_equal(f.gone, "expired 10.0.0.1;expired 10.0.0.2;");
    rules_fini(&f.rules);
}

/* An end is a moment of the wall clock, whatever the clocks do meanwhile. */
static void test_clock_set_back(void **state)
{
    struct fixture f;
    begin(&f, 10);
    put(&f, "10.0.0.1", 1000, true);
    f.now.wall_ms -= 60000;
    advance(&f, 2000, 2000);
    assert_string_equal(match(&f, "10.0.0.1"), "10.0.0.1");
    for (int i = 0; i < 60; i++)
        advance(&f, 1000, 1000);
    assert_string_equal(match(&f, "10.0.0.1"), "none");
    rules_fini(&f.rules);
}

static void test_replaced(void **state)
{
    struct fixture f;
    begin(&f, 10);
    put(&f, "10.0.0.1", 1000, true)->hits = 7;
    struct rule *r = put(&f, "10.0.0.1", 0, false);
    assert_int_equal(rules_count(&f.rules), 1);
    assert_int_equal(f.rules.n_automatic, 0);
    assert_int_equal(r->hits, 7);
    advance(&f, 5000, 5000);
    assert_string_equal(match(&f, "10.0.0.1"), "10.0.0.1");
    assert_string_equal(f.gone, "");
    rules_fini(&f.rules);
}

/* The daemon's own rules push out their oldest, never an operator's. */
static void test_cap(void **state)
{
    struct fixture f;
    begin(&f, 2);
    put(&f, "10.9.9.9", 0, false);
    put(&f, "10.0.0.1", 1000, true);
    put(&f, "10.0.0.2", 1000, true);
    put(&f, "10.0.0.2", 1000, true);
    assert_string_equal(f.gone, "");
    put(&f, "10.0.0.3", 1000, true);
    assert_string_equal(f.gone, "evicted 10.0.0.1;");
    assert_int_equal(rules_count(&f.rules), 3);
    assert_int_equal(f.rules.n_automatic, 2);
    assert_string_equal(match(&f, "10.9.9.9"), "10.9.9.9");
    rules_fini(&f.rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subjects),  cmocka_unit_test(test_subject_of_addr),
        cmocka_unit_test(test_narrowest), cmocka_unit_test(test_users),
        cmocka_unit_test(test_ends),      cmocka_unit_test(test_clock_set_back),
        cmocka_unit_test(test_replaced),  cmocka_unit_test(test_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
