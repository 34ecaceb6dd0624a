/* SPDX-License-Identifier: ISC */
/* Loading whole files: all problems at once with their places, includes, files that mean harm,
 * defaults and references. */
#include "load_case.h"

#include <libconfig.h>
#include <sys/stat.h>

/* ---- problems ---- */

static void test_all_problems_at_once(void **state)
{
    struct loaded l;
    load_text(&l, "server_name = \"mx.example.org\";\n"
                  "wrokers = 2;\n"
                  "workers = \"2\";\n"
                  "listeners = (\n"
                  "  { name = \"imap\"; protocol = \"impa\"; address = \"127.0.0.1:143\";\n"
                  "    tls = \"starttsl\";\n"
                  "    blacklog = 5; },\n"
                  "  { protocol = \"pop3\"; }\n"
                  ");\n"
                  "pools = ( { name = \"main\"; check = { interval = 5; }; } );\n"
                  "routes = ( { pool = \"mian\"; } );\n"
                  "auth = ( { type = \"users\"; } );\n");
    assert_int_equal(l.err, -ERR_CONFIG);
    load_assert_words(
        &l,
        "main.conf:2: wrokers: is not known; did you mean \"workers\"?\n"
        "main.conf:3: workers: must be a whole number, without quotes\n"
        "main.conf:5: listeners[0].protocol: \"impa\" is not known: imap, pop3, smtp or sieve; did "
        "you mean \"imap\"?\n"
        "main.conf:6: listeners[0].tls: \"starttsl\" is not known: off, starttls, required or "
        "implicit; did you mean \"starttls\"?\n"
        "main.conf:7: listeners[0].blacklog: is not known; did you mean \"backlog\"?\n"
        "main.conf:8: listeners[1].name: is missing\n"
        "main.conf:8: listeners[1].address: is missing\n"
        "main.conf:8: warning: listeners[1].tls: nobody can log in: passwords need TLS or "
        "allow_plaintext\n"
        "main.conf:10: pools[0].check.interval: must be a duration with a unit, such as \"500ms\", "
        "\"10s\", \"5m\", \"24h\"\n"
        "main.conf:10: warning: pools[0].backends: is empty: logins fail until one is added\n"
        "main.conf:11: routes[0].pool: there is no pool \"mian\"; did you mean \"main\"?\n");
    load_fini(&l);
}

#define SYNTAX_NO_SIGN_AT(line)                                                                    \
    "main.conf:" line ": syntax error: \"=\" is missing behind a name "                            \
    "(mailproxyd --from-nginx FILE translates a file of NGINX)\n"
#define SYNTAX_NO_SIGN SYNTAX_NO_SIGN_AT("1")
#define SYNTAX_NO_QUOTES_AT(more)                                                                  \
    "main.conf:1: syntax error: a text stands in double quotes" more "\n"
#define SYNTAX_NO_QUOTES SYNTAX_NO_QUOTES_AT(" (yes and no are true and false)")

static void test_syntax_errors(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"workers = 2;\nauth = ( {\n  type = \"users\"\n  }\n;\n", "main.conf:5: syntax error\n"},
        {"workers = 2;\nworkers = 3;\n", "main.conf:2: duplicate setting name\n"},
        {"workers == 2;\n", "main.conf:1: syntax error\n"},
        {"x = $;\n", "main.conf:1: syntax error\n"},
        {"\n\nnode = \"open;\n\n", "main.conf:3: syntax error: the end of this text is missing\n"},
        {"\n@include mail.conf\n", "main.conf:2: syntax error: @include needs a file in quotes\n"},
        {"@include \"\"\n", "main.conf:1: syntax error: @include needs a file in quotes\n"},
        /* What would follow from the value in its place is not said. */
        {"auth = ( { type = \"users\"; } );\n"
         "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"127.0.0.1:143\"; tls = "
         "\"on\"; } );\n"
         "pools = ( { name = \"main\"; backends = ( { name = \"b\"; host = \"10.0.0.1\"; } ); } "
         ");\n",
         "main.conf:2: listeners[0].tls: \"on\" is not known: off, starttls, required or "
         "implicit\n"},
    /* Slips, and habits from other files. */
#if LIBCONFIG_VER_MAJOR == 1 && LIBCONFIG_VER_MINOR < 7 /* later ones take it */
        {"auth = ( { type = \"users\"; }, # the last\n);\n",
         "main.conf:2: syntax error: a comma stands before a closing bracket\n"},
#endif
        {"auth = ( { type = \"users\"; }\n{ type = \"backend\"; } );\n",
         "main.conf:2: syntax error: a comma is missing between } and {\n"},
        {"pools = {\n  { name = \"main\"; }\n};\n",
         "main.conf:2: syntax error: a list of groups stands in ( and )\n"},
        {"server_name mail.example.org;\n", SYNTAX_NO_SIGN},
        {"mail {\n  server_name mail.example.org;\n}\n", SYNTAX_NO_SIGN},
        {"listen 143;\n", SYNTAX_NO_SIGN},
        {"workers = 2; # = \"\nnode mx1;\n", SYNTAX_NO_SIGN_AT("2")},
        {"node = mx1;\n", SYNTAX_NO_QUOTES},
        {"node = 'mx1';\n", SYNTAX_NO_QUOTES_AT("")},
        {"listeners = ( { address = 127.0.0.1:143; } );\n", SYNTAX_NO_QUOTES},
        {"key_process = yes;\n", SYNTAX_NO_QUOTES},
        {"\xef\xbb\xbfworkers = 2;\n",
         "main.conf:1: syntax error: the file begins with a byte order mark\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loaded l;
        load_text(&l, cases[i].text);
        assert_int_equal(l.err, -ERR_CONFIG);
        load_assert_words(&l, cases[i].words);
        load_fini(&l);
    }
}

static void test_warnings_do_not_fail(void **state)
{
    struct loaded l;
    load_text(&l, LOAD_AUTH);
    assert_int_equal(l.err, 0);
    assert_true(l.problems.n == 1 && l.problems.v[0].is_warning);
    load_assert_words(&l, "main.conf: warning: listeners: is empty: no client can connect\n");
    load_fini(&l);
}

static void test_unreadable(void **state)
{
    struct config *c = NULL;
    struct config_problems p = {0};
    char path[128];
    load_path(path, "missing.conf");
    assert_int_equal(config_load(path, &c, &p), -ERR_CONFIG);
    assert_null(c);
    assert_int_equal(p.n, 1);
    assert_string_equal(p.v[0].text, "cannot be read: No such file or directory");
    assert_string_equal(p.v[0].file, path);
    assert_int_equal(p.v[0].line, 0);
    config_problems_fini(&p);
    assert_int_equal(config_load(load_folder, &c, &p), -ERR_CONFIG);
    assert_string_equal(p.v[0].text, "cannot be read: Is a directory");
    config_problems_fini(&p);
    load_path(path, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(config_load(path, &c, &p), -ERR_CONFIG);
    assert_string_equal(p.v[0].text, "cannot be read: Invalid argument");
    config_problems_fini(&p);
    load_remove("fifo");
}

/* ---- includes ---- */

static void test_include(void **state)
{
    load_write("pools.conf", STR("# one\n{ name = \"main\"; },\n{ name = \"other\"; bogus = 1; }"));
    load_write("extra.conf", STR("workers = 3;\nnode = 4;\n"));
    struct loaded l;
    load_text(&l, "@include \"extra.conf\"\n"
                  "# @include \"not.conf\"\n"
                  "/* \n@include \"not.conf\"\n*/ // @include\n"
                  "server_name = \"a\n@include \\\"not.conf\\\"\n\";\n"
                  "pools = (\n"
                  "  @include \"pools.conf\"   // the pools\n"
                  ");\n"
                  "auth = ( { type = \"nobody\"; } );\n");
    assert_int_equal(l.err, -ERR_CONFIG);
    load_assert_has(&l, "extra.conf:2: node: must be a text in quotes\n");
    load_assert_has(&l, "pools.conf:3: pools[1].bogus: is not known\n");
    load_assert_has(&l, "main.conf:6: server_name: holds a control character\n");
    load_assert_has(&l, "main.conf:12: auth[0].type: \"nobody\" is not known");
    load_fini(&l);

    load_write("pools.conf", STR("{ name = \"main\"; }"));
    load_write("extra.conf", STR("workers = 3;"));
    struct config *c = load_good("@include \"extra.conf\"\n" LOAD_AUTH
                                 "pools = (\n  @include \"pools.conf\"\n);\n");
    assert_int_equal(c->workers, 3);
    assert_non_null(config_pool_find(c, "main"));
    config_unref(c);
    load_remove("pools.conf");
    load_remove("extra.conf");
}

static void test_include_errors(void **state)
{
    struct loaded l;
    load_write("loop.conf", STR("\n@include \"loop.conf\"\n"));
    load_text(&l, "@include \"loop.conf\"\n");
    assert_int_equal(l.err, -ERR_CONFIG);
    load_assert_has(&l, "loop.conf:2: files include each other too deep: ");
    load_fini(&l);

    load_text(&l, "\n@include \"no1.conf\"\n@include \"/no2.conf\"\n@include \".\"\n");
    assert_int_equal(l.err, -ERR_CONFIG);
    assert_int_equal(l.problems.n, 3);
    load_assert_has(&l, "main.conf:2: ");
    load_assert_has(&l, "/no1.conf cannot be included: No such file or directory");
    load_assert_has(&l, "main.conf:3: /no2.conf cannot be included: No such file");
    load_assert_has(&l, "/. cannot be included: Is a directory");
    load_fini(&l);
    load_remove("loop.conf");
}

/* ---- files that mean harm ---- */

static void assert_refused(struct str text, const char *words)
{
    struct loaded l;
    load_bytes(&l, text);
    assert_int_equal(l.err, -ERR_CONFIG);
    load_assert_has(&l, words);
    load_fini(&l);
}

static void test_nul(void **state)
{
    assert_refused(STR("workers = 2;\nnode = \"a\0b\";\n"),
                   "main.conf:2: the file holds a NUL byte");
    assert_refused(STR("node = \"a\\x00b\";"), "main.conf:1: a text holds a NUL character");
    assert_refused(STR("node = \"\\\\\\X00\";"), "main.conf:1: a text holds a NUL character");
    assert_refused(STR("\0"), "main.conf:1: the file holds a NUL byte");
}

static void test_nesting(void **state)
{
    AUTO_BUF text = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_append_c(&text, i % 50 == 0 ? "a = {\n" : "a = { "), 0);
    assert_refused(buf_str(&text), "main.conf:2: brackets are nested too deep");
    buf_clear(&text);
    assert_int_equal(buf_append_c(&text, "a = "), 0);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_append_char(&text, '('), 0);
    assert_refused(buf_str(&text), "main.conf:1: brackets are nested too deep");
    /* brackets in texts and comments do not count */
    buf_clear(&text);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_append_c(&text, "# ((((\n/* {{{{ */ // [[[[\n"), 0);
    assert_int_equal(buf_append_c(&text, "node = \"((((\";\n" LOAD_AUTH), 0);
    config_unref(load_good(buf_cstr(&text)));
}

static void test_large(void **state)
{
    AUTO_BUF text = BUF_INIT;
    for (int i = 0; i < 5 << 16; i++)
        assert_int_equal(buf_append_c(&text, "# 0123456789abc\n"), 0);
    assert_refused(buf_str(&text), "cannot be read: File too large");
    load_write("part.conf", str_n(buf_str(&text).p, 2 << 20));
    assert_refused(STR("@include \"part.conf\"\n@include \"part.conf\"\n@include \"part.conf\"\n"),
                   "makes the configuration larger than 4m");
    load_remove("part.conf");
}

static void test_many_elements(void **state)
{
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(buf_append_c(&text, LOAD_AUTH "pools = (\n{ name = \"main\"; backends = (\n"),
                     0);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(
            buf_printf(&text, "%s{ name = \"b%d\"; host = \"10.0.0.1\"; }\n", i ? "," : "", i), 0);
    assert_int_equal(buf_append_c(&text, "); } );\n"), 0);
    struct config *c = load_good(buf_cstr(&text));
    assert_int_equal(c->pools[0].n_backends, 20000);
    assert_string_equal(c->pools[0].backends[19999].name, "b19999");
    config_unref(c);
}

/* Every part of a good file left out, and every byte of it changed: an error or a config, never a
 * crash. */
static void test_broken_everywhere(void **state)
{
    static const char good[] =
        "workers = 2; limits = { trusted = [ \"::1\" ]; };\n"
        "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"[::1]:143\"; } );\n"
        "pools = ( { name = \"p\"; backends = ( { name = \"b\"; host = \"h\"; ports = { imap = 1; "
        "}; } ); } );\n" LOAD_AUTH;
    static const char bytes[] = "\0\"\\{(;0@";
    for (size_t cut = 0; cut < sizeof(good); cut++) {
        struct loaded l;
        load_bytes(&l, str_n(good, cut));
        load_fini(&l);
    }
    for (size_t i = 0; i + 1 < sizeof(good); i++) {
        for (size_t j = 0; j < sizeof(bytes) - 1; j++) {
            AUTO_FREE char *bad = str_dup(str_of(good));
            struct loaded l;
            bad[i] = bytes[j];
            load_bytes(&l, str_n(bad, sizeof(good) - 1));
            load_fini(&l);
        }
    }
}

/* ---- what comes out ---- */

static void test_defaults(void **state)
{
    struct config *c = load_good(
        "server_name = \"mx1.example.org\"; run_dir = \"/run/mp\"; state_dir = \"/var/mp\";\n"
        "auth = ( { type = \"users\"; }, { type = \"http\"; url = \"http://h/\"; },"
        " { type = \"users\"; cache = \"0\"; } );\n"
        "listeners = ( { name = \"a\"; protocol = \"smtp\"; address = [ \"0.0.0.0:25\", "
        "\"[::]:25\" ]; allow_plaintext = true; }, { name = \"b\"; protocol = \"imap\"; address = "
        "\"[::]:143\"; allow_plaintext = true; } );\n"
        "pools = ( { name = \"p\"; backends = ( { name = \"b\"; host = \"h\"; } ); } );\n");
    assert_string_equal(c->node, "mx1");
    assert_true(c->workers >= 1 && c->workers <= 254);
    assert_int_equal(c->max_errors, 5);
    assert_null(c->user);
    assert_int_equal(c->shutdown_timeout_ms, 10000);
    assert_int_equal(c->n_logs, 1);
    assert_int_equal(c->logs[0].target, LOG_TARGET_STDERR);
    assert_int_equal(c->logs[0].level, LOG_LEVEL_INFO);
    assert_int_equal(c->n_controls, 1);
    assert_string_equal(c->controls[0].path, "/run/mp/control.sock");
    assert_int_equal(c->controls[0].mode, 0660);
    assert_string_equal(c->store.path, "/var/mp/mailproxy.db");
    assert_string_equal(c->store.type, "sqlite");
    assert_int_equal(c->auths[0].cache_ms, 60000);
    assert_int_equal(c->auths[1].cache_ms, 0);
    assert_int_equal(c->auths[1].timeout_ms, 60000);
    assert_int_equal(c->auths[2].cache_ms, 0);
    assert_int_equal(c->listeners[0].mechanisms, c->listeners[0].proto->default_mechanisms);
    assert_ptr_equal(c->listeners[0].proto, &proto_smtp);
    assert_true(c->listeners[0].is_v6_only);
    assert_false(c->listeners[1].is_v6_only);
    assert_true(c->listeners[0].learn_capabilities);
    assert_int_equal(c->listeners[0].tls_config.verify_depth, 1);
    assert_null(c->listeners[0].greeting);
    assert_int_equal(c->pools[0].backends[0].weight, 100);
    assert_int_equal(c->pools[0].backends[0].ports[PROTO_IMAP], 0);
    assert_true(c->pools[0].check.is_on && c->pools[0].is_verified);
    assert_int_equal(c->timeouts.relay_idle_ms, 31 * 60000);
    assert_int_equal(c->limits.preauth_bytes, 128 << 10);
    assert_null(c->metrics.address);
    assert_non_null(strstr(c->path, "/main.conf"));
    config_unref(c);
}

/* What tls_options does not say, `tls` says. */
static void test_tls_is_inherited(void **state)
{
    struct config *c = load_good(
        "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"[::1]:143\"; "
        "allow_plaintext = true; }, { name = \"b\"; protocol = \"imap\"; address = \"[::1]:144\"; "
        "allow_plaintext = true; tls_options = { verify_depth = 5; }; } );\n"
        "tls = { priority = \"NORMAL\"; verify_depth = 3; tickets = false; };\n" LOAD_AUTH);
    const struct config_tls *a = &c->listeners[0].tls_config, *b = &c->listeners[1].tls_config;
    assert_string_equal(a->priority, "NORMAL");
    assert_int_equal(a->verify_depth, 3);
    assert_false(a->has_tickets);
    assert_string_equal(b->priority, "NORMAL");
    assert_int_equal(b->verify_depth, 5);
    assert_false(b->has_tickets);
    config_unref(c);
}

/* What a listener does not say, the top level says; the parts need not have the same keys. */
static void test_listeners_inherit(void **state)
{
    struct config *c = load_good(
        "server_name = \"mail.example.org\"; max_errors = 7;\n"
        "timeouts = { preauth = \"60s\"; closing = \"2s\"; };\n"
        "limits = { line = \"8k\"; preauth = \"256k\"; };\n"
        "resolver = { enabled = false; timeout = \"3s\"; };\n"
        "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"[::1]:143\"; "
        "allow_plaintext = true; }, { name = \"b\"; protocol = \"imap\"; address = \"[::1]:144\"; "
        "allow_plaintext = true; server_name = \"b.example.org\"; max_errors = 0; timeouts = { "
        "preauth = \"9s\"; }; limits = { literal = 0; }; resolver = { enabled = true; }; "
        "capabilities = [ ]; mechanisms = [ ]; } );\n" LOAD_AUTH);
    const struct config_listener *a = &c->listeners[0], *b = &c->listeners[1];
    assert_string_equal(a->server_name, "mail.example.org");
    assert_int_equal(a->max_errors, 7);
    assert_int_equal(a->timeouts.preauth_ms, 60000);
    assert_int_equal(a->timeouts.closing_ms, 2000);
    assert_int_equal(a->limits.line_bytes, 8192);
    assert_int_equal(a->limits.literal_bytes, 65536);
    assert_false(a->resolver.is_on);
    assert_null(a->capabilities.v);
    assert_string_equal(b->server_name, "b.example.org");
    assert_int_equal(b->max_errors, 0);
    assert_int_equal(b->timeouts.preauth_ms, 9000);
    assert_int_equal(b->timeouts.closing_ms, 2000);
    assert_int_equal(b->limits.line_bytes, 8192);
    assert_int_equal(b->limits.literal_bytes, 0);
    assert_true(b->resolver.is_on);
    assert_non_null(b->capabilities.v);
    assert_int_equal(b->capabilities.n, 0);
    assert_int_equal(b->mechanisms, SASL_BIT_NOTHING);
    config_unref(c);
}

static void test_providers(void **state)
{
    struct config *c = load_good(
        "auth = ( { type = \"users\"; name = \"local\"; }, { type = \"backend\"; }, { type = "
        "\"http\"; name = \"web\"; url = \"http://127.0.0.1:9/\"; } );\n"
        "pools = ( { name = \"one\"; } );\n"
        "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"[::1]:143\"; "
        "allow_plaintext = true; }, { name = \"b\"; protocol = \"imap\"; address = \"[::1]:144\"; "
        "allow_plaintext = true; providers = [ \"web\", \"local\" ]; } );\n");
    assert_int_equal(c->listeners[0].provider_mask, UINT64_MAX);
    assert_int_equal(c->listeners[1].provider_mask, 5);
    config_unref(c);
}

static void test_references(void **state)
{
    struct config *c = load_good("pools = ( { name = \"one\"; }, { name = \"two\"; } );\n" LOAD_AUTH
                                 "listeners = ( { name = \"a\"; protocol = \"imap\"; address = "
                                 "\"[::1]:143\"; allow_plaintext = true; } );\n");
    assert_int_equal(c->refs, 1);
    assert_ptr_equal(config_ref(c), c);
    assert_int_equal(c->refs, 2);
    config_unref(c);
    assert_int_equal(c->refs, 1);
    assert_ptr_equal(config_pool_find(c, "two"), &c->pools[1]);
    assert_null(config_pool_find(c, "three"));
    assert_ptr_equal(config_listener_find(c, "a"), &c->listeners[0]);
    assert_null(config_listener_find(c, "b"));
    config_unref(c);
    config_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_problems_at_once),
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_warnings_do_not_fail),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_include),
        cmocka_unit_test(test_include_errors),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_many_elements),
        cmocka_unit_test(test_broken_everywhere),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_tls_is_inherited),
        cmocka_unit_test(test_listeners_inherit),
        cmocka_unit_test(test_providers),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
