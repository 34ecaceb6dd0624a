/* SPDX-License-Identifier: ISC */
/* IMAP towards mail servers: the dialogue of a login and of a health check, in every cutting. */
#include "tests/unit/proto/back_case.h"

#define LOGIN_ENV .ttl = 5
#define BASE(title) .what = title, .proto = &proto_imap, .mech = SASL_PLAIN
#define JOE BASE_USER("joe", "secret")
#define BASE_USER(u, s) .user = STR(u), .secret = STR(s)

#define IR "* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=XOAUTH2] hi\r\n"
#define IR_LIST "IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=XOAUTH2"

static const struct back_case login_cases[] = {
    {BASE("LOGIN when nothing is known"), JOE, .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\nP3 OK in\r\n"), .want = "P3 LOGIN \"joe\" \"secret\"^{DONE in||}"},
    {BASE("PLAIN in one message"), JOE, .env = {LOGIN_ENV},
     .in = STR(IR "* CAPABILITY X\r\nP3 OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n"),
     .want = "P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^{DONE Logged in|IMAP4rev1 IDLE|" IR_LIST "}"},
    {BASE("capabilities in an untagged line"), JOE, .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\n* CAPABILITY IMAP4rev1  IDLE\r\nP3 OK in\r\n"),
     .want = "P3 LOGIN \"joe\" \"secret\"^{DONE in|IMAP4rev1 IDLE|}"},
    {BASE("untagged lines and literals anywhere"), JOE, .env = {LOGIN_ENV},
     .in = STR("* OK hi {5}\r\n* OK still here\r\n* X {4}\r\nP3 O y\r\n* 3 EXISTS\r\nP3 OK in\r\n"),
     .want = "P3 LOGIN \"joe\" \"secret\"^{DONE in||}"},
    {BASE("bytes behind the reply stay"), JOE, .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\nP3 OK in\r\n* BYE x\r\n"), .rest = 9,
     .want = "P3 LOGIN \"joe\" \"secret\"^{DONE in||}"},
    {BASE("quoting"), BASE_USER("j\"o\\e", "p w"), .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\nP3 OK\r\n"), .want = "P3 LOGIN \"j\\\"o\\\\e\" \"p w\"^{DONE ||}"},
    {BASE("literals with a go-ahead"), BASE_USER("j\xc3\xb6", "\xe4"), .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\n+ go\r\n* OK wait\r\n+\r\nP3 OK in\r\n"),
     .want = "P3 LOGIN {3}^j\xc3\xb6 {1}^\xe4^{DONE in||}"},
    {BASE("one literal"), BASE_USER("joe", "\xe4"), .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\n+ go\r\nP3 OK in\r\n"), .want = "P3 LOGIN \"joe\" {1}^\xe4^{DONE in||}"},
    {BASE("literals without"), BASE_USER("j\xc3\xb6", "\xe4"), .env = {LOGIN_ENV},
     .in = STR("* OK [CAPABILITY LITERAL+] hi\r\nP3 OK in\r\n"),
     .want = "P3 LOGIN {3+}^j\xc3\xb6 {1+}^\xe4^{DONE in||LITERAL+}"},
    {BASE("LOGINDISABLED, PLAIN in two messages"), JOE, .env = {LOGIN_ENV},
     .in = STR("* OK [CAPABILITY LOGINDISABLED AUTH=PLAIN] hi\r\n+ \r\nP3 OK in\r\n"),
     .want = "P3 AUTHENTICATE PLAIN^AGpvZQBzZWNyZXQ=^{DONE in||LOGINDISABLED AUTH=PLAIN}"},
    {BASE("LOGINDISABLED and nothing else"), JOE, .env = {LOGIN_ENV},
     .in = STR("* OK [CAPABILITY LOGINDISABLED STARTTLS] hi\r\n"),
     .want = "{FAILED no-mechanism no way to log in: LOGINDISABLED STARTTLS}"},
    {BASE("master user"), JOE, .env = {LOGIN_ENV, .master_user = "root"},
     .in = STR(IR "P3 OK in\r\n"),
     .want = "P3 AUTHENTICATE PLAIN am9lAHJvb3QAc2VjcmV0^{DONE in||" IR_LIST "}"},
    {BASE("master user asks for the mechanisms"), JOE, .env = {LOGIN_ENV, .master_user = "root"},
     .in = STR("* OK hi\r\n* CAPABILITY AUTH=PLAIN\r\nP1 OK x\r\n+\r\nP3 OK in\r\n"),
     .want = "P1 CAPABILITY^P3 AUTHENTICATE PLAIN^am9lAHJvb3QAc2VjcmV0^{DONE in||AUTH=PLAIN}"},
    {BASE("master user without PLAIN"), JOE, .env = {LOGIN_ENV, .master_user = "root"},
     .in = STR("* OK [CAPABILITY IMAP4rev1] hi\r\n"),
     .want = "{FAILED no-mechanism no way to log in: IMAP4rev1}"},
    {BASE("authzid"), JOE, .authzid = "ann", .env = {LOGIN_ENV}, .in = STR(IR "P3 OK in\r\n"),
     .want = "P3 AUTHENTICATE PLAIN YW5uAGpvZQBzZWNyZXQ=^{DONE in||" IR_LIST "}"},
    {.what = "XOAUTH2",
     .proto = &proto_imap,
     .mech = SASL_XOAUTH2,
     BASE_USER("joe", "tok"),
     .env = {LOGIN_ENV},
     .in = STR(IR "P3 OK in\r\n"),
     .want = "P3 AUTHENTICATE XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=^{DONE in||" IR_LIST "}"},
    {.what = "XOAUTH2 refused",
     .proto = &proto_imap,
     .mech = SASL_XOAUTH2,
     BASE_USER("joe", "tok"),
     .env = {LOGIN_ENV},
     .in = STR(IR "+ eyJ9\r\nP3 NO no\r\n"),
     .want = "P3 AUTHENTICATE XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=^^{FAILED auth no}"},
    {.what = "OAUTHBEARER refused",
     .proto = &proto_imap,
     .mech = SASL_OAUTHBEARER,
     BASE_USER("a,b", "t"),
     .env = {LOGIN_ENV},
     .in = STR("* OK [CAPABILITY SASL-IR AUTH=OAUTHBEARER] x\r\n+ eyJ9\r\n"
               "P3 NO [AUTHENTICATIONFAILED] no\r\n"),
     .want = "P3 AUTHENTICATE OAUTHBEARER bixhPWE9MkNiLAFhdXRoPUJlYXJlciB0AQE=^AQ==^"
             "{FAILED auth [AUTHENTICATIONFAILED] no}"},
    {BASE("a server that wants more than PLAIN has"), JOE, .env = {LOGIN_ENV},
     .in = STR(IR "+ more\r\nP3 BAD no\r\n"),
     .want = "P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^*^{FAILED protocol no}"},
};

#define REFUSED(title, reply, outcome)                                                             \
    {                                                                                              \
        BASE(title), JOE, .env = {LOGIN_ENV}, .in = STR("* OK hi\r\n" reply "\r\n"),               \
                          .want = "P3 LOGIN \"joe\" \"secret\"^{FAILED " outcome "}"               \
    }

static const struct back_case failure_cases[] = {
    REFUSED("NO", "P3 NO wrong", "auth wrong"),
    REFUSED("BAD", "P3 BAD what", "protocol what"),
    REFUSED("AUTHENTICATIONFAILED", "P3 NO [AUTHENTICATIONFAILED] x",
            "auth [AUTHENTICATIONFAILED] x"),
    REFUSED("EXPIRED", "P3 NO [expired] x", "auth [expired] x"),
    REFUSED("UNAVAILABLE", "P3 NO [UNAVAILABLE] x", "auth-temp [UNAVAILABLE] x"),
    REFUSED("INUSE", "P3 NO [INUSE] x", "auth-temp [INUSE] x"),
    REFUSED("LIMIT", "P3 NO [LIMIT] x", "limit [LIMIT] x"),
    REFUSED("ALERT", "P3 NO [ALERT] x", "auth [ALERT] x"),
    REFUSED("PRIVACYREQUIRED", "P3 NO [PRIVACYREQUIRED] x", "no-mechanism [PRIVACYREQUIRED] x"),
    REFUSED("BAD with a code", "P3 BAD [UNAVAILABLE] x", "auth-temp [UNAVAILABLE] x"),
    REFUSED("referral", "P3 NO [REFERRAL imap://x/] x", "auth-temp x"),
    REFUSED("BYE", "* BYE too many", "bye too many"),
    REFUSED("another tag", "P2 OK x", "protocol P2 OK x"),
    REFUSED("no tag", "hello", "protocol hello"),
    REFUSED("no status", "P3 MAYBE", "protocol P3 MAYBE"),
    REFUSED("go-ahead for nothing", "+ go", "protocol + go"),
    REFUSED("control bytes in the words", "P3 NO a\001\033[1mb", "auth a [1mb"),
    {BASE("BYE as greeting"), JOE, .env = {LOGIN_ENV}, .in = STR("* BYE [UNAVAILABLE] full\r\n"),
     .want = "{FAILED bye [UNAVAILABLE] full}"},
    {BASE("another protocol"), JOE, .env = {LOGIN_ENV}, .in = STR("220 mail ESMTP\r\n"),
     .want = "{FAILED protocol 220 mail ESMTP}"},
    {BASE("PREAUTH is nobody"), JOE, .env = {LOGIN_ENV}, .in = STR("* PREAUTH hi\r\n"),
     .want = "{FAILED protocol PREAUTH: logged in as nobody knows whom}"},
    {BASE("PREAUTH against STARTTLS"), JOE, .env = {LOGIN_ENV, .tls = BACK_TLS_STARTTLS},
     .in = STR("* PREAUTH hi\r\n"), .want = "{FAILED no-tls PREAUTH leaves no way to start TLS}"},
    {BASE("loop"), JOE, .env = {.ttl = 0}, .in = STR("* OK hi\r\n"),
     .want = "{FAILED loop hop limit reached: proxies loop}"},
    {BASE("CR in a password"), BASE_USER("joe", "a\r"), .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\n"), .want = "{FAILED bad-credential a credential must not be sent}"},
    {BASE("NUL in a name"), BASE_USER("j\0e", "a"), .env = {LOGIN_ENV}, .in = STR(IR),
     .want = "{FAILED bad-credential a credential must not be sent}"},
    {BASE("LF in a master user"), JOE, .env = {LOGIN_ENV, .master_user = "a\nb"}, .in = STR(IR),
     .want = "{FAILED bad-credential a credential must not be sent}"},
    {BASE("no password"), BASE_USER("joe", ""), .env = {LOGIN_ENV}, .in = STR("* OK hi\r\n"),
     .want = "{FAILED no-mechanism no password for the mail server}"},
    {BASE("literal refused"), BASE_USER("\xe4", "x"), .env = {LOGIN_ENV},
     .in = STR("* OK hi\r\nP3 BAD no literals\r\n"),
     .want = "P3 LOGIN {1}^{FAILED protocol no literals}"},
};

#define TLS_ENV LOGIN_ENV, .tls = BACK_TLS_STARTTLS

static const struct back_case tls_cases[] = {
    {BASE("STARTTLS"), JOE, .env = {TLS_ENV}, .before = STR("* OK hi\r\nP0 OK go\r\n"),
     .in = STR("P3 OK in\r\n"), .want = "P0 STARTTLS^{TLS}P3 LOGIN \"joe\" \"secret\"^{DONE in||}"},
    {BASE("what was said in clear is forgotten"), JOE, .env = {TLS_ENV},
     .before = STR("* OK [CAPABILITY SASL-IR AUTH=PLAIN STARTTLS] hi\r\nP0 OK go\r\nP3 OK in\r\n"),
     .in = STR("P3 OK really\r\n"),
     .want = "P0 STARTTLS^{TLS}P3 LOGIN \"joe\" \"secret\"^{DONE really||}"},
    {BASE("not offered"), JOE, .env = {TLS_ENV}, .in = STR("* OK [CAPABILITY IMAP4rev1] hi\r\n"),
     .want = "{FAILED no-tls STARTTLS is not offered}"},
    {BASE("refused"), JOE, .env = {TLS_ENV}, .in = STR("* OK hi\r\nP0 NO later\r\n"),
     .want = "P0 STARTTLS^{FAILED no-tls later}"},
    {BASE("implicit"), JOE, .env = {LOGIN_ENV, .tls = BACK_TLS_IMPLICIT, .is_tls_active = true},
     .in = STR("* OK hi\r\nP3 OK in\r\n"), .want = "P3 LOGIN \"joe\" \"secret\"^{DONE in||}"},
};

#define ID_ENV LOGIN_ENV, .forward_id = true, .session_id = "3-1a"
#define ID_OWN "\"x-session-id\" \"3-1a\" \"x-proxy-ttl\" \"5\" \"x-client-transport\" \"insecure\""
#define ID_ADDR                                                                                    \
    "\"x-session-id\" \"3-1a\" \"x-originating-ip\" \"192.0.2.1\" \"x-originating-port\" "         \
    "\"4711\" \"x-connected-ip\" \"2001:db8::1\" \"x-connected-port\" \"993\" \"x-proxy-ttl\" "    \
    "\"5\" \"x-client-name\" \"c.example\" \"x-client-transport\" \"TLS\" \"x-client-tls\" "       \
    "\"TLSv1.3\""

static struct back_case id_cases[] = {
    {BASE("everything, pipelined"), JOE,
     .env = {ID_ENV, .is_pipelining_allowed = true, .client_name = "c.example",
             .client_tls = "TLSv1.3"},
     .in = STR(IR "* ID NIL\r\nP2 OK id\r\nP3 OK in\r\n"),
     .want = "P2 ID (" ID_ADDR ")^P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^{DONE in||" IR_LIST "}"},
    {BASE("one after the other"), JOE, .env = {ID_ENV},
     .in = STR(IR "* ID NIL\r\nP2 OK id\r\nP3 OK in\r\n"),
     .want = "P2 ID (" ID_OWN ")^P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^{DONE in||" IR_LIST "}"},
    {BASE("refused ID does not matter"), JOE, .env = {ID_ENV},
     .in = STR(IR "P2 BAD id\r\nP3 OK in\r\n"),
     .want = "P2 ID (" ID_OWN ")^P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^{DONE in||" IR_LIST "}"},
    {BASE("answers in another order"), JOE, .env = {ID_ENV, .is_pipelining_allowed = true},
     .in = STR(IR "P3 OK in\r\n* ID NIL\r\nP2 OK id\r\n* 1 EXISTS\r\n"), .rest = 12,
     .want = "P2 ID (" ID_OWN ")^P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^{DONE in||" IR_LIST "}"},
    {BASE("not advertised"), JOE, .env = {ID_ENV},
     .in = STR("* OK hi\r\n* CAPABILITY IMAP4rev1\r\nP1 OK x\r\nP3 OK in\r\n"),
     .want = "P1 CAPABILITY^P3 LOGIN \"joe\" \"secret\"^{DONE in||IMAP4rev1}"},
    {BASE("CAPABILITY refused"), JOE, .env = {ID_ENV},
     .in = STR("* OK hi\r\nP1 BAD x\r\nP3 OK in\r\n"),
     .want = "P1 CAPABILITY^P3 LOGIN \"joe\" \"secret\"^{DONE in||}"},
    {BASE("the client's own fields, but not ours"), JOE,
     .env = {ID_ENV,
             .client_id = {"\"name\" \"m\\\"x\" \"X-Originating-IP\" \"1.2.3.4\" \"os\" \"l\"",
                           60}},
     .in = STR(IR "P2 OK id\r\nP3 OK in\r\n"),
     .want = "P2 ID (" ID_OWN " \"name\" \"m\\\"x\" \"os\" \"l\")^"
             "P3 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=^{DONE in||" IR_LIST "}"},
};

static const struct back_case check_cases[] = {
    {BASE("greeting is enough"), .env = {.is_check = true},
     .in = STR("* OK hi\r\n* BYE x\r\nP4 OK y\r\n"), .rest = 9, .want = "P4 LOGOUT^{DONE ||}"},
    {BASE("no BYE"), .env = {.is_check = true}, .in = STR("* OK hi\r\nP4 OK y\r\n"),
     .want = "P4 LOGOUT^{DONE ||}"},
    {BASE("capabilities from the greeting"), .env = {.is_check = true, .want_capabilities = true},
     .in = STR(IR "* BYE x\r\n"), .want = "P4 LOGOUT^{DONE ||" IR_LIST "}"},
    {BASE("capabilities asked for"), .env = {.is_check = true, .want_capabilities = true},
     .in = STR("* OK hi\r\n* CAPABILITY IMAP4rev1 ID\r\nP1 OK x\r\n* BYE x\r\n"),
     .want = "P1 CAPABILITY^P4 LOGOUT^{DONE ||IMAP4rev1 ID}"},
    {BASE("capabilities in TLS only"),
     .env = {.is_check = true, .want_capabilities = true, .tls = BACK_TLS_STARTTLS},
     .before = STR("* OK [CAPABILITY CLEAR STARTTLS] hi\r\nP0 OK go\r\n"),
     .in = STR("* CAPABILITY IMAP4rev1 ID\r\nP1 OK x\r\n* BYE x\r\n"),
     .want = "P0 STARTTLS^{TLS}P1 CAPABILITY^P4 LOGOUT^{DONE ||IMAP4rev1 ID}"},
    {BASE("with a login"), JOE, .env = {.is_check = true},
     .in = STR("* OK hi\r\nP3 OK in\r\n* BYE x\r\n"),
     .want = "P3 LOGIN \"joe\" \"secret\"^P4 LOGOUT^{DONE in||}"},
    {BASE("PREAUTH is alive"), .env = {.is_check = true}, .in = STR("* PREAUTH hi\r\n* BYE x\r\n"),
     .want = "P4 LOGOUT^{DONE ||}"},
    {BASE("BYE is not"), .env = {.is_check = true}, .in = STR("* BYE full\r\n"),
     .want = "{FAILED bye full}"},
};

BACK_TEST(test_login, login_cases)
BACK_TEST(test_failures, failure_cases)
BACK_TEST(test_tls, tls_cases)

static void test_id(void **state)
{
    struct back_env *env = &id_cases[0].env;
    assert_int_equal(addr_parse(STR("192.0.2.1:4711"), &env->client), 0);
    assert_int_equal(addr_parse(STR("[2001:db8::1]:993"), &env->local), 0);
    back_cases_run(id_cases, ARRAY_LEN(id_cases));
}

BACK_TEST(test_check, check_cases)

/* Whether the credentials went out decides about another try; a line that never ends does not fill
 * the memory. */
static void test_flags(void **state)
{
    AUTO_BUF out = BUF_INIT;
    AUTO_BUF flood = BUF_INIT;
    size_t used;
    struct credentials cred = {.mech = SASL_PLAIN};
    struct back_env env = {.cred = &cred, .ttl = 3, .forward_id = true};
    assert_int_equal(buf_append_c(&cred.user, "joe"), 0);
    assert_int_equal(buf_append_c(&cred.secret, "x"), 0);
    struct back *b = proto_imap.back_new(&env);
    assert_non_null(b);
    assert_int_equal(proto_imap.back_feed(b, STR("* OK hi\r\n"), &used, &out), BACK_NEED_MORE);
    assert_string_equal(b->step, "capability");
    assert_false(b->were_credentials_sent);
    assert_int_equal(proto_imap.back_feed(b, STR("P1 OK x\r\n"), &used, &out), BACK_NEED_MORE);
    assert_string_equal(b->step, "auth");
    assert_true(b->were_credentials_sent);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(buf_append_char(&flood, 'x'), 0);
    assert_int_equal(proto_imap.back_feed(b, buf_str(&flood), &used, &out), BACK_FAILED);
    assert_int_equal(b->failure, BACK_FAIL_PROTOCOL);
    proto_imap.back_free(b);
    credentials_wipe(&cred);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login), cmocka_unit_test(test_failures), cmocka_unit_test(test_tls),
        cmocka_unit_test(test_id),    cmocka_unit_test(test_check),    cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
