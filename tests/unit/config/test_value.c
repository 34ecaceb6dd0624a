/* SPDX-License-Identifier: ISC */
/* Each type of key: what it takes, how it is printed again, and the words when it is wrong. */
#include "load_case.h"

struct value_case {
    const char *text;  /* of the file */
    const char *print; /* part of its dump; NULL = it is wrong */
    const char *words; /* part of the complaint */
};

static void run(const struct value_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *file =
            str_printf("%s\n%s", cases[i].text, strstr(cases[i].text, "auth = (") ? "" : LOAD_AUTH);
        struct loaded l;
        load_text(&l, file);
        if (cases[i].print) {
            AUTO_FREE char *words = load_words(&l);
            if (l.err < 0)
                fail_msg("%s\n%s", cases[i].text, words);
            AUTO_FREE char *dump = load_dump(l.config, CONFIG_DUMP_SECRETS);
            if (!strstr(dump, cases[i].print))
                fail_msg("%s: \"%s\" is not in\n%s", cases[i].text, cases[i].print, dump);
        } else {
            assert_int_equal(l.err, -ERR_CONFIG);
            load_assert_has(&l, cases[i].words);
        }
        load_fini(&l);
    }
}
#define RUN(cases) run(cases, ARRAY_LEN(cases))

#define LISTENER(keys)                                                                             \
    "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"127.0.0.1:143\"; "             \
    "allow_plaintext = true; " keys " } );"
#define POOL(keys) "pools = ( { name = \"main\"; " keys " } );"
#define BACKEND(keys) POOL("backends = ( { name = \"b\"; host = \"10.0.0.1\"; " keys " } );")

static void test_text(void **state)
{
    static const struct value_case cases[] = {
        {"server_name = \"mx.example.org\";", "server_name = \"mx.example.org\";", NULL},
        {"node = \"a \\\"quoted\\\" \\\\ one\";", "node = \"a \\\"quoted\\\" \\\\ one\";", NULL},
        {"node = \"Z\303\274rich\";", "node = \"Z\303\274rich\";", NULL},
        {"node = \"one\" \"two\";", "node = \"onetwo\";", NULL},
        {LISTENER("greeting = \"\";"), "greeting = \"\";", NULL},
        {"server_name = 3;", NULL, "main.conf:1: server_name: must be a text in quotes"},
        {"server_name = true;", NULL, "server_name: must be a text in quotes"},
        {"server_name = { };", NULL, "server_name: must be a text in quotes"},
        {"server_name = \"a b\";", NULL, "\"a b\" is no host name"},
        {"node = \"a\\nb\";", NULL, "node: holds a control character"},
        {"node = \"a\\x1bb\";", NULL, "node: holds a control character"},
        {"node = \"\\xff\";", NULL, "node: is not UTF-8"},
    };
    RUN(cases);
}

static void test_name(void **state)
{
    static const struct value_case cases[] = {
        {"pools = ( { name = \"A-1_b.c\"; } );", "name = \"A-1_b.c\";", NULL},
        {"pools = ( { name = \"\"; } );", NULL, "pools[0].name: must not be empty"},
        {"pools = ( { name = \"a b\"; } );", NULL, "\"a b\" is no name"},
        {"pools = ( { name = \"a]\"; } );", NULL, "\"a]\" is no name"},
        {"pools = ( { name = \"-a\"; } );", NULL, "\"-a\" is no name"},
        {"pools = ( { name = "
         "\"0123456789012345678901234567890123456789012345678901234567890123456\"; "
         "} );",
         NULL, "pools[0].name: is longer than 64 characters"},
    };
    RUN(cases);
}

static void test_path(void **state)
{
    AUTO_FREE char *relative = str_printf("state_dir = \"%s/a/b\";", load_folder);
    const struct value_case cases[] = {
        {"state_dir = \"/srv/x\";", "state_dir = \"/srv/x\";", NULL},
        {"state_dir = \"a/b\";", relative, NULL},
        {"state_dir = \"\";", NULL, "state_dir: must not be empty"},
        {"state_dir = 7;", NULL, "state_dir: must be a text in quotes"},
    };
    RUN(cases);
}

static void test_bool(void **state)
{
    static const struct value_case cases[] = {
        {"resolver = { enabled = false; };", "enabled = false;", NULL},
        {"resolver = { enabled = TRUE; };", "enabled = true;", NULL},
        {"resolver = { enabled = \"true\"; };", NULL, "resolver.enabled: must be true or false"},
        {"resolver = { enabled = 1; };", NULL, "resolver.enabled: must be true or false"},
    };
    RUN(cases);
}

static void test_number(void **state)
{
    static const struct value_case cases[] = {
        {"workers = 7;", "workers = 7;", NULL},
        {"workers = 254;", "workers = 254;", NULL},
        {"workers = 0x10;", "workers = 16;", NULL},
        {"limits = { sessions = 5000000000; };", "sessions = 5000000000;", NULL},
        {"limits = { sessions = 0x12A05F200; };", "sessions = 5000000000;", NULL},
        {"limits = { sessions = 5000000000L; };", "sessions = 5000000000;", NULL},
        {"workers = 0x100000001;", NULL, "workers: must be from 0 to 254"},
        {"workers = 0x1000000000000000001;", NULL, "main.conf:1: this number is too large"},
        {"workers = 255;", NULL, "workers: must be from 0 to 254"},
        {"workers = -1;", NULL, "workers: must be from 0 to 254"},
        {"auth_threads = 0;", NULL, "auth_threads: must be from 1 to 64"},
        {"workers = 4294967297;", NULL, "workers: must be from 0 to 254"},
        {"workers = 99999999999999999999999999;", NULL, "workers: must be from 0 to 254"},
        {"limits = { sessions = 99999999999999999999999999; };", NULL, "limits.sessions: must be"},
        {"limits = { failures_before_ban = 4294967296; };", NULL, "to 2147483647"},
        {"workers = 1.5;", NULL, "workers: must be a whole number, without quotes"},
        {"workers = \"7\";", NULL, "workers: must be a whole number, without quotes"},
        {"workers = [ 7 ];", NULL, "workers: must be a whole number, without quotes"},
    };
    RUN(cases);
}

static void test_duration(void **state)
{
    static const struct value_case cases[] = {
        {"shutdown_timeout = \"90s\";", "shutdown_timeout = \"90s\";", NULL},
        {"shutdown_timeout = \"120s\";", "shutdown_timeout = \"2m\";", NULL},
        {"shutdown_timeout = \"1h30m\";", "shutdown_timeout = \"90m\";", NULL},
        {"shutdown_timeout = \"0\";", "shutdown_timeout = \"0\";", NULL},
        {"shutdown_timeout = 0;", "shutdown_timeout = \"0\";", NULL},
        {"shutdown_timeout = 10;", NULL, "must be a duration with a unit"},
        {"shutdown_timeout = \"10\";", NULL, "must be a duration with a unit"},
        {"shutdown_timeout = \"10x\";", NULL, "must be a duration with a unit"},
        {"shutdown_timeout = \"-10s\";", NULL, "must be a duration with a unit"},
        {"shutdown_timeout = \"2d\";", NULL, "must be from 0 to 1d"},
        {"timeouts = { tls = \"99ms\"; };", NULL, "timeouts.tls: must be from 100ms to 36500d"},
        {"timeouts = { tls = \"99999999999999999999d\"; };", NULL, "timeouts.tls: must be from"},
    };
    RUN(cases);
}

static void test_size(void **state)
{
    static const struct value_case cases[] = {
        {"limits = { preauth = \"1m\"; };", "preauth = \"1m\";", NULL},
        {"limits = { preauth = 200000; };", "preauth = \"200000\";", NULL},
        {"limits = { preauth = \"2048k\"; };", "preauth = \"2m\";", NULL},
        {"limits = { line = \"511\"; };", NULL, "limits.line: must be from 512 to 1m"},
        {"limits = { line = -1; };", NULL, "limits.line: must be from 512 to 1m"},
        {"limits = { line = \"9x\"; };", NULL, "must be a size, such as \"4k\" or \"1m\""},
        {"limits = { line = \"99999999999g\"; };", NULL, "limits.line: must be from 512 to 1m"},
        {"limits = { line = true; };", NULL, "must be a size"},
    };
    RUN(cases);
}

#define CONTROL(keys) "control = ( { path = \"/tmp/c.sock\"; " keys " } );"

static void test_mode(void **state)
{
    static const struct value_case cases[] = {
        {CONTROL("mode = \"0600\";"), "mode = \"0600\";", NULL},
        {CONTROL("mode = \"666\";"), "mode = \"0666\";", NULL},
        {CONTROL("mode = 0600;"), NULL, "must be a file mode in octal digits and quotes"},
        {CONTROL("mode = \"0680\";"), NULL, "must be a file mode in octal digits and quotes"},
        {CONTROL("mode = \"\";"), NULL, "must be a file mode in octal digits and quotes"},
        {CONTROL("mode = \"1777\";"), NULL, "control[0].mode: must be from 0000 to 0777"},
    };
    RUN(cases);
}

static void test_texts(void **state)
{
    static const struct value_case cases[] = {
        {CONTROL("admin = \"root\";"), "admin = [ \"root\" ];", NULL},
        {CONTROL("admin = [ \"root\", \"1000\" ];"), "admin = [ \"root\", \"1000\" ];", NULL},
        {CONTROL("admin = ( \"root\", \"1000\" );"), "admin = [ \"root\", \"1000\" ];", NULL},
        {CONTROL("admin = [ ];"), "path = \"/tmp/c.sock\";", NULL},
        {CONTROL("admin = [ 1, 2 ];"), NULL, "admin: must hold texts in quotes only"},
        {CONTROL("admin = ( \"root\", { } );"), NULL, "admin: must hold texts in quotes only"},
        {CONTROL("admin = 0;"), NULL, "admin: must be a text in quotes or a list of texts"},
        {CONTROL("admin = [ \"a\\tb\" ];"), NULL, "admin: holds a control character"},
        {"listeners = ( { name = \"a\"; protocol = \"imap\"; address = [ ]; } );", NULL,
         "listeners[0].address: must not be empty"},
    };
    RUN(cases);
}

static void test_nets(void **state)
{
    static const struct value_case cases[] = {
        {"limits = { trusted = \"10.0.0.0/8\"; };", "trusted = [ \"10.0.0.0/8\" ];", NULL},
        {"limits = { trusted = [ \"::1\", \"fd00::/8\", \"unix:\" ]; };",
         "\"fd00::/8\", \"unix:\" ]", NULL},
        {"limits = { trusted = \"10.0.0.1/8\"; };", NULL, "\"10.0.0.1/8\" is no network"},
        {"limits = { trusted = \"localhost\"; };", NULL, "\"localhost\" is no network"},
        {"limits = { trusted = [ \"::/129\" ]; };", NULL, "\"::/129\" is no network"},
        {"limits = { trusted = [ true ]; };", NULL, "trusted: must hold texts in quotes only"},
    };
    RUN(cases);
}

static void test_words(void **state)
{
    static const struct value_case cases[] = {
        {POOL("balance = \"least\";"), "balance = \"least\";", NULL},
        {POOL("balance = \"laest\";"), NULL,
         "\"laest\" is not known: user, least or round-robin; did you mean \"least\"?"},
        {POOL("balance = \"LEAST\";"), NULL, "\"LEAST\" is not known"},
        {POOL("balance = 1;"), NULL, "balance: must be a word in quotes"},
        {POOL("forward = \"off\";"), "forward = \"off\";", NULL},
        {POOL("forward = \"id\";"), "forward = [ \"id\" ];", NULL},
        {POOL("forward = [ \"xclient\", \"id\" ];"), "forward = [ \"id\", \"xclient\" ];", NULL},
        {POOL("forward = [ \"id\", \"off\" ];"), NULL, "\"off\" must stand alone"},
        {POOL("forward = [ \"off\", \"id\" ];"), NULL, "\"off\" must stand alone"},
        {POOL("forward = [ ];"), NULL, "forward: must not be empty"},
        {POOL("forward = [ \"proxy\" ];"), NULL, "\"proxy\" is not known"},
        {"auth = ( { type = \"ldap\"; } );", NULL, "\"ldap\" is not known: users, http or backend"},
    };
    RUN(cases);
}

static void test_proto(void **state)
{
    static const struct value_case cases[] = {
        {POOL("") "routes = ( { protocol = \"sieve\"; pool = \"main\"; } );",
         "protocol = \"sieve\";", NULL},
        {POOL("") "routes = ( { protocol = \"pop\"; pool = \"main\"; } );", NULL,
         "\"pop\" is not known: imap, pop3, smtp or sieve; did you mean \"pop3\"?"},
        {POOL("") "routes = ( { protocol = 3; pool = \"main\"; } );", NULL,
         "protocol: must be a word in quotes"},
        {LISTENER("mechanisms = [ \"SCRAM-SHA-256\", \"plain\", \"COMMAND\" ];"),
         "mechanisms = [ \"PLAIN\", \"SCRAM-SHA-256\", \"COMMAND\" ];", NULL},
        {LISTENER(""), "mechanisms = [ \"PLAIN\", \"LOGIN\", \"COMMAND\" ];", NULL},
        {LISTENER("mechanisms = \"PLIAN\";"), NULL, "did you mean \"PLAIN\"?"},
        {LISTENER("mechanisms = [ ];"), "mechanisms = [ ];", NULL},
        {LISTENER("capabilities = [ ];"), "capabilities = [ ];", NULL},
        {BACKEND("ports = { imap = 1143; sieve = 4191; };"),
         "ports = { imap = 1143; sieve = 4191; };", NULL},
        {BACKEND("ports = { imap = 0; };"), NULL, "imap must be a port number from 1 to 65535"},
        {BACKEND("ports = { imap = 65536; };"), NULL, "imap must be a port number"},
        {BACKEND("ports = { imap = \"143\"; };"), NULL, "imap must be a port number"},
        {BACKEND("ports = { http = 80; };"), NULL,
         "\"http\" is not known: imap, pop3, smtp or sieve"},
        {BACKEND("ports = 143;"), NULL, "ports: must be a group such as"},
    };
    RUN(cases);
}

static void test_groups(void **state)
{
    static const struct value_case cases[] = {
        {"limits = 5;", NULL, "limits: must be a group: { ... }"},
        {"limits = ( );", NULL, "limits: must be a group: { ... }"},
        {"pools = { };", NULL, "pools: must be a list of groups: ( { ... }, { ... } )"},
        {"pools = \"main\";", NULL, "pools: must be a list of groups"},
        {"pools = ( 7 );", NULL, "pools[0]: must be a group: { ... }"},
        {"pools = [ ];", "resolver", NULL},
        {"pools = ( );", "resolver", NULL},
    };
    RUN(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),   cmocka_unit_test(test_name),
        cmocka_unit_test(test_path),   cmocka_unit_test(test_bool),
        cmocka_unit_test(test_number), cmocka_unit_test(test_duration),
        cmocka_unit_test(test_size),   cmocka_unit_test(test_mode),
        cmocka_unit_test(test_texts),  cmocka_unit_test(test_nets),
        cmocka_unit_test(test_words),  cmocka_unit_test(test_proto),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
