/* SPDX-License-Identifier: ISC */
/* Which answers a first configuration takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "init/init_answers.h"

static const struct answer_case {
    enum init_id id;
    const char *value;
    const char *fault; /* NULL = it is taken */
} cases[] = {
    {INIT_SERVER_NAME, "mail.example.org", NULL},
    {INIT_SERVER_NAME, "  mail ", NULL},
    {INIT_SERVER_NAME, "", "is empty"},
    {INIT_SERVER_NAME, "two words", "is no host name"},
    {INIT_SERVER_NAME, "unix:/x", "is no host name"},
    {INIT_SERVER_NAME, "mail:993", "is no host name"},
    {INIT_SERVER_NAME, "a\nuser = \"root\"", "has control characters"},
    {INIT_SERVER_NAME, "a\"; user = \"root", "is no host name"},
    {INIT_PROTOCOLS, "imap", NULL},
    {INIT_PROTOCOLS, "IMAP, pop3,smtp , sieve", NULL},
    {INIT_PROTOCOLS, ",", "is not imap, pop3, smtp or sieve"},
    {INIT_PROTOCOLS, "imap,nntp", "has \"nntp\", which is not imap, pop3, smtp or sieve"},
    {INIT_PROTOCOLS, "imap,IMAP", "has imap twice"},
    {INIT_AUTH, "backend", NULL},
    {INIT_AUTH, "users", NULL},
    {INIT_AUTH, "http://127.0.0.1:9000/auth", NULL},
    {INIT_AUTH, "https://auth.example.org/", NULL},
    {INIT_AUTH, "ldap", "is not backend, users, or an http:// or https:// address"},
    {INIT_BACKENDS, "10.0.0.1", NULL},
    {INIT_BACKENDS, "10.0.0.1 imap=1143 smtp=1587, b2.example.org,2001:db8::1", NULL},
    {INIT_BACKENDS, "none", NULL},
    {INIT_BACKENDS, " , ,", "names no mail server"},
    {INIT_BACKENDS, "10.0.0.1:143", "has \"10.0.0.1:143\", which is no host: ports stand in ports"},
    {INIT_BACKENDS, "h imap=0", "has \"imap=0\", which is no port as imap=1143"},
    {INIT_BACKENDS, "h imap=65536", "has \"imap=65536\", which is no port as imap=1143"},
    {INIT_BACKENDS, "h nntp=119", "has \"nntp=119\", which is no port as imap=1143"},
    {INIT_BACKENDS, "h 143", "has \"143\", which is no port as imap=1143"},
    {INIT_BACKEND_TLS, "starttls", NULL},
    {INIT_BACKEND_TLS, "implicit", NULL},
    {INIT_BACKEND_TLS, "off", NULL},
    {INIT_BACKEND_TLS, "on", "is not starttls, implicit or off"},
    {INIT_BACKEND_TLS, "pool", "is not starttls, implicit or off"},
    {INIT_BACKEND_CA, "system", NULL},
    {INIT_BACKEND_CA, "none", NULL},
    {INIT_BACKEND_CA, "/etc/passwd", NULL},
    {INIT_BACKEND_CA, "ca.pem", "is not system, none or the path of a file"},
    {INIT_BACKEND_CA, "/no/such/file", "is not there"},
    {INIT_CERT, "/etc/passwd", NULL},
    {INIT_CERT, "cert.pem", "is no absolute path"},
    {INIT_KEY, "/no/such/file", "is not there"},
    {INIT_LISTEN, "0.0.0.0, ::", NULL},
    {INIT_LISTEN, "0.0.0.0:143", "has \"0.0.0.0:143\", which is no IP address"},
    {INIT_LISTEN, "localhost", "has \"localhost\", which is no IP address"},
    {INIT_LISTEN, ",", "names no address"},
    {INIT_PORT_OFFSET, "10000", NULL},
    {INIT_PORT_OFFSET, "-1", "is no number from 0 to 61000"},
    {INIT_PORT_OFFSET, "61001", "is no number from 0 to 61000"},
    {INIT_USER, "mailproxy", NULL},
    {INIT_USER, "-x", "is no user name"},
    {INIT_USER, "a\"b", "is no user name"},
    {INIT_FOLDER, "/srv/mail proxy", NULL},
    {INIT_FOLDER, "here", "is no absolute path"},
};

static void test_answers(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct answer_case *c = &cases[i];
        struct init_answers a = {0};
        AUTO_FREE char *fault = NULL;
        int err = init_answer(&a, c->id, c->value, &fault);
        if (c->fault) {
            assert_int_equal(err, -ERR_INVAL);
            assert_string_equal(fault, c->fault);
            assert_null(a.v[c->id]);
        } else {
            assert_int_equal(err, 0);
            assert_null(fault);
            assert_true(str_eq(init_text(&a, c->id), str_trim(str_of(c->value))));
        }
        init_answers_fini(&a);
    }
}

/* A wrong answer does not take away a right one. */
static void test_wrong_answer_keeps(void **state)
{
    struct init_answers a = {0};
    AUTO_FREE char *fault = NULL;
    assert_int_equal(init_answer(&a, INIT_AUTH, "users", &fault), 0);
    assert_int_equal(init_answer(&a, INIT_AUTH, "nonsense", &fault), -ERR_INVAL);
    assert_string_equal(a.v[INIT_AUTH], "users");
    init_answers_fini(&a);
}

static void test_too_many_backends(void **state)
{
    struct init_answers a = {0};
    AUTO_FREE char *fault = NULL;
    AUTO_BUF list = BUF_INIT;
    for (int i = 0; i < 65; i++)
        assert_int_equal(buf_printf(&list, "h%d,", i), 0);
    assert_int_equal(init_answer(&a, INIT_BACKENDS, buf_cstr(&list), &fault), -ERR_INVAL);
    assert_string_equal(fault, "is too long");
    init_answers_fini(&a);
}

static void test_backend_parts(void **state)
{
    struct str list = STR(" h1 imap=1143  SMTP=25 ,, h2");
    struct init_backend b;
    assert_true(init_backend_next(&list, &b, NULL));
    assert_true(str_eq(b.host, STR("h1")));
    assert_int_equal(b.ports[PROTO_IMAP], 1143);
    assert_int_equal(b.ports[PROTO_SMTP], 25);
    assert_int_equal(b.ports[PROTO_POP3], 0);
    assert_true(init_backend_next(&list, &b, NULL));
    assert_true(str_eq(b.host, STR("h2")));
    assert_int_equal(b.ports[PROTO_IMAP], 0);
    assert_false(init_backend_next(&list, &b, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_wrong_answer_keeps),
        cmocka_unit_test(test_too_many_backends),
        cmocka_unit_test(test_backend_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
