/* SPDX-License-Identifier: ISC */
/* Printing and comparing configs: a dump loads again to the same, a diff names what changed. */
#include "load_case.h"

/* A value other than the default for every key that needs no file. */
static const char rich[] =
    "server_name = \"mx1.example.org\"; node = \"one\"; workers = 3; auth_threads = 5;\n"
    "state_dir = \"/srv/state\"; run_dir = \"/srv/run\"; shutdown_timeout = \"1m\"; shutdown_rate "
    "= 50;\n"
    "reload_session_timeout = \"1h\"; max_errors = 9; max_commands = 99;\n"
    "log = ( { name = \"far\"; default = false; server = \"192.0.2.1\"; tag = \"mx\"; hostname = "
    "true;\n"
    "  target = \"syslog\"; facility = \"local1\"; level = \"debug\"; format = \"json\"; "
    "},\n"
    "        { target = \"file\"; path = \"/tmp/x.log\"; } );\n"
    "metrics = { address = \"127.0.0.1:9100\"; };\n"
    "control = ( { path = \"/tmp/c.sock\"; mode = \"0600\"; owner = \"root\"; group = \"root\";\n"
    "  viewer = \"*\"; operator = [ \"0\", \"@0\" ]; admin = \"root\"; max_clients = 99;\n"
    "  admin_reserve = 9; } );\n"
    "store = { path = \"/srv/db\"; audit_age = \"30d\"; };\n"
    "tls = { priority = \"NORMAL:-VERS-ALL:+VERS-TLS1.3\"; tickets = false; session_timeout = "
    "\"1h\"; watch = false;\n"
    "  directory_cache = 99;\n"
    "  verify_depth = 4; };\n"
    "auth = ( { type = \"users\"; cache = \"5s\"; },\n"
    "  { type = \"http\"; name = \"web\"; url = \"https://h/a\"; timeout = \"5s\"; cache = \"1m\"; "
    "client_cert = "
    "true;\n"
    "    headers = [ \"X-Token: secret1\", \"X-Two: secret2\" ]; verify = false; connections = 2; "
    "},\n"
    "  { type = \"backend\"; } );\n"
    "limits = { sessions = 5000000000; sessions_per_user = 2; sessions_per_ip = 3; login_rate = "
    "4;\n"
    "  preauth = \"1m\"; failures_before_delay = 5; failures_before_ban = 6;\n"
    "  users_before_ban = 7; passwords_before_delay = 8; spray_window = \"5h\"; log_lines = 9;\n"
    "  log_lines_total = 11; ban = \"1h\";\n"
    "  failure_window = \"2h\"; trusted = [ \"10.0.0.0/8\", \"fd00::/8\" ]; line = \"8k\";\n"
    "  literal = \"16k\"; };\n"
    "timeouts = { proxy_header = \"1s\"; tls = \"2s\"; preauth = \"4m\"; command = \"5s\"; auth = "
    "\"6s\";\n"
    "  connect = \"7s\"; login = \"8s\"; relay_idle = \"1h\"; hold = \"9s\"; failure_delay = "
    "\"1s\";\n"
    "  closing = \"1500ms\"; };\n"
    "resolver = { enabled = false; name_servers = \"10.0.0.53\"; timeout = \"1s\"; valid = "
    "\"1m\";\n"
    "  no_ipv4 = true; no_ipv6 = true; randomize_case = false; };\n"
    "listeners = (\n"
    "  { name = \"imap\"; protocol = \"imap\"; address = [ \"0.0.0.0:143\", \"[::]:143\" ]; "
    "backlog = "
    "5;\n"
    "    proxy_protocol = \"10.0.0.0/8\"; proxy_protocol_trusted = [ ]; allow_plaintext = true; "
    "capabilities = [ \"IMAP4rev1\" "
    "];\n"
    "    mechanisms = [ \"PLAIN\", \"COMMAND\" ]; greeting = \"say \\\"hi\\\"\"; pool = \"two\";\n"
    "    so_rcvbuf = \"64k\"; so_sndbuf = \"1m\"; so_keepalive = true; keepalive_idle = \"1m\"; "
    "keepalive_interval = \"5s\"; keepalive_count = 4; multipath = true;\n"
    "    learn_capabilities = false; },\n"
    "  { name = \"mx\"; protocol = \"smtp\"; address = \"[::1]:25\"; v6_only = true; auth = "
    "\"none\";\n"
    "    greeting_delay = \"2s\"; tls_options = { verify_depth = 2; }; providers = \"web\";\n"
    "    server_name = \"mx.example.org\"; max_errors = 9; timeouts = { preauth = \"77s\"; };\n"
    "    limits = { line = \"9k\"; literal = \"3k\"; }; resolver = { enabled = true; };\n"
    "    mechanisms = [ ]; hidden_mechanisms = [ \"PLAIN\", \"EXTERNAL\" ]; external = \"any\"; "
    "bare_newline = \"normalise\"; log = \"far\";\n"
    "    max_commands = 77; capabilities = [ ]; } );\n"
    "pools = (\n"
    "  { name = \"one\"; balance = \"least\"; tls = \"implicit\"; verify = false; priority = "
    "\"NORMAL\";\n"
    "    forward = [ \"id\", \"proxy-v2\" ]; smtp_auth = \"forced\"; pass_error = true;\n"
    "    source_address = \"10.0.0.9\"; pipelining = false; max_tries = 5;\n"
    "    warm = 2; move_pinned = true; affinity = \"strict\";\n"
    "    check = { enabled = false; interval = \"1s\"; timeout = \"2s\"; rise = 3; fall = 4; };\n"
    "    keepalive = \"2m\"; slow_start = \"1m\"; close_spread = \"2m\";\n"
    "    backends = ( { name = \"b1\"; host = \"10.0.0.1\"; ports = { imap = 1143; }; weight = 7; "
    "},\n"
    "      { name = \"b2\"; host = \"unix:/tmp/b2\"; tls = \"off\"; } ); },\n"
    "  { name = \"two\"; backends = ( { name = \"b1\"; host = \"h\"; max_sessions = 5; } ); } );\n"
    "fleet = { servers = [ \"10.0.0.5:6379\", \"unix:/run/r\" ]; sentinel = \"mail\"; database = "
    "3;\n"
    "  tls = true; tls_name = \"redis.test\"; timeout = \"40ms\"; retention = \"1h\"; heartbeat = "
    "\"1s\";\n"
    "  users = true; tickets = false; end_conflicts = true; health = \"shared\"; };\n"
    "routes = ( { domain = \"example.org\"; pool = \"one\"; },\n"
    "  { user = \"a*\"; listener = \"mx\"; protocol = \"smtp\"; pool = \"two\"; } );\n";

static char *replace(const char *text, const char *old, const char *new_text)
{
    const char *at = strstr(text, old);
    assert_non_null(at);
    char *changed = str_printf("%.*s%s%s", (int)(at - text), text, new_text, at + strlen(old));
    assert_non_null(changed);
    return changed;
}

static struct config_changes diff(const struct config *a, const struct config *b)
{
    struct config_changes c = {0};
    assert_int_equal(config_diff(a, b, &c), 0);
    return c;
}

static void assert_same(const struct config *a, const struct config *b)
{
    struct config_changes c = diff(a, b);
    if (c.n > 0)
        fail_msg("%zu changes, the first at %s: %s -> %s", c.n, c.v[0].path, c.v[0].old_value,
                 c.v[0].new_value);
    config_changes_fini(&c);
}

static void assert_round_trip(const char *text, unsigned flags)
{
    struct config *a = load_good(text);
    AUTO_FREE char *first = load_dump(a, flags | CONFIG_DUMP_SECRETS);
    struct config *b = load_good(first);
    AUTO_FREE char *second = load_dump(b, flags | CONFIG_DUMP_SECRETS);
    assert_string_equal(first, second);
    assert_same(a, b);
    config_unref(a);
    config_unref(b);
}

/* ---- dump ---- */

static void test_round_trip(void **state)
{
    static const char *const texts[] = {rich, LOAD_AUTH};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_round_trip(texts[i], 0);
        assert_round_trip(texts[i], CONFIG_DUMP_ONLY_SET);
    }
}

struct named {
    const char *dump;
    size_t missing;
};

static void look_for_key(void *arg, const struct config_key_doc *doc)
{
    static const char *const need_files[] = {
        "certificates",  "cert",        "key",         "ocsp",
        "password_file", "client_auth", "client_ca",   "client_crl",
        "dh_params",     "ca_file",     "master_user", "master_password_file",
        "user",          "group",       "ticket_key",  "secret_file",
        "directory"};
    struct named *n = arg;
    const char *dot = strrchr(doc->path, '.'), *name = dot ? dot + 1 : doc->path;
    for (size_t i = 0; i < ARRAY_LEN(need_files); i++)
        if (strncmp(name, need_files[i], strlen(need_files[i])) == 0)
            return;
    char line[128];
    size_t len = strcspn(name, "[");
    (void)snprintf(line, sizeof(line), "%.*s = ", (int)len, name);
    if (!strstr(n->dump, line)) {
        print_error("%s is not set in the rich file\n", doc->path);
        n->missing++;
    }
}

/* A list that is empty in the file does not become its default when it is read again. */
static void test_empty_list_is_kept(void **state)
{
    struct config *c = load_good("limits = { trusted = [ ]; };\n" LOAD_AUTH);
    AUTO_FREE char *dump = load_dump(c, CONFIG_DUMP_ONLY_SET);
    config_unref(c);
    assert_non_null(strstr(dump, "trusted = [ ];"));
    c = load_good(dump);
    assert_int_equal(c->limits.trusted.n, 0);
    config_unref(c);
    c = load_good(LOAD_AUTH);
    assert_int_equal(c->limits.trusted.n, 2);
    config_unref(c);
}

/* The round trip means something only when every key takes part in it. */
static void test_rich_is_whole(void **state)
{
    struct config *c = load_good(rich);
    AUTO_FREE char *dump = load_dump(c, CONFIG_DUMP_ONLY_SET);
    struct named n = {.dump = dump};
    config_each_key(look_for_key, &n);
    assert_int_equal(n.missing, 0);
    config_unref(c);
}

static void test_only_set(void **state)
{
    struct config *c = load_good(
        "server_name = \"mx1.example.org\"; shutdown_timeout = \"10s\"; max_errors = 6;\n"
        "auth = ( { type = \"users\"; cache = \"60s\"; }, { type = \"users\"; cache = \"0\"; } );\n"
        "pools = ( { name = \"p\"; balance = \"user\"; backends = ( { name = \"b\"; host = \"h\"; "
        "weight = 100; } ); } );\n"
        "listeners = ( { name = \"a\"; protocol = \"imap\"; address = \"[::1]:143\"; tls = "
        "\"off\"; "
        "allow_plaintext = true; mechanisms = [ \"LOGIN\", \"PLAIN\", \"COMMAND\" ]; } );\n");
    AUTO_FREE char *dump = load_dump(c, CONFIG_DUMP_ONLY_SET);
    assert_string_equal(dump, "server_name = \"mx1.example.org\";\n"
                              "max_errors = 6;\n"
                              "auth = (\n"
                              "  {\n"
                              "    type = \"users\";\n"
                              "  },\n"
                              "  {\n"
                              "    type = \"users\";\n"
                              "    cache = \"0\";\n"
                              "  }\n"
                              ");\n"
                              "listeners = (\n"
                              "  {\n"
                              "    name = \"a\";\n"
                              "    protocol = \"imap\";\n"
                              "    address = [ \"[::1]:143\" ];\n"
                              "    allow_plaintext = true;\n"
                              "  }\n"
                              ");\n"
                              "pools = (\n"
                              "  {\n"
                              "    name = \"p\";\n"
                              "    backends = (\n"
                              "      {\n"
                              "        name = \"b\";\n"
                              "        host = \"h\";\n"
                              "      }\n"
                              "    );\n"
                              "  }\n"
                              ");\n");
    config_unref(c);
}

static void test_secrets_are_masked(void **state)
{
    struct config *c = load_good(rich);
    AUTO_FREE char *masked = load_dump(c, 0);
    AUTO_FREE char *plain = load_dump(c, CONFIG_DUMP_SECRETS);
    assert_non_null(strstr(masked, "headers = [ \"X-Token: ***\", \"X-Two: ***\" ];"));
    assert_null(strstr(masked, "secret1"));
    assert_non_null(strstr(plain, "headers = [ \"X-Token: secret1\", \"X-Two: secret2\" ];"));
    config_unref(load_good(masked));
    config_unref(c);
}

/* What control does for an export: other members in a copy that no loader made. */
static void test_shallow_copy(void **state)
{
    struct config *c = load_good(rich);
    struct config_backend backends[3] = {c->pools[0].backends[0],
                                         c->pools[0].backends[1],
                                         {.name = "new", .host = "10.9.9.9", .weight = 100}};
    struct config_pool pools[2] = {c->pools[0], c->pools[1]};
    struct config copy = *c;
    backends[0].weight = 50;
    pools[0].backends = backends;
    pools[0].n_backends = 3;
    copy.pools = pools;
    AUTO_FREE char *dump = load_dump(&copy, CONFIG_DUMP_ONLY_SET | CONFIG_DUMP_SECRETS);
    struct config *again = load_good(dump);
    assert_same(&copy, again);
    assert_int_equal(again->pools[0].n_backends, 3);
    assert_int_equal(again->pools[0].backends[0].weight, 50);
    assert_string_equal(again->pools[0].backends[2].host, "10.9.9.9");
    config_unref(again);
    config_unref(c);
}

/* ---- diff ---- */

struct diff_case {
    const char *old, *new_text; /* of the rich file */
    const char *path, *old_value, *new_value;
    enum config_effect effect;
};

static void assert_text(const char *have, const char *want)
{
    if (want)
        assert_string_equal(have, want);
    else
        assert_null(have);
}

static void run(const struct diff_case *c)
{
    AUTO_FREE char *text = replace(rich, c->old, c->new_text);
    struct config *a = load_good(rich), *b = load_good(text);
    for (int is_back = 0; is_back < 2; is_back++) {
        struct config_changes all = is_back ? diff(b, a) : diff(a, b);
        if (all.n != 1)
            fail_msg("%s: %zu changes", c->path, all.n);
        assert_string_equal(all.v[0].path, c->path);
        assert_text(is_back ? all.v[0].new_value : all.v[0].old_value, c->old_value);
        assert_text(is_back ? all.v[0].old_value : all.v[0].new_value, c->new_value);
        assert_int_equal(all.v[0].effect, c->effect);
        config_changes_fini(&all);
    }
    config_unref(a);
    config_unref(b);
}

static void test_diff(void **state)
{
    static const struct diff_case cases[] = {
        {"workers = 3", "workers = 4", "workers", "3", "4", CONFIG_RESTART},
        {"shutdown_timeout = \"1m\"", "shutdown_timeout = \"90s\"", "shutdown_timeout", "\"1m\"",
         "\"90s\"", CONFIG_LIVE},
        {"address = \"127.0.0.1:9100\"; ", "", "metrics.address", "\"127.0.0.1:9100\"", NULL,
         CONFIG_RESTART},
        {"sessions_per_ip = 3", "sessions_per_ip = 30", "limits.sessions_per_ip", "3", "30",
         CONFIG_LIVE},
        {"tls = \"off\"; } )", "tls = \"starttls\"; } )", "pools[one].backends[b2].tls", "\"off\"",
         "\"starttls\"", CONFIG_NEW_SESSIONS},
        {"weight = 7", "weight = 70", "pools[one].backends[b1].weight", "7", "70",
         CONFIG_NEW_SESSIONS},
        {"ports = { imap = 1143; };", "", "pools[one].backends[b1].ports", "{ imap = 1143; }", NULL,
         CONFIG_NEW_SESSIONS},
        {"fall = 4", "fall = 5", "pools[one].check.fall", "4", "5", CONFIG_LIVE},
        {"backlog = 5", "backlog = 6", "listeners[imap].backlog", "5", "6", CONFIG_RESTART},
        {"level = \"debug\"", "level = \"info\"", "log[0].level", "\"debug\"", "\"info\"",
         CONFIG_LIVE},
        {"viewer = \"*\"; ", "", "control[/tmp/c.sock].viewer", "[ \"*\" ]", NULL, CONFIG_LIVE},
        {"X-Two: secret2", "X-Two: secret3", "auth[1].headers",
         "[ \"X-Token: ***\", \"X-Two: ***\" ]", "[ \"X-Token: ***\", \"X-Two: ***\" ]",
         CONFIG_NEW_SESSIONS},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        run(&cases[i]);
}

/* Told once, not for each listener that inherits it. */
static void test_diff_inherited(void **state)
{
    AUTO_FREE char *plain = replace(rich, " tls_options = { verify_depth = 2; };", "");
    AUTO_FREE char *changed = replace(plain, "tickets = false", "tickets = true");
    struct config *a = load_good(plain), *b = load_good(changed);
    struct config_changes all = diff(a, b);
    assert_int_equal(all.n, 1);
    assert_string_equal(all.v[0].path, "tls.tickets");
    config_changes_fini(&all);
    config_unref(a);
    config_unref(b);
}

/* The same of a part in which other keys are set. */
static void test_diff_partly_inherited(void **state)
{
    static const char *const changes[][3] = {
        {"tickets = false", "tickets = true", "tls.tickets"},
        {"command = \"5s\"", "command = \"6s\"", "timeouts.command"},
        {"timeouts = { preauth = \"77s\"; }", "timeouts = { preauth = \"78s\"; }",
         "timeouts.preauth"},
    };
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        AUTO_FREE char *changed = replace(rich, changes[i][0], changes[i][1]);
        struct config *a = load_good(rich), *b = load_good(changed);
        struct config_changes all = diff(a, b);
        assert_int_equal(all.n, 1);
        assert_non_null(strstr(all.v[0].path, changes[i][2]));
        config_changes_fini(&all);
        config_unref(a);
        config_unref(b);
    }
}

static void test_diff_members(void **state)
{
    static const struct diff_case cases[] = {
        {",\n      { name = \"b2\"; host = \"unix:/tmp/b2\"; tls = \"off\"; }", "",
         "pools[one].backends[b2]", "{ name = \"b2\"; host = \"unix:/tmp/b2\"; tls = \"off\"; }",
         NULL, CONFIG_NEW_SESSIONS},
        {"routes = ( {", "routes = ( { user = \"b\"; pool = \"two\"; }, {", "routes[0]", NULL,
         "{ user = \"b\"; pool = \"two\"; }", CONFIG_NEW_SESSIONS},
        {",\n  { type = \"backend\"; }", "", "auth[2]", "{ type = \"backend\"; }", NULL,
         CONFIG_NEW_SESSIONS},
        {"{ target = \"file\"; path = \"/tmp/x.log\"; } );",
         "{ target = \"file\"; path = \"/tmp/x.log\"; }, { level = \"warn\"; } );", "log[2]", NULL,
         "{ level = \"warn\"; }", CONFIG_LIVE},
        {"{ name = \"b1\"; host = \"10.0.0.1\"; ports = { imap = 1143; }; weight = 7; },\n      { "
         "name = \"b2\"; host = \"unix:/tmp/b2\"; tls = \"off\"; }",
         "{ name = \"b2\"; host = \"unix:/tmp/b2\"; tls = \"off\"; }, { name = \"b1\"; host = "
         "\"10.0.0.1\"; ports "
         "= "
         "{ imap = 1143; }; weight = 7; }",
         "pools[one].backends", "b1, b2", "b2, b1", CONFIG_NEW_SESSIONS},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        run(&cases[i]);
}

/* ---- documentation ---- */

struct docs {
    size_t n;
    size_t n_known;
};

static void check_doc(void *arg, const struct config_key_doc *doc)
{
    struct docs *d = arg;
    d->n++;
    assert_true(*doc->path && *doc->type && *doc->text);
    if (strcmp(doc->path, "pools[].check.interval") == 0) {
        d->n_known++;
        assert_string_equal(doc->type, "duration");
        assert_string_equal(doc->default_text, "10s");
        assert_string_equal(doc->range, "100ms to 1d");
        assert_string_equal(doc->effect, "live");
    }
    if (strcmp(doc->path, "timeouts.tls") == 0)
        assert_string_equal(doc->range, "at least 100ms");
    if (strcmp(doc->path, "pools") == 0 || strcmp(doc->path, "pools[].check") == 0) {
        d->n_known++;
        assert_string_equal(doc->effect, "");
    }
}

static void test_each_key(void **state)
{
    struct docs d = {0};
    config_each_key(check_doc, &d);
    assert_true(d.n > 100);
    assert_int_equal(d.n_known, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_rich_is_whole),
        cmocka_unit_test(test_empty_list_is_kept),
        cmocka_unit_test(test_only_set),
        cmocka_unit_test(test_secrets_are_masked),
        cmocka_unit_test(test_shallow_copy),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_diff_inherited),
        cmocka_unit_test(test_diff_partly_inherited),
        cmocka_unit_test(test_diff_members),
        cmocka_unit_test(test_each_key),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
