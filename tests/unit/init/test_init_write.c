/* SPDX-License-Identifier: ISC */
/* From questions to a file: what is asked, where certificates are found, and that each file loads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "config/config.h"
#include "init/init_ask.h"
#include "init/init_certs.h"
#include "init/init_write.h"

static char folder[] = "/tmp/test_init_XXXXXX";

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    AUTO_FREE char *command = str_printf("rm -rf %s", folder);
    return command ? system(command) : -1;
}

/* An empty file below the folder, with the folders on its way. Owned path. */
static char *touch(const char *path)
{
    char *whole = str_printf("%s%s", folder, path);
    assert_non_null(whole);
    for (char *p = whole + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        (void)mkdir(whole, 0755);
        *p = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fclose(f);
    return whole;
}

static const struct init_machine machine = {.root = folder,
                                            .host = "mail.example.org",
                                            .home = "/home/joe",
                                            .is_root = true,
                                            .has_ipv6 = true};

/* Answers as a person types them, a line each; text of the dialogue in *ret_said when it is not
 * NULL. */
static int typed(struct init_answers *a, const struct init_machine *m, const char *lines,
                 char **ret_said)
{
    char *said = NULL;
    size_t n = 0;
    enum init_id missing;
    FILE *in = fmemopen((char *)(uintptr_t)lines, strlen(lines), "r");
    FILE *out = open_memstream(&said, &n);
    assert_non_null(in);
    assert_non_null(out);
    int err = init_ask(a, m, in, out, &missing);
    fclose(in);
    fclose(out);
    if (ret_said)
        *ret_said = said;
    else
        free(said);
    return err;
}

static void test_dialogue(void **state)
{
    struct init_answers a = {0};
    AUTO_FREE char *said = NULL;
    AUTO_FREE char *cert = touch("/typed/cert.pem");
    AUTO_FREE char *key = touch("/typed/key.pem");
    AUTO_FREE char *lines =
        str_printf("\nimap,nntp\nimap, sieve\n\n\nh1,h2\nimplicit\nnone\nrelative\n%s\n\n", cert);
    assert_int_equal(typed(&a, &machine, lines, &said), 0);
    assert_string_equal(a.v[INIT_SERVER_NAME], "mail.example.org");
    assert_string_equal(a.v[INIT_PROTOCOLS], "imap, sieve");
    assert_string_equal(a.v[INIT_AUTH], "backend");
    assert_string_equal(a.v[INIT_BACKENDS], "h1,h2");
    assert_string_equal(a.v[INIT_BACKEND_CA], "none");
    assert_string_equal(a.v[INIT_KEY], key);
    assert_string_equal(a.v[INIT_USER], "mailproxy");
    assert_string_equal(a.v[INIT_LISTEN], "0.0.0.0,::");
    assert_null(a.v[INIT_FOLDER]);
    assert_non_null(strstr(said, "\"imap,nntp\" has \"nntp\""));
    assert_non_null(strstr(said, "\"\" is empty"));
    assert_non_null(strstr(said, "\"relative\" is no absolute path"));
    init_answers_fini(&a);
}

/* Who is not root listens on other ports and has folders of their own; without TLS nobody asks for
 * a CA. */
static void test_questions_that_do_not_matter(void **state)
{
    struct init_machine user = machine;
    struct init_answers a = {0};
    AUTO_FREE char *said = NULL;
    AUTO_FREE char *cert = touch("/own/cert.pem");
    AUTO_FREE char *key = touch("/own/cert.key");
    AUTO_FREE char *lines = str_printf("\n\nhttp://127.0.0.1/auth\n\noff\n%s\n\n", cert);
    user.is_root = user.has_ipv6 = false;
    assert_int_equal(typed(&a, &user, lines, &said), 0);
    assert_string_equal(a.v[INIT_BACKENDS], "none"); /* the auth server names them */
    assert_string_equal(a.v[INIT_KEY], key);
    assert_string_equal(a.v[INIT_PORT_OFFSET], "10000");
    assert_string_equal(a.v[INIT_FOLDER], "/home/joe/.local/state/mailproxy");
    assert_string_equal(a.v[INIT_LISTEN], "0.0.0.0");
    assert_null(a.v[INIT_USER]);
    assert_null(a.v[INIT_BACKEND_CA]);
    assert_null(strstr(said, "Who signed"));
    init_answers_fini(&a);
}

static void test_end_of_input(void **state)
{
    struct init_answers a = {0};
    assert_int_equal(typed(&a, &machine, "mail.example.org\nimap\n", NULL), -ERR_EOF);
    init_answers_fini(&a);
}

static void test_long_line(void **state)
{
    struct init_answers a = {0};
    AUTO_FREE char *said = NULL;
    AUTO_BUF lines = BUF_INIT;
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_append_char(&lines, 'x'), 0);
    assert_int_equal(buf_append_c(&lines, "\nok.example.org\n"), 0);
    assert_int_equal(typed(&a, &machine, buf_cstr(&lines), &said), -ERR_EOF);
    assert_string_equal(a.v[INIT_SERVER_NAME], "ok.example.org");
    assert_non_null(strstr(said, "that is too long"));
    init_answers_fini(&a);
}

/* Nobody is asked: only what needs a person is missing. */
static void test_without_a_terminal(void **state)
{
    struct init_answers a = {0};
    enum init_id missing;
    AUTO_FREE char *fault = NULL;
    assert_int_equal(init_ask(&a, &machine, NULL, NULL, &missing), -ERR_MISSING_PARAM);
    assert_int_equal(missing, INIT_BACKENDS);
    assert_int_equal(init_answer(&a, INIT_BACKENDS, "h1", &fault), 0);
    struct init_machine bare = machine;
    bare.root = "/no/such/folder";
    assert_int_equal(init_ask(&a, &bare, NULL, NULL, &missing), -ERR_MISSING_PARAM);
    assert_int_equal(missing, INIT_CERT);
    init_answers_fini(&a);
}

/* ---- certificates ---- */

static void assert_found(const char *cert, bool is_own_sign)
{
    AUTO_FREE char *have_cert = NULL;
    AUTO_FREE char *have_key = NULL;
    AUTO_FREE char *want = cert ? str_printf("%s%s", folder, cert) : NULL;
    bool is_own;
    assert_int_equal(init_certs_find(folder, "mail.example.org", &have_cert, &have_key, &is_own),
                     0);
    assert_int_equal(is_own, is_own_sign);
    if (!cert) {
        assert_null(have_cert);
        return;
    }
    assert_string_equal(have_cert, want);
    assert_non_null(have_key);
}

static void test_certificates(void **state)
{
    /* later ones are better; a certificate without its key is none */
    static const struct {
        const char *file, *found;
        bool is_own_sign;
    } steps[] = {
        {"/etc/ssl/certs/ssl-cert-snakeoil.pem", NULL, false},
        {"/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem", true},
        {"/etc/letsencrypt/live/other.org/fullchain.pem", "/etc/ssl/certs/ssl-cert-snakeoil.pem",
         true},
        {"/etc/letsencrypt/live/other.org/privkey.pem", "/etc/ssl/certs/ssl-cert-snakeoil.pem",
         true},
        {"/etc/letsencrypt/live/example.org/privkey.pem", "/etc/ssl/certs/ssl-cert-snakeoil.pem",
         true},
        {"/etc/letsencrypt/live/example.org/fullchain.pem",
         "/etc/letsencrypt/live/example.org/fullchain.pem", false},
        {"/root/.acme.sh/mail.example.org_ecc/fullchain.cer",
         "/etc/letsencrypt/live/example.org/fullchain.pem", false},
        {"/root/.acme.sh/mail.example.org_ecc/mail.example.org.key",
         "/root/.acme.sh/mail.example.org_ecc/fullchain.cer", false},
        {"/etc/letsencrypt/live/mail.example.org/fullchain.pem",
         "/root/.acme.sh/mail.example.org_ecc/fullchain.cer", false},
        {"/etc/letsencrypt/live/mail.example.org/privkey.pem",
         "/etc/letsencrypt/live/mail.example.org/fullchain.pem", false},
        {"/etc/mailproxy/cert.pem", "/etc/letsencrypt/live/mail.example.org/fullchain.pem", false},
        {"/etc/mailproxy/key.pem", "/etc/mailproxy/cert.pem", false},
    };
    assert_found(NULL, false);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        free(touch(steps[i].file));
        assert_found(steps[i].found, steps[i].is_own_sign);
    }
}

static void test_key_beside(void **state)
{
    AUTO_FREE char *cert = touch("/beside/mail.crt");
    AUTO_FREE char *none = init_certs_key_beside(cert);
    AUTO_FREE char *key = touch("/beside/privkey.pem");
    AUTO_FREE char *found = init_certs_key_beside(cert);
    AUTO_FREE char *own = touch("/beside/mail.key");
    AUTO_FREE char *better = init_certs_key_beside(cert);
    assert_null(none);
    assert_string_equal(found, key);
    assert_string_equal(better, own);
}

/* ---- the file ---- */

static const char *const variants[][INIT_COUNT] = {
    {[INIT_AUTH] = "backend", [INIT_BACKENDS] = "10.0.0.1"},
    {[INIT_AUTH] = "users",
     [INIT_BACKENDS] = "h1 imap=1143 smtp=1587, h2",
     [INIT_PROTOCOLS] = "sieve,pop3,smtp,imap"},
    {[INIT_AUTH] = "http://127.0.0.1:9000/auth?a=\"b\"",
     [INIT_BACKENDS] = "none",
     [INIT_BACKEND_TLS] = "off"},
    {[INIT_AUTH] = "backend",
     [INIT_BACKENDS] = "h1",
     [INIT_BACKEND_CA] = "none",
     [INIT_LISTEN] = "::1,[fe80::1],10.0.0.1"},
    {[INIT_AUTH] = "backend",
     [INIT_BACKENDS] = "h1",
     [INIT_PORT_OFFSET] = "60000",
     [INIT_FOLDER] = "/srv/a \"b\\c"},
};

static void test_each_file_loads(void **state)
{
    AUTO_FREE char *cert = touch("/load/cert.pem");
    AUTO_FREE char *key = touch("/load/key.pem");
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        struct init_answers a = {0};
        struct config_problems problems = {0};
        struct config *c = NULL;
        struct files *files = NULL;
        enum init_id missing;
        AUTO_BUF text = BUF_INIT;
        AUTO_FREE char *fault = NULL;
        for (int id = 0; id < INIT_COUNT; id++)
            if (variants[i][id])
                assert_int_equal(init_answer(&a, id, variants[i][id], &fault), 0);
        assert_int_equal(init_answer(&a, INIT_CERT, cert, &fault), 0);
        assert_int_equal(init_ask(&a, &machine, NULL, NULL, &missing), 0);
        assert_int_equal(init_write(&a, &text), 0);
        assert_int_equal(files_new(&files), 0);
        int err = config_load_text("init.conf", buf_str(&text), files, &c, &problems);
        config_problems_say(&problems);
        assert_int_equal(err, 0);
        assert_string_equal(c->tls.certs[0].key, key);
        assert_string_equal(c->server_name, "mail.example.org");
        assert_true(c->n_pools == 1);
        for (size_t j = 0; j < c->n_listeners; j++)
            assert_true(c->listeners[j].tls != LISTENER_TLS_OFF &&
                        !c->listeners[j].allow_plaintext);
        if (i == 1) { /* all protocols: with TLS from the first byte where there is a port for it */
            assert_int_equal(c->n_listeners, 7);
            assert_int_equal(c->pools[0].n_backends, 2);
            assert_int_equal(c->pools[0].backends[0].ports[PROTO_SMTP], 1587);
            assert_true(c->pools[0].smtp_auth == CONFIG_SMTP_AUTH_ON && c->pools[0].is_verified);
        }
        config_unref(c);
        files_unref(files);
        init_answers_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogue),
        cmocka_unit_test(test_questions_that_do_not_matter),
        cmocka_unit_test(test_end_of_input),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_without_a_terminal),
        cmocka_unit_test(test_key_beside),
        cmocka_unit_test(test_each_file_loads),
        cmocka_unit_test(test_certificates),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
