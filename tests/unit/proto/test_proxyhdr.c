/* SPDX-License-Identifier: ISC */
/* PROXY headers: the specification's examples, every cutting, and headers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/proxyhdr.h"
#include "tests/unit/proto/split.h"

#define IN(text)                                                                                   \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }
#define SIG "\r\n\r\n\0\r\nQUIT\n"

struct proxyhdr_case {
    struct str in;
    const char
        *want; /* "src dst" or "local", then what is left over; "syntax", "long" or "" (waits) */
};

struct proxyhdr_run {
    struct buf seen;
    bool is_parsed;
};

static void *header_begin(void *arg)
{
    (void)arg;
    struct proxyhdr_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    return run;
}

static size_t header_feed(void *object, struct str in)
{
    struct proxyhdr_run *run = object;
    struct proxyhdr h;
    size_t used;
    char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];
    if (run->is_parsed) { /* the rest is the client's */
        assert_int_equal(buf_printf(&run->seen, "%.*s", STR_ARG(in)), 0);
        return in.n;
    }
    int r = proxyhdr_parse(in, &h, &used);
    if (r == -ERR_AGAIN)
        return 0;
    if (r < 0) {
        assert_true(r == -ERR_SYNTAX || r == -ERR_TOO_LONG);
        assert_int_equal(buf_append_c(&run->seen, r == -ERR_SYNTAX ? "syntax" : "long"), 0);
        return SPLIT_STOP;
    }
    run->is_parsed = true;
    addr_format(src, &h.src);
    addr_format(dst, &h.dst);
    if (h.is_local)
        assert_int_equal(buf_append_c(&run->seen, "local "), 0);
    else
        assert_int_equal(buf_printf(&run->seen, "%s %s ", src, dst), 0);
    return used;
}

static void header_end(void *object, void *arg, const char *how)
{
    struct proxyhdr_run *run = object;
    const struct proxyhdr_case *c = arg;
    if (!str_eq(buf_str(&run->seen), str_of(c->want)))
        fail_msg("%s: want \"%s\", got \"%.*s\"", how, c->want, STR_ARG(buf_str(&run->seen)));
    buf_fini(&run->seen);
    free(run);
}

static void run_cases(struct proxyhdr_case *cases, size_t n)
{
    const struct split_ops ops = {header_begin, header_feed, header_end};
    for (size_t i = 0; i < n; i++)
        split_run(&ops, &cases[i], cases[i].in);
}

static void test_v1(void **state)
{
    static struct proxyhdr_case cases[] = {
        /* proxy-protocol.txt section 2.1 */
        {IN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
         "255.255.255.255:65535 255.255.255.255:65535 "},
        {IN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 "
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 "},
        {IN("PROXY UNKNOWN\r\nEHLO"), "local EHLO"},
        {IN("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "local "},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 56324 993\r\na LOGIN\r\n"),
         "192.0.2.1:56324 198.51.100.2:993 a LOGIN\r\n"},
        {IN("PROXY TCP6 2001:db8::1 ::1 0 1\r\n"), "[2001:db8::1]:0 [::1]:1 "},
        {IN("PROXY "), ""},
        {IN("PROXY TCP4 192.0.2.1"), ""},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 56324 993\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 56324 993 1\r\n"), "syntax"},
        {IN("PROXY TCP4  192.0.2.1 198.51.100.2 56324 993\r\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 056 993\r\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 65536 993\r\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.1 198.51.100.2 -1 993\r\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.256 198.51.100.2 1 993\r\n"), "syntax"},
        {IN("PROXY TCP4 2001:db8::1 ::1 1 993\r\n"), "syntax"},
        {IN("PROXY TCP4 192.0.2.1:25 198.51.100.2 1 993\r\n"), "syntax"},
        {IN("PROXY TCP6 [::1] ::1 1 993\r\n"), "syntax"},
        {IN("PROXY TCP6 192.0.2.1 ::1 1 993\r\n"), "syntax"},
        {IN("PROXY UDP4 192.0.2.1 198.51.100.2 1 993\r\n"), "syntax"},
        {IN("PROXY \r\n"), "syntax"},
        {IN("PROXY\r\n"), "syntax"},
        {IN("proxy UNKNOWN\r\n"), "syntax"},
        {IN("EHLO x\r\n"), "syntax"},
        {IN("PROXY UNKNOWN "
            "90123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
            "567890123456\r\n"),
         "long"},
        {IN("PROXY UNKNOWN "
            "56789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
            "12345\r\n"),
         "local "},
    };
    run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

#define V4_BODY "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x03\xe1"
#define V6_BODY                                                                                    \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04" \
    "\x03\xe1"
#define V4_WANT "192.0.2.1:56324 198.51.100.2:993 "
/* computed by an independent program */
#define V4_WHOLE SIG "\x21\x11\x00\x13" V4_BODY "\x03\x00\x04\x83\x48\x73\x3a"
#define V6_WHOLE                                                                                   \
    SIG "\x21\x21\x00\x50" V6_BODY "\x02\x00\x0a"                                                  \
        "mx.example"                                                                               \
        "\x20\x00\x15\x03\x00\x00\x00\x00"                                                         \
        "\x21\x00\x07"                                                                             \
        "TLSv1.3"                                                                                  \
        "\x23\x00\x03"                                                                             \
        "AES"                                                                                      \
        "\x03\x00\x04\x33\x58\x57\xfd"
#define LOCAL_WHOLE SIG "\x20\x00\x00\x07\x03\x00\x04\xa9\xb8\x7e\x8f"

static void test_v2(void **state)
{
    static struct proxyhdr_case cases[] = {
        {IN(SIG "\x21\x11\x00\x0c" V4_BODY "QUIT"), V4_WANT "QUIT"},
        {IN(SIG "\x21\x21\x00\x24" V6_BODY), "[2001:db8::1]:56324 [2001:db8::2]:993 "},
        {IN(V4_WHOLE "x"), V4_WANT "x"},
        {IN(V6_WHOLE "x"), "[2001:db8::1]:56324 [2001:db8::2]:993 x"},
        {IN(LOCAL_WHOLE "x"), "local x"},
        {IN(SIG "\x20\x11\x00\x02??rest"), "local rest"},
        {IN(SIG "\x21\x00\x00\x00rest"), "local rest"},
        {IN(SIG "\x21\x11\x00\x0f" V4_BODY "\x04\x00\x00"), V4_WANT},
        {IN("\r\n\r\n"), ""},
        {IN(SIG "\x21\x11\x00\x0c"
                "abc"),
         ""},
        /* a v4 address in v6 clothes is a v4 address */
        {IN(SIG "\x21\x21\x00\x24"
                "\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04"
                "\0\0\0\0\0\0\0\0\0\0\xff\xff\x05\x06\x07\x08"
                "\x00\x01\x00\x02"),
         "1.2.3.4:1 5.6.7.8:2 "},
        {IN(SIG "\x31\x11\x00\x0c" V4_BODY), "syntax"},
        {IN(SIG "\x22\x11\x00\x0c" V4_BODY), "syntax"},
        {IN(SIG "\x21\x12\x00\x0c" V4_BODY), "syntax"},
        {IN(SIG "\x21\x41\x00\x0c" V4_BODY), "syntax"},
        {IN(SIG "\x21\x11\x00\x0b" V4_BODY), "syntax"},
        {IN(SIG "\x21\x21\x00\x0c" V4_BODY), "syntax"},
        {IN(SIG "\x21\x11\x00\x0e" V4_BODY "\x04\x00"), "syntax"},
        {IN(SIG "\x21\x11\x00\x0f" V4_BODY "\x04\x00\x01"), "syntax"},
        {IN(SIG "\x21\x11\x00\x13" V4_BODY "\x03\x00\x04\x83\x48\x73\x3b"), "syntax"},
        {IN(SIG "\x21\x11\x00\x11" V4_BODY "\x03\x00\x02\x83\x48"), "syntax"},
        {IN(SIG "\x21\x11\x02\x09"), "long"},
        {IN("\r\n\r\nx"), "syntax"},
        {IN("\r\n\r\n\r\n"), "syntax"},
    };
    run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

/* The longest header that is taken: 520 bytes after the head. */
static void test_v2_longest(void **state)
{
    char bytes[PROXYHDR_MAX] = SIG "\x21\x11\x02\x08" V4_BODY "\x04\x01\xf9";
    struct proxyhdr_case c = {{bytes, sizeof(bytes)}, V4_WANT};
    run_cases(&c, 1);
}

static struct proxyhdr make(const char *src, const char *dst)
{
    struct proxyhdr h = {0};
    assert_int_equal(addr_parse(str_of(src), &h.src), 0);
    assert_int_equal(addr_parse(str_of(dst), &h.dst), 0);
    return h;
}

static void assert_v1(const struct proxyhdr *h, const char *want)
{
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(proxyhdr_build_v1(h, &out), 0);
    assert_string_equal(buf_cstr(&out), want);
}

static void test_build_v1(void **state)
{
    struct proxyhdr h = make("192.0.2.1:56324", "198.51.100.2:993");
    assert_v1(&h, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 993\r\n");
    h = make("[2001:db8::1]:1", "[::1]:2");
    assert_v1(&h, "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
    h = make("192.0.2.1:1", "[::1]:2");
    assert_v1(&h, "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
    h.src.family = AF_UNIX;
    assert_v1(&h, "PROXY UNKNOWN\r\n");
    h = (struct proxyhdr){.is_local = true};
    assert_v1(&h, "PROXY UNKNOWN\r\n");
}

static void assert_v2(const struct proxyhdr *h, struct str want)
{
    AUTO_BUF out = BUF_INIT;
    struct proxyhdr back;
    size_t used;
    assert_int_equal(proxyhdr_build_v2(h, &out), 0);
    assert_int_equal(out.len, want.n);
    assert_memory_equal(buf_str(&out).p, want.p, want.n);
    assert_int_equal(proxyhdr_parse(buf_str(&out), &back, &used), 0);
    assert_int_equal(used, want.n);
}

static void test_build_v2(void **state)
{
    const struct str v4 = IN(V4_WHOLE), v6 = IN(V6_WHOLE), local = IN(LOCAL_WHOLE);
    struct proxyhdr h = make("192.0.2.1:56324", "198.51.100.2:993");
    assert_v2(&h, v4);
    h = make("[2001:db8::1]:56324", "[2001:db8::2]:993");
    h.sni = "mx.example";
    h.tls_version = "TLSv1.3";
    h.tls_cipher = "AES";
    h.has_client_cert = h.is_client_cert_verified = true;
    assert_v2(&h, v6);
    h = (struct proxyhdr){.is_local = true};
    assert_v2(&h, local);
}

/* Flags of the TLS value, and names that are too long to be sent. */
static void test_build_v2_tls(void **state)
{
    char longest[300];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    struct proxyhdr h = make("192.0.2.1:1", "198.51.100.2:2");
    h.tls_version = "TLSv1.2";
    h.sni = longest;
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(proxyhdr_build_v2(&h, &out), 0);
    const struct str want = IN("\x20\x00\x0f\x01\x00\x00\x00\x01\x21\x00\x07"
                               "TLSv1.2\x03\x00\x04");
    assert_memory_equal(buf_str(&out).p + 28, want.p, want.n);
    assert_int_equal(out.len, 28 + want.n + 4);
    buf_clear(&out);
    h.has_client_cert = true; /* but not verified */
    assert_int_equal(proxyhdr_build_v2(&h, &out), 0);
    assert_memory_equal(buf_str(&out).p + 31, "\x03\x00\x00\x00\x01", 5);
    buf_clear(&out);
    longest[255] = '\0';
    h.tls_cipher = longest + 255 - 64;
    assert_int_equal(proxyhdr_build_v2(&h, &out), 0);
    struct proxyhdr back;
    size_t used;
    assert_int_equal(proxyhdr_parse(buf_str(&out), &back, &used), 0);
    assert_int_equal(used, 28 + 3 + 255 + 3 + 5 + 10 + 3 + 64 + 7);
    /* a UNIX peer has no address, but what is known about TLS goes along */
    buf_clear(&out);
    h.src.family = AF_UNIX;
    h.sni = h.tls_cipher = NULL;
    assert_int_equal(proxyhdr_build_v2(&h, &out), 0);
    assert_memory_equal(buf_str(&out).p + 12, "\x21\x00\x00\x19\x20\x00\x0f", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1),         cmocka_unit_test(test_v2),
        cmocka_unit_test(test_v2_longest), cmocka_unit_test(test_build_v1),
        cmocka_unit_test(test_build_v2),   cmocka_unit_test(test_build_v2_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
