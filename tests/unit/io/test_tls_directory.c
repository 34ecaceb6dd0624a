/* SPDX-License-Identifier: ISC */
/* Folders of certificates: what their files are called, the listing, names that clients ask for,
 * the name in a ClientHello. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "io/tls/tls_directory.h"
#include "io/tls/tls_hello.h"

/* ---- names ---- */

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool is_good;
    } rows[] = {
        {"example.org", true},
        {"a", true},
        {"mail-1.example.org", true},
        {"xn--bcher-kva", true},
        {"1.2", true},
        {"_.example.org", true},
        {"*.example.org", true},
        {"", false},
        {".", false},
        {".a", false},
        {"a.", false},
        {"a..b", false},
        {"A.test", false},
        {"a_b.test", false},
        {"-a.test", false},
        {"a-.test", false},
        {"_", false},
        {"_.", false},
        {"*", false},
        {"*.", false},
        {"a.*.test", false},
        {"_._.test", false},
        {"a b", false},
        {"../x", false},
        {"a/b", false},
        {"b\xc3\xbc.test", false},
    };
    char label[80], name[300] = "";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (tls_directory_is_name(str_of(rows[i].name)) != rows[i].is_good)
            fail_msg("%s", rows[i].name);
    memset(label, 'a', sizeof(label));
    assert_true(tls_directory_is_name(str_n(label, 63)));
    assert_false(tls_directory_is_name(str_n(label, 64)));
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 2 ? '.' : 'a';
    assert_true(tls_directory_is_name(str_n(name, 253)));
    name[253] = '.';
    name[254] = 'a';
    assert_false(tls_directory_is_name(str_n(name, 255)));
}

/* ---- a folder ---- */

static char folder[64];

static void put(const char *name, const char *text)
{
    AUTO_FREE char *path = str_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void drop(const char *name)
{
    AUTO_FREE char *path = str_printf("%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static void on_left_out(void *arg, const char *file, const char *why)
{
    (void)why;
    assert_int_equal(BUF_APPEND(arg, file, "\n"), 0);
}

/* All ways to keep a certificate; what is none is told or passed over; a change of any file is
 * another version of its certificate, and of no other. */
static void test_folder(void **state)
{
    static const char *const files[] = {
        "both.test.pem",   "pair.test.crt",  "pair.test.key",  "*.star.test.pem", "_.wild.test.crt",
        "_.wild.test.key", "half.test.crt",  "lost.test.key",  "Upper.test.pem",  "README",
        "twice.test.pem",  "twice.test.crt", "twice.test.key", ".hidden.pem"};
    static const char *const names[] = {"_.star.test", "_.wild.test", "both.test",
                                        "live.test",   "pair.test",   "twice.test"};
    AUTO_BUF first = BUF_INIT;
    AUTO_BUF second = BUF_INIT;
    AUTO_BUF said = BUF_INIT;
    const struct tls_directory_report report = {on_left_out, &said};
    struct tls_directory_entry e, f;
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-names-XXXXXX");
    assert_non_null(mkdtemp(folder));
    AUTO_FREE char *live = str_printf("%s/live.test", folder);
    AUTO_FREE char *empty = str_printf("%s/empty.test", folder);
    assert_true(mkdir(live, 0700) == 0 && mkdir(empty, 0700) == 0);
    put("live.test/fullchain.pem", "x");
    put("live.test/privkey.pem", "x");
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(files[i], "x");
    assert_int_equal(tls_directory_list(folder, &report, &first), 0);
    static const char *const told[] = {"half.test.crt\n", "Upper.test.pem\n", "empty.test\n",
                                       "twice.test.crt\n"};
    size_t n_said = 0;
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        assert_non_null(strstr(buf_cstr(&said), told[i]));
        n_said += strlen(told[i]);
    }
    assert_int_equal(said.len, n_said);

    put("pair.test.key", "more");
    assert_int_equal(tls_directory_list(folder, NULL, &second), 0);
    struct str a = buf_str(&first), b = buf_str(&second);
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *cert = NULL;
        AUTO_FREE char *key = NULL;
        assert_true(tls_directory_next(&a, &e) && tls_directory_next(&b, &f));
        assert_true(str_eq(e.name, str_of(names[i])) && str_eq(f.name, e.name));
        assert_int_equal(e.version == f.version, strcmp(names[i], "pair.test") != 0);
        assert_int_equal(tls_directory_version(folder, &e), f.version);
        assert_int_equal(tls_directory_paths(folder, &e, &cert, &key), 0);
        assert_true(access(cert, R_OK) == 0 && access(key, R_OK) == 0);
        assert_int_equal(tls_directory_entry_at(buf_str(&first), i, &f), 0);
        assert_true(str_eq(e.name, f.name));
        assert_int_equal(e.kind == TLS_DIRECTORY_FOLDER, strcmp(names[i], "live.test") == 0);
    }
    assert_true(a.n == 0 && b.n == 0);
    assert_int_equal(tls_directory_entry_at(buf_str(&first), ARRAY_LEN(names), &f), -ERR_NOT_FOUND);
    assert_int_equal(tls_directory_entry_at(buf_str(&first), UINT32_MAX, &f), -ERR_NOT_FOUND);
    drop("live.test/privkey.pem");
    assert_int_equal(tls_directory_entry_at(buf_str(&first), 3, &e), 0);
    assert_int_equal(tls_directory_version(folder, &e), 0);
    drop("live.test/fullchain.pem");
    drop("live.test");
    drop("empty.test");
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        drop(files[i]);
    assert_int_equal(rmdir(folder), 0);
    assert_true(tls_directory_list(folder, NULL, &first) < 0 && errno == ENOENT);
}

/* ---- looking up ---- */

#define V " 0000000000000001 p\n"

static void test_look_up(void **state)
{
    static const struct {
        const char *asked, *found;
    } rows[] = {
        {"b.test", "b.test"},  {"B.TEST", "b.test"},
        {"b.test.", "b.test"}, {"x.b.test", "_.b.test"},
        {"x.x.b.test", NULL},  {"own.b.test", "own.b.test"},
        {"a.test", "a.test"},  {"zz.test", "zz.test"},
        {"test", NULL},        {"", NULL},
        {".", NULL},           {".b.test", NULL},
        {"_.b.test", NULL},    {"*.b.test", NULL},
        {"b.tes", NULL},       {"b.testt", NULL},
        {"x y.b.test", NULL},  {"../b.test", NULL},
    };
    struct tls_directory *d = NULL;
    struct tls_directory_entry e;
    uint32_t number = 0;
    struct str listing = STR("_.b.test" V "a.test" V "b.test" V "own.b.test" V "zz.test" V);
    char longest[400];
    assert_int_equal(tls_directory_new(listing, &d), 0);
    assert_int_equal(tls_directory_count(d), 5);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int err = tls_directory_find(d, str_of(rows[i].asked), &number, &e);
        assert_int_equal(err, rows[i].found ? 0 : -ERR_NOT_FOUND);
        if (rows[i].found && !str_eq(e.name, str_of(rows[i].found)))
            fail_msg("%s", rows[i].asked);
        if (rows[i].found) {
            assert_true(tls_directory_at(d, number, &e));
            assert_true(str_eq(e.name, str_of(rows[i].found)));
        }
    }
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(tls_directory_find(d, str_n(longest, sizeof(longest)), &number, &e),
                     -ERR_NOT_FOUND);
    assert_int_equal(tls_directory_find(d, str_n("b.test\0x", 8), &number, &e), -ERR_NOT_FOUND);
    assert_int_equal(tls_directory_get(d, STR("_.b.test"), &number, &e), 0);
    assert_int_equal(number, 0);
    assert_false(tls_directory_at(d, 5, &e));
    tls_directory_free(d);
    assert_int_equal(tls_directory_new(STR(""), &d), 0);
    assert_int_equal(tls_directory_find(d, STR("a.test"), &number, &e), -ERR_NOT_FOUND);
    tls_directory_free(d);
}

/* What is no listing is refused whole. */
static void test_no_listing(void **state)
{
    static const char *const bad[] = {
        "b.test" V "a.test" V,          /* not sorted */
        "a.test" V "a.test" V,          /* twice */
        "a.test 1 p\n",                 /* no version */
        "a.test 0000000000000000 p\n",  /* of nothing */
        "a.test 000000000000000g p\n",  /* no number */
        "a.test 0000000000000001 x\n",  /* no kind */
        "a.test 0000000000000001 p*\n", /* a star of what has none */
        "*.a.test" V,                   /* not as it is written here */
        "../x" V,                       /* no name */
        "a.test" V "\n",
        "a.test 0000000000000001 p", /* no end */
    };
    struct tls_directory *d = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (tls_directory_new(str_of(bad[i]), &d) != -ERR_SYNTAX)
            fail_msg("%zu", i);
}

/* ---- a ClientHello ---- */

/* What GnuTLS sends for a name; its length. */
static size_t make_hello(const char *name, const char *priority, char *out, size_t size)
{
    int ends[2];
    gnutls_session_t s;
    gnutls_certificate_credentials_t cred;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&cred), 0);
    gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
    assert_int_equal(gnutls_priority_set_direct(s, priority, NULL), 0);
    if (name)
        assert_int_equal(gnutls_server_name_set(s, GNUTLS_NAME_DNS, name, strlen(name)), 0);
    gnutls_transport_set_int(s, ends[0]);
    assert_int_equal(gnutls_handshake(s), GNUTLS_E_AGAIN);
    ssize_t n = recv(ends[1], out, size, 0);
    assert_true(n > 100);
    gnutls_deinit(s);
    gnutls_certificate_free_credentials(cred);
    close(ends[0]);
    close(ends[1]);
    return (size_t)n;
}

/* Whole, and at every point before its end; in records of any size. */
static void test_hello(void **state)
{
    static const char *const priorities[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL"};
    for (size_t k = 0; k < ARRAY_LEN(priorities); k++) {
        char hello[4096], name[TLS_HELLO_NAME_MAX];
        size_t n = make_hello("Mail.example.org", priorities[k], hello, sizeof(hello));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(tls_hello_name(str_n(hello, i), name), -ERR_AGAIN);
        assert_int_equal(tls_hello_name(str_n(hello, n), name), 0);
        assert_string_equal(name, "Mail.example.org");
        memcpy(hello + n,
               "\x17\x03\x03\x00\x05"
               "early",
               10); /* RFC 8446 section 2.3 */
        assert_int_equal(tls_hello_name(str_n(hello, n + 10), name), 0);
        assert_string_equal(name, "Mail.example.org");
        for (size_t size = 1; size < 40; size += 13) {
            AUTO_BUF records = BUF_INIT;
            for (size_t at = 5; at < n; at += size) {
                size_t some = n - at < size ? n - at : size;
                const char head[] = {22, 3, 1, 0, (char)some};
                assert_int_equal(buf_append(&records, head, sizeof(head)), 0);
                assert_int_equal(buf_append(&records, hello + at, some), 0);
            }
            assert_int_equal(tls_hello_name(buf_str(&records), name), 0);
            assert_string_equal(name, "Mail.example.org");
        }
        n = make_hello(NULL, priorities[k], hello, sizeof(hello));
        assert_int_equal(tls_hello_name(str_n(hello, n), name), -ERR_NOT_FOUND);
    }
}

/* Every byte changed in every way: it ends, and what it gives is a text. */
static void test_bad_hello(void **state)
{
    char hello[4096], name[TLS_HELLO_NAME_MAX];
    size_t n = make_hello("mail.example.org", "NORMAL", hello, sizeof(hello));
    for (size_t i = 0; i < n; i++) {
        char was = hello[i];
        for (int k = 0; k < 256; k += 5) {
            hello[i] = (char)k;
            if (tls_hello_name(str_n(hello, n), name) == 0)
                assert_true(strlen(name) < sizeof(name));
        }
        hello[i] = was;
    }
    assert_int_equal(tls_hello_name(STR("GET / HTTP/1.0\r\n"), name), -ERR_NOT_FOUND);
    assert_int_equal(tls_hello_name(STR(""), name), -ERR_AGAIN);
    assert_int_equal(tls_hello_name(STR("\x16\x03\x01\x00\x00"), name), -ERR_NOT_FOUND);
    /* one that never ends */
    AUTO_FREE char *flood = calloc(1, TLS_HELLO_MAX);
    const char head[] = {22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0};
    memcpy(flood, head, sizeof(head));
    assert_int_equal(tls_hello_name(str_n(flood, TLS_HELLO_MAX - 1), name), -ERR_AGAIN);
    assert_int_equal(tls_hello_name(str_n(flood, TLS_HELLO_MAX), name), -ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_folder),
        cmocka_unit_test(test_look_up), cmocka_unit_test(test_no_listing),
        cmocka_unit_test(test_hello),   cmocka_unit_test(test_bad_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
