/* SPDX-License-Identifier: ISC */
/* Certificates and the like are read again: what belongs together is taken or left together. */
#include "load_case.h"

#include "config/config_refresh.h"
#include "tests/unit/backend/cert.h"

static char *read_file(const char *path)
{
    AUTO_BUF text = BUF_INIT;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(buf_reserve(&text, 65536), 0);
    buf_commit(&text, fread(buf_tail(&text), 1, buf_tail_room(&text), f));
    assert_int_equal(fclose(f), 0);
    return buf_steal(&text);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Another certificate in the same file; what it says now, owned. */
static char *renew(const struct cert *c)
{
    struct cert next;
    cert_make(&next, "mail.example.org", NULL, 2);
    char *text = read_file(next.path);
    cert_remove(&next);
    write_file(c->path, text);
    return text;
}

/* Reads all again. How many files have another content; *ret_words (owned): what cannot be used. */
static size_t refresh(struct config *c, char **ret_words)
{
    struct loaded l = {.config = config_ref(c)};
    struct files *disk = NULL;
    size_t n_changed;
    assert_int_equal(files_new(&disk), 0);
    assert_int_equal(config_refresh(c, disk, &n_changed, &l.problems), 0);
    files_unref(disk);
    *ret_words = load_words(&l);
    config_unref(c);
    config_problems_fini(&l.problems);
    return n_changed;
}

static void assert_content(const struct config *c, const char *path, const char *text)
{
    struct str content;
    assert_int_equal(files_read(c->files, path, &content), 0);
    assert_true(str_eq(content, str_of(text)));
}

#define LISTENER(name_, port_, options_)                                                           \
    "{ name = \"" name_ "\"; protocol = \"imap\"; address = \"127.0.0.1:" port_ "\";"              \
    " tls = \"implicit\"; " options_ " }"

/* Two listeners of one certificate, of which the second one has an authority of its own: when that
 * is broken, the renewed certificate is used all the same. */
static void test_same_certificate(void **state)
{
    struct cert cert, ca;
    cert_make(&cert, "mail.example.org", NULL, 1);
    cert_make(&ca, "ca.example.org", NULL, 1);
    AUTO_FREE char *text =
        str_printf("tls = { certificates = ( { cert = \"%s\"; key = \"%s\"; } ); };\n"
                   "listeners = ( " LISTENER("a", "1", "") ", " LISTENER(
                       "b", "2",
                       "tls_options = { certificates = ( { cert = \"%s\"; key = \"%s\"; } );"
                       " client_auth = \"optional\"; client_ca = \"%s\"; };") " );\n" LOAD_AUTH,
                   cert.path, cert.path, cert.path, cert.path, ca.path);
    AUTO_FREE char *authority = read_file(ca.path);
    AUTO_FREE char *words = NULL;
    struct config *c = load_good(text);
    AUTO_FREE char *renewed = renew(&cert);
    write_file(ca.path, "no certificate");
    assert_int_equal(refresh(c, &words), 1);
    assert_non_null(strstr(words, ca.path));
    assert_content(c, cert.path, renewed);
    assert_content(c, ca.path, authority);
    config_unref(c);
    cert_remove(&cert);
    cert_remove(&ca);
}

/* Of several certificates those that cannot be used stay as they were; nothing else is read. */
static void test_one_bad(void **state)
{
    enum { N = 3, BAD = 1 };
    struct cert certs[N];
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(buf_append_str(&text, STR("tls = { certificates = (")), 0);
    for (size_t i = 0; i < N; i++) {
        cert_make(&certs[i], "mail.example.org", NULL, 1);
        assert_int_equal(buf_printf(&text, "%s { cert = \"%s\"; key = \"%s\"; }", i ? "," : "",
                                    certs[i].path, certs[i].path),
                         0);
    }
    assert_int_equal(
        buf_printf(&text, " ); };\nlisteners = ( %s );\n%s", LISTENER("a", "1", ""), LOAD_AUTH), 0);
    struct config *c = load_good(buf_cstr(&text));
    AUTO_FREE char *words = NULL;
    AUTO_FREE char *none = NULL;
    char *now[N];
    for (size_t i = 0; i < N; i++) {
        now[i] = i == BAD ? read_file(certs[i].path) : renew(&certs[i]);
        if (i == BAD)
            write_file(certs[i].path, "no certificate");
    }
    assert_int_equal(refresh(c, &words), N - 1);
    assert_non_null(strstr(words, certs[BAD].path));
    for (size_t i = 0; i < N; i++) {
        assert_content(c, certs[i].path, now[i]);
        write_file(certs[i].path, now[i]);
        free(now[i]);
    }
    assert_int_equal(refresh(c, &none), 0);
    assert_string_equal(none, "");
    for (size_t i = 0; i < N; i++)
        cert_remove(&certs[i]);
    config_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_certificate),
        cmocka_unit_test(test_one_bad),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
