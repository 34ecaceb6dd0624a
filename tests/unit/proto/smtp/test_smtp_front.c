/* SPDX-License-Identifier: ISC */
/* SMTP towards clients: commands before login in every cutting, and the words of each reply. */
#include "base/cleanup.h"
#include "proto/front.h"
#include "tests/unit/proto/front_case.h"

#define CLEAR_MECHANISMS (SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT_COMMAND)
#define LIMITS .server_name = "mx", .max_line_bytes = 100, .max_literal_bytes = 40

static const char *const listed[] = {"SIZE 1000",     "AUTH NTLM",  "STARTTLS", "XCLIENT ADDR",
                                     "CHUNKING",      "AUTH=NTLM",  "DSN\r\nX", "",
                                     "xforward NAME", "PIPELINING", NULL};

static const struct front_env tls_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                         .tls = FRONT_TLS_ACTIVE};
static const struct front_env open_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                          .tls = FRONT_TLS_OFFERED, .smtp_size = 5000};
static const struct front_env clear_env = {LIMITS, .mechanisms = SASL_BIT(SASL_CRAM_MD5),
                                           .is_clear_text_refused = true, .tls = FRONT_TLS_OFFERED};
static const struct front_env must_env = {LIMITS, .mechanisms = 0, .is_clear_text_refused = true,
                                          .tls = FRONT_TLS_REQUIRED};
static const struct front_env none_env = {LIMITS, .mechanisms = 0, .tls = FRONT_TLS_NONE};
static const struct front_env list_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                          .tls = FRONT_TLS_OFFERED, .capabilities = listed};
static const struct front_env mx_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                        .tls = FRONT_TLS_ACTIVE, .is_auth_optional = true};

#define CASE(title, e, input, output)                                                              \
    {                                                                                              \
        .what = title, .proto = &proto_smtp, .env = &(e), .in = STR(input), .want = output         \
    }

#define BUILTIN "250-8BITMIME^250-SMTPUTF8^250-ENHANCEDSTATUSCODES^"
#define OK "250 2.0.0 OK^"
#define BAD_NAME "501 5.5.4 Invalid host name.^{BAD}"
#define UNKNOWN "500 5.5.1 Invalid command.^{BAD}"
#define FAILED "535 5.7.8 Authentication failed.^"
#define NEED_AUTH "530 5.7.0 Authentication is required.^"
#define NEED_TLS "530 5.7.0 Must issue a STARTTLS command first.^"

static const struct front_case command_cases[] = {
    CASE("EHLO in TLS", tls_env, "EHLO c.example\r\n",
         "250-mx^250-SIZE^250-PIPELINING^" BUILTIN "250 AUTH PLAIN LOGIN^"),
    CASE("EHLO before optional TLS", open_env, "ehlo [1.2.3.4]\r\n",
         "250-mx^250-SIZE 5000^250-PIPELINING^" BUILTIN "250-AUTH PLAIN LOGIN^250 STARTTLS^"),
    CASE("EHLO where TLS is required", must_env, "EHLO [IPv6:::1]\r\n",
         "250-mx^250-SIZE^250-PIPELINING^" BUILTIN "250 STARTTLS^"),
    CASE("EHLO of a configured list", list_env, "EHLO a\r\n",
         "250-mx^250-SIZE 1000^250-CHUNKING^250-DSN X^250-PIPELINING^250-AUTH PLAIN LOGIN^"
         "250 STARTTLS^"),
    CASE("EHLO without anything", none_env, "EHLO a\r\n",
         "250-mx^250-SIZE^250-PIPELINING^250-8BITMIME^250-SMTPUTF8^250 ENHANCEDSTATUSCODES^"),
    CASE("EHLO twice", none_env, "HELO a\r\nHELO b \r\n", "250 mx^250 mx^"),
    CASE("HELO", tls_env, "HELO a_b-c\r\n", "250 mx^"),
    CASE("no name", tls_env, "EHLO\r\nHELO \r\n", BAD_NAME BAD_NAME),
    CASE("two names", tls_env, "EHLO a b\r\n", BAD_NAME),
    CASE("name with brackets", tls_env, "EHLO <a>\r\n", BAD_NAME),
    CASE("name with CR", tls_env, "EHLO a\rRCPT\r\n", UNKNOWN),
    CASE("name with NUL", tls_env, "EHLO a\0b\r\n", UNKNOWN),
    CASE("name in 8 bit", tls_env, "EHLO \xc3\xb6\r\n", BAD_NAME),
    CASE("pipelined", tls_env, "NOOP\r\nrset\r\nNOOP x\r\n", OK OK OK),
    CASE("QUIT stops", tls_env, "QUIT\r\nNOOP\r\n", "221 2.0.0 Bye^{QUIT}"),
    CASE("VRFY, EXPN, HELP", tls_env, "VRFY u\r\nVRFY\r\nEXPN l\r\nHELP\r\n",
         "252 2.5.0 Cannot verify the address, but mail may be tried.^"
         "501 5.5.4 Syntax: VRFY address^{BAD}502 5.5.1 EXPN is not available.^"
         "214 2.0.0 See RFC 5321.^"),
    CASE("unknown", tls_env, "FOO\r\n\r\nXCLIENT ADDR=1.2.3.4\r\nMAILX\r\n",
         UNKNOWN UNKNOWN UNKNOWN UNKNOWN),
    CASE("bare LF ends a command", tls_env, "NOOP\nNOOP\n", OK OK),
    CASE("STARTTLS", open_env, "STARTTLS\r\nNOOP\r\n", "220 2.0.0 Ready to start TLS.^{STARTTLS}"),
    CASE("STARTTLS required", must_env, "starttls\r\n", "220 2.0.0 Ready to start TLS.^{STARTTLS}"),
    CASE("STARTTLS in TLS", tls_env, "STARTTLS\r\n", "503 5.5.1 TLS is active already.^"),
    CASE("STARTTLS without", none_env, "STARTTLS\r\n", "502 5.5.1 STARTTLS is not available.^"),
    CASE("STARTTLS with argument", open_env, "STARTTLS x\r\n",
         "501 5.5.4 No argument is allowed.^{BAD}"),
    CASE("before required TLS", must_env,
         "MAIL FROM:<a>\r\nAUTH PLAIN AHUAcA==\r\nNOOP\r\nVRFY a\r\n",
         NEED_TLS NEED_TLS "{REFUSED tls-required plain}" OK NEED_TLS),
    CASE("mail without login", tls_env, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nNOOP\r\n",
         NEED_AUTH NEED_AUTH NEED_AUTH OK),
    CASE("HTTP", tls_env, "GET / HTTP/1.1\r\nNOOP\r\n",
         "503 5.5.0 This is not an HTTP server.^{FATAL}"),
    CASE("HTTP POST", tls_env, "POST /x HTTP/1.0\r\n",
         "503 5.5.0 This is not an HTTP server.^{FATAL}"),
    CASE("HTTP beyond the longest line", tls_env,
         "POST x"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         " HTTP/1.1\r\n",
         "500 5.5.2 Command is too long.^{FATAL}"),
    CASE("too long", tls_env,
         "NOOP "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaa",
         "500 5.5.2 Command is too long.^{FATAL}"),
};

static const struct front_case auth_cases[] = {
    CASE("initial response", tls_env, "AUTH PLAIN bW9yZQ==\r\nNOOP\r\n",
         "{BEGIN PLAIN more}" FAILED OK),
    CASE("empty initial response", tls_env, "AUTH PLAIN =\r\n", "{BEGIN PLAIN }" FAILED),
    CASE("no initial response", tls_env, "auth plain\r\nAHUAcA==\r\nNOOP\r\n",
         "{BEGIN PLAIN}334 aGVsbG8=^{DATA }" FAILED OK),
    CASE("two steps and in", tls_env, "AUTH LOGIN\r\nbW9yZQ==\r\nZ29vZA==\r\n",
         "{BEGIN LOGIN}334 aGVsbG8=^{DATA more}334 ^{DATA good}"
         "235 2.7.0 Authentication successful.^"),
    CASE("empty response", tls_env, "AUTH PLAIN\r\n\r\nNOOP\r\n",
         "{BEGIN PLAIN}334 aGVsbG8=^{DATA }" FAILED OK),
    CASE("cancel", tls_env, "AUTH PLAIN\r\n*\r\nNOOP\r\n",
         "{BEGIN PLAIN}334 aGVsbG8=^{ABORT}501 5.7.0 Authentication cancelled.^" OK),
    CASE("bad base64", tls_env, "AUTH PLAIN\r\na b\r\nNOOP\r\n",
         "{BEGIN PLAIN}334 aGVsbG8=^{AUTH_BAD}501 5.5.2 Invalid authentication data.^" OK),
    CASE("bad initial response", tls_env, "AUTH PLAIN ===\r\nNOOP\r\n",
         "{AUTH_BAD}501 5.5.2 Invalid authentication data.^" OK),
    CASE("a long response is no long command", tls_env,
         "AUTH PLAIN "
         "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
         "YWFhYWFhYWFh\r\nNOOP\r\n",
         "{BEGIN PLAIN "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}" FAILED OK),
    CASE("no mechanism", tls_env, "AUTH\r\n",
         "501 5.5.4 Syntax: AUTH mechanism [initial-response]^{BAD}"),
    CASE("too much", tls_env, "AUTH PLAIN AA== AA==\r\n",
         "501 5.5.4 Syntax: AUTH mechanism [initial-response]^{BAD}"),
    CASE("not offered", tls_env, "AUTH CRAM-MD5\r\nAUTH APOP\r\nAUTH GSSAPI\r\n",
         "504 5.5.4 Authentication mechanism is not available.^{REFUSED mech-disabled cram-md5}"
         "504 5.5.4 Authentication mechanism is not available.^{REFUSED mech-disabled apop}"
         "504 5.5.4 Authentication mechanism is not available.^{REFUSED mech-disabled none}"),
    CASE("clear text before TLS", clear_env, "AUTH PLAIN AHUAcA==\r\nAUTH CRAM-MD5\r\n",
         "538 5.7.11 Encryption is required: use TLS.^{REFUSED tls-required plain}{BEGIN "
         "CRAM-MD5}334 aGVsbG8=^"),
    CASE("within a transaction", mx_env, "MAIL FROM:<a>\r\nAUTH PLAIN AA==\r\n",
         "250 2.1.0 OK^503 5.5.1 Not within a mail transaction.^"),
};

static const struct front_case relay_cases[] = {
    CASE("the first recipient", mx_env,
         "EHLO c\r\nMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n",
         "250-mx^250-SIZE^250-PIPELINING^" BUILTIN "250 AUTH PLAIN LOGIN^250 2.1.0 OK^"
         "{ROUTE MAIL FROM:<a@b> SIZE=1 RCPT TO:<c@d> NOTIFY=NEVER}"),
    CASE("without EHLO, loose syntax", mx_env, "mail from: <>\r\nrcpt to: x\r\n",
         "250 2.1.0 OK^{ROUTE mail from: <> rcpt to: x}"),
    CASE("no sender", mx_env, "RCPT TO:<a>\r\nDATA\r\n",
         "503 5.5.1 Bad sequence of commands.^503 5.5.1 No valid recipients.^"),
    CASE("two senders", mx_env, "MAIL FROM:<a>\r\nMAIL FROM:<b>\r\n",
         "250 2.1.0 OK^503 5.5.1 Sender is given already.^"),
    CASE("RSET, EHLO forget", mx_env,
         "MAIL FROM:<a>\r\nRSET\r\nRCPT TO:<a>\r\nMAIL FROM:<b>\r\nHELO c\r\nRCPT TO:<a>\r\n",
         "250 2.1.0 OK^" OK "503 5.5.1 Bad sequence of commands.^250 2.1.0 OK^250 mx^"
         "503 5.5.1 Bad sequence of commands.^"),
    CASE("bad syntax", mx_env, "MAIL TO:<a>\r\nMAIL\r\nMAIL FROM:\r\nMAIL FROM:<a>\r\nRCPT <a>\r\n",
         "501 5.5.4 Syntax: MAIL FROM:<address>^{BAD}501 5.5.4 Syntax: MAIL FROM:<address>^{BAD}"
         "501 5.5.4 Syntax: MAIL FROM:<address>^{BAD}250 2.1.0 OK^"
         "501 5.5.4 Syntax: RCPT TO:<address>^{BAD}"),
    CASE("control bytes", mx_env, "MAIL FROM:<a\rRCPT>\r\n", UNKNOWN),
    CASE("a refused chunk is not read as commands", mx_env,
         "BDAT 12 LAST\r\nMAIL FROM:<\nNOOP\r\nBDAT 0\r\nNOOP\r\n",
         "503 5.5.1 No valid recipients.^" OK "503 5.5.1 No valid recipients.^" OK),
    CASE("a chunk of unknown size", mx_env, "BDAT x\r\nNOOP\r\n",
         "501 5.5.4 Syntax: BDAT size [LAST]^{FATAL}"),
};

FRONT_TEST(test_commands, command_cases)
FRONT_TEST(test_auth, auth_cases)
FRONT_TEST(test_relay, relay_cases)

static enum proto_intent say(struct front *f, const char *line, struct buf *out)
{
    size_t used;
    enum proto_intent intent = proto_smtp.feed(f, str_of(line), &used, out);
    assert_int_equal(used, strlen(line));
    return intent;
}

static void test_greeting(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct front_env env = tls_env;
    struct front *f = proto_smtp.front_new(&env);
    assert_non_null(f);
    assert_int_equal(proto_smtp.greet(f, &out), 0);
    front_check(&out, "220 mx ESMTP ready\r\n");
    env.greeting = "mail\r\n250 x";
    assert_int_equal(proto_smtp.greet(f, &out), 0);
    front_check(&out, "220 mail 250 x\r\n");
    proto_smtp.front_free(f);
}

/* Sessions that share what was written out hear what they would hear without it. */
static void test_memos(void **state)
{
    static const struct front_env *const envs[] = {&open_env, &tls_env, &must_env, &none_env,
                                                   &list_env, &mx_env,  &clear_env};
    struct front_memo memos[FRONT_MEMOS] = {0};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < ARRAY_LEN(envs); i++) {
            AUTO_BUF out = BUF_INIT;
            AUTO_BUF want = BUF_INIT;
            struct front_env env = *envs[i];
            env.capabilities = listed;
            struct front *f = proto_smtp.front_new(&env);
            assert_non_null(f);
            assert_int_equal(say(f, "EHLO a\r\n", &want), PROTO_REPLIED);
            env.memos = memos;
            for (int again = 0; again < 2; again++) {
                buf_clear(&out);
                assert_int_equal(buf_append_c(&out, "250 before\r\n"), 0);
                assert_int_equal(say(f, "EHLO a\r\n", &out), PROTO_REPLIED);
                assert_true(str_eq(str_skip(buf_str(&out), 12), buf_str(&want)));
                assert_non_null(front_recall(&env));
            }
            proto_smtp.front_free(f);
        }
    for (size_t i = 0; i < FRONT_MEMOS; i++)
        buf_fini(&memos[i].text);
}

struct reply_row {
    enum reply_kind kind;
    const char *code, *text, *want;
};

static void check_replies(const char *const *before, enum proto_intent last,
                          const struct reply_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF out = BUF_INIT;
        enum proto_intent intent = PROTO_NEED_MORE;
        struct front *f = proto_smtp.front_new(&mx_env);
        assert_non_null(f);
        for (const char *const *line = before; *line; line++)
            intent = say(f, *line, &out);
        assert_int_equal(intent, last);
        buf_clear(&out);
        assert_int_equal(proto_smtp.reply(f, rows[i].kind, rows[i].code, rows[i].text, &out), 0);
        front_check(&out, rows[i].want);
        proto_smtp.front_free(f);
    }
}

static void test_auth_replies(void **state)
{
    static const char *const before[] = {"AUTH PLAIN AHUAcA==\r\n", NULL};
    static const struct reply_row rows[] = {
        {REPLY_AUTH_FAILED, NULL, NULL, "535 5.7.8 Authentication failed.\r\n"},
        {REPLY_AUTH_FAILED, NULL, "", "535 5.7.8 Authentication failed.\r\n"},
        {REPLY_AUTH_FAILED, "535 5.7.0", "no\r\n250 ok", "535 5.7.0 no 250 ok\r\n"},
        {REPLY_AUTH_FAILED, "451", "later", "451 later\r\n"},
        {REPLY_AUTH_FAILED, "235 2.7.0", "in", "535 5.7.8 in\r\n"},
        {REPLY_AUTH_FAILED, "535 4.7.0", "x", "535 5.7.8 x\r\n"},
        {REPLY_AUTH_FAILED, "535 5.7.0\r\n235 2.7.0", "x", "535 5.7.8 x\r\n"},
        {REPLY_AUTH_FAILED, "535-5.7.0", "x", "535 5.7.8 x\r\n"},
        {REPLY_AUTH_FAILED, "535 ", "x", "535 5.7.8 x\r\n"},
        {REPLY_AUTH_FAILED, "53", "x", "535 5.7.8 x\r\n"},
        {REPLY_AUTH_FAILED, "635 6.7.0", "x", "535 5.7.8 x\r\n"},
        {REPLY_AUTH_TEMPFAIL, NULL, NULL, "454 4.7.0 Temporary authentication failure.\r\n"},
        {REPLY_BACKEND_DOWN, NULL, NULL, "451 4.3.2 Mail server is temporarily unavailable.\r\n"},
        {REPLY_MECH_DISABLED, NULL, NULL,
         "504 5.5.4 Authentication mechanism is not available.\r\n"},
        {REPLY_SHUTDOWN, NULL, NULL, "421 4.3.2 Server is shutting down.\r\n"},
        {REPLY_BAD_CERTIFICATE, NULL, NULL, "421 4.7.1 SSL certificate error\r\n"},
        {REPLY_BARE_NEWLINE, NULL, "x", "521 5.5.2 x\r\n"},
    };
    check_replies(before, PROTO_AUTH_BEGIN, rows, ARRAY_LEN(rows));
}

static void test_route_replies(void **state)
{
    static const char *const before[] = {"MAIL FROM:<a>\r\n", "RCPT TO:<b>\r\n", NULL};
    static const struct reply_row rows[] = {
        {REPLY_AUTH_FAILED, NULL, NULL, "550 5.7.1 Authentication failed.\r\n"},
        {REPLY_INTERNAL, "550 5.1.1", "No such user", "550 5.1.1 No such user\r\n"},
        {REPLY_BACKEND_DOWN, NULL, NULL, "451 4.3.2 Mail server is temporarily unavailable.\r\n"},
    };
    check_replies(before, PROTO_ROUTE, rows, ARRAY_LEN(rows));
}

static void test_farewells(void **state)
{
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(proto_smtp.farewell(REPLY_KICKED, "bye\r\nnow", &out), 0);
    front_check(&out, "421 4.3.2 bye now\r\n");
    for (int kind = 0; kind < REPLY_KIND_COUNT; kind++) {
        assert_int_equal(proto_smtp.farewell((enum reply_kind)kind, NULL, &out), 0);
        struct str text = buf_str(&out);
        assert_true(text.n > 12 && (text.p[0] == '4' || text.p[0] == '5') &&
                    text.p[0] == text.p[4]);
        buf_clear(&out);
    }
}

/* A rejected recipient leaves the session, its sender and its next recipient usable. */
static void test_rejected_recipient(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct back_success success = {0};
    struct front *f = proto_smtp.front_new(&mx_env);
    assert_non_null(f);
    assert_int_equal(say(f, "AUTH PLAIN AHUAcA==\r\n", &out), PROTO_AUTH_BEGIN);
    assert_int_equal(buf_append_c(&f->cred.secret, "stale"), 0);
    assert_int_equal(proto_smtp.reply(f, REPLY_AUTH_FAILED, NULL, NULL, &out), 0);
    assert_int_equal(say(f, "MAIL FROM:<a>\r\n", &out), PROTO_REPLIED);
    assert_int_equal(say(f, "RCPT TO:<b>\r\n", &out), PROTO_ROUTE);
    assert_int_equal(f->cred.secret.len, 0);
    assert_int_equal(f->auth_data.len, 0);
    buf_clear(&out);
    assert_int_equal(proto_smtp.reply(f, REPLY_INTERNAL, "550 5.1.1", "no", &out), 0);
    front_check(&out, "550 5.1.1 no\r\n");
    assert_int_equal(say(f, "DATA\r\n", &out), PROTO_REPLIED);
    front_check(&out, "503 5.5.1 No valid recipients.\r\n");
    assert_int_equal(say(f, "RCPT TO:<c>\r\n", &out), PROTO_ROUTE);
    assert_true(str_eq(buf_str(&f->mail_from), STR("MAIL FROM:<a>")));
    assert_true(str_eq(buf_str(&f->rcpt_to), STR("RCPT TO:<c>")));
    assert_int_equal(buf_append_c(&success.raw, "250-2.1.5 a\r\n250 2.1.5 b\r\n"), 0);
    assert_int_equal(proto_smtp.success(f, &success, &out), 0);
    front_check(&out, "250-2.1.5 a\r\n250 2.1.5 b\r\n");
    buf_fini(&success.raw);
    proto_smtp.front_free(f);
}

static void test_tls_forgets(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct front_env env = mx_env;
    env.tls = FRONT_TLS_OFFERED;
    struct front *f = proto_smtp.front_new(&env);
    assert_non_null(f);
    assert_int_equal(say(f, "EHLO name\r\n", &out), PROTO_REPLIED);
    assert_true(f->is_ehlo && str_eq(buf_str(&f->helo), STR("name")));
    assert_int_equal(say(f, "MAIL FROM:<a>\r\n", &out), PROTO_REPLIED);
    assert_int_equal(say(f, "STARTTLS\r\n", &out), PROTO_STARTTLS);
    buf_clear(&out);
    assert_int_equal(proto_smtp.tls_started(f, &out), 0);
    assert_int_equal(proto_smtp.keepalive(f, &out), 0);
    assert_int_equal(out.len, 0);
    assert_true(!f->is_ehlo && f->helo.len == 0 && f->mail_from.len == 0);
    assert_int_equal(say(f, "RCPT TO:<a>\r\n", &out), PROTO_REPLIED);
    proto_smtp.front_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_memos),
        cmocka_unit_test(test_auth_replies),
        cmocka_unit_test(test_route_replies),
        cmocka_unit_test(test_farewells),
        cmocka_unit_test(test_rejected_recipient),
        cmocka_unit_test(test_tls_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
