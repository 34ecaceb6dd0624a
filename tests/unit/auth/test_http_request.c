/* SPDX-License-Identifier: ISC */
/* The request of auth_http, byte by byte: order, escaping, what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/auth_http_request.h"
#include "base/cleanup.h"

static struct credentials cred;
static struct tls_info tls;
static struct tls_peer_cert cert;
static struct auth_request request;
static struct config_auth config;

static struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(str_of(text), &a), 0);
    return a;
}

static void set(struct buf *b, const char *text)
{
    buf_clear(b);
    assert_int_equal(buf_append_c(b, text), 0);
}

static int setup(void **state)
{
    cred = (struct credentials){.mech = SASL_PLAIN};
    set(&cred.user, "bob@example.org");
    set(&cred.secret, "secret");
    tls = (struct tls_info){.version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384"};
    cert = (struct tls_peer_cert){.subject = "CN=bob,O=Example Org",
                                  .issuer = "CN=ca",
                                  .serial = "0A1B",
                                  .fingerprint = "00ff",
                                  .pem = "-----BEGIN CERTIFICATE-----\nAA+/\n"};
    config = (struct config_auth){.timeout_ms = 1};
    request = (struct auth_request){
        .cred = &cred, .proto = &proto_imap, .attempt = 1, .client = addr("192.0.2.7:4000")};
    return 0;
}

static int teardown(void **state)
{
    credentials_wipe(&cred);
    return 0;
}

/* want has "\n" for the end of a line. */
static void check(const char *want)
{
    AUTO_BUF got = BUF_INIT;
    assert_int_equal(auth_http_request(&request, &config, &got), 0);
    AUTO_BUF lines = BUF_INIT;
    for (struct str rest = buf_str(&got); rest.n > 0;) {
        struct str line = str_cut(&rest, '\n');
        assert_true(line.n > 0 && line.p[line.n - 1] == '\r');
        assert_int_equal(buf_printf(&lines, "%.*s\n", (int)line.n - 1, line.p), 0);
    }
    assert_string_equal(buf_cstr(&lines), want);
}

static void test_plain(void **state)
{
    check("Auth-Method: plain\nAuth-User: bob@example.org\n"
          "Auth-Pass: secret\nAuth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n");
    cred.mech = SASL_LOGIN;
    request.attempt = 12;
    request.proto = &proto_pop3;
    request.client = addr("[2001:db8::1]:99");
    check("Auth-Method: plain\nAuth-User: bob@example.org\n"
          "Auth-Pass: secret\nAuth-Protocol: pop3\nAuth-Login-Attempt: 12\n"
          "Client-IP: 2001:db8::1\n");
}

/* NGINX's NGX_ESCAPE_MAIL_AUTH: blank, '%' and control bytes; 0x7f and 8-bit pass. */
static void test_escaping(void **state)
{
    set(&cred.user, "us er%");
    set(&cred.secret, "p w\r\n\x01\x1f\x7f\xc3\xb6\"+:");
    request.client = (struct addr){.family = AF_UNIX};
    check("Auth-Method: plain\nAuth-User: us%20er%25\n"
          "Auth-Pass: p%20w%0D%0A%01%1F\x7f\xc3\xb6\"+:\nAuth-Protocol: imap\n"
          "Auth-Login-Attempt: 1\nClient-IP: unix:\n");
    buf_clear(&cred.secret);
    assert_int_equal(buf_append(&cred.secret, "a\0b", 3), 0);
    buf_clear(&cred.user);
    check("Auth-Method: plain\nAuth-User: \nAuth-Pass: a%00b\n"
          "Auth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: unix:\n");
}

static void test_digests(void **state)
{
    set(&cred.secret, "0123456789abcdef0123456789abcdef");
    set(&cred.salt, "<1.2@proxy.test>");
    cred.mech = SASL_CRAM_MD5;
    check("Auth-Method: cram-md5\nAuth-User: bob@example.org\n"
          "Auth-Pass: 0123456789abcdef0123456789abcdef\nAuth-Salt: <1.2@proxy.test>\n"
          "Auth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n");
    cred.mech = SASL_APOP;
    request.proto = &proto_pop3;
    check("Auth-Method: apop\nAuth-User: bob@example.org\n"
          "Auth-Pass: 0123456789abcdef0123456789abcdef\nAuth-Salt: <1.2@proxy.test>\n"
          "Auth-Protocol: pop3\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n");
}

static void test_tokens(void **state)
{
    set(&cred.secret, "ya29.token");
    cred.mech = SASL_XOAUTH2;
    check("Auth-Method: xoauth2\nAuth-User: bob@example.org\n"
          "Auth-Pass: ya29.token\nAuth-Protocol: imap\nAuth-Login-Attempt: 1\n"
          "Client-IP: 192.0.2.7\n");
    cred.mech = SASL_OAUTHBEARER;
    request.proto = &proto_sieve;
    check("Auth-Method: oauthbearer\nAuth-User: bob@example.org\n"
          "Auth-Pass: ya29.token\nAuth-Protocol: sieve\nAuth-Login-Attempt: 1\n"
          "Client-IP: 192.0.2.7\n");
}

/* The client's choice of a login where it made one; never an old password. */
static void test_external(void **state)
{
    cred.mech = SASL_EXTERNAL;
    cred.is_proved = true;
    buf_wipe(&cred.secret);
    check("Auth-Method: external\nAuth-User: bob@example.org\n"
          "Auth-Pass: \nAuth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n");
    set(&cred.authzid, "shared box");
    check("Auth-Method: external\nAuth-User: shared%20box\n"
          "Auth-Pass: \nAuth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n");
}

static void test_smtp(void **state)
{
    request.proto = &proto_smtp;
    request.helo = STR("client.example.org"); /* not told with a login */
    check("Auth-Method: plain\nAuth-User: bob@example.org\n"
          "Auth-Pass: secret\nAuth-Protocol: smtp\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n"
          "Client-Host: [UNAVAILABLE]\n");
    request.client_host = "host.example.org";
    cred.mech = SASL_NONE;
    buf_wipe(&cred.user);
    buf_wipe(&cred.secret);
    request.mail_from = STR("MAIL FROM:<a@b> SIZE=1");
    request.rcpt_to = STR("RCPT TO:<c%d@e>");
    check("Auth-Method: none\nAuth-User: \nAuth-Pass: \n"
          "Auth-Protocol: smtp\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n"
          "Client-Host: host.example.org\nAuth-SMTP-Helo: client.example.org\n"
          "Auth-SMTP-From: MAIL FROM:<a@b> SIZE=1\nAuth-SMTP-To: RCPT TO:<c%d@e>\n");
    request.helo = STR("");
    request.client_host = "a\r\nEvil: 1"; /* CVE-2026-28753 */
    check("Auth-Method: none\nAuth-User: \nAuth-Pass: \n"
          "Auth-Protocol: smtp\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n"
          "Client-Host: a%0D%0AEvil: 1\nAuth-SMTP-Helo: \n"
          "Auth-SMTP-From: MAIL FROM:<a@b> SIZE=1\nAuth-SMTP-To: RCPT TO:<c%d@e>\n");
}

static void test_proxy_header(void **state)
{
    request.has_proxy_header = true;
    request.proxy_src = addr("198.51.100.1:1234");
    request.proxy_dst = addr("[2001:db8::2]:143");
    request.tls = &tls;
    check("Auth-Method: plain\nAuth-User: bob@example.org\n"
          "Auth-Pass: secret\nAuth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n"
          "Proxy-Protocol-Addr: 198.51.100.1\nProxy-Protocol-Port: 1234\n"
          "Proxy-Protocol-Server-Addr: 2001:db8::2\nProxy-Protocol-Server-Port: 143\n"
          "Auth-SSL: on\nAuth-SSL-Protocol: TLSv1.3\nAuth-SSL-Cipher: TLS_AES_256_GCM_SHA384\n");
}

#define HEAD                                                                                       \
    "Auth-Method: plain\nAuth-User: bob@example.org\nAuth-Pass: secret\n"                          \
    "Auth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n"                           \
    "Auth-SSL: on\nAuth-SSL-Protocol: TLSv1.3\nAuth-SSL-Cipher: TLS_AES_256_GCM_SHA384\n"

static void test_certificates(void **state)
{
    request.tls = &tls;
    request.peer_cert = &cert; /* nothing of it unless the listener asks for certificates */
    check(HEAD);
    request.client_auth = TLS_CLIENT_AUTH_OPTIONAL;
    request.peer_cert = NULL;
    check(HEAD "Auth-SSL-Verify: NONE\n");
    request.peer_cert = &cert;
    tls.verify = TLS_VERIFY_SUCCESS;
    check(HEAD "Auth-SSL-Verify: SUCCESS\nAuth-SSL-Subject: CN=bob,O=Example Org\n"
               "Auth-SSL-Issuer: CN=ca\nAuth-SSL-Serial: 0A1B\nAuth-SSL-Fingerprint: 00ff\n");
    tls.verify = TLS_VERIFY_FAILED;
    (void)str_copy(tls.verify_error, sizeof(tls.verify_error), STR("certificate has expired"));
    cert.issuer = NULL;
    cert.subject = "CN=a\nb";
    config.is_client_cert_passed = true;
    check(HEAD "Auth-SSL-Verify: FAILED:certificate has expired\nAuth-SSL-Subject: CN=a%0Ab\n"
               "Auth-SSL-Serial: 0A1B\nAuth-SSL-Fingerprint: 00ff\n"
               "Auth-SSL-Cert: -----BEGIN%20CERTIFICATE-----%0AAA+/%0A\n");
}

static void test_headers(void **state)
{
    static const char *headers[] = {"X-Token: a b", "X-Auth-Port:9", NULL};
    config.headers = (struct config_strings){headers, 2};
    check("Auth-Method: plain\nAuth-User: bob@example.org\n"
          "Auth-Pass: secret\nAuth-Protocol: imap\nAuth-Login-Attempt: 1\nClient-IP: 192.0.2.7\n"
          "X-Token: a b\nX-Auth-Port:9\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_plain),        T(test_escaping),     T(test_digests),
        T(test_tokens),       T(test_external),     T(test_smtp),
        T(test_proxy_header), T(test_certificates), T(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
