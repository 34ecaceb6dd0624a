/* SPDX-License-Identifier: ISC */
/* Addresses and networks: text both ways, kernel forms, containment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/addr.h"
#include "base/cleanup.h"

static struct addr parse(const char *text)
{
    struct addr a;
    if (addr_parse(str_of(text), &a) < 0)
        fail_msg("%s is not understood", text);
    return a;
}

static void test_parse(void **state)
{
    static const struct {
        const char *text, *shown;
        int family;
        uint16_t port;
    } cases[] = {
        {"1.2.3.4:25", "1.2.3.4:25", AF_INET, 25},
        {"1.2.3.4", "1.2.3.4:0", AF_INET, 0},
        {"0.0.0.0:65535", "0.0.0.0:65535", AF_INET, 65535},
        {"[1.2.3.4]:25", "1.2.3.4:25", AF_INET, 25},
        {"[::1]:25", "[::1]:25", AF_INET6, 25},
        {"::1", "[::1]:0", AF_INET6, 0},
        {"[2001:DB8::7]", "[2001:db8::7]:0", AF_INET6, 0},
        {"::ffff:1.2.3.4", "1.2.3.4:0", AF_INET, 0},
        {"[::ffff:1.2.3.4]:1", "1.2.3.4:1", AF_INET, 1},
        {"::", "[::]:0", AF_INET6, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[ADDR_TEXT_MAX];
        struct addr a = parse(cases[i].text), again;
        assert_int_equal(a.family, cases[i].family);
        assert_int_equal(a.port, cases[i].port);
        addr_format(text, &a);
        assert_string_equal(text, cases[i].shown);
        assert_int_equal(addr_parse(str_of(text), &again), 0);
        assert_true(addr_eq(&a, &again));
    }
}

static void test_parse_wrong(void **state)
{
    static const struct str cases[] = {
        STR(""),          STR("localhost"),     STR("1.2.3"),      STR("1.2.3.4:"),
        STR("1.2.3.4:x"), STR("1.2.3.4:65536"), STR("1.2.3.4:-1"), STR("1.2.3.256"),
        STR("[::1"),      STR("[::1]25"),       STR("[::1]:"),     STR("[]:25"),
        STR("::1::2"),    STR("1.2.3.4 "),      STR(":25"),        STR("[::1]:25:26"),
        STR("01.2.3.4"),  STR("1.2.3.4\0"),     STR("fe80::1%lo"), STR("unix:"),
        STR_NULL,
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a = {.port = 7};
        if (addr_parse(cases[i], &a) != -ERR_SYNTAX)
            fail_msg("%.*s is understood", STR_ARG(cases[i]));
        assert_int_equal(a.port, 7); /* untouched */
    }
}

static void test_kernel_forms(void **state)
{
    static const char *const texts[] = {"1.2.3.4:25", "[2001:db8::7]:143"};
    struct sockaddr_storage ss;
    struct addr again;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct addr a = parse(texts[i]);
        socklen_t n = addr_to_sockaddr(&a, &ss);
        addr_from_sockaddr(&again, (struct sockaddr *)&ss, n);
        assert_true(addr_eq(&a, &again));
        /* the kernel said less than it has to */
        addr_from_sockaddr(&again, (struct sockaddr *)&ss, n - 1);
        assert_int_equal(again.family, AF_UNSPEC);
    }
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &mapped.sin6_addr), 1);
    addr_from_sockaddr(&again, (struct sockaddr *)&mapped, sizeof(mapped));
    struct addr v4 = parse("10.0.0.1:9");
    assert_true(addr_eq(&v4, &again));
}

static void test_unix(void **state)
{
    char text[ADDR_TEXT_MAX];
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    struct sockaddr_storage ss;
    struct addr a, b = parse("127.0.0.1:1");
    struct addr_net net;
    addr_from_sockaddr(&a, (struct sockaddr *)&un, sizeof(un));
    addr_format(text, &a);
    assert_string_equal(text, "unix:");
    assert_false(addr_ip_eq(&a, &b));
    assert_int_equal(addr_net_parse(STR("unix:"), &net), 0);
    assert_true(addr_net_has(&net, &a));
    assert_false(addr_net_has(&net, &b));
    addr_net_format(text, &net);
    assert_string_equal(text, "unix:");
    assert_int_equal(addr_to_sockaddr(&a, &ss), sizeof(sa_family_t));
    assert_int_equal(ss.ss_family, AF_UNIX);
    assert_false(addr_is_loopback(&a));
}

static void test_networks(void **state)
{
    static const struct {
        const char *net, *shown, *in, *out;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"10.1.2.3", "10.1.2.3", "10.1.2.3", "10.1.2.2"},
        {"10.1.2.3/32", "10.1.2.3", "10.1.2.3", "10.1.2.4"},
        {"0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::1"},
        {"192.0.2.128/25", "192.0.2.128/25", "192.0.2.200", "192.0.2.127"},
        {"::/0", "::/0", "2001:db8::1", "1.2.3.4"},
        {"fd00::/8", "fd00::/8", "fdff::1", "fe00::1"},
        {"2001:db8::/33", "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
        {"::1", "::1", "::1", "::2"},
        {"::ffff:10.0.0.0/8", "10.0.0.0/8", "10.9.9.9", "9.9.9.9"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[ADDR_TEXT_MAX];
        struct addr_net net;
        struct addr in = parse(cases[i].in), out = parse(cases[i].out);
        assert_int_equal(addr_net_parse(str_of(cases[i].net), &net), 0);
        assert_true(addr_net_has(&net, &in));
        assert_false(addr_net_has(&net, &out));
        addr_net_format(text, &net);
        assert_string_equal(text, cases[i].shown);
    }
}

static void test_networks_wrong(void **state)
{
    static const char *const cases[] = {
        "",     "10.0.0.0/33",  "10.0.0.0/",   "10.0.0.1/8", "::1/64", "::/129",
        "10/8", "10.0.0.0/8/8", "10.0.0.0/-1", "[::1]",      "x",      "10.0.0.0:25"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr_net net = {.bits = 7};
        if (addr_net_parse(str_of(cases[i]), &net) != -ERR_SYNTAX)
            fail_msg("%s is understood", cases[i]);
        assert_int_equal(net.bits, 7);
    }
}

/* What the C library takes for an IPv4 address, and nothing else. */
static void test_v4_as_inet_pton(void **state)
{
    static const char *const texts[] = {
        "1.2.3.4",   "0.0.0.0",    "255.255.255.255", "127.0.0.10", "10.200.30.4",
        "01.2.3.4",  "1.2.3.04",   "00.0.0.0",        "256.1.1.1",  "1.2.3.999",
        "1.2.3",     "1.2.3.4.5",  "1.2.3.4.",        ".1.2.3.4",   "1..2.3",
        "1.2.3.4 ",  " 1.2.3.4",   "1.2.3.a",         "1.2.3.-4",   "1.2.3.+4",
        "1.2.3.0x4", "1234.1.1.1", "1.2.3.4/8",       "16909060",   "1.2.3.4\n",
        "",          "."};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        uint8_t ip[4];
        struct addr a;
        bool is_one = inet_pton(AF_INET, texts[i], ip) == 1;
        if ((addr_parse_ip(str_of(texts[i]), &a) == 0) != is_one)
            fail_msg("%s is judged otherwise", texts[i]);
        if (is_one) {
            assert_int_equal(a.family, AF_INET);
            assert_memory_equal(a.ip + 12, ip, sizeof(ip));
        }
    }
    struct addr a;
    assert_int_equal(addr_parse_ip(STR("1.2.3.4\0"), &a), -ERR_SYNTAX);
    assert_int_equal(addr_parse_ip(str_n("1.2.3.45", 7), &a), 0);
    assert_int_equal(a.ip[15], 4);
}

static void test_limit_key(void **state)
{
    struct addr v4 = parse("1.2.3.4:5"), v4_only = parse("1.2.3.4");
    struct addr key = addr_limit_key(&v4);
    assert_true(addr_eq(&key, &v4_only));
    struct addr v6 = parse("[2001:db8:1:2:3:4:5:6]:7"), v6_net = parse("2001:db8:1:2::");
    key = addr_limit_key(&v6);
    assert_true(addr_eq(&key, &v6_net));
}

static void test_compare(void **state)
{
    struct addr a = parse("1.2.3.4:5"), other_port = parse("1.2.3.4:6"), other = parse("1.2.3.5:5");
    assert_true(addr_ip_eq(&a, &other_port));
    assert_false(addr_eq(&a, &other_port));
    assert_false(addr_ip_eq(&a, &other));
    static const char *const local[] = {"127.0.0.1", "127.255.0.9", "::1"};
    static const char *const remote[] = {"128.0.0.1", "::2", "::", "0.0.0.0"};
    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        struct addr l = parse(local[i]);
        assert_true(addr_is_loopback(&l));
    }
    for (size_t i = 0; i < ARRAY_LEN(remote); i++) {
        struct addr r = parse(remote[i]);
        assert_false(addr_is_loopback(&r));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),           cmocka_unit_test(test_parse_wrong),
        cmocka_unit_test(test_kernel_forms),    cmocka_unit_test(test_unix),
        cmocka_unit_test(test_networks),        cmocka_unit_test(test_networks_wrong),
        cmocka_unit_test(test_limit_key),       cmocka_unit_test(test_compare),
        cmocka_unit_test(test_v4_as_inet_pton),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
