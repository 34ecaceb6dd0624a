/* SPDX-License-Identifier: ISC */
/* POP3 towards mail servers: the dialogue of a login and of a health check, in every cutting. */
#include "tests/unit/proto/back_case.h"

#define BASE(title) .what = title, .proto = &proto_pop3, .mech = SASL_PLAIN
#define BASE_USER(u, s) .user = STR(u), .secret = STR(s)
#define JOE BASE_USER("joe", "secret")

#define CAPA "+OK list\r\nTOP\r\nUSER\r\nPIPELINING\r\nSASL PLAIN XOAUTH2\r\nXCLIENT\r\n.\r\n"
#define CAPA_LIST "TOP\nUSER\nPIPELINING\nSASL PLAIN XOAUTH2\nXCLIENT\n"
#define FAILED_LOGIN "the server offers no way to log in with these credentials"

static const struct back_case login_cases[] = {
    {BASE("USER and PASS"), JOE, .env = {.ttl = 5},
     .in = STR("+OK hi\r\n+OK\r\n+OK 3 messages\r\n"),
     .want = "USER joe^PASS secret^{DONE 3 messages||}"},
    {BASE("bytes behind the reply stay"), JOE, .env = {.ttl = 5},
     .in = STR("+OK hi\r\n+OK\r\n+OK in\r\n-ERR\r\n"), .rest = 6,
     .want = "USER joe^PASS secret^{DONE in||}"},
    {BASE("blanks"), BASE_USER("joe x", " a b "), .env = {.ttl = 5},
     .in = STR("+OK hi\r\n+OK\r\n+OK\r\n"), .want = "USER joe x^PASS  a b ^{DONE ||}"},
    {BASE("master user"), JOE, .env = {.ttl = 5, .master_user = "root"},
     .in = STR("+OK hi\r\n" CAPA "+OK in\r\n"),
     .want = "CAPA^AUTH PLAIN am9lAHJvb3QAc2VjcmV0^{DONE in||" CAPA_LIST "}"},
    {BASE("master user, CAPA unknown"), JOE, .env = {.ttl = 5, .master_user = "root"},
     .in = STR("+OK hi\r\n-ERR what\r\n+ \r\n+OK in\r\n"),
     .want = "CAPA^AUTH PLAIN^am9lAHJvb3QAc2VjcmV0^{DONE in||}"},
    {BASE("master user without SASL"), JOE, .env = {.ttl = 5, .master_user = "root"},
     .in = STR("+OK hi\r\n+OK\r\nUSER\r\n.\r\n"),
     .want = "CAPA^{FAILED no-mechanism " FAILED_LOGIN "}"},
    {BASE("long message goes alone"),
     BASE_USER("joe",
               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
     .env = {.ttl = 5, .master_user = "m"}, .in = STR("+OK hi\r\n" CAPA "+\r\n-ERR [AUTH] no\r\n"),
     .want = "CAPA^AUTH PLAIN^"
             "am9lAG0AYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
             "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
             "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
             "YWFhYWFhYWFhYWFhYWFh"
             "^{FAILED auth [AUTH] no}"},
    {.what = "XOAUTH2",
     .proto = &proto_pop3,
     .mech = SASL_XOAUTH2,
     BASE_USER("joe", "tok"),
     .env = {.ttl = 5},
     .in = STR("+OK hi\r\n" CAPA "+ eyJ9\r\n-ERR no\r\n"),
     .want = "CAPA^AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=^^{FAILED auth no}"},
    {BASE("no USER, but PLAIN"), JOE, .env = {.ttl = 5, .forward_id = true},
     .in = STR("+OK hi\r\n+OK\r\nSASL PLAIN\r\n.\r\n+OK in\r\n"),
     .want = "CAPA^AUTH PLAIN AGpvZQBzZWNyZXQ=^{DONE in||SASL PLAIN\n}"},
    {BASE("neither"), JOE, .env = {.ttl = 5, .forward_id = true},
     .in = STR("+OK hi\r\n+OK\r\nSTLS\r\n.\r\n"),
     .want = "CAPA^{FAILED no-mechanism " FAILED_LOGIN "}"},
};

#define REFUSED(title, reply, outcome)                                                             \
    {                                                                                              \
        BASE(title), JOE, .env = {.ttl = 5}, .in = STR("+OK hi\r\n+OK\r\n" reply "\r\n"),          \
                          .want = "USER joe^PASS secret^{FAILED " outcome "}"                      \
    }

#define KNOWN_PIPELINING .is_pipelining_allowed = true, .is_pipelining_known = true

static const struct back_case failure_cases[] = {
    REFUSED("no code", "-ERR wrong", "auth wrong"),
    REFUSED("AUTH", "-ERR [AUTH] wrong", "auth [AUTH] wrong"),
    REFUSED("SYS/TEMP", "-ERR [SYS/TEMP] x", "auth-temp [SYS/TEMP] x"),
    REFUSED("SYS/PERM", "-ERR [sys/perm] x", "auth-temp [sys/perm] x"),
    REFUSED("LOGIN-DELAY", "-ERR [LOGIN-DELAY] x", "auth-temp [LOGIN-DELAY] x"),
    REFUSED("IN-USE", "-ERR [IN-USE] x", "limit [IN-USE] x"),
    REFUSED("garbage", "hello", "protocol hello"),
    REFUSED("go-ahead for nothing", "+ x", "protocol + x"),
    {BASE("USER refused"), JOE, .env = {.ttl = 5}, .in = STR("+OK hi\r\n-ERR [AUTH] who\r\n"),
     .want = "USER joe^{FAILED auth [AUTH] who}"},
    {BASE("USER refused, PASS sent with it"), JOE, .env = {.ttl = 5, KNOWN_PIPELINING},
     .in = STR("+OK hi\r\n-ERR [AUTH] who\r\n"),
     .want = "USER joe^PASS secret^{FAILED auth [AUTH] who}"},
    {BASE("pipelining not allowed"), JOE, .env = {.ttl = 5, .is_pipelining_known = true},
     .in = STR("+OK hi\r\n-ERR [AUTH] who\r\n"), .want = "USER joe^{FAILED auth [AUTH] who}"},
    {BASE("no pipelining any more"), JOE,
     .env = {.ttl = 5, .want_capabilities = true, KNOWN_PIPELINING},
     .in = STR("+OK hi\r\n+OK\r\nUSER\r\n.\r\n-ERR [AUTH] who\r\n"),
     .want = "CAPA^USER joe^{FAILED auth [AUTH] who}"},
    {BASE("busy"), JOE, .env = {.ttl = 5}, .in = STR("-ERR [SYS/TEMP] busy\r\n"),
     .want = "{FAILED bye [SYS/TEMP] busy}"},
    {BASE("another protocol"), JOE, .env = {.ttl = 5}, .in = STR("* OK hi\r\n"),
     .want = "{FAILED protocol * OK hi}"},
    {BASE("loop"), JOE, .env = {.ttl = 0}, .in = STR("+OK hi\r\n"),
     .want = "{FAILED loop hop limit reached: proxies loop}"},
    {BASE("command in a password"), BASE_USER("joe", "pw\r\nDELE 1"), .env = {.ttl = 5},
     .in = STR("+OK hi\r\n"), .want = "{FAILED bad-credential a credential must not be sent}"},
    {BASE("NUL in a name"), BASE_USER("j\0e", "a"), .env = {.ttl = 5}, .in = STR("+OK hi\r\n"),
     .want = "{FAILED bad-credential a credential must not be sent}"},
    {BASE("no password"), BASE_USER("joe", ""), .env = {.ttl = 5}, .in = STR("+OK hi\r\n"),
     .want = "{FAILED no-mechanism no password for the mail server}"},
};

static const struct back_case tls_cases[] = {
    {BASE("STLS"), JOE, .env = {.ttl = 5, .tls = BACK_TLS_STARTTLS},
     .before = STR("+OK hi\r\n+OK go\r\n+OK\r\n+OK in\r\n"), .in = STR("+OK\r\n+OK really\r\n"),
     .want = "STLS^{TLS}USER joe^PASS secret^{DONE really||}"},
    {BASE("refused"), JOE, .env = {.ttl = 5, .tls = BACK_TLS_STARTTLS},
     .in = STR("+OK hi\r\n-ERR no\r\n"), .want = "STLS^{FAILED no-tls no}"},
    {BASE("nothing is pipelined before TLS"), JOE,
     .env = {.ttl = 5, .tls = BACK_TLS_STARTTLS, KNOWN_PIPELINING},
     .before = STR("+OK hi\r\n+OK go\r\n"), .in = STR("+OK\r\n+OK in\r\n"),
     .want = "STLS^{TLS}USER joe^PASS secret^{DONE in||}"},
    {BASE("implicit"), JOE, .env = {.ttl = 5, .tls = BACK_TLS_IMPLICIT, .is_tls_active = true},
     .in = STR("+OK hi\r\n+OK\r\n+OK in\r\n"), .want = "USER joe^PASS secret^{DONE in||}"},
};

#define ID_ENV .ttl = 5, .forward_id = true, .session_id = "3-1a"
#define XCLIENT "XCLIENT SESSION=3-1a TTL=5 CLIENT-TRANSPORT=insecure^"

static struct back_case xclient_cases[] = {
    {BASE("announced in the greeting"), JOE, .env = {ID_ENV, .client_tls = "TLSv1.3"},
     .in = STR("+OK [XCLIENT] hi\r\n+OK\r\n+OK\r\n+OK in\r\n"),
     .want = "XCLIENT ADDR=192.0.2.1 PORT=4711 DESTADDR=2001:db8::1 DESTPORT=995 SESSION=3-1a "
             "TTL=5 CLIENT-TRANSPORT=TLS^USER joe^PASS secret^{DONE in||}"},
    {BASE("announced by CAPA"), JOE, .env = {ID_ENV},
     .in = STR("+OK hi\r\n" CAPA "+OK\r\n+OK\r\n+OK in\r\n"),
     .want = "CAPA^" XCLIENT "USER joe^PASS secret^{DONE in||" CAPA_LIST "}"},
    {BASE("pipelined"), JOE, .env = {ID_ENV, .is_pipelining_allowed = true},
     .in = STR("+OK hi\r\n" CAPA "+OK\r\n+OK\r\n+OK in\r\n"),
     .want = "CAPA^" XCLIENT "USER joe^PASS secret^{DONE in||" CAPA_LIST "}"},
    {BASE("not announced"), JOE, .env = {ID_ENV},
     .in = STR("+OK hi\r\n+OK\r\nUSER\r\n.\r\n+OK\r\n+OK in\r\n"),
     .want = "CAPA^USER joe^PASS secret^{DONE in||USER\n}"},
    {BASE("forced"), JOE, .env = {.ttl = 5, .session_id = "3-1a", .xclient_forced = true},
     .in = STR("+OK hi\r\n+OK\r\n+OK\r\n+OK in\r\n"),
     .want = XCLIENT "USER joe^PASS secret^{DONE in||}"},
    {BASE("refused"), JOE, .env = {ID_ENV},
     .in = STR("+OK [XCLIENT] hi\r\n-ERR not you\r\n+OK\r\n+OK in\r\n"),
     .want = XCLIENT "USER joe^PASS secret^{DONE in||}"},
};

static const struct back_case check_cases[] = {
    {BASE("greeting is enough"), .env = {.is_check = true}, .in = STR("+OK hi\r\n+OK bye\r\n"),
     .want = "QUIT^{DONE ||}"},
    {BASE("capabilities"), .env = {.is_check = true, .want_capabilities = true},
     .in = STR("+OK hi\r\n" CAPA "+OK bye\r\n"), .want = "CAPA^QUIT^{DONE ||" CAPA_LIST "}"},
    {BASE("capabilities in TLS"),
     .env = {.is_check = true, .want_capabilities = true, .tls = BACK_TLS_STARTTLS},
     .before = STR("+OK hi\r\n+OK go\r\n"), .in = STR(CAPA "+OK bye\r\n"),
     .want = "STLS^{TLS}CAPA^QUIT^{DONE ||" CAPA_LIST "}"},
    {BASE("no CAPA"), .env = {.is_check = true, .want_capabilities = true},
     .in = STR("+OK hi\r\n-ERR\r\n+OK bye\r\n"), .want = "CAPA^QUIT^{DONE ||}"},
    {BASE("with a login"), JOE, .env = {.is_check = true},
     .in = STR("+OK hi\r\n+OK\r\n+OK in\r\n+OK bye\r\n"),
     .want = "USER joe^PASS secret^QUIT^{DONE in||}"},
};

BACK_TEST(test_login, login_cases)
BACK_TEST(test_failures, failure_cases)
BACK_TEST(test_tls, tls_cases)

static void test_xclient(void **state)
{
    struct back_env *env = &xclient_cases[0].env;
    assert_int_equal(addr_parse(STR("192.0.2.1:4711"), &env->client), 0);
    assert_int_equal(addr_parse(STR("[2001:db8::1]:995"), &env->local), 0);
    back_cases_run(xclient_cases, ARRAY_LEN(xclient_cases));
}

BACK_TEST(test_check, check_cases)

/* Pipelined commands really leave together; an endless list does not fill the memory. */
static void test_pipeline_and_flood(void **state)
{
    AUTO_BUF out = BUF_INIT;
    size_t used;
    struct credentials cred = {.mech = SASL_PLAIN};
    struct back_env env = {
        .cred = &cred, .ttl = 3, .want_capabilities = true, .is_pipelining_allowed = true};
    assert_int_equal(buf_append_c(&cred.user, "joe"), 0);
    assert_int_equal(buf_append_c(&cred.secret, "x"), 0);
    struct back *b = proto_pop3.back_new(&env);
    assert_non_null(b);
    assert_int_equal(proto_pop3.back_feed(b, STR("+OK hi\r\n"), &used, &out), BACK_NEED_MORE);
    assert_false(b->were_credentials_sent);
    buf_clear(&out);
    assert_int_equal(
        proto_pop3.back_feed(b, STR("+OK\r\nUSER\r\nPIPELINING\r\n.\r\n"), &used, &out),
        BACK_NEED_MORE);
    assert_true(str_eq(buf_str(&out), STR("USER joe\r\nPASS x\r\n")));
    assert_true(b->were_credentials_sent);
    proto_pop3.back_free(b);

    b = proto_pop3.back_new(&env);
    assert_non_null(b);
    assert_int_equal(proto_pop3.back_feed(b, STR("+OK hi\r\n+OK\r\n"), &used, &out),
                     BACK_NEED_MORE);
    enum back_result r = BACK_NEED_MORE;
    for (int i = 0; i < 10000 && r == BACK_NEED_MORE; i++)
        r = proto_pop3.back_feed(b, STR("AAAAAAAA\r\n"), &used, &out);
    assert_int_equal(r, BACK_FAILED);
    assert_int_equal(b->failure, BACK_FAIL_PROTOCOL);
    proto_pop3.back_free(b);
    credentials_wipe(&cred);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_tls),   cmocka_unit_test(test_xclient),
        cmocka_unit_test(test_check), cmocka_unit_test(test_pipeline_and_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
