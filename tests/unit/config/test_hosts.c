/* SPDX-License-Identifier: ISC */
/* Names of hosts in the addresses of listeners: which texts are names, and what becomes of them. */
#include "load_case.h"

#include <strings.h>

#include "config/config_hosts.h"

static void test_split(void **state)
{
    static const struct {
        const char *text, *host; /* NULL = no name of a host with a port */
        unsigned port;
    } rows[] = {
        {"mail.example.org:143", "mail.example.org", 143},
        {"localhost:65535", "localhost", 65535},
        {"a_b-c.test.:1", "a_b-c.test.", 1},
        {"1and1.test:25", "1and1.test", 25},
        {"127.0.0.1:143", NULL, 0},
        {"127.0.0:143", NULL, 0}, /* not what inet_aton makes of it */
        {"1:143", NULL, 0},
        {"[::1]:143", NULL, 0},
        {"::1", NULL, 0},
        {"dead:beef", NULL, 0},
        {"mail.example.org", NULL, 0},
        {"mail.example.org:", NULL, 0},
        {"mail.example.org:0", NULL, 0},
        {"mail.example.org:65536", NULL, 0},
        {"mail.example.org:imap", NULL, 0},
        {":143", NULL, 0},
        {"*:143", NULL, 0},
        {"a b:143", NULL, 0},
        {"unix:/run/x", NULL, 0},
        {"", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str host = STR_NULL;
        uint16_t port = 0;
        bool is_host = config_host_split(str_of(rows[i].text), &host, &port);
        if (is_host != (rows[i].host != NULL))
            fail_msg("%s", rows[i].text);
        assert_true(!is_host || str_eq(host, str_of(rows[i].host)));
        assert_true(!is_host || port == rows[i].port);
    }
}

/* ---- a config ---- */

static unsigned n_finds;
static char seen[512]; /* the addresses of all listeners */

/* "two.test" has two addresses of each family, in another order each time; "none.test" has none;
 * "slow.test" takes more than a moment. */
static int find(void *arg, const char *host, struct addr *v, size_t *ret_n, const char **ret_why)
{
    static const char *const two[] = {"2001:db8::2", "192.0.2.2", "2001:db8::1", "192.0.2.1"};
    (void)arg;
    size_t first = n_finds++;
    *ret_n = 0;
    *ret_why = "nobody knows it";
    if (strcmp(host, "slow.test") == 0)
        (void)usleep(5000);
    bool has_two = strcasecmp(host, "two.test") == 0 || strcmp(host, "slow.test") == 0;
    for (size_t i = 0; i < ARRAY_LEN(two) && has_two; i++)
        assert_int_equal(addr_parse(str_of(two[(first + i) % 4]), &v[(*ret_n)++]), 0);
    return has_two ? 0 : -ERR_DNS;
}

/* Resolves the addresses of one listener each; fails as `words` say, where they are not NULL. */
static void resolve(struct config_listener *listeners, size_t n, uint64_t limit_ms,
                    const char *words)
{
    struct config *c = config_new();
    struct config_places places = {.file = "main.conf"};
    struct config_problems problems = {0};
    const struct config_hosts hosts = {.find = find, .limit_ms = limit_ms};
    AUTO_BUF text = BUF_INIT;
    AUTO_BUF all = BUF_INIT;
    assert_non_null(c);
    c->listeners = listeners;
    c->n_listeners = n;
    assert_int_equal(config_hosts_resolve(c, &places, &hosts, &problems), 0);
    assert_int_equal(config_problems_format(&problems, &text), 0);
    if (!words ? text.len > 0 : !strstr(buf_cstr(&text), words))
        fail_msg("%s", buf_cstr(&text));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < listeners[i].address.n; k++)
            assert_int_equal(buf_printf(&all, "%s ", listeners[i].address.v[k]), 0);
    (void)str_copy(seen, sizeof(seen), buf_str(&all));
    config_problems_fini(&problems);
    config_unref(c);
}

static struct config_listener listener(const char **v, size_t n)
{
    return (struct config_listener){.name = "x", .address = {v, n}};
}

static void test_addresses(void **state)
{
    const char *one[] = {"10.0.0.1:143", "TWO.test:143", "192.0.2.1:143", "unix:/x"};
    const char *other[] = {"two.test:993"};
    const char *plain[] = {"10.0.0.1:1", "10.0.0.1:1"}; /* a fault that others tell */
    n_finds = 0;
    struct config_listener l[] = {listener(one, 4), listener(other, 1), listener(plain, 2)};
    resolve(l, 3, 1000, NULL);
    /* one look, each address once, in the order of addresses */
    assert_int_equal(n_finds, 1);
    assert_string_equal(seen, "10.0.0.1:143 192.0.2.1:143 192.0.2.2:143 [2001:db8::1]:143 "
                              "[2001:db8::2]:143 unix:/x 192.0.2.1:993 192.0.2.2:993 "
                              "[2001:db8::1]:993 [2001:db8::2]:993 10.0.0.1:1 10.0.0.1:1 ");
}

static void test_order(void **state)
{
    char first[sizeof(seen)] = "";
    for (n_finds = 0; n_finds < 4;) {
        const char *one[] = {"two.test:1"};
        struct config_listener l = listener(one, 1);
        resolve(&l, 1, 1000, NULL);
        if (!*first)
            memcpy(first, seen, sizeof(first));
        assert_string_equal(seen, first);
    }
}

static void test_trouble(void **state)
{
    const char *one[] = {"none.test:1", "10.0.0.1:1"};
    struct config_listener l = listener(one, 2);
    resolve(&l, 1, 1000,
            "main.conf: listeners[0].address: \"none.test\" has no address: nobody knows it");
    assert_string_equal(seen, "none.test:1 10.0.0.1:1 ");
    /* names that take their time are no reason to wait for all the others */
    const char *slow[] = {"slow.test:1", "two.test:1", "none.test:1"};
    l = listener(slow, 3);
    n_finds = 0;
    resolve(&l, 1, 1, "\"two.test\" has no address: it was not looked up: other names took");
    assert_int_equal(n_finds, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
