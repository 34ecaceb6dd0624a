/* SPDX-License-Identifier: ISC */
/* The filter language: what it finds, and the sentences for what it does not understand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "proto/filter.h"

enum { F_USER, F_PROTO, F_IP, F_BACKEND, F_IDLE, F_AGE, F_IN, F_TLS, F_ATTEMPTS, F_PHASE, F_POOL };

/* What the protocol can be. */
static const char *proto_word(int id, size_t i)
{
    static const char *const words[] = {"imap", "pop3"};
    assert_int_equal(id, F_PROTO);
    return i < 2 ? words[i] : NULL;
}

/* A backend is one of a pool. */
static int within(int id)
{
    return id == F_BACKEND ? F_POOL : -1;
}

static const struct filter_field fields[] = {
    {"user", NULL, FILTER_TEXT, F_USER, NULL, NULL},
    {"proto", "protocol", FILTER_TEXT, F_PROTO, proto_word, NULL},
    {"ip", NULL, FILTER_IP, F_IP, NULL, NULL},
    {"backend", NULL, FILTER_TEXT, F_BACKEND, NULL, within},
    {"idle", NULL, FILTER_DURATION, F_IDLE, NULL, NULL},
    {"age", NULL, FILTER_DURATION, F_AGE, NULL, NULL},
    {"in", NULL, FILTER_SIZE, F_IN, NULL, NULL},
    {"tls", NULL, FILTER_BOOL, F_TLS, NULL, NULL},
    {"attempts", NULL, FILTER_NUMBER, F_ATTEMPTS, NULL, NULL},
    {"phase", NULL, FILTER_TEXT, F_PHASE, NULL, NULL},
    {"pool", NULL, FILTER_TEXT, F_POOL, NULL, NULL},
};

struct row {
    const char *user, *proto, *backend, *phase, *pool;
    const char *ip;
    uint64_t idle_ms, age_ms, in_bytes, attempts;
    bool is_tls;
};

static bool get_text(const char *text, struct filter_value *ret)
{
    ret->text = str_of(text);
    return text != NULL;
}

static bool get(const void *p, int id, struct filter_value *ret)
{
    static struct addr addr;
    const struct row *row = p;
    switch (id) {
    case F_USER:
        return get_text(row->user, ret);
    case F_PROTO:
        return get_text(row->proto, ret);
    case F_BACKEND:
        return get_text(row->backend, ret);
    case F_PHASE:
        return get_text(row->phase, ret);
    case F_POOL:
        return get_text(row->pool, ret);
    case F_IP:
        ret->addr = &addr;
        return row->ip && addr_parse(str_of(row->ip), &addr) == 0;
    case F_IDLE:
        ret->number = row->idle_ms;
        return true;
    case F_AGE:
        ret->number = row->age_ms;
        return true;
    case F_IN:
        ret->number = row->in_bytes;
        return true;
    case F_ATTEMPTS:
        ret->number = row->attempts;
        return true;
    default:
        ret->yes = row->is_tls;
        return true;
    }
}

static const struct row row_a = {.user = "Alice@Example.org",
                                 .proto = "imap",
                                 .backend = "b1",
                                 .phase = "idle",
                                 .pool = "main",
                                 .ip = "10.1.2.3",
                                 .idle_ms = 31 * 60000,
                                 .age_ms = 25 * 3600000,
                                 .in_bytes = 2 << 20,
                                 .attempts = 3,
                                 .is_tls = true};
static const struct row row_n = {.proto = "pop3", .ip = "2001:db8::7"};

struct match_case {
    const char *text;
    bool a, n; /* row_a, row_n */
};

static void check_matches(const struct match_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct filter *f = NULL;
        AUTO_FREE char *error = NULL;
        if (filter_parse(str_of(cases[i].text), fields, ARRAY_LEN(fields), &f, &error) != 0)
            fail_msg("\"%s\": %s", cases[i].text, error);
        if (filter_match(f, get, &row_a) != cases[i].a ||
            filter_match(f, get, &row_n) != cases[i].n)
            fail_msg("\"%s\": wrong match", cases[i].text);
        assert_int_equal(filter_is_empty(f), str_trim(str_of(cases[i].text)).n == 0);
        filter_unref(f);
    }
}

static void test_texts(void **state)
{
    static const struct match_case cases[] = {
        {"", true, true},
        {" \t ", true, true},
        {"user=*@example.org", true, false},
        {"USER=alice@example.org", true, false},
        {"user=alice", false, false},
        {"backend=main/b1", true, false},
        {"backend==main/b1", true, false},
        {"backend=\"main/b1\"", true, false},
        {"backend=m*/b?", true, false},
        {"backend==m*/b1", false, false},
        {"backend=other/b1", false, false},
        {"backend=main/b2", false, false},
        {"backend=other/b1,main/b1", true, false},
        {"backend=/b1", false, false},
        {"backend=main/", false, false},
        {"!backend==main/b1", false, true},
        {"pool=main/b1", false, false},
        {"user=alice*", true, false},
        {"!user=alice*", false, true},
        {"user!=alice*", false, true},
        {"!user!=alice*", true, false},
        {"user==ALICE@example.org", true, false},
        {"user==alice*", false, false}, /* as it is, without wildcards */
        {"user==?lice@example.org,bob", false, false},
        {"!user==bob", true, true},
        {"idle==31m", true, false},
        {"user=", false, true},
        {"!user=", true, false},
        {"user=?lice@*", true, false},
        {"user=bob,alice@example.org", true, false},
        {"user=\"bob\",\"alice@example.org\"", true, false},
        {"user=\"a b\"", false, false},
        {"user=\"alice\\@example.org\"", true, false},
        {"proto=imap,pop3", true, true},
        {"proto=IMA*,p?p3", true, true},
        {"proto==Pop3", false, true},
        {"proto=imap proto=pop3", false, false},
        {"protocol=pop3", false, true},
    };
    check_matches(cases, ARRAY_LEN(cases));
}

static void test_amounts(void **state)
{
    static const struct match_case cases[] = {
        {"ip=10.0.0.0/8", true, false},
        {"ip=10.1.2.3", true, false},
        {"!ip=10.0.0.0/8", false, true},
        {"ip=2001:db8::/32,10.1.2.4", false, true},
        {"ip=0.0.0.0/0", true, false},
        {"idle>30m", true, false},
        {"idle>31m", false, false},
        {"idle>=31m", true, false},
        {"idle<31m", false, true},
        {"idle<=31m", true, true},
        {"idle=31m", true, false},
        {"idle=0", false, true},
        {"idle!=0", true, false},
        {"age>1d", true, false},
        {"in>1m in<3m", true, false},
        {"in=2m", true, false},
        {"attempts=3", true, false},
        {"attempts=1,2,3", true, false},
        {"attempts>2", true, false},
        {"tls=no", false, true},
        {"tls=YES", true, false},
        {"tls=on tls=true", true, false},
        {"!tls=no phase=idle", true, false},
        {"  user=*   proto=imap\tbackend=b1 ", true, false},
        {"user=*@example.org proto=imap ip=10.0.0.0/8 idle>30m age>1d in>1m tls=yes phase=idle",
         true, false},
    };
    check_matches(cases, ARRAY_LEN(cases));
}

static void test_errors(void **state)
{
    static const struct {
        const char *text;
        int err;
        const char *sentence;
    } cases[] = {
        {"usr=x", -ERR_NO_PARAM, "unknown filter field \"usr\"; did you mean \"user\"?"},
        {"protocl=x", -ERR_NO_PARAM,
         "unknown filter field \"protocl\"; did you mean \"protocol\"?"},
        {"colour=x", -ERR_NO_PARAM, "unknown filter field \"colour\""},
        {"alice", -ERR_SYNTAX, "filter term \"alice\" is not of the form field=value"},
        {"user=x alice", -ERR_SYNTAX, "filter term \"alice\" is not of the form field=value"},
        {"=x", -ERR_SYNTAX, "filter term \"=x\" is not of the form field=value"},
        {"!", -ERR_SYNTAX, "filter term \"!\" is not of the form field=value"},
        {"! user=x", -ERR_SYNTAX, "filter term \"!\" is not of the form field=value"},
        {"!!user=x", -ERR_SYNTAX, "filter term \"!!user=x\" is not of the form field=value"},
        {"user", -ERR_SYNTAX, "filter term \"user\" is not of the form field=value"},
        {"user = x", -ERR_SYNTAX, "filter term \"user\" is not of the form field=value"},
        {"user\x1b[2J", -ERR_SYNTAX, "filter term \"user [2J\" is not of the form field=value"},
        {"user>x", -ERR_SYNTAX, "filter field \"user\" is compared by = only"},
        {"ip<10.0.0.1", -ERR_SYNTAX, "filter field \"ip\" is compared by = only"},
        {"tls>no", -ERR_SYNTAX, "filter field \"tls\" is compared by = only"},
        {"idle>30", -ERR_SYNTAX,
         "filter value \"30\" is not a duration like 30m (filter field \"idle\")"},
        {"idle>", -ERR_SYNTAX,
         "filter value \"\" is not a duration like 30m (filter field \"idle\")"},
        {"in>1x", -ERR_SYNTAX, "filter value \"1x\" is not a size like 10m (filter field \"in\")"},
        {"attempts=1,", -ERR_SYNTAX,
         "filter value \"\" is not a number (filter field \"attempts\")"},
        {"attempts=99999999999999999999", -ERR_SYNTAX,
         "filter value \"99999999999999999999\" is not a number (filter field \"attempts\")"},
        {"ip=10.0.0.1/8", -ERR_SYNTAX,
         "filter value \"10.0.0.1/8\" is not an address or network like 10.0.0.0/8 (filter field "
         "\"ip\")"},
        {"tls=maybe", -ERR_SYNTAX,
         "filter value \"maybe\" is not yes or no (filter field \"tls\")"},
        {"proto=imapp", -ERR_SYNTAX,
         "filter value \"imapp\" is nothing that \"proto\" can be: imap, pop3"},
        {"proto!=imap,x*", -ERR_SYNTAX,
         "filter value \"x*\" is nothing that \"proto\" can be: imap, pop3"},
        {"protocol==ima*", -ERR_SYNTAX,
         "filter value \"ima*\" is nothing that \"proto\" can be: imap, pop3"},
        {"user=\"a", -ERR_SYNTAX, "misplaced or missing quote in filter term \"user=\"a\""},
        {"user=\"a\"b", -ERR_SYNTAX, "misplaced or missing quote in filter term \"user=\"a\"b\""},
        {"user=\"a\\\"", -ERR_SYNTAX, "misplaced or missing quote in filter term \"user=\"a\\\"\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct filter *f = NULL;
        AUTO_FREE char *error = NULL;
        int r = filter_parse(str_of(cases[i].text), fields, ARRAY_LEN(fields), &f, &error);
        if (r != cases[i].err || f || !error || strcmp(error, cases[i].sentence) != 0)
            fail_msg("\"%s\": %d, \"%s\"", cases[i].text, r, error ? error : "(none)");
    }
}

static void test_limits(void **state)
{
    AUTO_BUF text = BUF_INIT;
    struct filter *f = NULL;
    AUTO_FREE char *error = NULL;
    for (int i = 0; i < 32; i++)
        assert_int_equal(buf_append_c(&text, "user=* "), 0);
    assert_int_equal(filter_parse(buf_str(&text), fields, ARRAY_LEN(fields), &f, &error), 0);
    filter_unref(f);
    f = NULL;
    assert_int_equal(buf_append_c(&text, "user=*"), 0);
    assert_int_equal(filter_parse(buf_str(&text), fields, ARRAY_LEN(fields), &f, &error),
                     -ERR_SYNTAX);
    assert_string_equal(error, "too many filter terms at \"user=*\"");
    free(STEAL(error));
    buf_clear(&text);
    assert_int_equal(buf_append_c(&text, "user="), 0);
    for (int i = 0; i < 256; i++)
        assert_int_equal(buf_append_c(&text, ","), 0);
    assert_int_equal(filter_parse(buf_str(&text), fields, ARRAY_LEN(fields), &f, &error),
                     -ERR_SYNTAX);
    assert_string_equal(error, "too many values at filter field \"user\"");
    assert_null(f);
}

static void test_refs(void **state)
{
    struct filter *f = NULL;
    AUTO_FREE char *error = NULL;
    assert_int_equal(filter_parse(STR("user=al*"), fields, ARRAY_LEN(fields), &f, &error), 0);
    assert_ptr_equal(filter_ref(f), f);
    filter_unref(f);
    assert_true(filter_match(f, get, &row_a));
    filter_unref(f);
    filter_unref(NULL);
}

/* A field that has the same in all rows: known when it is compiled, and never "no filter". */
static void test_same(void **state)
{
    static const struct {
        const char *text;
        bool does_match;
    } cases[] = {
        {"node=mx1", true},
        {"node=MX*", true},
        {"!node=mx1", false},
        {"node!=mx2", true},
        {"node=mx2,mx1", true},
        {"node=mx2", false},
        {"node==mx*", false},
        {"node=", false},
        {"node=mx1 proto=imap", true},
        {"proto=imap node=mx2", false},
        {"node=mx1 proto=pop3", false},
    };
    static const struct filter_same mx1 = {"node", "mx1"}, user = {"user", "mx1"};
    struct filter *f = NULL;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *error = NULL;
        if (filter_parse_same(str_of(cases[i].text), fields, ARRAY_LEN(fields), &mx1, &f, &error))
            fail_msg("\"%s\": %s", cases[i].text, error);
        if (filter_match(f, get, &row_a) != cases[i].does_match)
            fail_msg("\"%s\": wrong match", cases[i].text);
        assert_false(filter_is_empty(f));
        assert_string_equal(filter_same_value(f), "mx1");
        filter_unref(f);
    }
    AUTO_FREE char *error = NULL;
    assert_int_equal(filter_parse_same(STR("nod=x"), fields, ARRAY_LEN(fields), &mx1, &f, &error),
                     -ERR_NO_PARAM);
    assert_string_equal(error, "unknown filter field \"nod\"; did you mean \"node\"?");
    free(STEAL(error));
    assert_int_equal(filter_parse(STR("node=x"), fields, ARRAY_LEN(fields), &f, &error),
                     -ERR_NO_PARAM);
    free(STEAL(error));
    /* A field of the rows has precedence. */
    assert_int_equal(
        filter_parse_same(STR("user=alice@*"), fields, ARRAY_LEN(fields), &user, &f, &error), 0);
    assert_true(filter_match(f, get, &row_a));
    assert_null(filter_same_value(f));
    filter_unref(f);
}

/* Terms that are values: no wildcards, no quotes that end early, and a text that parses to the
 * same.
 */
static void test_made(void **state)
{
    const struct filter_is cases[][3] = {
        {{F_USER, false, (const char *[]){"a*b \"c\\,d"}, 1}},
        {{F_BACKEND, true, (const char *[]){"main/b1", "b 2"}, 2},
         {F_PROTO, false, (const char *[]){"imap"}, 1},
         {F_IP, false, (const char *[]){"10.0.0.0/8", "::1"}, 2}},
    };
    static const size_t n[] = {1, 3};
    static const char *const texts[] = {
        "user==\"a*b \\\"c\\\\,d\"",
        "!backend==\"main/b1\",\"b 2\" proto==\"imap\" ip==\"10.0.0.0/8\",\"::1\""};
    static const struct row rows[] = {
        {.user = "A*b \"c\\,d", .proto = "imap", .ip = "10.1.2.3", .backend = "b1", .pool = "main"},
        {.user = "axb \"c\\,d", .proto = "imap", .ip = "::1", .backend = "b1", .pool = "other"},
        {.user = "x", .proto = "imap", .ip = "10.1.2.3", .backend = "B 2", .pool = "main"},
        {.user = "x", .proto = "pop3", .ip = "10.1.2.3", .backend = "b3", .pool = "main"},
    };
    static const bool does_match[][4] = {{true, false, false, false}, {false, true, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct filter *made = NULL, *parsed = NULL;
        AUTO_FREE char *error = NULL;
        assert_int_equal(filter_make(cases[i], n[i], fields, ARRAY_LEN(fields), &made), 0);
        assert_string_equal(filter_text(made), texts[i]);
        if (filter_parse(str_of(filter_text(made)), fields, ARRAY_LEN(fields), &parsed, &error))
            fail_msg("%s", error);
        for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
            assert_int_equal(filter_match(made, get, &rows[k]), does_match[i][k]);
            assert_int_equal(filter_match(parsed, get, &rows[k]), does_match[i][k]);
        }
        filter_unref(made);
        filter_unref(parsed);
    }
    const struct filter_is wrong[] = {{F_PROTO, false, (const char *[]){"smtp"}, 1},
                                      {F_IP, false, (const char *[]){"10.0.0.0/99"}, 1},
                                      {999, false, (const char *[]){"x"}, 1}}; /* no field */
    struct filter *none = NULL;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(filter_make(&wrong[i], 1, fields, ARRAY_LEN(fields), &none), -ERR_SYNTAX);
    const char *many[300];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = "x";
    const struct filter_is too_many = {F_USER, false, many, ARRAY_LEN(many)};
    assert_int_equal(filter_make(&too_many, 1, fields, ARRAY_LEN(fields), &none), -ERR_SYNTAX);
    assert_null(none);
}

/* Every prefix of a rich filter: an answer or a sentence, never a crash (ASan sees reads beyond the
 * block). */
static void test_prefixes(void **state)
{
    const char *whole =
        "!user=\"a\\\"b\",*@x proto=imap ip=10.0.0.0/8,::1 idle>=1h30m in<10m tls=no attempts!=7";
    for (size_t n = 0; n <= strlen(whole); n++) {
        struct filter *f = NULL;
        AUTO_FREE char *error = NULL;
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, whole, n);
        int r = filter_parse(str_n(exact, n), fields, ARRAY_LEN(fields), &f, &error);
        free(exact);
        assert_true((r == 0) == (f != NULL));
        assert_true((r == 0) == (error == NULL));
        if (f)
            (void)filter_match(f, get, &row_a);
        filter_unref(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),  cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_refs),   cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_same),   cmocka_unit_test(test_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
