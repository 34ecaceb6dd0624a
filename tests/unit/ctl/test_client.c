/* SPDX-License-Identifier: ISC */
/* The client library against a daemon of the test's own. */
#include "fake.h"

#include <poll.h>
#include <setjmp.h>

#include <cmocka.h>

#include "ctl/control_client.h"

static char *answer(const char *method, const json_t *params, json_int_t id)
{
    if (strcmp(method, "system.whoami") == 0)
        return fake_result(id, "{\"user\":\"root\",\"uid\":0}");
    if (strcmp(method, "echo") == 0) {
        char *text = json_dumps(params, JSON_COMPACT);
        char *line = fake_result(id, text);
        free(text);
        return line;
    }
    if (strcmp(method, "no") == 0)
        return fake_error(id, "E_NO_BACKEND", "no such backend", "b1");
    if (strcmp(method, "events") == 0) {
        char *line = NULL;
        if (asprintf(&line,
                     "{\"method\":\"event\",\"params\":{\"stream\":1,\"n\":1}}\n"
                     "{\"id\":%lld,\"result\":{\"stream\":1}}\n"
                     "{\"method\":\"event\",\"params\":{\"stream\":1,\"n\":2}}\n",
                     (long long)id) < 0)
            abort();
        return line;
    }
    if (strcmp(method, "garbage") == 0)
        return strdup("no json at all\n");
    if (strcmp(method, "hang-up") == 0)
        return strdup("");
    return NULL;
}

static void connect_to(const struct fake *s, struct control_client **c)
{
    struct control_client_error e = {0};
    assert_int_equal(control_client_connect(s->path, 10000, c, &e), 0);
    assert_null(e.text);
}

static void test_hello(void **state)
{
    for (int slow = 0; slow < 2; slow++) {
        struct fake s = {.answer = answer, .is_slow = slow};
        struct control_client *c = NULL;
        fake_start(&s);
        connect_to(&s, &c);
        const struct control_client_hello *h = control_client_hello(c);
        assert_string_equal(h->product, "mailproxy");
        assert_string_equal(h->version, "0.1.0");
        assert_string_equal(h->node, "n1");
        assert_string_equal(h->role, "admin");
        assert_int_equal(h->protocol, 1);
        control_client_close(c);
        fake_stop(&s);
    }
}

static void test_greetings_refused(void **state)
{
    static const struct {
        const char *greeting;
        int err;
        const char *words;
    } cases[] = {
        {"{\"method\":\"hello\",\"params\":{\"product\":\"other\",\"protocol\":1}}\n", -ERR_VERSION,
         "is not a socket of mailproxyd"},
        {"{\"method\":\"hello\",\"params\":{\"product\":\"mailproxy\",\"protocol\":2}}\n",
         -ERR_VERSION, "speaks version 2 of the control protocol"},
        {"{\"id\":null,\"error\":{\"message\":\"full\",\"data\":{\"name\":\"E_LIMIT\"}}}\n",
         -ERR_LIMIT, "full"},
        {"SSH-2.0-x\n", -ERR_PROTOCOL, "is not a socket of mailproxyd"},
        {"[1]\n", -ERR_PROTOCOL, "is not a socket of mailproxyd"},
        {"", -ERR_CLOSED, "closed the connection without a word"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake s = {.greeting = cases[i].greeting};
        struct control_client *c = NULL;
        struct control_client_error e = {0};
        fake_start(&s);
        assert_int_equal(control_client_connect(s.path, 10000, &c, &e), cases[i].err);
        assert_null(c);
        if (!strstr(e.text, cases[i].words))
            fail_msg("%s: %s", cases[i].greeting, e.text);
        assert_int_equal(e.err, -cases[i].err);
        control_client_error_fini(&e);
        fake_stop(&s);
    }
}

static void test_unreachable(void **state)
{
    struct control_client *c = NULL;
    struct control_client_error e = {0};
    char path[200];
    assert_int_equal(control_client_connect("/nowhere/at/all", 1000, &c, &e), -ERR_UNREACHABLE);
    assert_true(e.is_own);
    assert_non_null(strstr(e.text, "/nowhere/at/all"));
    control_client_error_fini(&e);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(control_client_connect(path, 1000, &c, &e), -ERR_UNREACHABLE);
    assert_non_null(strstr(e.text, "so long a name"));
    control_client_error_fini(&e);
    assert_null(c);
}

static void test_call(void **state)
{
    for (int slow = 0; slow < 2; slow++) {
        struct fake s = {.answer = answer, .is_slow = slow};
        struct control_client *c = NULL;
        struct control_client_error e = {0};
        json_t *result = NULL;
        fake_start(&s);
        connect_to(&s, &c);
        assert_int_equal(control_client_call(c, "system.whoami", NULL, 10000, &result, &e), 0);
        assert_string_equal(json_string_value(json_object_get(result, "user")), "root");
        json_decref(result);
        assert_int_equal(
            control_client_call(c, "echo", json_pack("{s:s}", "a", "\u00e9\n"), 10000, &result, &e),
            0);
        assert_string_equal(json_string_value(json_object_get(result, "a")), "\u00e9\n");
        json_decref(result);
        /* The event before and the one behind the answer do not disturb. */
        assert_int_equal(control_client_call(c, "events", NULL, 10000, &result, &e), 0);
        json_decref(result);
        assert_int_equal(control_client_call(c, "no", NULL, 10000, &result, &e), -ERR_NO_BACKEND);
        assert_string_equal(e.name, "E_NO_BACKEND");
        assert_string_equal(e.text, "no such backend");
        assert_string_equal(e.hint, "b1");
        assert_false(e.is_own);
        control_client_error_fini(&e);
        control_client_close(c);
        fake_stop(&s);
    }
}

static void test_call_fails(void **state)
{
    static const struct {
        const char *method;
        int err;
    } cases[] = {{"silence", -ERR_TIMEOUT}, {"garbage", -ERR_PROTOCOL}, {"hang-up", -ERR_CLOSED}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake s = {.answer = answer};
        struct control_client *c = NULL;
        struct control_client_error e = {0};
        json_t *result = NULL;
        fake_start(&s);
        connect_to(&s, &c);
        uint64_t timeout = cases[i].err == -ERR_TIMEOUT ? 50 : 10000;
        assert_int_equal(control_client_call(c, cases[i].method, NULL, timeout, &result, &e),
                         cases[i].err);
        assert_true(e.is_own);
        assert_null(result);
        control_client_error_fini(&e);
        control_client_close(c);
        fake_stop(&s);
    }
}

static void test_long_messages(void **state)
{
    struct fake s = {.answer = answer};
    struct control_client *c = NULL;
    struct control_client_error e = {0};
    json_t *result = NULL;
    char *text = calloc(1, CLIENT_REQUEST_MAX + 1);
    fake_start(&s);
    connect_to(&s, &c);
    memset(text, 'a', CLIENT_REQUEST_MAX);
    assert_int_equal(
        control_client_call(c, "echo", json_pack("{s:s}", "a", text), 10000, &result, &e),
        -ERR_TOO_LONG);
    control_client_error_fini(&e);
    /* The connection is still good, also for the longest request that is allowed. */
    text[CLIENT_REQUEST_MAX - 200] = '\0';
    assert_int_equal(
        control_client_call(c, "echo", json_pack("{s:s}", "a", text), 10000, &result, &e), 0);
    assert_string_equal(json_string_value(json_object_get(result, "a")), text);
    json_decref(result);
    free(text);
    control_client_close(c);
    fake_stop(&s);
}

/* Waits for the descriptor, as an event loop does. */
static int receive(struct control_client *c, struct control_client_message *m)
{
    for (;;) {
        int err = control_client_receive(c, m);
        if (err != -ERR_AGAIN)
            return err;
        struct pollfd p = {.fd = control_client_fd(c), .events = control_client_events(c)};
        assert_int_equal(poll(&p, 1, 10000), 1);
        if (p.revents & POLLOUT)
            assert_int_equal(control_client_flush(c), 0);
    }
}

static void test_non_blocking(void **state)
{
    struct fake s = {.answer = answer, .is_slow = true};
    struct control_client *c = NULL;
    struct control_client_message m = {0};
    uint64_t first = 0, second = 0;
    fake_start(&s);
    assert_int_equal(control_client_open(s.path, &c), 0);
    assert_null(control_client_hello(c));
    /* Requests may be sent before the greeting, and several at once. */
    assert_int_equal(control_client_send(c, "events", NULL, &first), 0);
    assert_int_equal(control_client_send(c, "no", NULL, &second), 0);
    assert_int_not_equal(first, second);
    static const enum client_kind kinds[] = {CLIENT_HELLO, CLIENT_EVENT, CLIENT_RESULT,
                                             CLIENT_EVENT, CLIENT_ERROR};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        assert_int_equal(receive(c, &m), 0);
        assert_int_equal(m.kind, kinds[i]);
        if (m.kind == CLIENT_EVENT)
            assert_string_equal(m.method, "event");
        if (m.kind == CLIENT_RESULT)
            assert_int_equal(m.id, first);
        if (m.kind == CLIENT_ERROR)
            assert_int_equal(m.id, second);
        control_client_message_fini(&m);
    }
    assert_non_null(control_client_hello(c));
    assert_int_equal(control_client_receive(c, &m), -ERR_AGAIN);
    control_client_close(c);
    control_client_close(NULL);
    fake_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),        cmocka_unit_test(test_greetings_refused),
        cmocka_unit_test(test_unreachable),  cmocka_unit_test(test_call),
        cmocka_unit_test(test_call_fails),   cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_non_blocking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
