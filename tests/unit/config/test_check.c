/* SPDX-License-Identifier: ISC */
/* What keys must have in common: references, duplicates, addresses, combinations, files. */
#include "load_case.h"

#include "tests/unit/backend/cert.h"

struct check_case {
    const char *text;
    const char *words; /* one problem that must be there; NULL = none but the warnings of `quiet` */
    bool is_warning;
};

/* A label is longer than names may be: nobody is asked for it. */
#define NO_NAME                                                                                    \
    "a-name-that-nobody-can-have-as-a-label-of-it-is-longer-than-sixty-three-letters.test"

/* A file that has all that it needs. */
#define GOOD_TAIL                                                                                  \
    "listeners = ( { name = \"base\"; protocol = \"imap\"; address = \"127.0.0.1:9143\"; "         \
    "allow_plaintext = true; } );\n"
#define POOL(keys)                                                                                 \
    "pools = ( { name = \"main\"; backends = ( { name = \"b\"; host = \"10.0.0.1\"; } ); " keys    \
    " } );\n"
#define BACKENDS(list) "pools = ( { name = \"main\"; backends = ( " list " ); } );\n"
#define LISTENERS(list) "listeners = ( " list " );\n"
#define IMAP(name, address)                                                                        \
    "{ name = \"" name "\"; protocol = \"imap\"; allow_plaintext = true; address = " address "; }"
#define SMTP(keys)                                                                                 \
    "{ name = \"s\"; protocol = \"smtp\"; address = \"127.0.0.1:9025\"; allow_plaintext = "        \
    "true; " keys " }"

#define TOLD_POOL POOL("forward = \"xclient\";") /* its servers know who the client is */

static void run(const struct check_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct check_case *c = &cases[i];
        AUTO_FREE char *file =
            str_printf("%s\n%s%s%s", c->text, strstr(c->text, "auth = (") ? "" : LOAD_AUTH,
                       strstr(c->text, "listeners = (") ? "" : GOOD_TAIL,
                       strstr(c->text, "pools = (") ? "" : POOL(""));
        struct loaded l;
        load_text(&l, file);
        AUTO_FREE char *words = load_words(&l);
        if (c->words && !strstr(words, c->words))
            fail_msg("%s: \"%s\" is not in:\n%s", c->text, c->words, words);
        if (!c->words && *words)
            fail_msg("%s: unexpected:\n%s", c->text, words);
        if ((l.err == 0) != (!c->words || c->is_warning))
            fail_msg("%s: %d\n%s", c->text, l.err, words);
        load_fini(&l);
    }
}
#define RUN(cases) run(cases, ARRAY_LEN(cases))

static void test_references(void **state)
{
    static const struct check_case cases[] = {
        {"routes = ( { domain = \"a\"; pool = \"main\"; } );", NULL, false},
        {"routes = ( { domain = \"a\"; pool = \"maim\"; } );",
         "main.conf:1: routes[0].pool: there is no pool \"maim\"; did you mean \"main\"?", false},
        {"routes = ( { listener = \"bsae\"; pool = \"main\"; } );",
         "routes[0].listener: there is no listener \"bsae\"; did you mean \"base\"?", false},
        {"routes = ( { listener = \"base\"; protocol = \"imap\"; pool = \"main\"; } );", NULL,
         false},
        {"routes = ( { listener = \"base\"; protocol = \"pop3\"; pool = \"main\"; } );",
         "warning: routes[0].protocol: never matches: listener \"base\" speaks imap", true},
        {"routes = ( { pool = \"main\"; }, { user = \"x\"; pool = \"main\"; } );",
         "warning: routes[0]: takes everybody: the routes after it are never reached", true},
        {"routes = ( { user = \"x\"; pool = \"main\"; }, { pool = \"main\"; } );", NULL, false},
        {"routes = ( { listener = \"s\"; pool = \"main\"; } );\n" LISTENERS(
             SMTP("pool = \"main\";")),
         "warning: routes[0].listener: never matches: listener \"s\" has a pool of its own", true},
        {LISTENERS(SMTP("pool = \"mta\";")), "listeners[0].pool: there is no pool \"mta\"", false},
    };
    RUN(cases);
}

static void test_names(void **state)
{
    static const struct check_case cases[] = {
        {LISTENERS(IMAP("a", "\"127.0.0.1:1\"") ",\n" IMAP("a", "\"127.0.0.1:2\"")),
         "main.conf:2: listeners[1].name: \"a\" is there twice", false},
        {"pools = ( { name = \"main\"; },\n { name = \"main\"; } );",
         "main.conf:2: pools[1].name: \"main\" is there twice", false},
        {BACKENDS("{ name = \"b\"; host = \"h\"; }, { name = \"b\"; host = \"i\"; }"),
         "pools[0].backends[1].name: \"b\" is there twice", false},
        {BACKENDS("{ name = \"b\"; host = \"h\"; }, { name = \"B\"; host = \"i\"; }"), NULL, false},
        {"control = ( { path = \"/tmp/a\"; }, { path = \"/tmp/a\"; } );",
         "control[1].path: \"/tmp/a\" is there twice", false},
        {"control = ( { path = \"/tmp/a\"; }, { path = \"/tmp/b\"; } );", NULL, false},
    };
    RUN(cases);
}

static void test_addresses(void **state)
{
    static const struct check_case cases[] = {
        {LISTENERS(IMAP("a", "[ \"127.0.0.1:143\", \"[::1]:143\", \"unix:/tmp/s\" ]")), NULL,
         false},
        {LISTENERS(IMAP("a", "[ \"0.0.0.0:143\", \"[::]:143\" ]")), NULL, false},
        {LISTENERS(IMAP("a", "\"0.0.0.0:143\"") ", " IMAP("b", "\"[::]:143\"")), NULL, false},
        {LISTENERS(IMAP("a", "\"10.0.0.1:143\"") ", " IMAP("b", "\"10.0.0.1:0143\"")),
         "listeners[1].address: \"10.0.0.1:0143\" is taken by listener \"a\"", false},
        {LISTENERS(IMAP("a", "[ \"[::1]:143\", \"[0:0::1]:143\" ]")),
         "listeners[0].address: \"[0:0::1]:143\" is taken by listener \"a\"", false},
        {LISTENERS(IMAP("a", "[ \"unix:/tmp/s\", \"unix:/tmp/s\" ]")),
         "\"unix:/tmp/s\" is taken by listener \"a\"", false},
        {LISTENERS(IMAP("a", "\"0.0.0.0:143\"") ", " IMAP("b", "\"10.0.0.1:143\"")),
         "listeners[1].address: \"10.0.0.1:143\" is taken by \"0.0.0.0:143\"", false},
        {LISTENERS(IMAP("a", "\"[::]:143\"") ", " IMAP("b", "\"[::1]:143\"")),
         "listeners[1].address: \"[::1]:143\" is taken by \"[::]:143\"", false},
        {LISTENERS("{ name = \"a\"; protocol = \"imap\"; allow_plaintext = true; v6_only = false; "
                   "address = [ \"0.0.0.0:143\", \"[::]:143\" ]; }"),
         "\"0.0.0.0:143\" is taken by \"[::]:143\", which takes IPv4 too without v6_only", false},
        {LISTENERS(IMAP("a", "\"143\"")), "listeners[0].address: \"143\" is no address", false},
        {LISTENERS(IMAP("a", "\"mail.example.org\"")), "\"mail.example.org\" is no address", false},
        {LISTENERS(IMAP("a", "\"" NO_NAME ":143\"")),
         "main.conf:1: listeners[0].address: \"" NO_NAME "\" has no address: ", false},
        {LISTENERS(IMAP("a", "\"127.0.0.1\"")), "\"127.0.0.1\" has no port\n", false},
        {LISTENERS(IMAP("a", "\"::1:143\"")), "\"::1:143\" has no port: [2001:db8::1]:143\n",
         false},
        {LISTENERS(IMAP("a", "\"[::1]\"")), "\"[::1]\" has no port\n", false},
        {LISTENERS(IMAP("a", "\"*:143\"")), "unix:/path; [::]:143 is all addresses\n", false},
        {LISTENERS(IMAP("a", "\"unix:s\"")), "\"unix:s\" is no socket", false},
        {"metrics = { address = \"127.0.0.1:9100\"; };", NULL, false},
        {"metrics = { address = \"9100\"; };", "metrics.address: \"9100\" is no address", false},
        {"metrics = { address = \"unix:/tmp/s\"; };", "metrics.address: \"unix:/tmp/s\" is no IP",
         false},
        {"resolver = { name_servers = [ \"10.0.0.1\", \"[::1]:5353\" ]; };", NULL, false},
        {"resolver = { name_servers = \"dns.example.org\"; };",
         "resolver.name_servers: \"dns.example.org\" is no IP address", false},
    };
    RUN(cases);
}

static void test_listener_logins(void **state)
{
    static const struct check_case cases[] = {
        {LISTENERS(SMTP("mechanisms = \"COMMAND\";")), "mechanisms: smtp has no login command",
         false},
        {LISTENERS(SMTP("mechanisms = [ \"PLAIN\", \"APOP\" ];")), "mechanisms: smtp has no APOP",
         false},
        {LISTENERS(SMTP("mechanisms = [ \"PLAIN\", \"EXTERNAL\" ];")),
         "warning: listeners[0].mechanisms: EXTERNAL needs client certificates: client_auth", true},
        {LISTENERS(SMTP("mechanisms = \"EXTERNAL\"; external = \"any\";")),
         "listeners[0].external: any lets everybody in but for an auth server that judges: there "
         "is "
         "none",
         false},
        {LISTENERS(SMTP(
             "mechanisms = \"EXTERNAL\"; external = \"any\";")) " auth = ( { type = \"http\"; "
                                                                "url = \"http://127.0.0.1/\"; } );",
         NULL, false},
        {LISTENERS(SMTP("mechanisms = \"PLAIN\"; external = \"any\";")),
         "warning: listeners[0].external: has no effect: EXTERNAL is not among the mechanisms",
         true},
        {LISTENERS(SMTP("hidden_mechanisms = \"COMMAND\";")),
         "hidden_mechanisms: smtp has no login command", false},
        {LISTENERS(SMTP("mechanisms = \"PLAIN\"; hidden_mechanisms = \"PLAIN\";")),
         "warning: listeners[0].hidden_mechanisms: some are in mechanisms, too: they are announced",
         true},
        {LISTENERS(SMTP("mechanisms = [ ]; hidden_mechanisms = \"CRAM-MD5\";")), NULL, false},
        {LISTENERS(SMTP("auth = \"none\";")) TOLD_POOL, NULL, false},
        {LISTENERS(SMTP("auth = \"none\"; mechanisms = [ ];")) TOLD_POOL, NULL, false},
        {LISTENERS(SMTP("auth = \"none\";")) " pools = ( { name = \"a\"; } );",
         "warning: listeners[0].auth: is none, and no pool says by forward", true},
        {LISTENERS(SMTP("auth = \"none\"; pool = \"a\";")) " pools = ( { name = \"a\"; }, "
                                                           "{ name = \"b\"; forward = "
                                                           "\"xclient\"; } );",
         "warning: listeners[0].auth: is none, and no pool says by forward", true},
        {LISTENERS(SMTP("mechanisms = [ ];")),
         "warning: listeners[0].mechanisms: nobody can log in: there are none", true},
        {LISTENERS(SMTP("providers = \"web\";")),
         "listeners[0].providers: no provider in auth has the name \"web\"", false},
        {LISTENERS(SMTP("providers = [ ];")), "listeners[0].providers: must not be empty", false},
        {LISTENERS(SMTP("limits = { preauth = \"64k\"; };")),
         "listeners[0].limits.preauth: is not known", false},
        {LISTENERS("{ name = \"a\"; protocol = \"imap\"; address = \"127.0.0.1:1\"; "
                   "mechanisms = \"SCRAM-SHA-256\"; }"),
         NULL, false},
        {LISTENERS(SMTP("learn_capabilities = true; capabilities = \"SIZE\";")),
         "warning: listeners[0].learn_capabilities: has no effect", true},
    };
    RUN(cases);
}

static void test_listener_tls(void **state)
{
    static const struct check_case cases[] = {
        {LISTENERS(SMTP("tls = \"starttls\";")), "listeners[0].tls: needs certificates", false},
        {LISTENERS("{ name = \"k\"; protocol = \"imap\"; address = \"127.0.0.1:1\"; tls = "
                   "\"implicit\"; tls_options = { key_process = true; }; }"),
         "listeners[0].tls_options.key_process: it is for the whole daemon: set it in tls", false},
        {LISTENERS(SMTP("tls = \"implicit\"; tls_options = { directory = \"/tmp\"; };")),
         "listeners[0].tls_options.directory: it is for the whole daemon: set it in tls", false},
        {LISTENERS(SMTP("tls = \"implicit\"; tls_options = { directory_cache = 7; };")),
         "listeners[0].tls_options.directory_cache: it is for the whole daemon: set it in tls",
         false},
        {LISTENERS(SMTP("tls_options = { tickets = false; };")),
         "warning: listeners[0].tls_options: has no effect: tls is off", true},
        {LISTENERS("{ name = \"a\"; protocol = \"imap\"; address = \"127.0.0.1:1\"; }"),
         "warning: listeners[0].tls: nobody can log in: passwords need TLS or allow_plaintext",
         true},
    };
    RUN(cases);
}

static void test_listeners(void **state)
{
    static const struct check_case cases[] = {
        {LISTENERS(SMTP("bare_newline = \"normalise\";")), NULL, false},
        {LISTENERS(SMTP("log = \"x\";")), "listeners[0].log: no log has the name \"x\"", false},
        {LISTENERS(SMTP("log = \"x\";")) " log = ( { name = \"x\"; default = false; } );", NULL,
         false},
        {LISTENERS(SMTP("")) " log = ( { target = \"syslog\"; server = \"far\"; } );",
         "log[0].server: \"far\" is no address", false},
        {LISTENERS(SMTP("")) " log = ( { target = \"syslog\"; tag = \"a b\"; } );",
         "log[0].tag: must be at most", false},
        {LISTENERS(SMTP("")) " log = ( { default = false; } );", "log[0].name: is missing", false},
        {LISTENERS(SMTP("limits = { line = \"100k\"; };")),
         "listeners[0].limits: line and literal together must not be more than preauth", false},
        {LISTENERS(SMTP("proxy_protocol_trusted = [ ];")),
         "warning: listeners[0].proxy_protocol_trusted: has no effect: proxy_protocol is not set",
         true},
        {LISTENERS(SMTP("timeouts = { hold = \"1ms\"; };")),
         "listeners[0].timeouts.hold: must be from 100ms to ", false},
        {LISTENERS(IMAP("a", "\"127.0.0.1:1\"; auth = \"none\"")),
         "listeners[0].auth: imap has no mail without login", false},
        {LISTENERS(SMTP("so_keepalive = true; keepalive_idle = \"1500ms\";")),
         "listeners[0].keepalive_idle: must be whole seconds", false},
        {LISTENERS(SMTP("keepalive_count = 3;")), "warning: listeners[0].so_keepalive: is false",
         true},
        {"listeners = ( );", "warning: listeners: is empty: no client can connect", true},
    };
    RUN(cases);
}

static void test_pools(void **state)
{
    static const struct check_case cases[] = {
        {BACKENDS(
             "{ name = \"b\"; host = \"mx.example.org\"; }, { name = \"c\"; host = \"::1\"; }, "
             "{ name = \"d\"; host = \"unix:/tmp/s\"; }, { name = \"e\"; host = \"[::1]\"; }"),
         NULL, false},
        {BACKENDS("{ name = \"b\"; host = \"10.0.0.1:143\"; }"),
         "backends[0].host: \"10.0.0.1:143\" is no host: ports stand in ports", false},
        {BACKENDS("{ name = \"b\"; host = \"mx:143\"; }"), "\"mx:143\" is no host: ports stand",
         false},
        {BACKENDS("{ name = \"b\"; host = \"[::1]:143\"; }"),
         "\"[::1]:143\" is no host: ports stand", false},
        {BACKENDS("{ name = \"b\"; host = \"a b\"; }"), "\"a b\" is no host name", false},
        {BACKENDS("{ name = \"b\"; host = \"unix:s\"; }"), "\"unix:s\" is no socket", false},
        {"pools = ( { name = \"main\"; } );", "warning: pools[0].backends: is empty", true},
        {"pools = ( );", "warning: pools: is empty", true},
        {"auth = ( { type = \"http\"; url = \"http://192.0.2.1/\"; } );",
         "warning: auth[0].url: is not https://", true},
        {"auth = ( { type = \"http\"; url = \"http://[::1]/\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; url = \"http://127.0.0.2/\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; url = \"http://localhost:1/\"; } );", NULL, false},
        {POOL("master_user = \"m\";"),
         "pools[0].master_password_file: is missing: master_user needs it", false},
        {POOL("check = { user = \"m\"; };"),
         "pools[0].check.password_file: is missing: check.user needs it", false},
        {POOL("forward = [ \"proxy-v1\", \"proxy-v2\" ];"),
         "pools[0].forward: proxy-v1 and proxy-v2 exclude each other", false},
        {POOL("source_address = \"10.0.0.9\";"), NULL, false},
        {POOL("source_address = \"eth0\";"), "source_address: \"eth0\" is no IP address", false},
        {POOL("tls = \"off\"; priority = \"NORMAL\";"), "warning: pools[0].tls: is off", true},
        {POOL("tls = \"starttls\"; priority = \"NORMALL\";"), "main.conf:1: pools[0].tls: ", false},
        {POOL("tls = \"off\"; priority = \"NORMALL\";"),
         "main.conf:1: pools[0].tls: ", false}, /* for an edit */
        {"pools = ( { name = \"p\"; tls = \"off\"; ca_file = \"/dev/null\"; backends = ( { name = "
         "\"b\"; host = "
         "\"h\"; "
         "tls = \"implicit\"; } ); } );",
         "main.conf:1: pools[0].tls: ", false},
    };
    RUN(cases);
}

static void test_auth(void **state)
{
    static const struct check_case cases[] = {
        {"auth = ( { type = \"http\"; url = \"http://127.0.0.1:9000/auth\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; url = \"https://auth.example.org\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; url = \"http://unix:/run/auth:/uri\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; } );", "auth[0].url: is missing", false},
        {"auth = ( { type = \"http\"; url = \"localhost:9000/auth\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; url = \"unix:/run/auth:/uri\"; } );", NULL, false},
        {"auth = ( { type = \"http\"; url = \"ftp://localhost/\"; } );",
         "auth[0].url: must begin with http:// or https://", false},
        {"auth = ( { type = \"http\"; url = \"http:///x\"; } );", "auth[0].url: names no host",
         false},
        {"auth = ( { type = \"http\"; url = \"http://unix:x\"; } );", "auth[0].url: names no host",
         false},
        {"auth = ( { type = \"http\"; url = \"http://a:b@h/\"; } );",
         "auth[0].url: must hold no password", false},
        {"auth = ( { type = \"http\"; url = \"http://h/a b\"; } );", "auth[0].url: holds a blank",
         false},
        {"auth = ( { type = \"http\"; url = \"http://h/\"; headers = [ \"X-Key: 1\", \"bad\" ]; } "
         ");",
         "auth[0].headers: element 1 is not \"Name: value\"", false},
        {"auth = ( { type = \"users\"; url = \"http://h/\"; } );",
         "warning: auth[0].url: has no effect: it belongs to type \"http\"", true},
        {"auth = ( { type = \"backend\"; }, { type = \"users\"; } );",
         "warning: auth[0]: judges every login: the providers after it are never asked", true},
        {"auth = ( { type = \"users\"; name = \"a\"; }, { type = \"backend\"; name = \"a\"; } );",
         "auth[1].name: \"a\" is the name of another provider", false},
        {"auth = ( );", "auth: is missing: nobody could log in", false},
        {"auth = ( );" LISTENERS(SMTP("auth = \"none\";")) TOLD_POOL, NULL, false},
    };
    RUN(cases);
}

static void test_small_parts(void **state)
{
    static const struct check_case cases[] = {
        {"log = ( { target = \"file\"; } );", "log[0].path: is missing", false},
        {"log = ( { target = \"file\"; path = \"/no/such/x.log\"; } );",
         "log[0].path: folder /no/such: No such file or directory", false},
        {"log = ( { target = \"stderr\"; path = \"/tmp/x\"; } );", "warning: log[0].path: has no",
         true},
        {"log = ( { target = \"syslog\"; facility = \"maill\"; } );",
         "log[0].facility: \"maill\" is no syslog facility", false},
        {"log = ( { target = \"syslog\"; facility = \"local3\"; }, { target = \"stderr\"; } );",
         NULL, false},
        {"control = ( { path = \"/tmp/a\"; max_clients = 5; } );",
         "control[0].admin_reserve: leaves nobody else room: max_clients is 5", false},
        {"control = ( { path = \"/tmp/a\"; owner = \"no such\"; } );",
         "control[0].owner: there is no user \"no such\"", false},
        {"control = ( { path = \"/tmp/a\"; group = \"no such\"; } );",
         "control[0].group: there is no group \"no such\"", false},
        {"control = ( { path = \"/tmp/a\"; viewer = [ \"*\", \"0\", \"@0\", \"root\", \"@root\" ]; "
         "} );",
         NULL, false},
        {"control = ( { path = \"/tmp/a\"; viewer = [ \"no such\" ]; } );",
         "warning: control[0].viewer: there is no user \"no such\"", true},
        {"control = ( { path = \"/tmp/a\"; operator = [ \"@no such\" ]; } );",
         "warning: control[0].operator: there is no group \"no such\"", true},
        {"control = ( { path = "
         "\"/tmp/0123456789012345678901234567890123456789012345678901234567890123"
         "456789012345678901234567890123456789012345678901234567890\"; } );",
         "control[0].path: is too long for a socket: at most 107 bytes", false},
        {"limits = { line = \"64k\"; literal = \"64k\"; preauth = \"100k\"; };",
         "limits.preauth: must not be smaller than line and literal together", false},
        {"group = \"root\";", "warning: group: has no effect without user", true},
    };
    RUN(cases);
}

/* ---- files ---- */

static void test_files(void **state)
{
    static const struct check_case cases[] = {
        {POOL("tls = \"starttls\"; ca_file = \"/no/ca.pem\";"),
         "pools[0].ca_file: /no/ca.pem cannot be read: No such file or directory", false},
        {POOL("tls = \"starttls\"; cert = \"/no/c.pem\"; key = \"/tmp\";"),
         "pools[0].key: /tmp cannot be read: Is a directory", false},
        {POOL("master_user = \"m\"; master_password_file = \"/no/p\";"),
         "pools[0].master_password_file: /no/p cannot be read", false},
        {POOL("check = { user = \"m\"; password_file = \"/no/p\"; };"),
         "pools[0].check.password_file: /no/p cannot be read", false},
        {"tls = { certificates = (\n{ cert = \"/no/c.pem\";\n key = \"/no/k.pem\"; } ); };",
         "main.conf:3: tls.certificates[0].key: /no/k.pem cannot be read: No such file", false},
        {"auth = ( { type = \"http\"; url = \"https://h/\"; ca_file = \"/no/ca\"; } );",
         "auth[0].ca_file: /no/ca cannot be read", false},
    };
    RUN(cases);
}

#define TLS_LISTENER(options)                                                                      \
    "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"127.0.0.1:1\"; tls = "         \
    "\"implicit\"; " options " } );\n"

static void test_certificates(void **state)
{
    struct cert one, two;
    cert_make(&one, "a.example.org", NULL, 2);
    cert_make(&two, "b.example.org", NULL, 2);
    AUTO_FREE char *good = str_printf(
        "tls = { certificates = ( { cert = \"%s\"; key = \"%s\"; } ); };\n" TLS_LISTENER(""),
        one.path, one.path);
    AUTO_FREE char *mixed = str_printf(
        "tls = { certificates = ( { cert = \"%s\"; key = \"%s\"; } ); };\n" TLS_LISTENER(""),
        one.path, two.path);
    AUTO_FREE char *own = str_printf(
        TLS_LISTENER("tls_options = { certificates = ( { cert = \"%s\"; key = \"%s\"; } ); };"),
        one.path, two.path);
    AUTO_FREE char *priority =
        str_printf("tls = { certificates = ( { cert = \"%s\"; key = \"%s\"; } );\n priority = "
                   "\"NO-SUCH\"; };\n" TLS_LISTENER(""),
                   one.path, one.path);
    AUTO_FREE char *no_ca =
        str_printf("tls = { certificates = ( { cert = \"%s\"; key = \"%s\"; } ); };\n" TLS_LISTENER(
                       "tls_options = { client_auth = \"required\"; };"),
                   one.path, one.path);
    const struct check_case cases[] = {
        {good, NULL, false},
        {mixed, "main.conf:1: tls: cannot use certificate ", false},
        {own, "main.conf:1: listeners[0].tls_options: cannot use certificate ", false},
        {priority, "main.conf:1: tls: ", false},
        {no_ca, "main.conf:2: listeners[0].tls_options.client_auth: needs client_ca", false},
    };
    RUN(cases);
    (void)unlink(one.path);
    (void)unlink(two.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses),       cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_listener_logins), cmocka_unit_test(test_listener_tls),
        cmocka_unit_test(test_pools),           cmocka_unit_test(test_auth),
        cmocka_unit_test(test_small_parts),     cmocka_unit_test(test_files),
        cmocka_unit_test(test_certificates),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
