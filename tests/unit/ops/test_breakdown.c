/* SPDX-License-Identifier: ISC */
/* What is counted of sessions that are to be ended, and its sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ops/breakdown.h"

static void add(struct breakdown *b, const char *proto, const char *backend, const char *state,
                const char *phase)
{
    struct session_row row = {0};
    row.v[SESSION_FIELD_PROTO].text = str_of(proto);
    row.v[SESSION_FIELD_BACKEND].text = str_of(backend);
    row.v[SESSION_FIELD_STATE].text = str_of(state);
    row.v[SESSION_FIELD_PHASE].text = str_of(phase);
    breakdown_add(b, &row);
}

static void check(const struct breakdown *b, const char *want)
{
    AUTO_FREE char *text = breakdown_text(b, "would end");
    assert_string_equal(text, want);
}

static void test_text(void **state)
{
    struct breakdown b = {0};
    check(&b, "0 sessions would end");
    add(&b, "imap", NULL, "command", NULL);
    check(&b, "1 session would end: 1 imap; 1 logging in");
    add(&b, "pop3", "dc2", "relay", "response");
    add(&b, "imap", "dc1", "relay", "idle");
    add(&b, "imap", "dc1", "relay", "between");
    add(&b, "imap", "dc1", "relay", "opaque");
    add(&b, "smtp", "dc1", "relay", "data");
    add(&b, "imap", "dc1", "relay", "ending");
    check(&b, "7 sessions would end: 5 imap, 1 pop3, 1 smtp; 5 on dc1, 1 on dc2; 3 idle, 3 running "
              "commands, 1 logging in");
    add(&b, "imap", "dc1", "closing",
        NULL); /* a client that was said goodbye, and is still there */
    check(&b, "8 sessions would end: 6 imap, 1 pop3, 1 smtp; 6 on dc1, 1 on dc2; 3 idle, 3 running "
              "commands, 1 logging in, 1 closing");
}

static void test_many_backends(void **state)
{
    struct breakdown b = {0};
    char name[100];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "b%d", i);
        add(&b, "imap", name, "relay", "idle");
    }
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    add(&b, "imap", name, "relay", "idle");
    check(&b, "21 sessions would end: 21 imap; 1 on b0, 1 on b1, 1 on b2, 1 on b3, 1 on b4, 1 on "
              "b5, 1 on b6, 1 on b7, 13 on others; 21 idle");
    json_t *json = breakdown_json(&b);
    assert_int_equal(json_integer_value(json_object_get(json, "idle")), 21);
    const json_t *backends = json_object_get(json, "backends");
    assert_int_equal(json_integer_value(json_object_get(backends, "b7")), 1);
    assert_int_equal(json_integer_value(json_object_get(backends, "")), 13);
    json_decref(json);
}

/* A name that does not fit, with room left. */
static void test_long_name(void **state)
{
    struct breakdown b = {0};
    char name[100];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    add(&b, "imap", name, "relay", "idle");
    add(&b, "imap", "b", "relay", "idle");
    check(&b, "2 sessions would end: 2 imap; 1 on b, 1 on others; 2 idle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_many_backends),
        cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
