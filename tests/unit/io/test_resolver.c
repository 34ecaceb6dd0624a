/* SPDX-License-Identifier: ISC */
/* The resolver against a name server of the test: both families, the cache, failures, silence,
 * forward-confirmed names, and the hosts file. */
#include "dns_case.h"

#include <sys/stat.h>

#include "base/buf.h"
#include "io/resolver.h"
#include "io/resolver_hosts.h"
#include "io/resolver_set.h"

static struct loop *loop;
static struct dns_case dns;
static struct resolver *resolver;

/* So many letters are never all lower case by chance. */
#define LONG_NAME "a-long-name-with-more-letters-than-chance.has-to-do-with-it.test"

static const struct dns_case_row rows[] = {
    {.name = "both.test", .type = DNS_CASE_A, .value = "192.0.2.1"},
    {.name = "both.test", .type = DNS_CASE_A, .value = "192.0.2.2"},
    {.name = "both.test", .type = DNS_CASE_AAAA, .value = "2001:db8::1"},
    {.name = "v6.test", .type = DNS_CASE_AAAA, .value = "2001:db8::6"},
    {.name = "broken.test", .type = DNS_CASE_A, .code = DNS_CASE_SERVFAIL},
    {.name = "broken.test", .type = DNS_CASE_AAAA, .code = DNS_CASE_SERVFAIL},
    {.name = "silent.test", .type = DNS_CASE_A, .is_silent = true},
    {.name = "silent.test", .type = DNS_CASE_AAAA, .is_silent = true},
    {.name = "half.test", .type = DNS_CASE_A, .value = "192.0.2.9"},
    {.name = "half.test", .type = DNS_CASE_AAAA, .is_silent = true},
    /* a name that points back, one that does not, and those that are none */
    {.name = "1.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "both.test"},
    {.name = "3.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "both.test"},
    {.name = "4.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "absent.test"},
    {.name = "5.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "a b.test"},
    {.name = "6.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "x[y]@z.test"},
    {.name = "7.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "evil\r\nx.test"},
    {.name = "8.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .code = DNS_CASE_SERVFAIL},
    {.name = "9.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "broken.test"},
    {.name = "10.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .is_silent = true},
    {.name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
     .type = DNS_CASE_PTR,
     .value = "both.test"},
    {.name = LONG_NAME, .type = DNS_CASE_A, .value = "192.0.2.20"},
    {.name = "11.2.0.192.in-addr.arpa",
     .type = DNS_CASE_PTR,
     .value = "both.test",
     .is_dname = true},
};
/* Another name server's. */
static const struct dns_case_row other_rows[] = {
    {.name = "both.test", .type = DNS_CASE_A, .value = "198.51.100.1"},
    {.name = "silent.test", .type = DNS_CASE_A, .value = "198.51.100.2"},
    {.name = "10.2.0.192.in-addr.arpa", .type = DNS_CASE_PTR, .value = "client.test"},
    {.name = "client.test", .type = DNS_CASE_A, .value = "192.0.2.10"},
};

static void make(const struct resolver_spec *spec)
{
    const char *servers[] = {dns.text, NULL};
    struct resolver_spec s = *spec;
    s.name_servers = servers;
    resolver_free(resolver);
    resolver = NULL;
    assert_int_equal(resolver_new(loop, &s, &resolver), 0);
}

static int setup(void **state)
{
    if (loop_new(NULL, &loop) != 0)
        return -1;
    dns_case_start(&dns, loop, rows, ARRAY_LEN(rows));
    resolver = NULL;
    make(&(struct resolver_spec){0});
    return 0;
}

static int teardown(void **state)
{
    resolver_free(resolver);
    io_case_idle(loop, 5); /* what evdns has to say at its end */
    dns_case_stop(&dns);
    loop_free(loop);
    return 0;
}

/* ---- one question ---- */

struct answer {
    bool is_here;
    int err;
    char text[256]; /* "address address", or a name */
};

static void on_addrs(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct answer *a = arg;
    AUTO_BUF text = BUF_INIT;
    assert_false(a->is_here);
    a->is_here = true;
    a->err = err;
    assert_true(err != 0 ? n == 0 : n > 0);
    for (size_t i = 0; i < n; i++) {
        char one[ADDR_TEXT_MAX];
        assert_int_equal(addrs[i].port, 0);
        addr_format_ip(one, &addrs[i]);
        assert_int_equal(buf_printf(&text, "%s%s", i ? " " : "", one), 0);
    }
    (void)str_copy(a->text, sizeof(a->text), buf_str(&text));
}

static void on_name(void *arg, int err, const char *name)
{
    struct answer *a = arg;
    assert_false(a->is_here);
    assert_int_equal(name == NULL, err != 0);
    a->is_here = true;
    a->err = err;
    (void)str_copy(a->text, sizeof(a->text), str_of(name));
}

static struct answer lookup(const char *host)
{
    struct answer a = {0};
    assert_non_null(resolver_lookup(resolver, host, on_addrs, &a));
    assert_false(a.is_here); /* never inside of the call */
    io_case_run(loop, io_case_is_true, &a.is_here);
    return a;
}

static struct answer reverse(const char *ip)
{
    struct answer a = {0};
    struct addr addr;
    assert_int_equal(addr_parse(str_of(ip), &addr), 0);
    assert_non_null(resolver_reverse(resolver, &addr, on_name, &a));
    assert_false(a.is_here);
    io_case_run(loop, io_case_is_true, &a.is_here);
    return a;
}

static void expect(struct answer a, int err, const char *text)
{
    if (a.err != err || strcmp(a.text, text) != 0)
        fail_msg("%s \"%s\" instead of %s \"%s\"", err_name(a.err), a.text, err_name(err), text);
}

/* ---- names to addresses ---- */

static void test_lookup(void **state)
{
    expect(lookup("both.test"), 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    expect(lookup("v6.test"), 0, "2001:db8::6");
    expect(lookup("absent.test"), -ERR_DNS, "");
    expect(lookup("broken.test"), -ERR_TIMEOUT, "");
    expect(lookup(""), -ERR_DNS, "");
}

static void test_families(void **state)
{
    make(&(struct resolver_spec){.is_ipv6_off = true});
    expect(lookup("both.test"), 0, "192.0.2.1 192.0.2.2");
    expect(lookup("v6.test"), -ERR_DNS, "");
    make(&(struct resolver_spec){.is_ipv4_off = true});
    expect(lookup("both.test"), 0, "2001:db8::1");
}

static void test_numeric(void **state)
{
    expect(lookup("192.0.2.77"), 0, "192.0.2.77");
    expect(lookup("2001:db8::77"), 0, "2001:db8::77");
    expect(lookup("[2001:db8::77]"), 0, "2001:db8::77");
    assert_int_equal(dns.n_queries, 0);
}

static void test_cache(void **state)
{
    expect(lookup("both.test"), 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    assert_int_equal(dns.n_queries, 2);
    expect(lookup("BOTH.test"), 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    assert_int_equal(dns.n_queries, 2);
    /* a definite no is believed for a moment, trouble is not */
    expect(lookup("absent.test"), -ERR_DNS, "");
    expect(lookup("absent.test"), -ERR_DNS, "");
    assert_int_equal(dns.n_queries, 4);
    expect(lookup("broken.test"), -ERR_TIMEOUT, "");
    unsigned before = dns.n_queries;
    expect(lookup("broken.test"), -ERR_TIMEOUT, "");
    assert_true(dns.n_queries > before);
}

static void test_expiry(void **state)
{
    make(&(struct resolver_spec){.valid_ms = 30});
    expect(lookup("v6.test"), 0, "2001:db8::6");
    unsigned before = dns.n_queries;
    io_case_idle(loop, 60);
    expect(lookup("v6.test"), 0, "2001:db8::6");
    assert_int_equal(dns.n_queries, 2 * before);
}

/* Many that ask at once are one question. */
static void test_joined(void **state)
{
    struct answer a[20] = {0};
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        assert_non_null(resolver_lookup(resolver, "both.test", on_addrs, &a[i]));
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        io_case_run(loop, io_case_is_true, &a[i].is_here);
        expect(a[i], 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    }
    assert_int_equal(dns.n_queries, 2);
}

static void test_silence(void **state)
{
    make(&(struct resolver_spec){.timeout_ms = 400});
    uint64_t before_ms = clock_ms();
    expect(lookup("silent.test"), -ERR_TIMEOUT, "");
    uint64_t took_ms = clock_ms() - before_ms;
    assert_true(took_ms >= 300 && took_ms < 5000);
    /* one family is better than none */
    expect(lookup("half.test"), 0, "192.0.2.9");
}

static void test_cancel(void **state)
{
    struct answer never = {0}, also_never = {0}, a = {0};
    struct resolver_query *q = resolver_lookup(resolver, "both.test", on_addrs, &never);
    assert_non_null(resolver_lookup(resolver, "both.test", on_addrs, &a));
    resolver_cancel(q);
    resolver_cancel(NULL);
    resolver_cancel(resolver_lookup(resolver, "192.0.2.1", on_addrs, &also_never)); /* an answer */
    io_case_run(loop, io_case_is_true, &a.is_here);
    assert_false(never.is_here || also_never.is_here);
    /* the end of the resolver ends what is pending */
    assert_non_null(resolver_lookup(resolver, "silent.test", on_addrs, &never));
    assert_non_null(resolver_lookup(resolver, "v6.test", on_addrs, &never));
    resolver_free(resolver);
    resolver = NULL;
    io_case_idle(loop, 30);
    assert_false(never.is_here);
    resolver_free(NULL);
}

/* Whoever is called back may ask again, or end the resolver. */
static void on_addrs_free(void *arg, int err, const struct addr *addrs, size_t n)
{
    (void)err;
    (void)addrs;
    (void)n;
    resolver_free(resolver);
    resolver = NULL;
    *(bool *)arg = true;
}

static void test_free_in_callback(void **state)
{
    bool is_called = false;
    struct answer never = {0};
    assert_non_null(resolver_lookup(resolver, "both.test", on_addrs_free, &is_called));
    assert_non_null(resolver_lookup(resolver, "both.test", on_addrs, &never));
    io_case_run(loop, io_case_is_true, &is_called);
    io_case_idle(loop, 10);
    assert_false(never.is_here);
}

/* ---- addresses to names ---- */

static void test_reverse(void **state)
{
    expect(reverse("192.0.2.1"), 0, "both.test");
    expect(reverse("2001:db8::1"), 0, "both.test");
    expect(reverse("192.0.2.3"), -ERR_NOT_FOUND, ""); /* both.test is somewhere else */
    expect(reverse("192.0.2.4"), -ERR_NOT_FOUND, ""); /* a name that is not there */
    expect(reverse("192.0.2.5"), -ERR_NOT_FOUND, "");
    expect(reverse("192.0.2.6"), -ERR_NOT_FOUND, "");
    expect(reverse("192.0.2.7"), -ERR_NOT_FOUND, "");
    expect(reverse("192.0.2.99"), -ERR_NOT_FOUND, "");
    expect(reverse("192.0.2.8"), -ERR_TIMEOUT, "");
    expect(reverse("192.0.2.9"), -ERR_TIMEOUT, ""); /* cannot be confirmed now */
}

static void test_reverse_cache(void **state)
{
    expect(reverse("192.0.2.1"), 0, "both.test");
    unsigned before = dns.n_queries;
    expect(reverse("192.0.2.1"), 0, "both.test");
    assert_int_equal(dns.n_queries, before);
    make(&(struct resolver_spec){.timeout_ms = 400});
    expect(reverse("192.0.2.10"), -ERR_TIMEOUT, "");
}

static void test_reverse_unix(void **state)
{
    struct answer a = {0};
    struct addr addr = {.family = AF_UNIX};
    assert_non_null(resolver_reverse(resolver, &addr, on_name, &a));
    io_case_run(loop, io_case_is_true, &a.is_here);
    expect(a, -ERR_NOT_FOUND, "");
}

static void test_bad_server(void **state)
{
    const char *servers[] = {"name.example.org", NULL};
    struct resolver *r = NULL;
    assert_int_equal(resolver_new(loop, &(struct resolver_spec){.name_servers = servers}, &r),
                     -ERR_SYNTAX);
    assert_null(r);
}

/* libevent says "no data" for a DNAME alone as for no record at all. */
static void test_reverse_dname(void **state)
{
    expect(reverse("192.0.2.11"), -ERR_NOT_FOUND, "");
}

/* ---- letters ---- */

static void test_letters(void **state)
{
    expect(lookup(LONG_NAME), 0, "192.0.2.20");
    assert_int_equal(dns.n_mixed, 2); /* A and AAAA */
    make(&(struct resolver_spec){.is_case_kept = true});
    expect(lookup(LONG_NAME), 0, "192.0.2.20");
    assert_int_equal(dns.n_mixed, 2);
}

/* ---- other name servers ---- */

/* What is known is forgotten, what is open is asked again, of the new ones. */
static void test_configure(void **state)
{
    struct dns_case other;
    struct answer open = {0}, also_open = {0}, open_name = {0}, never = {0};
    struct addr addr;
    dns_case_start(&other, loop, other_rows, ARRAY_LEN(other_rows));
    const char *one[] = {dns.text, NULL}, *two[] = {other.text, NULL}, *bad[] = {"x", NULL};
    const struct resolver_spec same = {.name_servers = one}, next = {.name_servers = two},
                               wrong = {.name_servers = bad};
    expect(lookup("both.test"), 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    assert_int_equal(addr_parse(STR("192.0.2.10"), &addr), 0);
    assert_non_null(resolver_lookup(resolver, "silent.test", on_addrs, &open));
    assert_non_null(resolver_lookup(resolver, "silent.test", on_addrs, &also_open));
    assert_non_null(resolver_reverse(resolver, &addr, on_name, &open_name));
    resolver_cancel(resolver_lookup(resolver, "v6.test", on_addrs, &never));
    assert_int_equal(resolver_configure(resolver, &wrong), -ERR_SYNTAX);
    assert_int_equal(resolver_configure(resolver, &same), 0);
    assert_true(resolver_is_like(resolver, &same) && !resolver_is_like(resolver, &next));
    expect(lookup("both.test"), 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    assert_false(open.is_here || resolver_is_idle(resolver));
    assert_int_equal(resolver_configure(resolver, &next), 0);
    assert_true(resolver_is_like(resolver, &next));
    io_case_run(loop, io_case_is_true, &open.is_here);
    io_case_run(loop, io_case_is_true, &also_open.is_here);
    io_case_run(loop, io_case_is_true, &open_name.is_here);
    expect(open, 0, "198.51.100.2");
    expect(also_open, 0, "198.51.100.2");
    expect(open_name, 0, "client.test");
    expect(lookup("both.test"), 0, "198.51.100.1");
    assert_true(resolver_is_idle(resolver) && !never.is_here);
    /* questions of the first one's end with it */
    assert_non_null(resolver_lookup(resolver, "never.test", on_addrs, &never));
    assert_int_equal(resolver_configure(resolver, &same), 0);
    resolver_free(resolver);
    resolver = NULL;
    io_case_idle(loop, 10);
    dns_case_stop(&other);
}

/* One for each specification; those that nobody wants and nobody waits for go. */
static void test_set(void **state)
{
    struct dns_case other;
    dns_case_start(&other, loop, other_rows, ARRAY_LEN(other_rows));
    const char *one[] = {dns.text, NULL}, *two[] = {other.text, NULL},
               *both[] = {dns.text, other.text, NULL};
    const struct resolver_spec specs[] = {{.name_servers = one},
                                          {.name_servers = two},
                                          {.name_servers = one, .is_ipv6_off = true},
                                          {.name_servers = one, .timeout_ms = 400},
                                          {.name_servers = both},
                                          {.timeout_ms = 300},
                                          {0}};
    struct resolver_set *set;
    struct resolver *r[ARRAY_LEN(specs)], *again;
    assert_int_equal(resolver_set_new(loop, &specs[0], &set), 0);
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        assert_int_equal(resolver_set_get(set, &specs[i], &r[i]), 0);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(r[k], r[i]);
        assert_int_equal(resolver_set_get(set, &specs[i], &again), 0);
        assert_ptr_equal(again, r[i]);
    }
    assert_ptr_equal(resolver_set_first(set), r[0]);
    struct answer a = {0}, late = {0};
    assert_non_null(resolver_lookup(r[1], "both.test", on_addrs, &a));
    io_case_run(loop, io_case_is_true, &a.is_here);
    expect(a, 0, "198.51.100.1");
    /* the first is another now; [1] is wanted, [3] is asked something */
    assert_non_null(resolver_lookup(r[3], "v6.test", on_addrs, &late));
    const struct resolver_spec next[] = {specs[4], specs[1]};
    assert_int_equal(resolver_set_configure(set, next, 2), 0);
    assert_ptr_equal(resolver_set_first(set), r[0]);
    assert_int_equal(resolver_set_get(set, &specs[4], &again), 0);
    assert_ptr_equal(again, r[0]);
    assert_int_equal(resolver_set_get(set, &specs[1], &again), 0);
    assert_ptr_equal(again, r[1]);
    assert_int_equal(resolver_set_get(set, &specs[3], &again), 0);
    assert_ptr_equal(again, r[3]);
    io_case_run(loop, io_case_is_true, &late.is_here);
    expect(late, 0, "2001:db8::6");
    resolver_set_free(set);
    resolver_set_free(NULL);
    const char *bad[] = {"x", NULL};
    assert_int_equal(resolver_set_new(loop, &(struct resolver_spec){.name_servers = bad}, &set),
                     -ERR_SYNTAX);
    io_case_idle(loop, 10);
    dns_case_stop(&other);
}

/* ---- the hosts file ---- */

static void hosts_expect(struct resolver_hosts *h, uint64_t now_ms, const char *name,
                         const char *want)
{
    AUTO_BUF v4 = BUF_INIT;
    AUTO_BUF v6 = BUF_INIT;
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(resolver_hosts_find(h, now_ms, str_of(name), &v4, &v6), 0);
    const struct buf *bufs[] = {&v4, &v6};
    for (size_t b = 0; b < 2; b++)
        for (size_t at = 0; at < bufs[b]->len; at += sizeof(struct addr)) {
            struct addr a;
            char one[ADDR_TEXT_MAX];
            memcpy(&a, buf_str(bufs[b]).p + at, sizeof(a));
            addr_format_ip(one, &a);
            assert_int_equal(buf_printf(&text, "%s ", one), 0);
        }
    assert_string_equal(buf_cstr(&text), want);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_hosts(void **state)
{
    char folder[] = "/tmp/mailproxy-hosts-XXXXXX", path[64];
    struct resolver_hosts *h;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/hosts", folder);
    assert_int_equal(resolver_hosts_new(path, &h), 0);
    hosts_expect(h, 10000, "one", ""); /* no file: an empty one */
    write_file(path, "# comment\n"
                     "192.0.2.1\tone One.example # two\n"
                     "  2001:db8::1 one\r\n"
                     "192.0.2.1:25 one\n"
                     "nonsense one\n"
                     "192.0.2.2\n"
                     "192.0.2.3 one\n"
                     "\n192.0.2.4 last");
    hosts_expect(h, 20000, "one", "192.0.2.1 192.0.2.3 2001:db8::1 ");
    hosts_expect(h, 20000, "ONE.EXAMPLE", "192.0.2.1 ");
    hosts_expect(h, 20000, "last", "192.0.2.4 ");
    hosts_expect(h, 20000, "two", "");
    hosts_expect(h, 20000, "192.0.2.2", "");
    write_file(path, "192.0.2.50 one\n");
    hosts_expect(h, 20001, "last", "192.0.2.4 "); /* looked at from time to time only */
    hosts_expect(h, 30000, "one", "192.0.2.50 ");
    hosts_expect(h, 30000, "last", "");
    (void)remove(path);
    hosts_expect(h, 40000, "one", "");
    assert_int_equal(resolver_hosts_find(h, 40000, STR("one"), NULL, NULL), 0);
    resolver_hosts_free(h);
    resolver_hosts_free(NULL);
    (void)remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_families, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numeric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_in_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reverse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reverse_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reverse_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reverse_dname, setup, teardown),
        cmocka_unit_test_setup_teardown(test_letters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_server, setup, teardown),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
