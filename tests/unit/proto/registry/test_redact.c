/* SPDX-License-Identifier: ISC */
/* What of a dialogue may be shown: each protocol, each mechanism, whole and cut at each byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/proto.h"
#include "tests/unit/proto/split.h"

/* ---- commands ---- */

#define T "AGFsaWNlAHNlY3JldA=="

static const struct public_case {
    const struct proto *proto;
    bool is_exchange;
    const char *shown, *hidden; /* the input is one after the other */
} public_cases[] = {
    /* IMAP */
    {&proto_imap, false, "a NOOP\r\n", ""},
    {&proto_imap, false, "a noop\n", ""},
    {&proto_imap, false, "a CAPABILITY\r\nb NOOP\r\n", ""},
    {&proto_imap, false, "a NOOP ", "secret\r\n"},
    {&proto_imap, false, "a ID (\"name\" \"x\")\r\n", ""},
    {&proto_imap, false, "a LOGIN alice ", "secret\r\n"},
    {&proto_imap, false, "a login \"al \\\" ice\" ", "\"sec ret\"\r\n"},
    {&proto_imap, false, "a LOGIN ", "alice\r\n"},
    {&proto_imap, false, "a LOGIN ", "\"alice secret\r\n"},
    {&proto_imap, false, "a LOGIN alice ", "{6}\r\nsecret\r\n"},
    {&proto_imap, false, "a LOGIN {5}\r\n", ""},
    {&proto_imap, false, "a LOGIN {5}\r\n", "alic"},
    {&proto_imap, false, "a LOGIN {5}\r\nalice ", "secret\r\n"},
    {&proto_imap, false, "a LOGIN {5+}\r\nalice ", "{6+}\r\nsecret\r\n"},
    {&proto_imap, false, "a LOGIN {5}\r\n", "aliceX secret\r\n"},
    {&proto_imap, false, "a LOGIN {99999999999999999999}\r\n", "secret\r\n"},
    {&proto_imap, false, "a AUTHENTICATE PLAIN ", T "\r\n"},
    {&proto_imap, false, "a AUTHENTICATE plain\r\n", ""},
    {&proto_imap, false, "a AUTHENTICATE PLAIN\r\n", T "\r\n"},
    {&proto_imap, false, "a AUTHENTICATE PLAIN\r\n", "a NOOP\r\n"},
    {&proto_imap, false, "a AUTHENTICATE ", T "\r\n"},
    {&proto_imap, false, "a AUTHENTICATE CRAM-MD5\r\n", ""},
    {&proto_imap, false, "a AUTHENTICATE XOAUTH2 ", T "\r\n"},
    {&proto_imap, false, "a AUTHENTICATE GSSAPI ", T "\r\n"},
    {&proto_imap, false, "a AUTHENTICATE ", "UNHEARDOF " T "\r\n"},
    {&proto_imap, false, "", T "\r\n"},
    {&proto_imap, false, "", T " x\r\n"},
    {&proto_imap, false, "", "a FROBNICATE secret\r\n"},
    {&proto_imap, false, "", "LOGIN alice secret\r\n"},
    {&proto_imap, false, "", " a LOGIN alice secret\r\n"},
    {&proto_imap, false, "", "\x16\x03\x01 LOGIN alice secret\r\n"},
    {&proto_imap, true, "", T "\r\n"},
    {&proto_imap, true, "", "a NOOP\r\n"},
    {&proto_imap, true, "*\r\n", ""},
    {&proto_imap, true, "", "*x\r\n"},
    {&proto_imap, true, "", "*"},
    /* POP3 */
    {&proto_pop3, false, "CAPA\r\nSTLS\r\n", ""},
    {&proto_pop3, false, "USER alice\r\n", ""},
    {&proto_pop3, false, "USER alice", " secret\r\n"},
    {&proto_pop3, false, "USER alice\r\nPASS ", "secret\r\n"},
    {&proto_pop3, false, "PASS ", "se cret\r\n"},
    {&proto_pop3, false, "PASS ", " secret\r\n"},
    {&proto_pop3, false, "PASS", "\r\n"},
    {&proto_pop3, false, "", "PASSsecret\r\n"},
    {&proto_pop3, false, "APOP alice ", "0123456789abcdef0123456789abcdef\r\n"},
    {&proto_pop3, false, "AUTH PLAIN ", T "\r\n"},
    {&proto_pop3, false, "AUTH\r\n", ""},
    {&proto_pop3, false, "", "secret\r\n"},
    {&proto_pop3, true, "PASS ", "secret\r\n"},
    {&proto_pop3, true, "", "USER secret\r\n"},
    {&proto_pop3, true, "", "PASS\r\n"},
    {&proto_pop3, true, "", T "\r\n"},
    /* SMTP */
    {&proto_smtp, false, "EHLO client.test\r\n", ""},
    {&proto_smtp, false, "EHLO x\r\nAUTH PLAIN ", T "\r\n"},
    {&proto_smtp, false, "AUTH LOGIN\r\n", T "\r\n" T "\r\n"},
    {&proto_smtp, false, "AUTH LOGIN ", T "\r\n"},
    {&proto_smtp, false, "auth scram-sha-256 ", T "\r\n"},
    {&proto_smtp, false, "XCLIENT NAME=x ADDR=10.0.0.1\r\nEHLO x\r\nMAIL FROM:<a@b> AUTH=<>\r\n",
     ""},
    {&proto_smtp, false, "", T "\r\n"},
    {&proto_smtp, true, "", T "\r\n"},
    {&proto_smtp, true, "", "QUIT\r\n"},
    /* ManageSieve */
    {&proto_sieve, false, "CAPABILITY\r\n", ""},
    {&proto_sieve, false, "AUTHENTICATE \"PLAIN\" ", "\"" T "\"\r\n"},
    {&proto_sieve, false, "AUTHENTICATE \"PLAIN\" ", "{20+}\r\n" T "\r\n"},
    {&proto_sieve, false, "AUTHENTICATE \"LOGIN\"\r\n", "\"" T "\"\r\n"},
    {&proto_sieve, false, "AUTHENTICATE ", "\"" T "\"\r\n"},
    {&proto_sieve, false, "AUTHENTICATE ", "{5+}\r\nPLAIN \"" T "\"\r\n"},
    {&proto_sieve, false, "NOOP ", "\"secret\"\r\n"},
    {&proto_sieve, true, "", "\"" T "\"\r\n"},
    {&proto_sieve, true, "\"*\"\r\n", ""},
};

/* In a block of exactly its size, so that ASan sees each read beyond it. */
static size_t public_of(const struct public_case *c, const char *in, size_t n)
{
    char *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, in, n);
    size_t shown = redact_bytes(c->proto, str_n(exact, n), c->is_exchange);
    free(exact);
    return shown;
}

static void test_commands(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(public_cases); i++) {
        const struct public_case *c = &public_cases[i];
        size_t most = strlen(c->shown), n = most + strlen(c->hidden), before = 0;
        AUTO_FREE char *in = str_printf("%s%s", c->shown, c->hidden);
        assert_non_null(in);
        for (size_t k = 0; k <= n; k++) {
            size_t shown = public_of(c, in, k);
            if (shown < before || shown > k || shown > most)
                fail_msg("%s \"%s\": %zu of the first %zu bytes are shown", c->proto->name, in,
                         shown, k);
            before = shown;
        }
        if (before != most)
            fail_msg("%s \"%s\": %zu bytes are shown, not %zu", c->proto->name, in, before, most);
    }
}

static void test_verbs_of_logins(void **state)
{
    assert_true(redact_is_login(&proto_imap, STR("login")));
    assert_true(redact_is_login(&proto_imap, STR("AUTHENTICATE")));
    assert_true(redact_is_login(&proto_pop3, STR("PASS")) &&
                redact_is_login(&proto_pop3, STR("APOP")));
    assert_true(redact_is_login(&proto_smtp, STR("AUTH")));
    assert_false(redact_is_login(&proto_smtp, STR("MAIL")));
    assert_false(redact_is_login(&proto_imap, STR("FETCH")));
    assert_false(redact_is_login(&proto_imap, STR_NULL));
}

/* Every mechanism that there is can be named, and its initial response cannot be seen. */
static void test_every_mechanism(void **state)
{
    for (unsigned m = 0; m < SASL_APOP; m++) {
        AUTO_FREE char *head = str_printf("AUTH %s ", sasl_name(m));
        AUTO_FREE char *line = str_printf("%s" T "\r\n", head);
        assert_true(head && line);
        assert_int_equal(redact_bytes(&proto_smtp, str_of(line), false), strlen(head));
    }
}

/* ---- what is repeated ---- */

static void test_redacted(void **state)
{
    static const struct {
        const char *text, *hidden, *want;
    } cases[] = {
        {"a NO wrong\r\n", "", "a NO wrong\r\n"},
        {T " BAD Unknown\r\n", T "\r\n", "**** BAD Unknown\r\n"},
        {"abc BAD Unknown abcd\r\n", "abc\r\n", "**** BAD Unknown abcd\r\n"},
        {"-ERR what is \"PASS secret\"?\r\n", "secret\r\n", "-ERR what is \"PASS ****\"?\r\n"},
        {"-ERR xsecretx\r\n", "secret", "-ERR x****x\r\n"},
        {"OK (TAG \"sec\")\r\n", "\"sec\"\r\n", "OK (TAG \"****\")\r\n"},
        {"secretsecret secre", "secret secretsecret", "**** secre"},
        {"secret", "one two secret", "****"},
        {"", "secret", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF out = BUF_INIT;
        assert_int_equal(redact_append(&out, str_of(cases[i].text), str_of(cases[i].hidden)), 0);
        assert_true(str_eq(buf_str(&out), str_of(cases[i].want)));
    }
}

/* ---- the relay ---- */

struct relay_case {
    const struct proto *proto;
    const char *in, *want; /* '|' in both: the server has answered everything */
    const char *secret;
};

struct relay_run {
    const struct relay_case *c;
    struct redact_relay relay;
    struct buf shown;
};

static void *relay_begin(void *arg)
{
    struct relay_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    run->c = arg;
    redact_relay_init(&run->relay, run->c->proto, true, STR_NULL);
    return run;
}

static size_t relay_feed(void *object, struct str in)
{
    struct relay_run *run = object;
    AUTO_BUF out = BUF_INIT;
    bool is_masked;
    size_t n = 0;
    if (in.n > 0 && in.p[0] == '|') {
        redact_relay_login_over(&run->relay);
        return 1;
    }
    while (n < in.n && in.p[n] != '|')
        n++;
    assert_int_equal(redact_relay_client(&run->relay, str_head(in, n), &out, &is_masked), 0);
    struct str s = buf_str(&out);
    assert_int_equal(is_masked, s.n >= 4 && memmem(s.p, s.n, "****", 4) != NULL);
    assert_int_equal(buf_append_str(&run->shown, s), 0);
    return n;
}

static void relay_end(void *object, void *arg, const char *how)
{
    struct relay_run *run = object;
    const struct relay_case *c = arg;
    AUTO_BUF once = BUF_INIT;
    struct str s = buf_str(&run->shown);
    if (memmem(s.p ? s.p : "", s.n, c->secret, strlen(c->secret)))
        fail_msg("%s: \"%.*s\" shows %s", how, STR_ARG(s), c->secret);
    /* stars come once a read: as many as one */
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] == '*' && once.len > 0 && once.data[once.len - 1] == '*'))
            assert_int_equal(buf_append_char(&once, s.p[i]), 0);
    if (!str_eq(buf_str(&once), str_of(c->want)))
        fail_msg("%s: \"%.*s\" and not \"%s\"", how, STR_ARG(buf_str(&once)), c->want);
    buf_fini(&run->shown);
    free(run);
}

static void test_relay(void **state)
{
    static const struct split_ops ops = {relay_begin, relay_feed, relay_end};
    static struct relay_case cases[] = {
        {&proto_imap, "a SELECT INBOX\r\nb NOOP\r\n", "a SELECT INBOX\r\nb NOOP\r\n", "****"},
        {&proto_imap, "a UNAUTHENTICATE\r\n|b LOGIN u secret\r\n|c NOOP\r\n",
         "a UNAUTHENTICATE\r\nb LOGIN *c NOOP\r\n", "secret"},
        {&proto_imap, "b AUTHENTICATE PLAIN\r\nsecret\r\nc NOOP\r\n|d NOOP\r\n",
         "b AUTHENTICATE *d NOOP\r\n", "secret"},
        {&proto_imap, "b login {1}\r\nu {6}\r\nsecret\r\n|", "b login *", "secret"},
        {&proto_imap, "DONE\r\nx LOGINX y\r\n", "DONE\r\nx LOGINX y\r\n", "secret"},
        {&proto_smtp, "MAIL FROM:<a@b>\r\nAUTH PLAIN secret\r\n|QUIT\r\n",
         "MAIL FROM:<a@b>\r\nAUTH *QUIT\r\n", "secret"},
        {&proto_smtp, "  auth\tPLAIN secret\r\n|QUIT\r\n", "  auth\t*QUIT\r\n", "secret"},
        {&proto_pop3, "USER u\r\nPASS secret\r\n|STAT\r\n", "USER u\r\nPASS *STAT\r\n", "secret"},
        {&proto_sieve, "UNAUTHENTICATE\r\n|AUTHENTICATE \"PLAIN\" {6+}\r\nsecret\r\n|LOGOUT\r\n",
         "UNAUTHENTICATE\r\nAUTHENTICATE *LOGOUT\r\n", "secret"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        split_run(&ops, &cases[i], str_of(cases[i].in));
}

/* Somewhere in a line, or in a login: hidden until it is known again where commands begin. */
static void test_relay_from_within(void **state)
{
    struct redact_relay r;
    AUTO_BUF out = BUF_INIT;
    bool is_masked;
    redact_relay_init(&r, &proto_imap, false, STR("FETCH"));
    assert_int_equal(redact_relay_client(&r, STR("secret\r\na NOOP\r\n"), &out, &is_masked), 0);
    assert_true(is_masked && str_eq(buf_str(&out), STR("****a NOOP\r\n")));
    buf_clear(&out);
    redact_relay_init(&r, &proto_imap, false, STR("AUTHENTICATE"));
    assert_int_equal(redact_relay_client(&r, STR("secret\r\na NOOP\r\n"), &out, &is_masked), 0);
    assert_true(is_masked && str_eq(buf_str(&out), STR("****")));
    buf_clear(&out);
    redact_relay_login_over(&r);
    assert_int_equal(redact_relay_client(&r, STR("b NOOP\r\n"), &out, &is_masked), 0);
    assert_true(!is_masked && str_eq(buf_str(&out), STR("b NOOP\r\n")));
}

/* A first word that is longer than any tag: what comes behind it could be anything. */
static void test_relay_long_words(void **state)
{
    struct redact_relay r;
    AUTO_BUF in = BUF_INIT, out = BUF_INIT;
    bool is_masked;
    for (size_t i = 0; i < 2 * REDACT_HEAD_MAX; i++)
        assert_int_equal(buf_append_char(&in, 't'), 0);
    assert_int_equal(buf_append_c(&in, " LOGIN u secret\r\nb NOOP\r\n"), 0);
    redact_relay_init(&r, &proto_imap, true, STR_NULL);
    assert_int_equal(redact_relay_client(&r, buf_str(&in), &out, &is_masked), 0);
    assert_true(is_masked && str_eq(buf_str(&out), STR("****b NOOP\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_verbs_of_logins),
        cmocka_unit_test(test_every_mechanism),
        cmocka_unit_test(test_redacted),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_relay_from_within),
        cmocka_unit_test(test_relay_long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
