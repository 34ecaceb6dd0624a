/* SPDX-License-Identifier: ISC */
/* Health checks over TLS, with a test login, with a PROXY header. */
#include "cert.h"
#include "check_case.h"

static void test_certificate(void **state)
{
    static const unsigned char ip[] = {127, 0, 0, 1};
    static const struct script_step steps[] = {
        START_TLS,      S("* OK hi\r\n"),   C("P1 CAPABILITY\r\n"),
        S("P1 OK\r\n"), C("P4 LOGOUT\r\n"), S("P4 OK\r\n")};
    struct check_case *t = *state;
    struct cert cert, expired;
    cert_make(&cert, "mail.test", ip, 20);
    cert_make(&expired, "mail.test", ip, 0); /* ended yesterday */
    struct tls_server *good = cert_server(&cert), *bad = cert_server(&expired);
    t->imap.tls = good;
    SERVE(&t->imap, steps);
    t->pool->tls = BACK_TLS_IMPLICIT;
    t->pool->is_verified = true;
    t->pool->ca_file = cert.path;
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(backend_cert_expires(t->b1), cert.expires);
    assert_int_equal(check(t), BACK_FAIL_NONE); /* resumed: it is known still */
    assert_int_equal(backend_cert_expires(t->b1), cert.expires);
    t->imap.tls = bad;
    assert_int_equal(check(t), BACK_FAIL_TLS);
    assert_true(str_is_prefix(str_of(t->text), STR("imap: tls: ")));
    tls_server_unref(good);
    tls_server_unref(bad);
    cert_remove(&cert);
    cert_remove(&expired);
}

/* The first end counts, whichever protocol was checked last; without TLS there is none. */
static void test_certificates(void **state)
{
    static const unsigned char ip[] = {127, 0, 0, 1};
    static const struct script_step imap_tls[] = {
        START_TLS,      S("* OK hi\r\n"),   C("P1 CAPABILITY\r\n"),
        S("P1 OK\r\n"), C("P4 LOGOUT\r\n"), S("P4 OK\r\n")};
    static const struct script_step pop3_tls[] = {START_TLS,     S("+OK hi\r\n"),
                                                  C("CAPA\r\n"), S("+OK\r\nTOP\r\n.\r\n"),
                                                  C("QUIT\r\n"), S("+OK\r\n")};
    struct check_case *t = *state;
    struct cert sooner, later;
    cert_make(&sooner, "mail.test", ip, 5);
    cert_make(&later, "mail.test", ip, 50);
    struct tls_server *imap = cert_server(&sooner), *pop3 = cert_server(&later);
    (void)pools_case_listener(&t->c, "pop3", &proto_pop3, NULL);
    t->imap.tls = imap;
    t->pop3.tls = pop3;
    SERVE(&t->imap, imap_tls);
    SERVE(&t->pop3, pop3_tls);
    t->pool->backends[0].tls = BACKEND_TLS_IMPLICIT;
    configure_and_check(t);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->cert_expires[PROTO_IMAP], sooner.expires);
    assert_int_equal(t->b1->cert_expires[PROTO_POP3], later.expires);
    assert_int_equal(backend_cert_expires(t->b1), sooner.expires);
    SERVE(&t->imap, imap_good);
    SERVE(&t->pop3, pop3_good);
    struct pool_edit edit = {
        .pool = "main", .name = "b1", .weight = -1, .has_tls = true, .tls = BACKEND_TLS_OFF};
    configure(t, &edit, 1);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(backend_cert_expires(t->b1), 0);
    tls_server_unref(imap);
    tls_server_unref(pop3);
    cert_remove(&sooner);
    cert_remove(&later);
}

static void test_login(void **state)
{
    static const struct script_step good[] = {
        S("* OK [CAPABILITY IMAP4rev1] hi\r\n"), C("P3 LOGIN \"probe\" \"secret\"\r\n"),
        S("P3 OK in\r\n"), C("P4 LOGOUT\r\n"), S("P4 OK\r\n")};
    static const struct script_step bad[] = {S("* OK [CAPABILITY IMAP4rev1] hi\r\n"),
                                             C("P3 LOGIN \"probe\" \"secret\"\r\n"),
                                             S("P3 NO [AUTHENTICATIONFAILED] no\r\n")};
    char path[] = "/tmp/mailproxy-check-XXXXXX";
    struct check_case *t = *state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    close(fd);
    t->pool->check.user = "probe";
    t->pool->check.password_file = path;
    SERVE(&t->imap, good);
    configure_and_check(t);
    (void)unlink(path);
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, bad);
    assert_int_equal(check(t), BACK_FAIL_AUTH);
    assert_string_equal(t->text, "imap: auth: [AUTHENTICATIONFAILED] no");
}

/* A mail server that trusts us need not offer AUTH: the check logs in where logins do. */
static void test_login_at_smtp(void **state)
{
    static const struct script_step trusting[] = {
        S("220 mx\r\n"), C("EHLO proxy.test\r\n"), S("250-mx\r\n250 8BITMIME\r\n"),
        C("QUIT\r\n"),   S("221 bye\r\n"),         HANG_UP};
    static const struct script_step judging[] = {S("220 mx\r\n"), C("EHLO proxy.test\r\n"),
                                                 S("250-mx\r\n250 8BITMIME\r\n")};
    char path[] = "/tmp/mailproxy-check-XXXXXX";
    struct check_case *t = *state;
    struct config_auth judge = {.type = AUTH_TYPE_BACKEND};
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    close(fd);
    t->c.config.n_listeners = 0;
    (void)pools_case_listener(&t->c, "mx", &proto_smtp, NULL);
    t->pool->check.user = "probe";
    t->pool->check.password_file = path;
    t->pool->backends[0].ports[PROTO_SMTP] = t->imap.port;
    SERVE(&t->imap, trusting);
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, judging);
    t->pool->smtp_auth = CONFIG_SMTP_AUTH_ON;
    assert_int_equal(check(t), BACK_FAIL_NO_MECHANISM);
    t->pool->smtp_auth = CONFIG_SMTP_AUTH_OFF;
    t->c.config.auths = &judge;
    t->c.config.n_auths = 1;
    assert_int_equal(check(t), BACK_FAIL_NO_MECHANISM);
    (void)unlink(path);
}

static void test_proxy_header(void **state)
{
    static const struct script_step steps[] = {C("PROXY UNKNOWN\r\n"), S("* OK hi\r\n"),
                                               C("P1 CAPABILITY\r\n"), S("P1 OK\r\n"),
                                               C("P4 LOGOUT\r\n"),     S("P4 OK\r\n")};
    struct check_case *t = *state;
    t->pool->forward = FORWARD_PROXY_V1;
    SERVE(&t->imap, steps);
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK_TEST(test_certificate),   CHECK_TEST(test_certificates), CHECK_TEST(test_login),
        CHECK_TEST(test_login_at_smtp), CHECK_TEST(test_proxy_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
