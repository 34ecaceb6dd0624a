/* SPDX-License-Identifier: ISC */
/* SMTP towards mail servers: the dialogue of a login, of a mail handed over and of a health check,
 * in every cutting. */
#include "base/cleanup.h"
#include "tests/unit/proto/back_case.h"

#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d                                       \
    }
#define ME .ttl = 5, .server_name = "px", .want_capabilities = true
#define BASE(title) .what = title, .proto = &proto_smtp
#define JOE .mech = SASL_PLAIN, .user = STR("joe"), .secret = STR("secret")
#define NOBODY .mech = SASL_NONE, .user = STR(""), .secret = STR("")
#define AUTH ME, .is_auth_wanted = true

#define HI "220 mail ESMTP\r\n"
#define CAPS "250-mail\r\n250-PIPELINING\r\n250 AUTH LOGIN PLAIN\r\n"
#define CAPS_LIST "PIPELINING\nAUTH LOGIN PLAIN\n"
#define PLAIN_JOE "AUTH PLAIN AGpvZQBzZWNyZXQ=^"

static const struct back_case login_cases[] = {
    {BASE("PLAIN"), JOE, .env = {AUTH}, .in = STR(HI CAPS "235 2.7.0 Welcome\r\n"),
     .want = "EHLO px^" PLAIN_JOE "{DONE Welcome||" CAPS_LIST "}"},
    {BASE("nobody wants the list"), JOE,
     .env = {.ttl = 5, .server_name = "px", .is_auth_wanted = true},
     .in = STR(HI CAPS "235 2.7.0 Welcome\r\n"), .want = "EHLO px^" PLAIN_JOE "{DONE Welcome||}"},
    {BASE("the relay has to know of CHUNKING"), JOE,
     .env = {.ttl = 5, .server_name = "px", .is_auth_wanted = true},
     .in = STR(
         HI "250-mail\r\n250-SIZE 10\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n235 2.7.0 Welcome\r\n"),
     .want = "EHLO px^" PLAIN_JOE "{DONE Welcome||CHUNKING\n}"},
    {BASE("long greeting, bytes behind the reply stay"), JOE, .env = {AUTH}, .rest = 11,
     .in = STR("220-a\r\n220-b\r\n220 c\r\n" CAPS "235 in\r\n421 gone.\r\n"),
     .want = "EHLO px^" PLAIN_JOE "{DONE in||" CAPS_LIST "}"},
    {BASE("bare line feeds"), JOE, .env = {AUTH},
     .in = STR("220 x\n250-mail\n250 AUTH PLAIN\n235 in\n"),
     .want = "EHLO px^" PLAIN_JOE "{DONE in||AUTH PLAIN\n}"},
    {BASE("LOGIN"), JOE, .env = {AUTH},
     .in =
         STR(HI "250-mail\r\n250 AUTH=LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 in\r\n"),
     .want = "EHLO px^AUTH LOGIN^am9l^c2VjcmV0^{DONE in||AUTH=LOGIN\n}"},
    {BASE("LOGIN that wants more"), JOE, .env = {AUTH},
     .in = STR(HI "250-mail\r\n250 AUTH LOGIN\r\n334 a\r\n334 b\r\n334 c\r\n"),
     .want = "EHLO px^AUTH LOGIN^am9l^c2VjcmV0^"
             "{FAILED protocol the server wants more than the mechanism has}"},
    {BASE("master user"), JOE, .env = {AUTH, .master_user = "root"},
     .in = STR(HI CAPS "235 in\r\n"),
     .want = "EHLO px^AUTH PLAIN am9lAHJvb3QAc2VjcmV0^{DONE in||" CAPS_LIST "}"},
    {BASE("master user needs PLAIN"), JOE, .env = {AUTH, .master_user = "root"},
     .in = STR(HI "250-mail\r\n250 AUTH LOGIN\r\n"),
     .want = "EHLO px^{FAILED no-mechanism the server offers no suitable mechanism}"},
    {BASE("authzid"), JOE, .authzid = "ann", .env = {AUTH}, .in = STR(HI CAPS "235 in\r\n"),
     .want = "EHLO px^AUTH PLAIN YW5uAGpvZQBzZWNyZXQ=^{DONE in||" CAPS_LIST "}"},
    {BASE("no password"), .mech = SASL_EXTERNAL, .user = STR("joe"), .secret = STR(""),
     .env = {AUTH}, .in = STR(HI CAPS),
     .want = "EHLO px^{FAILED no-mechanism there is no password to log in with}"},
    {BASE("no AUTH at all"), JOE, .env = {AUTH}, .in = STR(HI "250 mail\r\n"),
     .want = "EHLO px^{FAILED no-mechanism the server offers no suitable mechanism}"},
    {BASE("no AUTH at all, forced"), JOE, .env = {AUTH, .is_auth_forced = true},
     .in = STR(HI "250 mail\r\n235 in\r\n"), .want = "EHLO px^" PLAIN_JOE "{DONE in||}"},
    {BASE("forced, but there is another"), JOE, .env = {AUTH, .is_auth_forced = true},
     .in = STR(HI "250-mail\r\n250 AUTH CRAM-MD5\r\n"),
     .want = "EHLO px^{FAILED no-mechanism the server offers no suitable mechanism}"},
    {BASE("XOAUTH2"), .mech = SASL_XOAUTH2, .user = STR("joe"), .secret = STR("tok"), .env = {AUTH},
     .in = STR(HI "250-mail\r\n250 AUTH XOAUTH2\r\n334 eyJ9\r\n535 5.7.8 no\r\n"),
     .want = "EHLO px^AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=^^{FAILED auth no}"},
    {BASE("OAUTHBEARER"), .mech = SASL_XOAUTH2, .user = STR("a,b"), .secret = STR("t"),
     .env = {AUTH}, .in = STR(HI "250-mail\r\n250 AUTH OAUTHBEARER\r\n334 eyJ9\r\n535 no\r\n"),
     .want = "EHLO px^AUTH OAUTHBEARER bixhPWE9MkNiLAFhdXRoPUJlYXJlciB0AQE=^AQ==^{FAILED auth no}"},
    {BASE("a token is no password"), .mech = SASL_XOAUTH2, .user = STR("joe"), .secret = STR("t"),
     .env = {AUTH}, .in = STR(HI CAPS),
     .want = "EHLO px^{FAILED no-mechanism the server offers no suitable mechanism}"},
    {BASE("trust without XCLIENT"), JOE, .env = {ME}, .in = STR(HI CAPS),
     .want = "EHLO px^{DONE ||" CAPS_LIST "}"},
    {BASE("the client's name goes along"), JOE,
     .env = {AUTH, .forward_id = true, .is_ehlo = true, .helo = STR("client")},
     .in = STR(HI CAPS "250-mail\r\n250 AUTH PLAIN\r\n235 in\r\n"),
     .want = "EHLO px^EHLO client^" PLAIN_JOE "{DONE in||AUTH PLAIN\n}"},
    {BASE("HELO before AUTH becomes EHLO"), JOE,
     .env = {AUTH, .forward_id = true, .helo = STR("client")},
     .in = STR(HI CAPS "250-mail\r\n250 AUTH PLAIN\r\n235 in\r\n"),
     .want = "EHLO px^EHLO client^" PLAIN_JOE "{DONE in||AUTH PLAIN\n}"},
};

#define REFUSED(title, reply, outcome)                                                             \
    {                                                                                              \
        BASE(title), JOE, .env = {AUTH}, .in = STR(HI CAPS reply "\r\n"),                          \
                          .want = "EHLO px^" PLAIN_JOE "{FAILED " outcome "}"                      \
    }

static const struct back_case failure_cases[] = {
    REFUSED("535", "535 5.7.8 wrong", "auth wrong"),
    REFUSED("535 in lines", "535-5.7.8 wrong\r\n535 5.7.8 password", "auth wrong password"),
    REFUSED("550", "550 no", "auth no"),
    REFUSED("454", "454 4.7.0 later", "auth-temp later"),
    REFUSED("451", "451 later", "auth-temp later"),
    REFUSED("421", "421 4.3.2 bye", "bye bye"),
    REFUSED("504", "504 what", "no-mechanism what"),
    REFUSED("534", "534 weak", "no-mechanism weak"),
    REFUSED("538", "538 clear", "no-tls clear"),
    REFUSED("503", "503 what", "protocol what"),
    REFUSED("250 is no login", "250 ok", "protocol ok"),
    REFUSED("control bytes", "535 a\033[1m\001b", "auth a [1m b"),
    REFUSED("no reply", "hello", "protocol hello"),
    REFUSED("a bad code", "99x a", "protocol 99x a"),
    REFUSED("mixed codes", "250-a\r\n235 b", "protocol 250-a 235 b"),
    REFUSED("a bad line is told without what follows it", "99x a\r\n235 in", "protocol 99x a"),
    {BASE("greeting 554"), JOE, .env = {AUTH}, .in = STR("554 5.3.2 go away\r\n"),
     .want = "{FAILED bye go away}"},
    {BASE("greeting 421"), JOE, .env = {AUTH}, .in = STR("421 full\r\n"),
     .want = "{FAILED bye full}"},
    {BASE("another protocol"), JOE, .env = {AUTH}, .in = STR("* OK IMAP\r\n"),
     .want = "{FAILED protocol * OK IMAP}"},
    {BASE("EHLO refused"), JOE, .env = {AUTH}, .in = STR(HI "502 what\r\n"),
     .want = "EHLO px^{FAILED protocol what}"},
    {BASE("EHLO later"), JOE, .env = {AUTH}, .in = STR(HI "451 wait\r\n"),
     .want = "EHLO px^{FAILED bye wait}"},
    {BASE("CR in the password"), .mech = SASL_PLAIN, .user = STR("joe"), .secret = STR("a\rb"),
     .env = {AUTH}, .in = STR(HI),
     .want = "{FAILED bad-credential refused before anything was sent}"},
    {BASE("NUL in the name"), .mech = SASL_PLAIN, .user = STR("j\0e"), .secret = STR("a"),
     .env = {AUTH}, .in = STR(HI),
     .want = "{FAILED bad-credential refused before anything was sent}"},
    {BASE("LF in HELO"), JOE, .env = {AUTH, .helo = STR("a\nMAIL")}, .in = STR(HI),
     .want = "{FAILED bad-credential refused before anything was sent}"},
    {BASE("CRLF in a confirmed name"), JOE, .env = {AUTH, .client_name = "a\r\nMAIL"},
     .in = STR(HI), .want = "{FAILED bad-credential refused before anything was sent}"},
    {BASE("loop"), JOE, .env = {.server_name = "px"}, .in = STR(HI),
     .want = "{FAILED loop refused before anything was sent}"},
};

#define CLEAR_CAPS "250-mail\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n"

static const struct back_case tls_cases[] = {
    {BASE("STARTTLS"), JOE, .env = {AUTH, .tls = BACK_TLS_STARTTLS},
     .before = STR(HI CLEAR_CAPS "220 go\r\n"), .in = STR(CAPS "235 in\r\n"),
     .want = "EHLO px^STARTTLS^{TLS}EHLO px^" PLAIN_JOE "{DONE in||" CAPS_LIST "}"},
    {BASE("what was injected in clear is dropped"), JOE, .env = {AUTH, .tls = BACK_TLS_STARTTLS},
     .before = STR(HI CLEAR_CAPS "220 go\r\n250 evil\r\n235 in\r\n"), .in = STR(CAPS "235 in\r\n"),
     .want = "EHLO px^STARTTLS^{TLS}EHLO px^" PLAIN_JOE "{DONE in||" CAPS_LIST "}"},
    {BASE("not offered"), JOE, .env = {AUTH, .tls = BACK_TLS_STARTTLS}, .in = STR(HI CAPS),
     .want = "EHLO px^{FAILED no-tls the server does not offer STARTTLS}"},
    {BASE("refused"), JOE, .env = {AUTH, .tls = BACK_TLS_STARTTLS},
     .in = STR(HI CLEAR_CAPS "502 no\r\n"), .want = "EHLO px^STARTTLS^{FAILED no-tls no}"},
    {BASE("not now"), JOE, .env = {AUTH, .tls = BACK_TLS_STARTTLS},
     .in = STR(HI CLEAR_CAPS "454 later\r\n"), .want = "EHLO px^STARTTLS^{FAILED tls later}"},
    {BASE("implicit"), JOE, .env = {AUTH, .tls = BACK_TLS_IMPLICIT, .is_tls_active = true},
     .in = STR(HI CLEAR_CAPS "334 x\r\n334 x\r\n235 in\r\n"),
     .want = "EHLO px^AUTH LOGIN^am9l^c2VjcmV0^{DONE in||AUTH LOGIN\nSTARTTLS\n}"},
    {BASE("HELO is no way round TLS"), .mech = SASL_NONE, .user = STR(""), .secret = STR(""),
     .env = {ME, .tls = BACK_TLS_STARTTLS}, .in = STR(HI "500 what\r\n"),
     .want = "EHLO px^{FAILED protocol what}"},
};

#define WHO                                                                                        \
    .forward_id = true, .is_ehlo = true, .helo = STR("c+1"), .session_id = "s-1",                  \
    .client = {V4(10, 1, 2, 3), 4711, AF_INET}, .local = {V4(10, 0, 0, 1), 587, AF_INET}
#define X(attributes) "250-mail\r\n250-XCLIENT " attributes "\r\n250 AUTH PLAIN\r\n"
#define X_LIST(attributes) "XCLIENT " attributes "\nAUTH PLAIN\n"
#define NINE "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
#define AGAIN "250-mail\r\n250 AUTH PLAIN\r\n"

static const struct back_case xclient_cases[] = {
    {BASE("trust by LOGIN"), JOE, .env = {ME, WHO}, .in = STR(HI X(NINE) "220 again\r\n" AGAIN),
     .want = "EHLO px^XCLIENT PROTO=ESMTP HELO=c+2B1 ADDR=10.1.2.3 PORT=4711 LOGIN=joe "
             "NAME=[UNAVAILABLE] DESTADDR=10.0.0.1 DESTPORT=587^EHLO c+1^{DONE ||AUTH PLAIN\n}"},
    {BASE("AUTH needs no LOGIN"), JOE, .env = {AUTH, WHO, .client_name = "c.example"},
     .in = STR(HI X(NINE " SESSION TTL") "250 ok\r\n" AGAIN "235 in\r\n"),
     .want = "EHLO px^XCLIENT PROTO=ESMTP HELO=c+2B1 ADDR=10.1.2.3 PORT=4711 NAME=c.example "
             "DESTADDR=10.0.0.1 DESTPORT=587 SESSION=s-1 TTL=5^EHLO c+1^" PLAIN_JOE
             "{DONE in||AUTH PLAIN\n}"},
    {BASE("only what is advertised"), JOE, .env = {ME, WHO},
     .in = STR(HI X("addr LOGIN") "220 again\r\n" AGAIN),
     .want = "EHLO px^XCLIENT ADDR=10.1.2.3 LOGIN=joe^EHLO c+1^{DONE ||AUTH PLAIN\n}"},
    {BASE("nothing that we know"), JOE, .env = {ME, WHO}, .in = STR(HI X("FOO") AGAIN),
     .want = "EHLO px^EHLO c+1^{DONE ||AUTH PLAIN\n}"},
    {BASE("IPv6, nothing known"), NOBODY,
     .env = {ME, .forward_id = true, .client = {{0x20, 1, 0xd, 0xb8, [15] = 1}, 0, AF_INET6}},
     .in = STR(HI X(NINE) "220 again\r\n" AGAIN),
     .want = "EHLO px^XCLIENT PROTO=SMTP HELO=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 "
             "PORT=[UNAVAILABLE] NAME=[UNAVAILABLE] DESTADDR=[UNAVAILABLE] "
             "DESTPORT=[UNAVAILABLE]^EHLO px^{DONE ||AUTH PLAIN\n}"},
    {BASE("UNIX client"), NOBODY, .env = {ME, .forward_id = true, .client = {.family = AF_UNIX}},
     .in = STR(HI X("ADDR") "220 again\r\n" AGAIN),
     .want = "EHLO px^XCLIENT ADDR=[UNAVAILABLE]^EHLO px^{DONE ||AUTH PLAIN\n}"},
    {BASE("an attribute cannot be injected"), .mech = SASL_PLAIN, .user = STR("a b=c\xc3\xb6"),
     .secret = STR("x"), .env = {ME, WHO}, .in = STR(HI X("LOGIN") "220 again\r\n" AGAIN),
     .want = "EHLO px^XCLIENT LOGIN=a+20b+3Dc+C3+B6^EHLO c+1^{DONE ||AUTH PLAIN\n}"},
    {BASE("not wanted"), JOE, .env = {ME, .helo = STR("c")}, .in = STR(HI X(NINE)),
     .want = "EHLO px^{DONE ||" X_LIST(NINE) "}"},
    {BASE("not advertised"), JOE, .env = {ME, WHO}, .in = STR(HI CAPS AGAIN),
     .want = "EHLO px^EHLO c+1^{DONE ||AUTH PLAIN\n}"},
    {BASE("forced"), JOE, .env = {ME, WHO, .xclient_forced = true},
     .in = STR(HI CAPS "220 again\r\n" AGAIN),
     .want = "EHLO px^XCLIENT ADDR=10.1.2.3 LOGIN=joe NAME=[UNAVAILABLE]^EHLO c+1^"
             "{DONE ||AUTH PLAIN\n}"},
    {BASE("unknown to the server"), JOE, .env = {ME, WHO, .xclient_forced = true},
     .in = STR(HI CAPS "502 5.5.1 what\r\n"),
     .want = "EHLO px^XCLIENT ADDR=10.1.2.3 LOGIN=joe NAME=[UNAVAILABLE]^{FAILED protocol what}"},
    {BASE("the client is not welcome"), JOE, .env = {ME, WHO},
     .in = STR(HI X("ADDR") "554 5.7.1 banned\r\n"),
     .want = "EHLO px^XCLIENT ADDR=10.1.2.3^{FAILED rejected banned}"},
    {BASE("the client's name is not welcome"), JOE, .env = {ME, WHO},
     .in = STR(HI X("ADDR") "220 again\r\n504 5.5.2 no such host\r\n"),
     .want = "EHLO px^XCLIENT ADDR=10.1.2.3^EHLO c+1^{FAILED rejected no such host}"},
};

#define MAIL .mail_from = STR("MAIL FROM:<a>"), .rcpt_to = STR("RCPT TO:<b>")
#define ESMTP .forward_id = true, .is_ehlo = true, .helo = STR("c")

static const struct back_case relay_cases[] = {
    {BASE("one by one"), NOBODY, .env = {ME, MAIL}, .in = STR(HI CAPS "250 ok\r\n251 ok\r\n"),
     .want = "EHLO px^MAIL FROM:<a>^RCPT TO:<b>^{DONE ||" CAPS_LIST "}"},
    {BASE("AUTH wanted, but there is none"), NOBODY, .env = {AUTH, MAIL},
     .in = STR(HI CAPS "250 ok\r\n250 ok\r\n"),
     .want = "EHLO px^MAIL FROM:<a>^RCPT TO:<b>^{DONE ||" CAPS_LIST "}"},
    {BASE("HELO for a client of old"), NOBODY,
     .env = {ME, MAIL, .forward_id = true, .helo = STR("c")},
     .in = STR(HI CAPS "250 mail\r\n250 ok\r\n250 ok\r\n"),
     .want = "EHLO px^HELO c^MAIL FROM:<a>^RCPT TO:<b>^{DONE ||" CAPS_LIST "}"},
    {BASE("HELO for a server of old"), NOBODY, .env = {ME, MAIL},
     .in = STR(HI "500 what\r\n250 hello\r\n250 ok\r\n250 ok\r\n"),
     .want = "EHLO px^HELO px^MAIL FROM:<a>^RCPT TO:<b>^{DONE ||}"},
    {BASE("rejected"), NOBODY, .env = {ME, MAIL},
     .in = STR(HI CAPS "250 ok\r\n550 5.1.1 no such user\r\n"),
     .want = "EHLO px^MAIL FROM:<a>^RCPT TO:<b>^{FAILED rejected no such user}"},
    {BASE("greylisted"), NOBODY, .env = {ME, MAIL},
     .in = STR(HI CAPS "250 ok\r\n450 4.2.0 wait\r\n"),
     .want = "EHLO px^MAIL FROM:<a>^RCPT TO:<b>^{FAILED rejected wait}"},
    {BASE("sender rejected"), NOBODY, .env = {ME, MAIL}, .in = STR(HI CAPS "553 5.1.8 no\r\n"),
     .want = "EHLO px^MAIL FROM:<a>^{FAILED rejected no}"},
    {BASE("closing"), NOBODY, .env = {ME, MAIL}, .in = STR(HI CAPS "250 ok\r\n421 bye\r\n"),
     .want = "EHLO px^MAIL FROM:<a>^RCPT TO:<b>^{FAILED bye bye}"},
    {BASE("CRLF in a command line"), NOBODY,
     .env = {ME, .mail_from = STR("MAIL FROM:<a>\r\nX"), .rcpt_to = STR("RCPT TO:<b>")},
     .in = STR(HI), .want = "{FAILED bad-credential refused before anything was sent}"},
};

static const struct back_case check_cases[] = {
    {BASE("check"), .env = {ME, .is_check = true},
     .in = STR(HI "250-mail\r\n250-SIZE 10\r\n250 a\033b\r\n221 bye\r\n"),
     .want = "EHLO px^QUIT^{DONE ||SIZE 10\na b\n}"},
    {BASE("check with TLS"), .env = {ME, .is_check = true, .tls = BACK_TLS_STARTTLS},
     .before = STR(HI CLEAR_CAPS "220 go\r\n"), .in = STR(CAPS "221 bye\r\n"),
     .want = "EHLO px^STARTTLS^{TLS}EHLO px^QUIT^{DONE ||" CAPS_LIST "}"},
    {BASE("check with login"), JOE, .env = {AUTH, .is_check = true},
     .in = STR(HI CAPS "235 in\r\n500 what\r\n"),
     .want = "EHLO px^" PLAIN_JOE "QUIT^{DONE in||" CAPS_LIST "}"},
};

BACK_TEST(test_login, login_cases)
BACK_TEST(test_failures, failure_cases)
BACK_TEST(test_tls, tls_cases)
BACK_TEST(test_xclient, xclient_cases)
BACK_TEST(test_relay, relay_cases)
BACK_TEST(test_check, check_cases)

/* ---- what the tables do not show ---- */

static enum back_result hear(struct back *b, const char *line, struct buf *out)
{
    size_t used;
    return proto_smtp.back_feed(b, str_of(line), &used, out);
}

static void check(struct buf *out, const char *want)
{
    if (!str_eq(buf_str(out), str_of(want)))
        fail_msg("got %.*s instead of %s", STR_ARG(buf_str(out)), want);
    buf_clear(out);
}

/* What one reply makes go out at once, with and without pipelining. */
static void test_pipelining(void **state)
{
    for (int is_allowed = 0; is_allowed < 2; is_allowed++) {
        AUTO_BUF out = BUF_INIT;
        struct credentials cred = {.mech = SASL_NONE};
        struct back_env env = {ME, MAIL, ESMTP, .cred = &cred, .is_pipelining_allowed = is_allowed};
        struct back *b = proto_smtp.back_new(&env);
        assert_non_null(b);
        (void)hear(b, HI, &out);
        buf_clear(&out);
        (void)hear(b, "250-m\r\n250-PIPELINING\r\n250 XCLIENT PROTO\r\n", &out);
        check(&out, "XCLIENT PROTO=ESMTP\r\n");
        assert_string_equal(b->step, "xclient");
        (void)hear(b, "220 again\r\n", &out);
        check(&out, "EHLO c\r\n");
        (void)hear(b, "250-m\r\n250 PIPELINING\r\n", &out);
        check(&out, is_allowed ? "MAIL FROM:<a>\r\nRCPT TO:<b>\r\n" : "MAIL FROM:<a>\r\n");
        assert_int_equal(hear(b, "250 ok\r\n", &out), BACK_NEED_MORE);
        check(&out, is_allowed ? "" : "RCPT TO:<b>\r\n");
        assert_int_equal(hear(b, "250-2.1.5 a\x01\r\n250 2.1.5 b\n", &out), BACK_DONE);
        check(&b->success.raw, "250-2.1.5 a\r\n250 2.1.5 b\r\n");
        assert_false(b->were_credentials_sent);
        proto_smtp.back_free(b);
    }
}

/* Postfix counts as an early talker who sends MAIL and RCPT at once after HELO, which announces
 * nothing, or anything behind XCLIENT or EHLO. */
static void test_no_pipelining_after_helo(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct credentials cred = {.mech = SASL_NONE};
    struct back_env env = {ME,
                           MAIL,
                           .cred = &cred,
                           .forward_id = true,
                           .helo = STR("c"),
                           .is_pipelining_allowed = true};
    struct back *b = proto_smtp.back_new(&env);
    assert_non_null(b);
    (void)hear(b, HI, &out);
    buf_clear(&out);
    (void)hear(b, "250-m\r\n250-PIPELINING\r\n250 XCLIENT PROTO\r\n", &out);
    check(&out, "XCLIENT PROTO=SMTP\r\n");
    (void)hear(b, "220 again\r\n", &out);
    check(&out, "HELO c\r\n");
    (void)hear(b, "250 m\r\n", &out);
    check(&out, "MAIL FROM:<a>\r\n");
    (void)hear(b, "250 ok\r\n", &out);
    check(&out, "RCPT TO:<b>\r\n");
    proto_smtp.back_free(b);
}

static void test_codes(void **state)
{
    static const struct {
        const char *reply, *code;
    } rows[] = {
        {"550 5.1.1 no\r\n", "550 5.1.1"},    {"450 wait\r\n", "450"},
        {"550 4.1.1 other class\r\n", "550"}, {"550-5.7.1 a\r\n550 5.7.1 b\r\n", "550 5.7.1"},
        {"550 5.1 short\r\n", "550"},         {"550 5.1.1\r\n", "550 5.1.1"},
        {"550 5.1.1000 long\r\n", "550"},     {"550\r\n", "550"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF out = BUF_INIT;
        struct credentials cred = {.mech = SASL_NONE};
        struct back_env env = {ME, MAIL, .cred = &cred};
        struct back *b = proto_smtp.back_new(&env);
        assert_non_null(b);
        (void)hear(b, HI, &out);
        (void)hear(b, CAPS, &out);
        (void)hear(b, "250 ok\r\n", &out);
        assert_int_equal(hear(b, rows[i].reply, &out), BACK_FAILED);
        assert_int_equal(b->failure, BACK_FAIL_REJECTED);
        check(&b->message_code, rows[i].code);
        proto_smtp.back_free(b);
    }
}

/* Commands stay within 512 octets: XCLIENT is split, a long initial response waits for 334. */
static void test_long_values(void **state)
{
    AUTO_BUF out = BUF_INIT, name = BUF_INIT;
    CLEANUP(credentials_wipe) struct credentials cred = {.mech = SASL_PLAIN};
    struct back_env env = {ME, WHO, .cred = &cred};
    for (int i = 0; i < 400; i++)
        assert_int_equal(buf_append_char(&cred.user, 'u'), 0);
    for (int i = 0; i < 250; i++)
        assert_int_equal(buf_append_char(&name, 'h'), 0);
    assert_int_equal(buf_append_c(&cred.secret, "secret"), 0);
    env.helo = buf_str(&name);
    struct back *b = proto_smtp.back_new(&env);
    assert_non_null(b);
    (void)hear(b, HI, &out);
    buf_clear(&out);
    (void)hear(b, X(NINE), &out);
    assert_true(out.len <= 512 &&
                str_is_prefix(buf_str(&out), STR("XCLIENT PROTO=ESMTP HELO=hhh")));
    buf_clear(&out);
    (void)hear(b, "220 again\r\n", &out);
    assert_true(out.len <= 512 && str_is_prefix(buf_str(&out), STR("XCLIENT LOGIN=uuu")));
    buf_clear(&out);
    (void)hear(b, "220 again\r\n", &out);
    assert_true(str_is_prefix(buf_str(&out), STR("EHLO hhh")));
    proto_smtp.back_free(b);

    env.is_auth_wanted = true;
    env.forward_id = false;
    b = proto_smtp.back_new(&env);
    assert_non_null(b);
    (void)hear(b, HI, &out);
    buf_clear(&out);
    (void)hear(b, CAPS, &out);
    check(&out, "AUTH PLAIN\r\n");
    assert_true(b->were_credentials_sent);
    assert_int_equal(hear(b, "334 \r\n", &out), BACK_NEED_MORE);
    assert_int_equal(out.len, 4 * ((400 + 8 + 2) / 3) + 2);
    assert_int_equal(hear(b, "235 in\r\n", &out), BACK_DONE);
    proto_smtp.back_free(b);
}

/* A server cannot make us keep more than a reply's cap. */
static void test_endless_reply(void **state)
{
    AUTO_BUF in = BUF_INIT, out = BUF_INIT;
    struct back_env env = {ME};
    size_t used;
    struct back *b = proto_smtp.back_new(&env);
    assert_non_null(b);
    while (in.len < 70000)
        assert_int_equal(buf_append_c(&in, "220-and so on\r\n"), 0);
    assert_int_equal(proto_smtp.back_feed(b, buf_str(&in), &used, &out), BACK_FAILED);
    assert_int_equal(b->failure, BACK_FAIL_PROTOCOL);
    proto_smtp.back_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),         cmocka_unit_test(test_failures),
        cmocka_unit_test(test_tls),           cmocka_unit_test(test_xclient),
        cmocka_unit_test(test_relay),         cmocka_unit_test(test_check),
        cmocka_unit_test(test_pipelining),    cmocka_unit_test(test_no_pipelining_after_helo),
        cmocka_unit_test(test_codes),         cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_endless_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
