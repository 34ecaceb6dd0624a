/* SPDX-License-Identifier: ISC */
/* ManageSieve towards mail servers: the dialogue of a login and of a health check, in every
 * cutting. */
#include "base/cleanup.h"
#include "tests/unit/proto/back_case.h"

#define BASE(title) .what = title, .proto = &proto_sieve
#define JOE .mech = SASL_PLAIN, .user = STR("joe"), .secret = STR("secret")
#define ME .ttl = 5

#define CAPS(sasl) "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"" sasl "\"\r\n\"STARTTLS\"\r\n"
#define LIST(sasl) "\"IMPLEMENTATION\" \"x\"\n\"SASL\" \"" sasl "\"\n\"STARTTLS\"\n"
#define HI(sasl) CAPS(sasl) "OK \"ready\"\r\n"
#define PLAIN_JOE "AUTHENTICATE \"PLAIN\" \"AGpvZQBzZWNyZXQ=\"^"

static const struct back_case login_cases[] = {
    {BASE("PLAIN"), JOE, .env = {ME}, .in = STR(HI("LOGIN PLAIN") "OK \"Logged in\"\r\n"),
     .want = PLAIN_JOE "{DONE Logged in||" LIST("LOGIN PLAIN") "}"},
    {BASE("literals, codes, bytes behind the reply"), JOE, .env = {ME}, .rest = 5,
     .in = STR("{4}\r\nSASL {5}\r\nPLAIN\r\n\"SIEVE\" {3}\r\na\nb\r\nok {2}\r\nhi\r\n"
               "OK (SASL \"a)\" (b) {1}\r\n)) {4}\r\nin\r\n\r\nrest."),
     .want = PLAIN_JOE "{DONE in||\"SASL\" \"PLAIN\"\n\"SIEVE\" \"a b\"\n}"},
    {BASE("OK alone"), JOE, .env = {ME}, .in = STR("\"SASL\" \"PLAIN\"\nOK\nOK\n"),
     .want = PLAIN_JOE "{DONE ||\"SASL\" \"PLAIN\"\n}"},
    {BASE("LOGIN"), JOE, .env = {ME}, .in = STR(HI("LOGIN") "\"VXNl\"\r\n{4}\r\nUGFz\r\nOK\r\n"),
     .want = "AUTHENTICATE \"LOGIN\"^\"am9l\"^\"c2VjcmV0\"^{DONE ||" LIST("LOGIN") "}"},
    {BASE("LOGIN that wants more"), JOE, .env = {ME},
     .in = STR(HI("LOGIN") "\"\"\r\n\"\"\r\n\"\"\r\n"),
     .want = "AUTHENTICATE \"LOGIN\"^\"am9l\"^\"c2VjcmV0\"^"
             "{FAILED protocol the server wants more than the mechanism has}"},
    {BASE("master user"), JOE, .env = {ME, .master_user = "root"}, .in = STR(HI("PLAIN") "OK\r\n"),
     .want = "AUTHENTICATE \"PLAIN\" \"am9lAHJvb3QAc2VjcmV0\"^{DONE ||" LIST("PLAIN") "}"},
    {BASE("no mechanism"), JOE, .env = {ME}, .in = STR(HI("GSSAPI")),
     .want = "{FAILED no-mechanism the server offers no suitable mechanism}"},
    {BASE("XOAUTH2 refused"), .mech = SASL_XOAUTH2, .user = STR("joe"), .secret = STR("tok"),
     .env = {ME}, .in = STR(HI("XOAUTH2") "\"eyJ9\"\r\nNO \"no\"\r\n"),
     .want = "AUTHENTICATE \"XOAUTH2\" \"dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=\"^\"\"^"
             "{FAILED auth no}"},
};

#define REFUSED(title, reply, outcome)                                                             \
    {                                                                                              \
        BASE(title), JOE, .env = {ME}, .in = STR(HI("PLAIN") reply "\r\n"),                        \
                          .want = PLAIN_JOE "{FAILED " outcome "}"                                 \
    }

static const struct back_case failure_cases[] = {
    REFUSED("NO", "NO \"wrong\"", "auth wrong"),
    REFUSED("NO alone", "no", "auth "),
    REFUSED("TRYLATER", "NO (TRYLATER) \"wait\"", "auth-temp wait"),
    REFUSED("QUOTA", "NO (quota/maxsize) \"full\"", "limit full"),
    REFUSED("AUTH-TOO-WEAK", "NO (AUTH-TOO-WEAK) \"x\"", "no-mechanism x"),
    REFUSED("ENCRYPT-NEEDED", "NO (ENCRYPT-NEEDED) \"x\"", "no-tls x"),
    REFUSED("REFERRAL", "NO (REFERRAL \"sieve://a)\") \"x\"", "auth-temp x"),
    REFUSED("BYE", "BYE (TRYLATER) \"down\"", "bye down"),
    REFUSED("unknown word", "MAYBE \"x\"", "protocol MAYBE \"x\""),
    REFUSED("open code", "NO (TRY \"x\"", "protocol NO (TRY \"x\""),
    REFUSED("broken text", "NO x", "protocol NO x"),
    REFUSED("empty line", "", "protocol "),
    {BASE("BYE as greeting"), JOE, .env = {ME}, .in = STR("BYE \"full\"\r\n"),
     .want = "{FAILED bye full}"},
    {BASE("another protocol"), JOE, .env = {ME}, .in = STR("220 mail\r\n"),
     .want = "{FAILED protocol 220 mail}"},
    {BASE("broken capability"), JOE, .env = {ME}, .in = STR("\"SASL\" PLAIN\r\n"),
     .want = "{FAILED protocol \"SASL\" PLAIN}"},
    {BASE("huge literal"), JOE, .env = {ME}, .in = STR("{99999999}\r\n\"SIEVE\"\r\n"),
     .want = "{FAILED protocol {99999999}}"},
    {BASE("LF in the password"), .mech = SASL_PLAIN, .user = STR("j"), .secret = STR("a\nb"),
     .env = {ME}, .in = STR("OK\r\n"),
     .want = "{FAILED bad-credential refused before anything was sent}"},
    {BASE("loop"), JOE, .in = STR("OK\r\n"),
     .want = "{FAILED loop refused before anything was sent}"},
};

static const struct back_case tls_cases[] = {
    {BASE("STARTTLS"), JOE, .env = {ME, .tls = BACK_TLS_STARTTLS},
     .before = STR(HI("LOGIN") "OK \"go\"\r\nOK \"injected\"\r\n"), .in = STR(HI("PLAIN") "OK\r\n"),
     .want = "STARTTLS^{TLS}" PLAIN_JOE "{DONE ||" LIST("PLAIN") "}"},
    {BASE("not offered"), JOE, .env = {ME, .tls = BACK_TLS_STARTTLS},
     .in = STR("\"SASL\" \"PLAIN\"\r\nOK\r\n"),
     .want = "{FAILED no-tls the server does not offer STARTTLS}"},
    {BASE("refused"), JOE, .env = {ME, .tls = BACK_TLS_STARTTLS},
     .in = STR(HI("PLAIN") "NO \"no\"\r\n"), .want = "STARTTLS^{FAILED no-tls no}"},
    {BASE("implicit"), JOE, .env = {ME, .tls = BACK_TLS_IMPLICIT, .is_tls_active = true},
     .in = STR(HI("PLAIN") "OK\r\n"), .want = PLAIN_JOE "{DONE ||" LIST("PLAIN") "}"},
};

#define WHO                                                                                        \
    .forward_id = true, .session_id = "s=1",                                                       \
    .client = {{0x20, 1, 0xd, 0xb8, [15] = 1}, 4711, AF_INET6}
#define X(value) "\"XCLIENT\"" value "\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n"
#define X_LIST(value) "\"XCLIENT\"" value "\n\"SASL\" \"PLAIN\"\n"

static const struct back_case xclient_cases[] = {
    {BASE("advertised"), JOE, .env = {ME, WHO}, .in = STR(X("") "OK \"Updated\"\r\nOK\r\n"),
     .want = "XCLIENT ADDR=2001:db8::1 PORT=4711 SESSION=s+3D1 TTL=5^" PLAIN_JOE
             "{DONE ||" X_LIST("") "}"},
    {BASE("with attributes"), JOE, .env = {ME, WHO},
     .in = STR(X(" \"ADDR DESTADDR\"") "OK\r\nOK\r\n"),
     .want = "XCLIENT ADDR=2001:db8::1^" PLAIN_JOE "{DONE ||" X_LIST(" \"ADDR DESTADDR\"") "}"},
    {BASE("nothing to say"), JOE, .env = {ME, .forward_id = true},
     .in = STR(X(" \"ADDR\"") "OK\r\n"), .want = PLAIN_JOE "{DONE ||" X_LIST(" \"ADDR\"") "}"},
    {BASE("not advertised"), JOE, .env = {ME, WHO}, .in = STR(HI("PLAIN") "OK\r\n"),
     .want = PLAIN_JOE "{DONE ||" LIST("PLAIN") "}"},
    {BASE("not wanted"), JOE, .env = {ME}, .in = STR(X("") "OK\r\n"),
     .want = PLAIN_JOE "{DONE ||" X_LIST("") "}"},
    {BASE("refused"), JOE, .env = {ME, WHO, .xclient_forced = true},
     .in = STR(HI("PLAIN") "NO \"what\"\r\n"),
     .want = "XCLIENT ADDR=2001:db8::1 PORT=4711 SESSION=s+3D1 TTL=5^{FAILED protocol what}"},
};

static const struct back_case check_cases[] = {
    {BASE("check"), .env = {.is_check = true}, .in = STR(HI("PLAIN") "OK \"bye\"\r\n"),
     .want = "LOGOUT^{DONE ||" LIST("PLAIN") "}"},
    {BASE("check ended by BYE"), .env = {.is_check = true}, .in = STR(HI("PLAIN") "BYE\r\n"),
     .want = "LOGOUT^{DONE ||" LIST("PLAIN") "}"},
    {BASE("check with login"), JOE, .env = {.is_check = true},
     .in = STR(HI("PLAIN") "OK \"in\"\r\nOK\r\n"),
     .want = PLAIN_JOE "LOGOUT^{DONE in||" LIST("PLAIN") "}"},
};

BACK_TEST(test_login, login_cases)
BACK_TEST(test_failures, failure_cases)
BACK_TEST(test_tls, tls_cases)
BACK_TEST(test_xclient, xclient_cases)
BACK_TEST(test_check, check_cases)

/* A token beyond the length of a quoted string goes as a literal. */
static void test_long_token(void **state)
{
    AUTO_BUF out = BUF_INIT;
    size_t used;
    CLEANUP(credentials_wipe) struct credentials cred = {.mech = SASL_XOAUTH2};
    struct back_env env = {ME, .cred = &cred};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_append_char(&cred.secret, 't'), 0);
    struct back *b = proto_sieve.back_new(&env);
    assert_non_null(b);
    assert_int_equal(proto_sieve.back_feed(b, STR(HI("XOAUTH2")), &used, &out), BACK_NEED_MORE);
    assert_true(str_is_prefix(buf_str(&out), STR("AUTHENTICATE \"XOAUTH2\" {1360+}\r\n")));
    assert_int_equal(out.len, 32 + 1360 + 2);
    assert_string_equal(b->step, "auth");
    proto_sieve.back_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_tls),   cmocka_unit_test(test_xclient),
        cmocka_unit_test(test_check), cmocka_unit_test(test_long_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
