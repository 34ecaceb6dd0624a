/* SPDX-License-Identifier: ISC */
/* ManageSieve towards clients: strings, commands before login in every cutting, and replies. */
#include "base/cleanup.h"
#include "proto/sieve/sieve.h"
#include "tests/unit/proto/front_case.h"

#define CLEAR_MECHANISMS (SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT_COMMAND)
#define LIMITS .server_name = "mx", .max_line_bytes = 100, .max_literal_bytes = 40

static const char *const learned[] = {"\"IMPLEMENTATION\" \"Dovecot\"",
                                      "\"SIEVE\" \"fileinto \\\"q\"",
                                      "\"SASL\" \"NTLM\"",
                                      "\"STARTTLS\"",
                                      "\"XCLIENT\"",
                                      "\"NOOP\"",
                                      "\"VERSION\" \"9\"",
                                      "\"broken",
                                      NULL};
static const char *const configured[] = {"fileinto", "NOTIFY mailto", "vacation", NULL};

static const struct front_env tls_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                         .tls = FRONT_TLS_ACTIVE, .capabilities = learned};
static const struct front_env open_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                          .tls = FRONT_TLS_OFFERED, .capabilities = configured};
static const struct front_env must_env = {LIMITS, .mechanisms = 0, .is_clear_text_refused = true,
                                          .tls = FRONT_TLS_REQUIRED};
static const struct front_env none_env = {LIMITS, .mechanisms = SASL_BIT(SASL_CRAM_MD5),
                                          .is_clear_text_refused = true, .tls = FRONT_TLS_NONE};

#define CASE(title, e, input, output)                                                              \
    {                                                                                              \
        .what = title, .proto = &proto_sieve, .env = &(e), .in = STR(input), .want = output        \
    }

#define TLS_CAPS                                                                                   \
    "\"IMPLEMENTATION\" \"Dovecot\"^\"SIEVE\" \"fileinto \\\"q\"^\"NOOP\"^"                        \
    "\"SASL\" \"PLAIN LOGIN\"^\"VERSION\" \"1.0\"^"
#define NOOP "OK \"NOOP completed.\"^"
#define ARGS "NO \"Invalid arguments.\"^{BAD}"
#define UNKNOWN "NO \"Unknown command.\"^{BAD}"
#define FAILED "NO \"Authentication failed.\"^"
#define NO_MECH "NO \"Authentication mechanism is not available.\"^"

static const struct front_case command_cases[] = {
    CASE("capabilities in TLS", tls_env, "CAPABILITY\r\n",
         TLS_CAPS "OK \"Capability completed.\"^"),
    CASE("capabilities before TLS", open_env, "capability\r\n",
         "\"IMPLEMENTATION\" \"mailproxy\"^\"NOTIFY\" \"mailto\"^\"SIEVE\" \"fileinto vacation\"^"
         "\"SASL\" \"PLAIN LOGIN\"^\"STARTTLS\"^\"VERSION\" \"1.0\"^"
         "OK \"Capability completed.\"^"),
    CASE("capabilities where TLS is required", must_env, "CAPABILITY\r\n",
         "\"IMPLEMENTATION\" \"mailproxy\"^\"SIEVE\" \"fileinto envelope vacation subaddress "
         "relational imap4flags copy variables body date\"^\"SASL\" \"\"^\"STARTTLS\"^"
         "\"VERSION\" \"1.0\"^OK \"Capability completed.\"^"),
    CASE("NOOP", tls_env, "NOOP\r\nnoop \"a\\\"b\"\r\nNOOP {3+}\r\nx\"\n\r\n",
         NOOP "OK (TAG \"a\\\"b\") \"NOOP completed.\"^OK (TAG {3}^x\"\n) \"NOOP completed.\"^"),
    CASE("NOOP with too much", tls_env, "NOOP \"a\" \"b\"\r\nNOOP a\r\nNOOP\"a\"\r\n",
         ARGS ARGS ARGS),
    CASE("LOGOUT stops", tls_env, "LOGOUT\r\nNOOP\r\n", "OK \"Logout completed.\"^{QUIT}"),
    CASE("STARTTLS", must_env, "STARTTLS\r\nNOOP\r\n",
         "OK \"Begin TLS negotiation now.\"^{STARTTLS}"),
    CASE("STARTTLS in TLS", tls_env, "STARTTLS\r\n", "NO \"TLS is active already.\"^"),
    CASE("STARTTLS without", none_env, "STARTTLS\r\nSTARTTLS x\r\n",
         "NO \"STARTTLS is not available.\"^" ARGS),
    CASE("scripts before login", tls_env,
         "LISTSCRIPTS\r\nPUTSCRIPT \"a\" {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n",
         "NO \"Authenticate first.\"^NO \"Authenticate first.\"^" NOOP),
    CASE("unknown", tls_env, "FOO\r\n\r\nXCLIENT ADDR=::1\r\n", UNKNOWN UNKNOWN UNKNOWN),
    CASE("an unknown command's literal is skipped", tls_env, "FOO {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n",
         UNKNOWN NOOP),
    CASE("bare LF", tls_env, "NOOP\nNOOP\n", NOOP NOOP),
    CASE("HTTP", tls_env, "GET / HTTP/1.1\r\n", "BYE \"This is not an HTTP server.\"^{FATAL}"),
    CASE("a literal that waits", tls_env, "NOOP {3}\r\nabc\r\n",
         "BYE \"A literal must be announced with {n+}.\"^{FATAL}"),
    CASE("a literal too large", tls_env, "NOOP {41+}\r\n", "BYE \"Command is too long.\"^{FATAL}"),
    CASE("a literal beyond any number", tls_env, "NOOP {18446744073709551617+}\r\n",
         "BYE \"Command is too long.\"^{FATAL}"),
    CASE("HTTP beyond the longest line", tls_env,
         "POST x"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         " HTTP/1.1\r\n",
         "BYE \"Command is too long.\"^{FATAL}"),
    CASE("a line too long", tls_env,
         "NOOP "
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaa",
         "BYE \"Command is too long.\"^{FATAL}"),
};

static const struct front_case auth_cases[] = {
    CASE("initial response", tls_env, "AUTHENTICATE \"PLAIN\" \"bW9yZQ==\"\r\nNOOP\r\n",
         "{BEGIN PLAIN more}" FAILED NOOP),
    CASE("initial response as a literal", tls_env,
         "authenticate {5+}\r\nplain {8+}\r\nbW9yZQ==\r\nNOOP\r\n",
         "{BEGIN PLAIN more}" FAILED NOOP),
    CASE("empty initial response", tls_env, "AUTHENTICATE \"PLAIN\" \"\"\r\n",
         "{BEGIN PLAIN }" FAILED),
    CASE("no initial response", tls_env, "AUTHENTICATE \"PLAIN\"\r\n\"AHUAcA==\"\r\nNOOP\r\n",
         "{BEGIN PLAIN}\"aGVsbG8=\"^{DATA }" FAILED NOOP),
    CASE("two steps and in", tls_env,
         "AUTHENTICATE \"LOGIN\"\r\n\"bW9yZQ==\"\r\n{8+}\r\nZ29vZA==\r\n",
         "{BEGIN LOGIN}\"aGVsbG8=\"^{DATA more}\"\"^{DATA good}OK \"Logged in.\"^"),
    CASE("cancel", tls_env, "AUTHENTICATE \"PLAIN\"\r\n\"*\"\r\nNOOP\r\n",
         "{BEGIN PLAIN}\"aGVsbG8=\"^{ABORT}NO \"Authentication cancelled.\"^" NOOP),
    CASE("bad base64", tls_env, "AUTHENTICATE \"PLAIN\"\r\n\"a b\"\r\nNOOP\r\n",
         "{BEGIN PLAIN}\"aGVsbG8=\"^{AUTH_BAD}NO \"Invalid authentication data.\"^" NOOP),
    CASE("a response that is no string", tls_env, "AUTHENTICATE \"PLAIN\"\r\nAHUAcA==\r\nNOOP\r\n",
         "{BEGIN PLAIN}\"aGVsbG8=\"^{AUTH_BAD}NO \"Invalid authentication data.\"^" NOOP),
    CASE("more than a string", tls_env, "AUTHENTICATE \"PLAIN\"\r\n\"AA==\" x\r\nNOOP\r\n",
         "{BEGIN PLAIN}\"aGVsbG8=\"^{AUTH_BAD}NO \"Invalid authentication data.\"^" NOOP),
    CASE("bad initial response", tls_env, "AUTHENTICATE \"PLAIN\" \"=\"\r\nNOOP\r\n",
         "{AUTH_BAD}NO \"Invalid authentication data.\"^" NOOP),
    CASE(
        "bad arguments", tls_env,
        "AUTHENTICATE\r\nAUTHENTICATE PLAIN\r\nAUTHENTICATE \"PLAIN\r\n"
        "AUTHENTICATE \"PLAIN\" x\r\nAUTHENTICATE \"PLAIN\" \"\" \"\"\r\nAUTHENTICATE\"PLAIN\"\r\n",
        ARGS ARGS ARGS ARGS ARGS ARGS),
    CASE("NUL in a mechanism", tls_env, "AUTHENTICATE \"PL\0AIN\"\r\n", ARGS),
    CASE("not offered", tls_env,
         "AUTHENTICATE \"CRAM-MD5\"\r\nAUTHENTICATE \"APOP\"\r\nAUTHENTICATE \"X\"\r\n",
         NO_MECH "{REFUSED mech-disabled cram-md5}" NO_MECH "{REFUSED mech-disabled apop}" NO_MECH
                 "{REFUSED mech-disabled none}"),
    CASE("before required TLS", must_env, "AUTHENTICATE \"PLAIN\" \"AHUAcA==\"\r\nNOOP\r\n",
         "NO (ENCRYPT-NEEDED) \"Encryption is required: use TLS.\"^{REFUSED tls-required "
         "plain}" NOOP),
    CASE("clear text without TLS", none_env,
         "AUTHENTICATE \"LOGIN\"\r\nAUTHENTICATE \"CRAM-MD5\"\r\n",
         "NO (ENCRYPT-NEEDED) \"Encryption is required: use TLS.\"^{REFUSED tls-required plain}"
         "{BEGIN CRAM-MD5}\"aGVsbG8=\"^"),
};

FRONT_TEST(test_commands, command_cases)
FRONT_TEST(test_auth, auth_cases)

static void test_greeting(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct front_env env = must_env;
    env.capabilities = learned;
    struct front *f = proto_sieve.front_new(&env);
    assert_non_null(f);
    assert_int_equal(proto_sieve.greet(f, &out), 0);
    front_check(&out,
                "\"IMPLEMENTATION\" \"Dovecot\"\r\n\"SIEVE\" \"fileinto \\\"q\"\r\n\"NOOP\"\r\n"
                "\"SASL\" \"\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\n"
                "OK \"mx ManageSieve ready.\"\r\n");
    env.tls = FRONT_TLS_ACTIVE;
    env.mechanisms = CLEAR_MECHANISMS;
    assert_int_equal(proto_sieve.tls_started(f, &out), 0);
    front_check(&out,
                "\"IMPLEMENTATION\" \"Dovecot\"\r\n\"SIEVE\" \"fileinto \\\"q\"\r\n\"NOOP\"\r\n"
                "\"SASL\" \"PLAIN LOGIN\"\r\n\"VERSION\" \"1.0\"\r\n"
                "OK \"TLS negotiation successful.\"\r\n");
    assert_int_equal(proto_sieve.keepalive(f, &out), 0);
    assert_int_equal(out.len, 0);
    proto_sieve.front_free(f);
}

static struct front *pending_front(void)
{
    AUTO_BUF out = BUF_INIT;
    size_t used;
    struct front *f = proto_sieve.front_new(&tls_env);
    assert_non_null(f);
    assert_int_equal(
        proto_sieve.feed(f, STR("AUTHENTICATE \"PLAIN\" \"AHUAcA==\"\r\n"), &used, &out),
        PROTO_AUTH_BEGIN);
    return f;
}

static void test_replies(void **state)
{
    static const struct {
        enum reply_kind kind;
        const char *text, *want;
    } rows[] = {
        {REPLY_AUTH_FAILED, NULL, "NO \"Authentication failed.\"\r\n"},
        {REPLY_AUTH_FAILED, "", "NO \"Authentication failed.\"\r\n"},
        {REPLY_AUTH_FAILED, "a\"\r\nOK", "NO \"a\\\" OK\"\r\n"},
        {REPLY_AUTH_TEMPFAIL, NULL, "NO (TRYLATER) \"Temporary authentication failure.\"\r\n"},
        {REPLY_BACKEND_DOWN, NULL, "NO (TRYLATER) \"Mail server is temporarily unavailable.\"\r\n"},
        {REPLY_TLS_REQUIRED, NULL, "NO (ENCRYPT-NEEDED) \"Encryption is required: use TLS.\"\r\n"},
        {REPLY_SHUTDOWN, NULL, "BYE (TRYLATER) \"Server is shutting down.\"\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF out = BUF_INIT;
        struct front *f = pending_front();
        assert_int_equal(proto_sieve.reply(f, rows[i].kind, "535 5.7.0", rows[i].text, &out), 0);
        front_check(&out, rows[i].want);
        proto_sieve.front_free(f);
    }
    for (int kind = 0; kind < REPLY_KIND_COUNT; kind++) {
        AUTO_BUF out = BUF_INIT;
        assert_int_equal(proto_sieve.farewell((enum reply_kind)kind, NULL, &out), 0);
        assert_true(str_is_prefix(buf_str(&out), STR("BYE ")));
    }
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(proto_sieve.farewell(REPLY_KICKED, "go", &out), 0);
    front_check(&out, "BYE (TRYLATER) \"go\"\r\n");
}

/* RFC 5804: no capabilities behind the OK when there is no security layer. */
static void test_success(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct back_success s = {0};
    struct front *f = pending_front();
    assert_int_equal(buf_append_c(&s.text, "Wel\ncome"), 0);
    assert_int_equal(buf_append_c(&s.capabilities, "\"SIEVE\" \"x\"\r\n"), 0);
    assert_int_equal(proto_sieve.success(f, &s, &out), 0);
    front_check(&out, "OK \"Wel come\"\r\n");
    proto_sieve.front_free(f);
    buf_fini(&s.text);
    buf_fini(&s.capabilities);
}

static void test_strings(void **state)
{
    static const struct {
        struct str in;
        int want;
        struct str value;
        size_t rest;
    } rows[] = {
        {STR("\"ab\" x"), 0, STR("ab"), 2},
        {STR("\"\""), 0, STR(""), 0},
        {STR("\"a\\\"b\\\\c\\d\"x"), 0, STR("a\"b\\cd"), 1},
        {STR("{3}\r\na\r\nx"), 0, STR("a\r\n"), 1},
        {STR("{3+}\r\na\0bx"), 0, STR("a\0b"), 1},
        {STR("{0}\r\n"), 0, STR(""), 0},
        {STR("{3}\r\nab"), -ERR_SYNTAX, STR(""), 7},
        {STR("{18446744073709551617}\r\nab"), -ERR_SYNTAX, STR(""), 26},
        {STR("{a{1}\r\nab"), -ERR_SYNTAX, STR(""), 9},
        {STR("{1}"), -ERR_SYNTAX, STR(""), 3},
        {STR("{}\r\n"), -ERR_SYNTAX, STR(""), 4},
        {STR("\"a"), -ERR_SYNTAX, STR(""), 2},
        {STR("\"a\\"), -ERR_SYNTAX, STR(""), 3},
        {STR("\"a\\\""), -ERR_SYNTAX, STR(""), 4},
        {STR("\"a\rb\""), -ERR_SYNTAX, STR(""), 5},
        {STR("\"a\\\nb\""), -ERR_SYNTAX, STR(""), 6},
        {STR("\"a\0b\""), -ERR_SYNTAX, STR(""), 5},
        {STR("ab"), -ERR_SYNTAX, STR(""), 2},
        {STR(""), -ERR_SYNTAX, STR(""), 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF value = BUF_INIT;
        struct str in = rows[i].in;
        assert_int_equal(sieve_cut_string(&in, &value), rows[i].want);
        assert_int_equal(in.n, rows[i].rest);
        if (rows[i].want == 0)
            assert_true(str_eq(buf_str(&value), rows[i].value));
    }
}

static void test_append_string(void **state)
{
    AUTO_BUF out = BUF_INIT, big = BUF_INIT;
    assert_int_equal(sieve_append_string(&out, STR("a\"\\\xc3\xb6"), true), 0);
    front_check(&out, "\"a\\\"\\\\\xc3\xb6\"");
    assert_int_equal(sieve_append_string(&out, STR("a\nb"), true), 0);
    front_check(&out, "{3+}\r\na\nb");
    assert_int_equal(sieve_append_string(&out, STR("a\nb"), false), 0);
    front_check(&out, "{3}\r\na\nb");
    for (int i = 0; i <= SIEVE_QUOTED_MAX; i++)
        assert_int_equal(buf_append_char(&big, 'x'), 0);
    assert_int_equal(sieve_append_string(&out, buf_str(&big), false), 0);
    assert_true(str_is_prefix(buf_str(&out), STR("{1025}\r\nx")));
    buf_clear(&out);
    assert_int_equal(sieve_append_string(&out, str_n(buf_str(&big).p, SIEVE_QUOTED_MAX), false), 0);
    assert_true(str_is_prefix(buf_str(&out), STR("\"x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),      cmocka_unit_test(test_auth),
        cmocka_unit_test(test_greeting),      cmocka_unit_test(test_replies),
        cmocka_unit_test(test_success),       cmocka_unit_test(test_strings),
        cmocka_unit_test(test_append_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
