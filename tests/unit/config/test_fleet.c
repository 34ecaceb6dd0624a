/* SPDX-License-Identifier: ISC */
/* The fleet's group: what is missing or wrong in it, its secrets, when two are alike. */
#include "load_case.h"

#include <sys/stat.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define GOOD "name = \"mail\"; servers = [ \"10.0.0.5\" ]; secret_file = \"secret\"; "

#define X16 "xxxxxxxxxxxxxxxx"

static void write_secret(const char *text, unsigned mode)
{
    char path[128];
    load_write("secret", str_of(text));
    load_path(path, "secret");
    assert_int_equal(chmod(path, mode), 0);
}

static struct config *load_fleet(const char *group, struct config_problems *problems)
{
    struct config *c = NULL;
    AUTO_FREE char *text = str_printf("fleet = { %s };\n" LOAD_AUTH, group);
    assert_non_null(text);
    load_write("main.conf", str_of(text));
    (void)!config_load(load_file, &c, problems);
    return c;
}

static void test_faults(void **state)
{
    static const struct {
        const char *group, *secret;
        unsigned mode;
        const char *says; /* NULL = nothing */
        bool is_loaded;
    } cases[] = {
        {GOOD, SECRET, 0600, NULL, true},
        {GOOD, SECRET, 0604, "chmod o-r", false},
        {GOOD, "short", 0600, "holds 5 bytes: 32 random ones are the least", false},
        {"name = \"mail\"; secret_file = \"secret\";", SECRET, 0600, "fleet.servers: is missing",
         false},
        {"name = \"mail\"; servers = [ \"h\" ];", SECRET, 0600, "fleet.secret_file: is missing",
         false},
        {"servers = [ \"h\" ];", SECRET, 0600, "fleet.name: is missing", true},
        {"name = \"a b\"; servers = [ \"h\" ];", SECRET, 0600, "fleet.name", false},
        {"name = \"mail\"; servers = [ \"h:0\" ]; secret_file = \"secret\";", SECRET, 0600,
         "\"h:0\" holds a port that is none", false},
        {GOOD "user = \"u\";", SECRET, 0600, "fleet.password_file: is missing", false},
        {GOOD "password_file = \"empty\";", SECRET, 0600, "holds no password", false},
        {GOOD "password_file = \"absent\";", SECRET, 0600, "cannot be read", false},
        {GOOD "sentinel = \"m\";", SECRET, 0600, "names one Sentinel", true},
        {GOOD "tls_name = \"m\";", SECRET, 0600, "fleet.tls: is false", true},
        {GOOD "timeout = \"6s\";", SECRET, 0600, "fleet.timeout", false},
        {GOOD "}; node = \"" X16 X16 X16 X16 "\"; resolver = {", SECRET, 0600, NULL, true},
        {GOOD "}; node = \"" X16 X16 X16 X16 "x\"; resolver = {", SECRET, 0600,
         "node: is longer than 64 bytes", false},
    };
    load_write("empty", STR("\n"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(config_problems_fini) struct config_problems problems = {0};
        AUTO_BUF text = BUF_INIT;
        write_secret(cases[i].secret, cases[i].mode);
        struct config *c = load_fleet(cases[i].group, &problems);
        assert_int_equal(config_problems_format(&problems, &text), 0);
        const char *said = buf_cstr(&text);
        if ((c != NULL) != cases[i].is_loaded || problems.n != 1u + (cases[i].says != NULL) ||
            (cases[i].says && !strstr(said, cases[i].says)))
            fail_msg("%s: %s", cases[i].group, said);
        config_unref(c);
    }
    load_remove("empty");
    load_remove("secret");
}

static struct config *load(const char *group)
{
    struct config_problems problems = {0};
    struct config *c = load_fleet(group, &problems);
    assert_non_null(c);
    assert_int_equal(problems.n, 1); /* no listeners */
    config_problems_fini(&problems);
    return c;
}

static void test_secrets(void **state)
{
    char hex[2 * CONFIG_FLEET_SECRET_BYTES + 1];
    write_secret(SECRET, 0600);
    load_write("password", STR("open sesame\r\nmore\n"));
    struct config *c = load(GOOD "password_file = \"password\"; user = \"u\";");
    str_hex(hex, c->fleet.secret, sizeof(c->fleet.secret));
    assert_string_equal(hex, "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9");
    assert_string_equal(c->fleet.password, "open sesame");
    struct redis_spec spec = config_fleet_spec(&c->fleet, NULL);
    assert_string_equal(spec.servers[0], "10.0.0.5");
    assert_string_equal(spec.user, "u");
    assert_int_equal(spec.timeout_ms, 50);
    assert_int_equal(config_fleet_lease_ms(&c->fleet), 15000);
    /* What the engine gets: a text and the contents of files. */
    AUTO_FREE char *dump = load_dump(c, CONFIG_DUMP_SECRETS);
    assert_null(strstr(dump, "sesame"));
    struct config *engine = NULL;
    struct config_problems problems = {0};
    assert_int_equal(config_load_text("x", str_of(dump), c->files, &engine, &problems), 0);
    assert_memory_equal(engine->fleet.secret, c->fleet.secret, sizeof(c->fleet.secret));
    assert_string_equal(engine->fleet.password, "open sesame");
    assert_true(config_fleet_is_alike(c, engine));
    config_problems_fini(&problems);
    config_unref(engine);
    config_unref(c);
    load_remove("password");
    load_remove("secret");
}

static void test_alike(void **state)
{
    static const struct {
        const char *group;
        bool is_alike;
    } cases[] = {
        {GOOD, true},
        {GOOD "retention = \"1h\"; end_conflicts = true;", true},
        {GOOD "database = 1;", false},
        {GOOD "password_file = \"password\";", false},
        {GOOD "timeout = \"40ms\";", false},
        {"name = \"mail\"; servers = [ \"10.0.0.6\" ]; secret_file = \"secret\";", false},
    };
    write_secret(SECRET, 0600);
    load_write("password", STR("x"));
    struct config *first = load(GOOD);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *c = load(cases[i].group);
        if (config_fleet_is_alike(first, c) != cases[i].is_alike)
            fail_msg("%s", cases[i].group);
        config_unref(c);
    }
    config_unref(first);
    load_remove("password");
    load_remove("secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_faults, load_setup, load_teardown),
        cmocka_unit_test_setup_teardown(test_secrets, load_setup, load_teardown),
        cmocka_unit_test_setup_teardown(test_alike, load_setup, load_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
