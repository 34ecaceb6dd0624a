/* SPDX-License-Identifier: ISC */
/* POP3 towards clients: commands before login in every cutting, and the words of each reply. */
#include "tests/unit/proto/front_case.h"

#define MECHANISMS                                                                                 \
    (SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_APOP) | SASL_BIT_COMMAND)
#define LIMITS .server_name = "mx", .max_line_bytes = 200

static const struct front_env tls_env = {LIMITS, .mechanisms = MECHANISMS, .tls = FRONT_TLS_ACTIVE,
                                         .apop_salt = "<1.2@mx>"};
static const struct front_env open_env = {LIMITS, .mechanisms = MECHANISMS,
                                          .tls = FRONT_TLS_OFFERED, .apop_salt = "<1.2@mx>"};
static const struct front_env clear_env = {LIMITS, .mechanisms = 0, .is_clear_text_refused = true,
                                           .tls = FRONT_TLS_OFFERED};
static const struct front_env md5_env = {LIMITS, .mechanisms = SASL_BIT(SASL_CRAM_MD5),
                                         .tls = FRONT_TLS_NONE};

#define CASE(title, e, input, output)                                                              \
    {                                                                                              \
        .what = title, .proto = &proto_pop3, .env = &(e), .in = STR(input), .want = output         \
    }

#define CAPS "+OK Capability list follows^TOP^UIDL^RESP-CODES^AUTH-RESP-CODE^PIPELINING^"
#define FAILED "-ERR [AUTH] Authentication failed.^"
#define UNKNOWN "-ERR Unknown command, or not allowed before login.^{BAD}"
#define TLS_REQUIRED "-ERR Encryption is required: use TLS.^"
#define DISABLED "-ERR Authentication mechanism is not available.^"
#define LONG100                                                                                    \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaa"                                                                                         \
    "aaaa"

static const struct front_case command_cases[] = {
    CASE("CAPA in TLS", tls_env, "CAPA\r\n", CAPS "USER^SASL PLAIN LOGIN^.^"),
    CASE("CAPA in clear", clear_env, "capa\r\n", CAPS "STLS^.^"),
    CASE("CAPA before optional TLS", open_env, "CAPA\r\n", CAPS "USER^SASL PLAIN LOGIN^STLS^.^"),
    CASE("CAPA without USER", md5_env, "CAPA\r\n", CAPS "SASL CRAM-MD5^.^"),
    CASE("pipelined", tls_env, "NOOP\r\nnoop\r\nQUIT\r\nNOOP\r\n",
         "+OK^+OK^+OK Logging out.^{QUIT}"),
    CASE("STLS", clear_env, "STLS\r\nUSER x\r\n", "+OK Begin TLS negotiation now.^{STARTTLS}"),
    CASE("STLS in TLS", tls_env, "STLS\r\n", "-ERR TLS is active already.^{BAD}"),
    CASE("STLS without", md5_env, "STLS\r\n", "-ERR TLS is not available.^{BAD}"),
    CASE("unknown", tls_env, "STAT\r\nLIST 1\r\n\r\n", UNKNOWN UNKNOWN UNKNOWN),
    CASE("arguments where none belong", tls_env, "CAPA x\r\n",
         "-ERR Command takes no arguments.^{BAD}"),
    CASE("NUL", tls_env, "USER a\0b\r\nNOOP\r\n", UNKNOWN "+OK^"),
    CASE("bare LF", tls_env, "NOOP\nNOOP\n", "+OK^+OK^"),
    CASE("HTTP", tls_env, "POST / HTTP/1.1\r\n", "-ERR This is not an HTTP server.^{FATAL}"),
    CASE("HTTP beyond the longest line", tls_env,
         "POST x"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         " HTTP/1.1\r\n",
         "-ERR Command is too long.^{FATAL}"),
    CASE("too long", tls_env, "USER " LONG100 LONG100 LONG100, "-ERR Command is too long.^{FATAL}"),
};

static const struct front_case login_cases[] = {
    CASE("USER and PASS", tls_env, "USER ok\r\nPASS pw\r\nSTAT\r\n",
         "+OK^{READY plain ok pw}+OK Logged in.^"),
    CASE("blanks in both", tls_env, "user a b\r\npass  p w \r\n",
         "+OK^{READY plain a b  p w }" FAILED),
    CASE("longer than 128 bytes", tls_env,
         "USER u\r\nPASS " LONG100 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
         "bbbbbbbbbbbbbbbbbbbbb\r\n",
         "+OK^{READY plain u " LONG100
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}" FAILED),
    CASE("UTF-8", tls_env, "USER j\xc3\xb6\r\nPASS \xc3\xa4\r\n",
         "+OK^{READY plain j\xc3\xb6 \xc3\xa4}" FAILED),
    CASE("a name that is no UTF-8", tls_env, "USER j\xf6\r\n", "-ERR USER needs a name.^{BAD}"),
    CASE("other commands between", tls_env, "USER ok\r\nNOOP\r\nPASS pw\r\n",
         "+OK^+OK^{READY plain ok pw}+OK Logged in.^"),
    CASE("the last USER counts", tls_env, "USER a\r\nUSER b\r\nPASS p\r\n",
         "+OK^+OK^{READY plain b p}" FAILED),
    CASE("a failed login forgets the name", tls_env, "USER a\r\nPASS p\r\nPASS q\r\n",
         "+OK^{READY plain a p}" FAILED "-ERR USER comes first.^{BAD}"),
    CASE("AUTH forgets the name", tls_env, "USER a\r\nAUTH\r\nPASS p\r\n",
         "+OK^+OK methods supported:^PLAIN^LOGIN^.^-ERR USER comes first.^{BAD}"),
    CASE("no name", tls_env, "USER\r\nUSER  \r\n",
         "-ERR USER needs a name.^{BAD}-ERR USER needs a name.^{BAD}"),
    CASE("no password", tls_env, "USER a\r\nPASS\r\n",
         "+OK^" FAILED "{REFUSED auth-failed plain a}"),
    CASE("CR in a password", tls_env, "USER a\r\nPASS p\rDELE 1\r\n",
         "+OK^" FAILED "{REFUSED auth-failed plain a}"),
    CASE("CR in a name", tls_env, "USER a\rb\r\n", "-ERR USER needs a name.^{BAD}"),
    CASE("before TLS", clear_env, "USER u\r\nPASS p\r\n",
         TLS_REQUIRED "{REFUSED tls-required plain u}" TLS_REQUIRED "{BAD}"),
    CASE("not configured", md5_env, "USER u\r\nPASS p\r\n",
         DISABLED "{REFUSED mech-disabled plain u}" DISABLED "{BAD}"),
};

static const struct front_case apop_cases[] = {
    CASE("APOP", tls_env, "APOP ok c4C9334bac560ecc979e58001b3e22fb\r\n",
         "{READY apop ok c4c9334bac560ecc979e58001b3e22fb}+OK Logged in.^"),
    CASE("blank in the name", tls_env, "APOP a b c4c9334bac560ecc979e58001b3e22fb\r\n",
         "{READY apop a b c4c9334bac560ecc979e58001b3e22fb}" FAILED),
    CASE("no digest", tls_env, "APOP ok\r\n", "-ERR APOP needs a name and a digest.^{BAD}"),
    CASE("nothing", tls_env, "APOP\r\n", "-ERR APOP needs a name and a digest.^{BAD}"),
    CASE("short digest", tls_env, "APOP ok c4c9\r\n", "-ERR APOP needs a name and a digest.^{BAD}"),
    CASE("no hex", tls_env, "APOP ok g4c9334bac560ecc979e58001b3e22fb\r\n",
         "-ERR APOP needs a name and a digest.^{BAD}"),
    CASE("not configured", md5_env, "APOP ok c4c9334bac560ecc979e58001b3e22fb\r\n",
         DISABLED "{REFUSED mech-disabled apop ok}"),
};

static const struct front_case sasl_cases[] = {
    CASE("list", tls_env, "AUTH\r\n", "+OK methods supported:^PLAIN^LOGIN^.^"),
    CASE("empty list", clear_env, "AUTH\r\n", "+OK methods supported:^.^"),
    CASE("no initial response", tls_env, "AUTH plain\r\nAHUAcA==\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{DATA }" FAILED),
    CASE("two steps and in", tls_env, "AUTH LOGIN\r\nbW9yZQ==\r\nZ29vZA==\r\n",
         "{BEGIN LOGIN}+ aGVsbG8=^{DATA more}+ ^{DATA good}+OK Logged in.^"),
    CASE("initial response", tls_env, "AUTH PLAIN bW9yZQ==\r\nNOOP\r\n",
         "{BEGIN PLAIN more}" FAILED "+OK^"),
    CASE("empty initial response", tls_env, "AUTH PLAIN =\r\n", "{BEGIN PLAIN }" FAILED),
    CASE("bad initial response", tls_env, "AUTH PLAIN x\r\nNOOP\r\n",
         "{AUTH_BAD}-ERR Invalid authentication data.^+OK^"),
    CASE("cancel", tls_env, "AUTH PLAIN\r\n*\r\nNOOP\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{ABORT}-ERR Authentication cancelled.^+OK^"),
    CASE("bad base64", tls_env, "AUTH PLAIN\r\n%\r\nNOOP\r\n",
         "{BEGIN PLAIN}+ aGVsbG8=^{AUTH_BAD}-ERR Invalid authentication data.^+OK^"),
    CASE("too many arguments", tls_env, "AUTH PLAIN AA== x\r\n",
         "-ERR Invalid arguments of AUTH.^{BAD}"),
    CASE("not enabled", tls_env, "AUTH CRAM-MD5\r\nAUTH NTLM\r\nAUTH APOP\r\n",
         DISABLED "{REFUSED mech-disabled cram-md5}" DISABLED
                  "{REFUSED mech-disabled none}" DISABLED "{REFUSED mech-disabled apop}"),
    CASE("before TLS", clear_env, "AUTH PLAIN AHUAcA==\r\n",
         TLS_REQUIRED "{REFUSED tls-required plain}"),
};

FRONT_TEST(test_commands, command_cases)
FRONT_TEST(test_login, login_cases)
FRONT_TEST(test_apop, apop_cases)
FRONT_TEST(test_sasl, sasl_cases)

/* ---- words ---- */

static void test_greeting(void **state)
{
    static const char *const list[] = {"UIDL", "SASL NTLM", "USER",      "stls",
                                       ".",    "XCLIENT",   "EXPIRE 60", NULL};
    AUTO_BUF out = BUF_INIT;
    size_t used;
    struct front_env env = open_env;
    struct front *f = proto_pop3.front_new(&env);
    assert_non_null(f);
    assert_int_equal(proto_pop3.greet(f, &out), 0);
    front_check(&out, "+OK mx ready. <1.2@mx>\r\n");
    env.apop_salt = NULL;
    env.greeting = "hi\nthere";
    env.capabilities = list;
    assert_int_equal(proto_pop3.greet(f, &out), 0);
    front_check(&out, "+OK hi there\r\n");
    assert_int_equal(proto_pop3.feed(f, STR("CAPA\r\n"), &used, &out), PROTO_REPLIED);
    front_check(&out, "+OK Capability list follows\r\nUIDL\r\nUSER\r\nEXPIRE 60\r\n"
                      "SASL PLAIN LOGIN\r\nSTLS\r\n.\r\n");
    env.mechanisms = SASL_BIT(SASL_PLAIN);
    assert_int_equal(proto_pop3.feed(f, STR("CAPA\r\n"), &used, &out), PROTO_REPLIED);
    front_check(&out,
                "+OK Capability list follows\r\nUIDL\r\nEXPIRE 60\r\nSASL PLAIN\r\nSTLS\r\n.\r\n");
    env.mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT_COMMAND;
    env.hidden = SASL_BIT(SASL_LOGIN) | SASL_BIT_COMMAND; /* taken, though nobody is told */
    assert_int_equal(proto_pop3.feed(f, STR("CAPA\r\n"), &used, &out), PROTO_REPLIED);
    front_check(&out,
                "+OK Capability list follows\r\nUIDL\r\nEXPIRE 60\r\nSASL PLAIN\r\nSTLS\r\n.\r\n");
    assert_int_equal(proto_pop3.feed(f, STR("USER joe\r\n"), &used, &out), PROTO_REPLIED);
    front_check(&out, "+OK\r\n");
    assert_int_equal(proto_pop3.feed(f, STR("AUTH\r\n"), &used, &out), PROTO_REPLIED);
    front_check(&out, "+OK methods supported:\r\nPLAIN\r\n.\r\n");
    assert_int_equal(proto_pop3.feed(f, STR("AUTH LOGIN\r\n"), &used, &out), PROTO_AUTH_BEGIN);
    proto_pop3.front_free(f);
}

static void test_replies(void **state)
{
    static const struct {
        enum reply_kind kind;
        const char *text;
        const char *want;
    } rows[] = {
        {REPLY_AUTH_FAILED, "no\r\n+OK", "-ERR [AUTH] no +OK\r\n"},
        {REPLY_AUTH_FAILED, "[SYS/PERM] no", "-ERR [SYS/PERM] no\r\n"},
        {REPLY_AUTH_FAILED, "[not a code] no", "-ERR [AUTH] [not a code] no\r\n"},
        {REPLY_AUTH_TEMPFAIL, NULL, "-ERR [SYS/TEMP] Temporary authentication failure.\r\n"},
        {REPLY_LIMIT, NULL, "-ERR [IN-USE] Too many connections.\r\n"},
        {REPLY_BANNED, NULL, "-ERR [LOGIN-DELAY] Too many failures, try again later.\r\n"},
        {REPLY_LOCKED, NULL, "-ERR [SYS/PERM] Account is locked.\r\n"},
        {REPLY_KICKED, "bye", "-ERR [SYS/TEMP] bye\r\n"},
        {REPLY_HELD, NULL, ""},
    };
    AUTO_BUF out = BUF_INIT;
    struct front *f = proto_pop3.front_new(&tls_env);
    assert_non_null(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(proto_pop3.reply(f, rows[i].kind, NULL, rows[i].text, &out), 0);
        front_check(&out, rows[i].want);
    }
    assert_int_equal(proto_pop3.keepalive(f, &out), 0);
    front_check(&out, "");
    assert_int_equal(proto_pop3.farewell(REPLY_SHUTDOWN, NULL, &out), 0);
    front_check(&out, "-ERR [SYS/TEMP] Server is shutting down.\r\n");
    proto_pop3.front_free(f);
}

/* The salt goes along with APOP's digest; nothing learnt in clear survives STLS. */
static void test_state(void **state)
{
    AUTO_BUF out = BUF_INIT;
    size_t used;
    struct front_env env = open_env;
    struct front *f = proto_pop3.front_new(&env);
    assert_non_null(f);
    assert_int_equal(
        proto_pop3.feed(f, STR("APOP a c4c9334bac560ecc979e58001b3e22fb\r\n"), &used, &out),
        PROTO_READY);
    assert_true(str_eq(buf_str(&f->cred.salt), STR("<1.2@mx>")));
    assert_int_equal(f->cred.mech, SASL_APOP);
    assert_int_equal(proto_pop3.feed(f, STR("USER a\r\n"), &used, &out), PROTO_REPLIED);
    assert_int_equal(proto_pop3.tls_started(f, &out), 0);
    assert_int_equal(proto_pop3.feed(f, STR("PASS b\r\n"), &used, &out), PROTO_BAD);
    proto_pop3.front_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_login),
        cmocka_unit_test(test_apop),     cmocka_unit_test(test_sasl),
        cmocka_unit_test(test_greeting), cmocka_unit_test(test_replies),
        cmocka_unit_test(test_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
