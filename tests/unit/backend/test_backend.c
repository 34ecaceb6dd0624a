/* SPDX-License-Identifier: ISC */
/* The state words of a backend: names, health by checks and by logins, tries while down, texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "backend/backend.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define LATER 100000 /* monotonic ms */

static struct backend *make(void)
{
    struct backend *b = NULL;
    assert_int_equal(backend_new("main", "b1", &b), 0);
    return b;
}

static void test_names(void **state)
{
    static const char *const health[] = {"unknown", "up", "down"};
    static const char *const admin[] = {"ready", "drain", "disabled", "hold"};
    for (unsigned i = 0; i < BACKEND_HEALTH_COUNT; i++)
        assert_string_equal(backend_health_name((enum backend_health)i), health[i]);
    for (unsigned i = 0; i < BACKEND_ADMIN_COUNT; i++) {
        enum backend_admin a = BACKEND_ADMIN_COUNT;
        assert_string_equal(backend_admin_name((enum backend_admin)i), admin[i]);
        assert_int_equal(backend_admin_find(admin[i], &a), 0);
        assert_int_equal(a, i);
    }
    enum backend_admin a = BACKEND_HOLD;
    assert_int_equal(backend_admin_find("gone", &a), -ERR_INVAL);
    assert_int_equal(backend_admin_find("", &a), -ERR_INVAL);
    assert_int_equal(a, BACKEND_HOLD);
}

static void test_new(void **state)
{
    char reason[BACKEND_REASON_MAX], caps[BACKEND_CAPS_MAX];
    struct backend *b = make();
    assert_string_equal(b->pool, "main");
    assert_string_equal(b->name, "b1");
    assert_int_equal(b->health, BACKEND_UNKNOWN);
    assert_int_equal(b->admin, BACKEND_READY);
    backend_reason(b, reason);
    assert_string_equal(reason, "");
    backend_capabilities(b, PROTO_IMAP, caps);
    assert_string_equal(caps, "");
    assert_true(backend_is_usable(b, PROTO_IMAP, LATER));
    assert_ptr_equal(backend_ref(b), b);
    backend_unref(b);
    backend_unref(b);
    backend_unref(NULL);
}

/* Every pair of words: only what is ready and not down takes logins. */
static void test_usable(void **state)
{
    for (unsigned a = 0; a < BACKEND_ADMIN_COUNT; a++)
        for (unsigned h = 0; h < BACKEND_HEALTH_COUNT; h++) {
            struct backend *b = make();
            backend_set_admin(b, (enum backend_admin)a, 5, "why");
            (void)backend_set_health(b, (enum backend_health)h, LATER, 7, "how");
            bool want = a == BACKEND_READY && h != BACKEND_DOWN;
            assert_int_equal(backend_may_be_usable(b, PROTO_IMAP, LATER), want);
            assert_int_equal(backend_is_usable(b, PROTO_IMAP, LATER), want);
            backend_unref(b);
        }
}

static void test_since_and_reason(void **state)
{
    char reason[BACKEND_REASON_MAX];
    struct backend *b = make();
    assert_true(backend_set_health(b, BACKEND_DOWN, LATER, 70, "imap: connect: refused"));
    assert_int_equal(b->health_since_ms, 70);
    backend_reason(b, reason);
    assert_string_equal(reason, "imap: connect: refused");
    assert_false(backend_set_health(b, BACKEND_DOWN, LATER, 80, "again"));
    assert_int_equal(b->health_since_ms, 70);
    backend_reason(b, reason);
    assert_string_equal(reason, "imap: connect: refused");
    backend_set_admin(b, BACKEND_DRAIN, 90, "reboot");
    assert_int_equal(b->admin_since_ms, 90);
    backend_set_admin(b, BACKEND_DRAIN, 91, "twice");
    assert_int_equal(b->admin_since_ms, 90);
    backend_admin_reason(b, reason);
    assert_string_equal(reason, "reboot");
    backend_reason(b, reason);
    assert_string_equal(reason, "imap: connect: refused");
    assert_true(backend_set_down_protocols(b, 1u << PROTO_POP3, "pop3: timeout"));
    assert_true(backend_set_health(b, BACKEND_UNKNOWN, LATER, 92, NULL));
    backend_admin_reason(b, reason);
    assert_string_equal(reason, "reboot");
    backend_set_admin(b, BACKEND_READY, 93, NULL);
    backend_admin_reason(b, reason);
    assert_string_equal(reason, "");
    char longer[2 * BACKEND_REASON_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_true(backend_set_health(b, BACKEND_UP, LATER, 100, longer));
    backend_reason(b, reason);
    assert_int_equal(strlen(reason), BACKEND_REASON_MAX - 1);
    backend_unref(b);
}

/* A recovery starts slowly, and one that an operator takes back in; a start does not. */
static void test_up_since(void **state)
{
    struct backend *b = make();
    assert_true(backend_set_health(b, BACKEND_UP, LATER, 1, NULL));
    assert_int_equal(b->up_since_ms, 0);
    assert_true(backend_set_health(b, BACKEND_DOWN, LATER, 2, NULL));
    assert_true(backend_set_health(b, BACKEND_UP, LATER + 5, 3, NULL));
    assert_int_equal(b->up_since_ms, LATER + 5);
    backend_set_admin(b, BACKEND_HOLD, 4, NULL); /* takes nobody away */
    backend_set_admin(b, BACKEND_READY, 5, NULL);
    assert_int_equal(b->up_since_ms, LATER + 5);
    uint64_t before = clock_ms();
    backend_set_admin(b, BACKEND_DISABLED, 6, NULL);
    backend_set_admin(b, BACKEND_READY, 7, NULL);
    assert_in_range(b->up_since_ms, before, clock_ms());
    backend_unref(b);
}

/* ---- logins ---- */

static bool note_of(struct backend *b, enum back_failure f, uint32_t user, uint64_t now)
{
    const struct backend_login l = {
        .failure = f, .user = user, .fall = 3, .now_ms = now, .wall_ms = 1, .message = "refused"};
    return backend_note_login(b, &l);
}

static bool note(struct backend *b, enum back_failure f, uint64_t now)
{
    return note_of(b, f, 0, now);
}

static void test_fall(void **state)
{
    char reason[BACKEND_REASON_MAX];
    struct backend *b = make();
    assert_true(note(b, BACK_FAIL_NONE, LATER));
    assert_int_equal(b->health, BACKEND_UP);
    assert_false(note(b, BACK_FAIL_NONE, LATER));
    assert_false(note(b, BACK_FAIL_CONNECT, LATER));
    assert_false(note(b, BACK_FAIL_TIMEOUT, LATER));
    assert_false(note(b, BACK_FAIL_NONE, LATER)); /* the row is broken */
    assert_false(note(b, BACK_FAIL_CONNECT, LATER));
    assert_false(note(b, BACK_FAIL_BYE, LATER));
    assert_true(note(b, BACK_FAIL_CLOSED, LATER));
    assert_int_equal(b->health, BACKEND_DOWN);
    backend_reason(b, reason);
    assert_string_equal(reason, "3 logins in a row failed: refused");
    assert_int_equal(b->logins, 3);
    assert_int_equal(b->connect_failures, 2);
    assert_int_equal(b->login_failures, 3);
    backend_unref(b);
}

/* One mailbox that makes its server hang up takes nobody else's away; several do. */
static void test_one_user_is_not_all(void **state)
{
    struct backend *b = make();
    for (unsigned i = 0; i < 20; i++)
        assert_false(note_of(b, BACK_FAIL_CLOSED, 7, LATER));
    assert_int_equal(b->login_failures, 20);
    assert_int_equal(b->failures_in_row, 1);
    assert_false(note_of(b, BACK_FAIL_CLOSED, 9, LATER));
    assert_false(note_of(b, BACK_FAIL_CLOSED, 9, LATER));
    assert_true(note_of(b, BACK_FAIL_TIMEOUT, 11, LATER));
    backend_unref(b);
    b = make();
    assert_false(note_of(b, BACK_FAIL_CLOSED, 7, LATER));
    assert_false(note(b, BACK_FAIL_CONNECT, LATER)); /* that far nobody's mailbox matters */
    assert_true(note(b, BACK_FAIL_CONNECT, LATER));
    backend_unref(b);
    b = make();
    assert_false(note_of(b, BACK_FAIL_CLOSED, 7, LATER));
    assert_true(note(b, BACK_FAIL_NONE, LATER)); /* a new row begins, with them too */
    assert_false(note_of(b, BACK_FAIL_CLOSED, 7, LATER));
    assert_int_equal(b->failures_in_row, 1);
    backend_unref(b);
}

/* What each outcome does to a row of two failures: "fall" is down, "break" begins a new row, "keep"
 * leaves it as it is. */
static void test_outcomes(void **state)
{
    static const struct {
        enum back_failure f;
        const char *effect;
    } rows[] = {
        {BACK_FAIL_NONE, "break"},
        {BACK_FAIL_CONNECT, "fall"},
        {BACK_FAIL_TLS, "fall"},
        {BACK_FAIL_TIMEOUT, "fall"},
        {BACK_FAIL_CLOSED, "fall"},
        {BACK_FAIL_PROTOCOL, "fall"},
        {BACK_FAIL_BYE, "fall"},
        {BACK_FAIL_NO_TLS, "fall"},
        {BACK_FAIL_NO_MECHANISM, "keep"},
        {BACK_FAIL_AUTH, "break"},
        {BACK_FAIL_AUTH_TEMP, "keep"},
        {BACK_FAIL_LIMIT, "break"},
        {BACK_FAIL_BAD_CREDENTIAL, "keep"},
        {BACK_FAIL_LOOP, "keep"},
        {BACK_FAIL_REJECTED, "break"},
        {BACK_FAIL_SHORTAGE, "keep"},
        {BACK_FAIL_INTERNAL, "keep"},
    };
    assert_int_equal(ARRAY_LEN(rows), BACK_FAILURE_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct backend *b = make();
        (void)note(b, BACK_FAIL_CONNECT, LATER);
        (void)note(b, BACK_FAIL_CONNECT, LATER);
        (void)note(b, rows[i].f, LATER);
        const char *effect = "keep";
        if (b->health == BACKEND_DOWN)
            effect = "fall";
        else if (!note(b, BACK_FAIL_CONNECT, LATER))
            effect = "break";
        assert_string_equal(effect, rows[i].effect);
        backend_unref(b);
    }
}

/* While it is down one login at a time tries it, each time later. */
static void test_probe(void **state)
{
    struct backend *b = make();
    assert_true(backend_set_health(b, BACKEND_DOWN, LATER, 1, NULL));
    assert_false(backend_is_usable(b, PROTO_IMAP, LATER));
    assert_false(backend_is_usable(b, PROTO_IMAP, LATER + 999));
    assert_true(backend_may_be_usable(b, PROTO_IMAP, LATER + 1000));
    assert_true(backend_is_usable(b, PROTO_IMAP, LATER + 1000));
    assert_false(backend_may_be_usable(b, PROTO_IMAP, LATER + 1001));
    assert_false(backend_is_usable(b, PROTO_IMAP, LATER + 1001)); /* somebody is at it */
    uint64_t now = LATER + 1100, pause = 0;
    for (unsigned i = 0; i < 12; i++) { /* the tries fail */
        assert_false(note(b, BACK_FAIL_CONNECT, now));
        uint64_t due = b->probe_after_ms;
        assert_false(backend_is_usable(b, PROTO_IMAP, due - 1));
        assert_true(backend_is_usable(b, PROTO_IMAP, due));
        assert_in_range(due - now, pause > 1000 ? pause : 1000, 30000);
        pause = due - now;
        now = due;
    }
    assert_true(pause >= 10000);
    uint32_t row =
        b->failures_in_row; /* a try that we had not the means for: the next one is soon */
    uint64_t failures = b->login_failures + b->connect_failures;
    assert_false(note(b, BACK_FAIL_SHORTAGE, now));
    assert_true(backend_may_be_usable(b, PROTO_IMAP, now + 1000));
    assert_int_equal(b->failures_in_row, row);
    assert_int_equal(b->login_failures + b->connect_failures, failures);
    /* a try whose outcome nobody told is not the last one */
    assert_true(backend_is_usable(b, PROTO_IMAP, now + 30000));
    assert_true(note(b, BACK_FAIL_NONE, now));
    assert_int_equal(b->health, BACKEND_UP);
    assert_int_equal(b->failures_in_row, 0);
    backend_unref(b);
}

/* Refused credentials show a server at work as well as accepted ones do. */
static void test_probe_answered(void **state)
{
    struct backend *b = make();
    assert_true(backend_set_health(b, BACKEND_DOWN, LATER, 1, NULL));
    assert_false(note(b, BACK_FAIL_AUTH_TEMP, LATER));
    assert_int_equal(b->health, BACKEND_DOWN);
    assert_true(note(b, BACK_FAIL_AUTH, LATER));
    assert_int_equal(b->health, BACKEND_UP);
    backend_unref(b);
}

/* Where checks run, logins may take it down, but only checks bring it up. */
static void test_checked(void **state)
{
    struct backend *b = make();
    backend_set_checked(b, true);
    assert_true(note(b, BACK_FAIL_NONE, LATER));
    for (int i = 0; i < 3; i++)
        (void)note(b, BACK_FAIL_CONNECT, LATER);
    assert_int_equal(b->health, BACKEND_DOWN);
    assert_false(backend_is_usable(b, PROTO_IMAP, LATER + 3600000));
    assert_false(note(b, BACK_FAIL_NONE, LATER));
    assert_int_equal(b->health, BACKEND_DOWN);
    assert_true(backend_set_health(b, BACKEND_UP, LATER, 1, NULL));
    assert_true(backend_is_usable(b, PROTO_IMAP, LATER));
    backend_unref(b);
}

static void test_down_protocols(void **state)
{
    char reason[BACKEND_REASON_MAX];
    struct backend *b = make();
    backend_set_checked(b, true);
    assert_true(backend_set_down_protocols(b, 1u << PROTO_POP3, "pop3: connect: refused"));
    assert_false(backend_set_down_protocols(b, 1u << PROTO_POP3, "again"));
    backend_reason(b, reason);
    assert_string_equal(reason, "pop3: connect: refused");
    assert_true(backend_is_usable(b, PROTO_IMAP, LATER));
    assert_false(backend_is_usable(b, PROTO_POP3, LATER));
    backend_set_checked(b, false); /* nobody is there to free it again */
    assert_true(backend_is_usable(b, PROTO_POP3, LATER));
    backend_unref(b);
}

/* ---- texts ---- */

static void test_capabilities(void **state)
{
    char caps[BACKEND_CAPS_MAX];
    struct backend *b = make();
    backend_learn(b, PROTO_IMAP, STR("IMAP4rev1 IDLE"));
    backend_learn(b, PROTO_SMTP, STR("SIZE 10\nAUTH PLAIN\n"));
    backend_capabilities(b, PROTO_IMAP, caps);
    assert_string_equal(caps, "IMAP4rev1 IDLE");
    backend_capabilities(b, PROTO_SMTP, caps);
    assert_string_equal(caps, "SIZE 10\nAUTH PLAIN\n");
    backend_capabilities(b, PROTO_POP3, caps);
    assert_string_equal(caps, "");
    backend_learn(b, PROTO_IMAP, STR("IMAP4rev1"));
    backend_capabilities(b, PROTO_IMAP, caps);
    assert_string_equal(caps, "IMAP4rev1");
    backend_learn(b, PROTO_IMAP, STR(""));
    backend_capabilities(b, PROTO_IMAP, caps);
    assert_string_equal(caps, "");
    backend_unref(b);
}

/* Each protocol's last list says whether its server takes several commands at once. */
static void test_pipelining(void **state)
{
    static const struct {
        const char *list;
        bool is_known;
    } rows[] = {
        {"USER\nPIPELINING\nSASL PLAIN\n", true},
        {"USER\n", false},
        {"pipelining", true},
        {"USER PIPELINING", true},
        {"", false},
        {"XPIPELINING\n", false},
    };
    struct backend *b = make();
    assert_false(backend_is_pipelining(b, PROTO_POP3));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        backend_learn(b, PROTO_POP3, str_of(rows[i].list));
        assert_int_equal(backend_is_pipelining(b, PROTO_POP3), rows[i].is_known);
        assert_false(backend_is_pipelining(b, PROTO_SMTP));
    }
    backend_learn(b, PROTO_SMTP, STR("PIPELINING"));
    assert_true(backend_is_pipelining(b, PROTO_SMTP));
    assert_false(backend_is_pipelining(b, PROTO_POP3));
    backend_unref(b);
}

/* A list that is too long ends at a whole entry; blanks are part of entries in lists by line. */
static void test_long_capabilities(void **state)
{
    static const struct {
        const char *entry;
        size_t n;
    } rows[] = {{"ABCDEFG ", 8}, {"AB CDEF\n", 8}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char caps[BACKEND_CAPS_MAX];
        AUTO_BUF list = BUF_INIT;
        struct backend *b = make();
        while (list.len < 2 * BACKEND_CAPS_MAX)
            assert_int_equal(buf_append_c(&list, rows[i].entry), 0);
        backend_learn(b, PROTO_IMAP, buf_str(&list));
        backend_capabilities(b, PROTO_IMAP, caps);
        assert_int_equal(strlen(caps), BACKEND_CAPS_MAX - 1);
        assert_memory_equal(caps + strlen(caps) - 7, rows[i].entry, 7);
        backend_unref(b);
    }
    char caps[BACKEND_CAPS_MAX], one[2 * BACKEND_CAPS_MAX];
    struct backend *b = make();
    memset(one, 'x', sizeof(one));
    backend_learn(b, PROTO_IMAP, str_n(one, sizeof(one)));
    backend_capabilities(b, PROTO_IMAP, caps);
    assert_string_equal(caps, "");
    backend_unref(b);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 20000

static atomic_uint taken;

static void *run_logins(void *arg)
{
    struct backend *b = arg;
    char reason[BACKEND_REASON_MAX], caps[BACKEND_CAPS_MAX];
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)note(backend_ref(b), i % 5 ? BACK_FAIL_CONNECT : BACK_FAIL_NONE, LATER);
        (void)backend_is_usable(b, PROTO_IMAP, LATER);
        backend_reason(b, reason);
        assert_true(strlen(reason) < sizeof(reason));
        backend_learn(b, PROTO_IMAP, i % 2 ? STR("IDLE") : STR("IMAP4rev1 IDLE"));
        backend_capabilities(b, PROTO_IMAP, caps);
        assert_true(strcmp(caps, "IDLE") == 0 || strcmp(caps, "IMAP4rev1 IDLE") == 0);
        backend_unref(b);
    }
    return NULL;
}

static void *run_probe(void *arg)
{
    if (backend_is_usable(arg, PROTO_IMAP, LATER + 5000))
        atomic_fetch_add(&taken, 1);
    return NULL;
}

static void run_threads(void *(*fn)(void *), struct backend *b)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fn, b), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_threads(void **state)
{
    struct backend *b = make();
    run_threads(run_logins, b);
    assert_int_equal(b->logins, THREADS * ROUNDS / 5);
    assert_int_equal(b->connect_failures, THREADS * ROUNDS * 4 / 5);
    assert_int_equal(b->refs, 1);
    backend_unref(b);
}

static void test_one_probe_of_many(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        struct backend *b = make();
        atomic_store(&taken, 0);
        assert_true(backend_set_health(b, BACKEND_DOWN, LATER, 1, NULL));
        run_threads(run_probe, b);
        assert_int_equal(taken, 1);
        backend_unref(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_usable),
        cmocka_unit_test(test_since_and_reason),
        cmocka_unit_test(test_up_since),
        cmocka_unit_test(test_fall),
        cmocka_unit_test(test_one_user_is_not_all),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_probe_answered),
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_down_protocols),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_long_capabilities),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_one_probe_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
