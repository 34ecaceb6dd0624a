/* SPDX-License-Identifier: ISC */
/* IMAP towards clients: commands before login in every cutting, and the words of each reply. */
#include "tests/unit/proto/front_case.h"

#define CLEAR_MECHANISMS                                                                           \
    (SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_XOAUTH2) | SASL_BIT_COMMAND)
#define LIMITS .server_name = "mx", .max_line_bytes = 200, .max_literal_bytes = 40

static const struct front_env tls_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                         .tls = FRONT_TLS_ACTIVE};
static const struct front_env open_env = {LIMITS, .mechanisms = CLEAR_MECHANISMS,
                                          .tls = FRONT_TLS_OFFERED};
static const struct front_env clear_env = {LIMITS, .mechanisms = 0, .is_clear_text_refused = true,
                                           .tls = FRONT_TLS_OFFERED};
static const struct front_env no_login_env = {LIMITS, .mechanisms = SASL_BIT(SASL_CRAM_MD5),
                                              .tls = FRONT_TLS_NONE};

#define CASE(title, e, input, output)                                                              \
    {                                                                                              \
        .what = title, .proto = &proto_imap, .env = &(e), .in = STR(input), .want = output         \
    }

#define CAPS "IMAP4rev1 SASL-IR LITERAL+ ID"
#define FAILED "NO [AUTHENTICATIONFAILED] Authentication failed.^"
#define UNKNOWN "BAD Unknown command, or not allowed before login.^{BAD}"
#define LOGIN_ARGS "BAD LOGIN needs a user name and a password.^{BAD}"

static const struct front_case command_cases[] = {
    CASE("capability in TLS", tls_env, "a capability\r\n",
         "* CAPABILITY " CAPS " AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2^a OK CAPABILITY completed.^"),
    CASE("capability in clear", clear_env, "a1 CAPABILITY\r\n",
         "* CAPABILITY " CAPS " STARTTLS LOGINDISABLED^a1 OK CAPABILITY completed.^"),
    CASE("capability before optional TLS", open_env, "a1 CAPABILITY\r\n",
         "* CAPABILITY " CAPS " AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 STARTTLS^"
         "a1 OK CAPABILITY completed.^"),
    CASE("noop, pipelined", tls_env, "a NOOP\r\nb noop\r\nc nOOp\r\n",
         "a OK NOOP completed.^b OK NOOP completed.^c OK NOOP completed.^"),
    CASE("logout stops", tls_env, "a LOGOUT\r\nb NOOP\r\n",
         "* BYE Logging out.^a OK LOGOUT completed.^{QUIT}"),
    CASE("arguments where none belong", tls_env, "a NOOP 1\r\n",
         "a BAD Command takes no arguments.^{BAD}"),
    CASE("trailing blank", tls_env, "a NOOP \r\n", "a OK NOOP completed.^"),
    CASE("STARTTLS", clear_env, "a STARTTLS\r\nb LOGIN x y\r\n",
         "a OK Begin TLS negotiation now.^{STARTTLS}"),
    CASE("STARTTLS in TLS", tls_env, "a STARTTLS\r\n", "a BAD TLS is active already.^{BAD}"),
    CASE("STARTTLS without", no_login_env, "a STARTTLS\r\n", "a BAD TLS is not available.^{BAD}"),
    CASE("unknown", tls_env, "a SELECT INBOX\r\n", "a " UNKNOWN),
    CASE("tag alone", tls_env, "a\r\n", "a " UNKNOWN),
    CASE("verb with junk", tls_env, "a NOOP\"x\"\r\n", "a " UNKNOWN),
    CASE("verb with NUL", tls_env, "a NOOP\0\r\nb NOOP\r\n", "a " UNKNOWN "b OK NOOP completed.^"),
    CASE("8 bit", tls_env, "a NO\xc3\xb6P\r\n", "a " UNKNOWN),
    CASE("8 bit tag", tls_env, "\xc3\xb6 NOOP\r\n", "* BAD Invalid tag.^{BAD}"),
    CASE("empty line", tls_env, "\r\n", "* BAD Invalid tag.^{BAD}"),
    CASE("plus in tag", tls_env, "a+ NOOP\r\n", "* BAD Invalid tag.^{BAD}"),
    CASE("star as tag", tls_env, "* NOOP\r\n", "* BAD Invalid tag.^{BAD}"),
    CASE("bare LF", tls_env, "a NOOP\nb LOGIN u p\n",
         "a OK NOOP completed.^{READY plain u p}b " FAILED),
    CASE("HTTP", tls_env, "GET / HTTP/1.1\r\nHost: x\r\n",
         "* BYE This is not an HTTP server.^{FATAL}"),
    CASE("HTTP POST", tls_env, "POST /x HTTP/1.1\r\n", "* BYE This is not an HTTP server.^{FATAL}"),
    CASE("tag like a method", tls_env, "GET NOOP\r\n", "GET OK NOOP completed.^"),
    CASE("TLS hello in clear", clear_env, "\x16\x03\x01\x02\x00\n", "* BAD Invalid tag.^{BAD}"),
};

static const struct front_case login_cases[] = {
    CASE("atoms", tls_env, "a LOGIN ok pass\r\nb NOOP\r\n",
         "{READY plain ok pass}a OK Logged in.^"),
    CASE("quoted", tls_env, "a login \"u \\\"\\\\x\" \"p w\"\r\n",
         "{READY plain u \"\\x p w}a " FAILED),
    CASE("UTF-8 in quotes", tls_env, "a login \"\xc3\xb6\" \"p\xc3\xa4\"\r\n",
         "{READY plain \xc3\xb6 p\xc3\xa4}a " FAILED),
    CASE("8 bit in quotes that is no UTF-8", tls_env, "a login u \"\xe4\"\r\n", "a " LOGIN_ARGS),
    CASE("8 bit in atom", tls_env, "a login u \xc3\xa4\r\n", "a " LOGIN_ARGS),
    CASE("NUL in quotes", tls_env, "a login u \"p\0\"\r\n", "a " LOGIN_ARGS),
    CASE("literals", tls_env, "a LOGIN {2}\r\nok {4}\r\np\"\\w\r\n",
         "+ OK^+ OK^{READY plain ok p\"\\w}a OK Logged in.^"),
    CASE("literals without waiting", tls_env, "a LOGIN {2+}\r\nok {4+}\r\np}{w\r\nb NOOP\r\n",
         "{READY plain ok p}{w}a OK Logged in.^"),
    CASE("mixed", tls_env, "a LOGIN \"ok\" {0}\r\n\r\n",
         "+ OK^a " FAILED "{REFUSED auth-failed plain ok}"),
    CASE("8 bit literal that is no UTF-8 as password", tls_env, "a LOGIN u {1+}\r\n\xe4\r\n",
         "{READY plain u \xe4}a " FAILED),
    CASE("CRLF in a password", tls_env, "a LOGIN u {6+}\r\np\r\nx y\r\nb NOOP\r\n",
         "a " FAILED "{REFUSED auth-failed plain u}b OK NOOP completed.^"),
    CASE("CRLF in a name", tls_env, "a LOGIN {3+}\r\nu\r\n p\r\n",
         "a " FAILED "{REFUSED auth-failed plain}"),
    CASE("NUL in a literal", tls_env, "a LOGIN u {2+}\r\np\0\r\n", "a " LOGIN_ARGS),
    CASE("bytes after the literal", tls_env, "a LOGIN u {1+}\r\npx\r\n", "a " LOGIN_ARGS),
    CASE("literal glued to an atom", tls_env, "a LOGIN u x{1+}\r\np\r\n", "a " LOGIN_ARGS),
    CASE("too few", tls_env, "a LOGIN u\r\nb LOGIN\r\n", "a " LOGIN_ARGS "b " LOGIN_ARGS),
    CASE("too many", tls_env, "a LOGIN u p q\r\n", "a " LOGIN_ARGS),
    CASE("open quote", tls_env, "a LOGIN u \"p\r\nb NOOP\r\n",
         "a " LOGIN_ARGS "b OK NOOP completed.^"),
    CASE("escape at the end", tls_env, "a LOGIN u \"p\\\r\n", "a " LOGIN_ARGS),
    CASE("empty name", tls_env, "a LOGIN \"\" p\r\n", "a " FAILED "{REFUSED auth-failed plain}"),
    CASE("a failed login leaves nothing", tls_env, "a LOGIN u p\r\nb LOGIN v\r\nc LOGIN w q\r\n",
         "{READY plain u p}a " FAILED "b " LOGIN_ARGS "{READY plain w q}c " FAILED),
    CASE("before TLS", clear_env, "a LOGIN u p\r\n",
         "a NO [PRIVACYREQUIRED] Encryption is required: use TLS.^{REFUSED tls-required plain u}"),
    CASE("before TLS no literal is invited", clear_env, "a LOGIN {1}\r\nb NOOP\r\n",
         "a NO [PRIVACYREQUIRED] Encryption is required: use TLS.^{REFUSED tls-required plain}b OK "
         "NOOP completed.^"),
    CASE(
        "not configured", no_login_env, "a LOGIN u p\r\n",
        "a NO [CANNOT] Authentication mechanism is not available.^{REFUSED mech-disabled plain u}"),
    CASE("unknown command's literal is skipped", tls_env, "a FOO {5+}\r\nx\r\ny\r\r\nb NOOP\r\n",
         "a " UNKNOWN "b OK NOOP completed.^"),
    CASE("unknown command's literal is not invited", tls_env, "a FOO {5}\r\nb NOOP\r\n",
         "a " UNKNOWN "b OK NOOP completed.^"),
    CASE("not even the second one", tls_env, "a FOO {1+}\r\nx {5}\r\nb NOOP\r\n",
         "a " UNKNOWN "b OK NOOP completed.^"),
};

static const struct front_case cap_cases[] = {
    CASE("literal too large, waiting", tls_env, "a LOGIN {41}\r\nb NOOP\r\n",
         "a NO [TOOBIG] Literal is too large.^{BAD}b OK NOOP completed.^"),
    CASE("literal too large, coming", tls_env, "a LOGIN {41+}\r\n",
         "* BYE Command is too long.^{FATAL}"),
    CASE("literals too large together", tls_env, "a LOGIN {1+}\r\nu {40}\r\nb NOOP\r\n",
         "a NO [TOOBIG] Literal is too large.^{BAD}b OK NOOP completed.^"),
    CASE("number overflow", tls_env, "a LOGIN {99999999999999999999999}\r\n",
         "a NO [TOOBIG] Literal is too large.^{BAD}"),
    CASE("number overflow, coming", tls_env, "a LOGIN {18446744073709551617+}\r\n",
         "* BYE Command is too long.^{FATAL}"),
    CASE("HTTP beyond the longest line", tls_env,
         "POST x"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         " HTTP/1.1\r\n",
         "* BYE Command is too long.^{FATAL}"),
    CASE("line too long", tls_env,
         "a LOGIN "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaa"
         "aaaaaaaaaaaaaaaaaaaaa",
         "* BYE Command is too long.^{FATAL}"),
    CASE("tag too long", tls_env,
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa NOOP\r\n",
         "* BAD Invalid tag.^{BAD}"),
};

static const struct front_case sasl_cases[] = {
    CASE("no initial response", tls_env, "a AUTHENTICATE plain\r\nAHUAcA==\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{DATA }a " FAILED),
    CASE("two steps and in", tls_env, "a AUTHENTICATE LOGIN\r\nbW9yZQ==\r\nZ29vZA==\r\n",
         "{BEGIN LOGIN}+ aGVsbG8=^{DATA more}+ ^{DATA good}a OK Logged in.^"),
    CASE("empty response", tls_env, "a AUTHENTICATE PLAIN\r\n\r\nb NOOP\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{DATA }a " FAILED "b OK NOOP completed.^"),
    CASE("initial response", tls_env, "a AUTHENTICATE PLAIN bW9yZQ==\r\nb NOOP\r\n",
         "{BEGIN PLAIN more}a " FAILED "b OK NOOP completed.^"),
    CASE("empty initial response", tls_env, "a AUTHENTICATE PLAIN =\r\n",
         "{BEGIN PLAIN }a " FAILED),
    CASE("bad initial response", tls_env, "a AUTHENTICATE PLAIN ===\r\nb NOOP\r\n",
         "{AUTH_BAD}a BAD Invalid authentication data.^b OK NOOP completed.^"),
    CASE("cancel", tls_env, "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{ABORT}a BAD Authentication cancelled.^b OK NOOP completed.^"),
    CASE("bad base64", tls_env, "a AUTHENTICATE PLAIN\r\na b\r\nb NOOP\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{AUTH_BAD}a BAD Invalid authentication data.^"
         "b OK NOOP completed.^"),
    CASE("NUL in base64", tls_env, "a AUTHENTICATE PLAIN\r\nAA\0A\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{AUTH_BAD}a BAD Invalid authentication data.^"),
    CASE("two initial responses", tls_env, "a AUTHENTICATE PLAIN AA== AA==\r\n",
         "a BAD Invalid arguments of AUTHENTICATE.^{BAD}"),
    CASE("blank without response", tls_env, "a AUTHENTICATE PLAIN \r\n",
         "a BAD Invalid arguments of AUTHENTICATE.^{BAD}"),
    CASE("no mechanism", tls_env, "a AUTHENTICATE\r\n",
         "a BAD AUTHENTICATE needs a mechanism.^{BAD}"),
    CASE("mechanism not enabled", tls_env, "a AUTHENTICATE CRAM-MD5\r\n",
         "a NO [CANNOT] Authentication mechanism is not available.^{REFUSED mech-disabled "
         "cram-md5}"),
    CASE("unknown mechanism", tls_env, "a AUTHENTICATE GSSAPI\r\n",
         "a NO [CANNOT] Authentication mechanism is not available.^{REFUSED mech-disabled none}"),
    CASE("APOP is none", tls_env, "a AUTHENTICATE APOP\r\n",
         "a NO [CANNOT] Authentication mechanism is not available.^{REFUSED mech-disabled apop}"),
    CASE("clear text before TLS", clear_env, "a AUTHENTICATE PLAIN AHUAcA==\r\n",
         "a NO [PRIVACYREQUIRED] Encryption is required: use TLS.^{REFUSED tls-required plain}"),
    CASE("response too long", tls_env,
         "a AUTHENTICATE PLAIN\r\n"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaa"
         "aaaaaaaaaaaaaaaaaaaaa",
         "{BEGIN PLAIN}+ aGVsbG8=^* BYE Command is too long.^{FATAL}"),
};

#define ID_CASE(title, input, output, id)                                                          \
    {                                                                                              \
        .what = title, .proto = &proto_imap, .env = &clear_env, .in = STR(input), .want = output,  \
        .client_id = id                                                                            \
    }
#define ID_OK "* ID NIL^a OK ID completed.^"
#define ID_BAD "a BAD Invalid arguments of ID.^{BAD}"

static const struct front_case id_cases[] = {
    ID_CASE("NIL", "a ID NIL\r\n", ID_OK, ""),
    ID_CASE("empty list", "a id ()\r\n", ID_OK, ""),
    ID_CASE("pairs", "a ID (\"name\" \"x\" \"version\" \"1\")\r\n", ID_OK,
            "\"name\" \"x\" \"version\" \"1\""),
    ID_CASE("NIL value is left out", "a ID (\"os\" NIL \"name\" \"x\")\r\n", ID_OK,
            "\"name\" \"x\""),
    ID_CASE("literals", "a ID (\"name\" {3}\r\nx\ry)\r\n", "+ OK^" ID_OK, "\"name\" \"x?y\""),
    ID_CASE("escapes", "a ID (\"name\" \"a\\\"b\\\\\")\r\n", ID_OK, "\"name\" \"a\\\"b\\\\\""),
    ID_CASE("not ASCII", "a ID (\"name\" \"\xc3\xb6\")\r\n", ID_OK, "\"name\" \"??\""),
    ID_CASE("the last one counts", "a ID (\"name\" \"x\")\r\na ID NIL\r\n", ID_OK ID_OK, ""),
    ID_CASE("no value", "a ID (\"name\")\r\n", ID_BAD, ""),
    ID_CASE("no list", "a ID\r\n", ID_BAD, ""),
    ID_CASE("open list", "a ID (\"name\" \"x\"\r\n", ID_BAD, ""),
    ID_CASE("junk behind", "a ID (\"name\" \"x\") y\r\n", ID_BAD, ""),
    ID_CASE("atoms", "a ID (name x)\r\n", ID_BAD, ""),
    ID_CASE("a bad one forgets", "a ID (\"name\" \"x\")\r\na ID (\"name\" \"y\" z)\r\n",
            ID_OK ID_BAD, ""),
};

FRONT_TEST(test_commands, command_cases)
FRONT_TEST(test_login, login_cases)
FRONT_TEST(test_caps, cap_cases)
FRONT_TEST(test_sasl, sasl_cases)
FRONT_TEST(test_id, id_cases)

/* ---- words ---- */

static void test_greeting(void **state)
{
    static const char *const list[] = {"IMAP4rev1",     "auth=NTLM",       "IDLE", "starttls",
                                       "LOGINDISABLED", "LOGIN-REFERRALS", NULL};
    AUTO_BUF out = BUF_INIT;
    struct front_env env = clear_env;
    size_t used;
    struct front *f = proto_imap.front_new(&env);
    assert_non_null(f);
    assert_int_equal(proto_imap.greet(f, &out), 0);
    front_check(&out, "* OK [CAPABILITY " CAPS " STARTTLS LOGINDISABLED] mx ready.\r\n");
    env.greeting = "hi\r\nthere";
    env.capabilities = list;
    env.mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT_COMMAND;
    env.tls = FRONT_TLS_ACTIVE;
    assert_int_equal(proto_imap.greet(f, &out), 0);
    front_check(&out, "* OK [CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN] hi there\r\n");
    env.hidden = SASL_BIT(SASL_PLAIN); /* taken, though nobody is told */
    assert_int_equal(proto_imap.greet(f, &out), 0);
    front_check(&out, "* OK [CAPABILITY IMAP4rev1 IDLE] hi there\r\n");
    env.hidden |= SASL_BIT_COMMAND;
    assert_int_equal(proto_imap.greet(f, &out), 0);
    front_check(&out, "* OK [CAPABILITY IMAP4rev1 IDLE LOGINDISABLED] hi there\r\n");
    assert_int_equal(proto_imap.feed(f, STR("a AUTHENTICATE PLAIN\r\n"), &used, &out),
                     PROTO_AUTH_BEGIN);
    proto_imap.front_free(f);
}

/* Sessions that share what was written out hear what they would hear without it. */
static void test_memos(void **state)
{
    static const struct front_env *const envs[] = {&open_env, &tls_env, &clear_env, &no_login_env};
    struct front_memo memos[FRONT_MEMOS] = {0};
    for (size_t i = 0; i < 3 * ARRAY_LEN(envs); i++) {
        AUTO_BUF want = BUF_INIT;
        struct front_env env = *envs[i % ARRAY_LEN(envs)];
        struct front *f = proto_imap.front_new(&env);
        assert_non_null(f);
        assert_int_equal(proto_imap.greet(f, &want), 0);
        env.memos = memos;
        for (int again = 0; again < 2; again++) {
            AUTO_BUF out = BUF_INIT;
            assert_int_equal(proto_imap.greet(f, &out), 0);
            assert_true(str_eq(buf_str(&out), buf_str(&want)));
        }
        proto_imap.front_free(f);
    }
    for (size_t i = 0; i < FRONT_MEMOS; i++)
        buf_fini(&memos[i].text);
}

static struct front *pending_front(void)
{
    AUTO_BUF out = BUF_INIT;
    size_t used;
    struct front *f = proto_imap.front_new(&tls_env);
    assert_non_null(f);
    assert_int_equal(proto_imap.feed(f, STR("tag7 LOGIN u p\r\n"), &used, &out), PROTO_READY);
    assert_int_equal(used, 16);
    return f;
}

static void test_replies(void **state)
{
    static const struct {
        enum reply_kind kind;
        const char *text;
        const char *want;
    } rows[] = {
        {REPLY_AUTH_FAILED, NULL, "tag7 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"},
        {REPLY_AUTH_FAILED, "No such\r\na OK", "tag7 NO [AUTHENTICATIONFAILED] No such a OK\r\n"},
        {REPLY_AUTH_FAILED, "", "tag7 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"},
        {REPLY_AUTH_FAILED, "[ALERT] Pay your bill", "tag7 NO [ALERT] Pay your bill\r\n"},
        {REPLY_AUTH_TEMPFAIL, NULL, "tag7 NO [UNAVAILABLE] Temporary authentication failure.\r\n"},
        {REPLY_LIMIT, NULL, "tag7 NO [LIMIT] Too many connections.\r\n"},
        {REPLY_LOCKED, "Ask us", "tag7 NO [ALERT] Ask us\r\n"},
        {REPLY_BACKEND_DOWN, NULL,
         "tag7 NO [UNAVAILABLE] Mail server is temporarily unavailable.\r\n"},
        {REPLY_BACKEND_FULL, NULL, "tag7 NO [LIMIT] Mail server has no room, try again later.\r\n"},
        {REPLY_HELD, NULL, "* OK Login is waiting.\r\n"},
        {REPLY_SHUTDOWN, NULL, "* BYE [UNAVAILABLE] Server is shutting down.\r\n"},
        {REPLY_KICKED, "bye now", "* BYE bye now\r\n"},
        {REPLY_INTERNAL, NULL, "tag7 NO [SERVERBUG] Internal error.\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF out = BUF_INIT;
        struct front *f = pending_front();
        assert_int_equal(proto_imap.reply(f, rows[i].kind, NULL, rows[i].text, &out), 0);
        front_check(&out, rows[i].want);
        proto_imap.front_free(f);
    }
    for (int kind = 0; kind < REPLY_KIND_COUNT; kind++) {
        AUTO_BUF out = BUF_INIT;
        assert_int_equal(proto_imap.farewell((enum reply_kind)kind, NULL, &out), 0);
        assert_true(str_is_prefix(buf_str(&out), STR("* BYE ")));
    }
}

static void test_success(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct back_success s = {0};
    struct front *f = pending_front();
    assert_int_equal(buf_append_c(&s.text, "Welcome"), 0);
    assert_int_equal(buf_append_c(&s.capabilities, "IMAP4rev1 IDLE"), 0);
    assert_int_equal(proto_imap.keepalive(f, &out), 0);
    front_check(&out, "* OK Still waiting for the mail server.\r\n");
    assert_int_equal(proto_imap.success(f, &s, &out), 0);
    front_check(&out, "tag7 OK [CAPABILITY IMAP4rev1 IDLE] Welcome\r\n");
    assert_int_equal(f->cred.secret.len, 0);
    proto_imap.front_free(f);
    buf_fini(&s.text);
    buf_fini(&s.capabilities);
}

static void test_tls_forgets(void **state)
{
    AUTO_BUF out = BUF_INIT;
    size_t used;
    struct front_env env = clear_env;
    struct front *f = proto_imap.front_new(&env);
    assert_non_null(f);
    assert_int_equal(proto_imap.feed(f, STR("a ID (\"name\" \"x\")\r\n"), &used, &out),
                     PROTO_REPLIED);
    assert_true(f->client_id.len > 0);
    assert_int_equal(proto_imap.tls_started(f, &out), 0);
    assert_int_equal(f->client_id.len, 0);
    proto_imap.front_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_login),
        cmocka_unit_test(test_caps),     cmocka_unit_test(test_sasl),
        cmocka_unit_test(test_id),       cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_memos),    cmocka_unit_test(test_replies),
        cmocka_unit_test(test_success),  cmocka_unit_test(test_tls_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
