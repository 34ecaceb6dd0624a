/* SPDX-License-Identifier: ISC */
/* The output formats: golden texts at given widths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "ctl/output.h"
#include "ctl/output_text.h"

static const char sessions[] =
    "[{\"id\":\"3-1a\",\"proto\":\"imap\",\"state\":\"relay\",\"phase\":\"idle\","
    "\"user\":\"anna@example.org\",\"ip\":\"192.0.2.7\",\"tls\":\"TLS1.3\",\"backend\":\"b1\","
    "\"age\":11220000,\"idle\":5000,\"in\":742,\"out\":3435973836},"
    "{\"id\":\"3-1b\",\"proto\":\"pop3\",\"state\":\"sasl\",\"ip\":\"2001:db8::1\",\"tls\":\"no\","
    "\"age\":1000,\"idle\":0,\"in\":12,\"out\":40}]";

struct given {
    const char *noun, *verb, *columns;
    enum output_format format;
    int width;
    bool no_header, is_ascii, with_node, is_stream;
};

/* Prints rows (an array) or an object of a command; the text is owned by the caller. */
static char *print(const struct given *g, const char *json)
{
    char *text = NULL;
    size_t n = 0;
    struct problem problem = {0};
    json_t *v = json_loads(json, 0, NULL);
    FILE *f = open_memstream(&text, &n);
    struct output o = {.f = f,
                       .format = g->format,
                       .no_header = g->no_header,
                       .is_utf8 = !g->is_ascii,
                       .is_terminal = g->is_ascii,
                       .width = g->width,
                       .is_stream = g->is_stream};
    assert_non_null(v);
    assert_int_equal(
        output_init(&o, commands_find(g->noun, g->verb), g->columns, g->with_node, &problem), 0);
    if (json_is_array(v)) {
        output_rows(&o, v);
        output_end(&o);
    } else {
        output_object(&o, v);
    }
    output_fini(&o);
    fclose(f);
    json_decref(v);
    return text;
}

static void check(const struct given *g, const char *json, const char *want)
{
    char *text = print(g, json);
    if (strcmp(text, want) != 0)
        fail_msg("width %d:\n%s--- wanted:\n%s", g->width, text, want);
    free(text);
}

static void test_table(void **state)
{
    struct given g = {"session", "list", NULL, OUTPUT_TABLE, 0, false, false, false, false};
    check(&g, sessions,
          "ID    PROTO  STATE  PHASE  USER              IP           TLS     BACKEND    AGE  IDLE "
          "  IN   OUT\n"
          "3-1a  imap   relay  idle   anna@example.org  192.0.2.7    TLS1.3  b1       3h07m    5s "
          " 742  3.2G\n"
          "3-1b  pop3   sasl   -      -                 2001:db8::1  no      -           1s    0s "
          "  12    40\n");
    g.width = 120;
    check(&g, sessions,
          "ID    PROTO  STATE  PHASE  USER              IP           TLS     BACKEND    AGE  IDLE "
          "  IN   OUT\n"
          "3-1a  imap   relay  idle   anna@example.org  192.0.2.7    TLS1.3  b1       3h07m    5s "
          " 742  3.2G\n"
          "3-1b  pop3   sasl   -      -                 2001:db8::1  no      -           1s    0s "
          "  12    40\n");
    g.width = 80;
    check(&g, sessions,
          "ID    PROTO  STATE  USER              IP           BACKEND    AGE  IDLE   OUT\n"
          "3-1a  imap   relay  anna@example.org  192.0.2.7    b1       3h07m    5s  3.2G\n"
          "3-1b  pop3   sasl   -                 2001:db8::1  -           1s    0s    40\n");
    g.width = 40;
    g.is_ascii = true;
    check(&g, sessions,
          "ID    STATE  USER            IP\n"
          "3-1a  relay  anna@example.~  192.0.2.7\n"
          "3-1b  sasl   -               2001:db8::1\n");
    g.width = 10;
    check(&g, sessions, "ID\n3-1a\n3-1b\n");
    g.width = 2;
    check(&g, sessions, "ID\n3~\n3~\n");
}

static void test_table_columns(void **state)
{
    struct given g = {"session", "list", "user,out,id", OUTPUT_TABLE, 0,
                      false,     false,  false,         false};
    check(&g, sessions,
          "USER               OUT  ID\n"
          "anna@example.org  3.2G  3-1a\n"
          "-                   40  3-1b\n");
    /* Chosen columns are cut, not dropped; numbers never. */
    g.width = 24;
    check(&g, sessions,
          "USER           OUT  ID\n"
          "anna@exampl\u2026  3.2G  3-1a\n"
          "-               40  3-1b\n");
    /* Where cutting would leave too little, a row is a block of lines. */
    g.width = 23;
    check(&g, sessions,
          "USER  anna@example.org\n"
          "OUT   3.2G\n"
          "ID    3-1a\n"
          "\n"
          "USER  -\n"
          "OUT   40\n"
          "ID    3-1b\n");
    check(&g, "[]", "USER  OUT  ID\n");
    g.no_header = true;
    check(&g, sessions,
          "anna@examp\u2026  3.2G  3-1a\n"
          "-              40  3-1b\n");
    g.no_header = false;
    g.columns = "+worker";
    g.width = 0;
    g.no_header = true;
    check(&g, "[{\"id\":\"1\",\"worker\":2}]", "1  -  -  -  -  -  -  -  -  -  -  -  2\n");
    g.columns = "id";
    g.with_node = true;
    check(&g, "[{\"node\":\"n1\",\"id\":\"1\"}]", "n1  1\n");
    g.no_header = false;
    check(&g, "[]", "NODE  ID\n");
}

/* Of a list in chunks the first one decides, but nothing is cut that there is room for. */
static void test_later_chunks(void **state)
{
    static const struct {
        int width;
        const char *want;
    } cases[] = {
        {0, "ID  USER  IP\n1   a     ::1\n2   anna@example.org  ::1\n3   b                 ::1\n"},
        {30, "ID  USER  IP\n1   a     ::1\n2   anna@example.org  ::1\n3   b                 ::1\n"},
        {20, "ID  USER  IP\n1   a     ::1\n2   ann\u2026  ::1\n3   b     ::1\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = NULL;
        size_t n = 0;
        struct problem problem = {0};
        FILE *f = open_memstream(&text, &n);
        struct output o = {
            .f = f, .format = OUTPUT_TABLE, .is_utf8 = true, .width = cases[i].width};
        json_t *first = json_loads("[{\"id\":\"1\",\"user\":\"a\",\"ip\":\"::1\"}]", 0, NULL);
        json_t *next = json_loads("[{\"id\":\"2\",\"user\":\"anna@example.org\",\"ip\":\"::1\"},"
                                  "{\"id\":\"3\",\"user\":\"b\",\"ip\":\"::1\"}]",
                                  0, NULL);
        assert_int_equal(
            output_init(&o, commands_find("session", "list"), "id,user,ip", false, &problem), 0);
        output_rows(&o, first);
        output_rows(&o, next);
        output_end(&o);
        output_fini(&o);
        fclose(f);
        assert_string_equal(text, cases[i].want);
        json_decref(first);
        json_decref(next);
        free(text);
    }
}

static void test_columns_unknown(void **state)
{
    struct problem problem = {0};
    struct output o = {.f = stdout};
    assert_int_equal(output_init(&o, commands_find("session", "list"), "id,usr", false, &problem),
                     PROBLEM_USAGE);
    assert_string_equal(problem.hint, "user?");
    problem_fini(&problem);
    output_fini(&o);
}

static void test_table_object(void **state)
{
    struct given g = {"user", "show", NULL, OUTPUT_TABLE, 80, false, false, false, false};
    setenv("TZ", "UTC", 1);
    tzset();
    check(&g,
          "{\"name\":\"anna\",\"state\":\"active\",\"backend_password\":true,"
          "\"max_sessions\":0,\"created\":1767323045000,\"last_login\":0,\"pool\":\"\"}",
          "USER        anna\n"
          "STATE       active\n"
          "POOL        -\n"
          "BACKEND-PW  yes\n"
          "MAX         0\n"
          "CREATED     2026-01-02 03:04:05\n"
          "LAST-LOGIN  -\n");
}

static void test_unsafe_text(void **state)
{
    struct given g = {"session", "list", "id,client,proto", OUTPUT_TABLE, 0, true, false,
                      false,     false};
    const char rows[] =
        "[{\"id\":\"a\\u001b[2Jb\",\"client\":\"x\\ty\\nz\\u202e\",\"proto\":\"p\"}]";
    check(&g, rows, "a\\x1b[2Jb  x\\ty\\nz\\u202e  p\n");
    g.format = OUTPUT_TSV;
    check(&g, rows, "a\\x1b[2Jb\tx\\ty\\nz\\u202e\tp\n");
}

static void test_wide_text(void **state)
{
    struct given g = {"session", "list", "user,id", OUTPUT_TABLE, 0, true, false, false, false};
    /* Two columns each, combining marks none. */
    check(&g, "[{\"user\":\"\u65e5\u672c\",\"id\":\"1\"},{\"user\":\"e\u0301abc\",\"id\":\"2\"}]",
          "\u65e5\u672c  1\ne\u0301abc  2\n");
    assert_int_equal(output_text_width(str_of("\u65e5\u672c")), 4);
    assert_int_equal(output_text_width(str_of("m\u00fcller")), 6);
    g.is_ascii = true;
    check(&g, "[{\"user\":\"m\u00fc\u65e5\U0001f600\",\"id\":\"1\"}]",
          "m\\u00fc\\u65e5\\U0001f600  1\n");
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(output_text_cut(&out, str_of("\u65e5\u672c\u8a9e"), 4, true), 3);
    assert_string_equal(buf_cstr(&out), "\u65e5\u2026");
    buf_clear(&out);
    assert_int_equal(output_text_clean(&out, str_n("a\xff\xc3", 3)), 0);
    assert_string_equal(buf_cstr(&out), "a\\xff\\xc3");
}

static void test_tsv(void **state)
{
    struct given g = {"session", "list", NULL, OUTPUT_TSV, 20, false, false, false, false};
    check(&g, sessions,
          "id\tproto\tstate\tphase\tuser\tip\ttls\tbackend\tage\tidle\tin\tout\n"
          "3-1a\timap\trelay\tidle\tanna@example.org\t192.0.2.7\tTLS1.3\tb1\t11220000\t5000\t742\t"
          "3435973836\n"
          "3-1b\tpop3\tsasl\t\t\t2001:db8::1\tno\t\t1000\t0\t12\t40\n");
    g.no_header = true;
    g.columns = "id,age";
    check(&g, sessions, "3-1a\t11220000\n3-1b\t1000\n");
    check(&g, "[]", "");
    g.no_header = false;
    check(&g, "[]", "id\tage\n");
}

static void test_json(void **state)
{
    struct given g = {"session", "list", "id,age", OUTPUT_JSON, 0, false, false, false, false};
    check(&g, sessions,
          "[\n {\"id\": \"3-1a\", \"age\": 11220000},\n {\"id\": \"3-1b\", \"age\": 1000}\n]\n");
    check(&g, "[]", "[]\n");
    g.columns = NULL;
    /* Everything that came, also what the table does not know. */
    check(&g, "[{\"id\":\"1\",\"new\":[1,2]}]", "[\n {\"id\": \"1\", \"new\": [1, 2]}\n]\n");
    g.format = OUTPUT_JSONL;
    check(&g, "[{\"id\":\"1\",\"new\":true},{\"id\":\"2\"}]",
          "{\"id\":\"1\",\"new\":true}\n{\"id\":\"2\"}\n");
    check(&g, "[]", "");
    g = (struct given){"system", "whoami", NULL, OUTPUT_JSON, 0, false, false, false, false};
    check(&g, "{\"user\":\"root\",\"uid\":0}", "{\n  \"user\": \"root\",\n  \"uid\": 0\n}\n");
    g.format = OUTPUT_JSONL;
    check(&g, "{\"user\":\"root\",\"uid\":0}", "{\"user\":\"root\",\"uid\":0}\n");
}

static void test_id(void **state)
{
    struct given g = {"session", "list", NULL, OUTPUT_ID, 0, false, false, true, false};
    check(&g, sessions, "3-1a\n3-1b\n");
    check(&g, "[]", "");
}

static void test_own_columns(void **state)
{
    /* The table names no columns for this command: the rows do. */
    struct given g = {"backend", "release", NULL, OUTPUT_TABLE, 0, false, false, false, false};
    check(&g, "[{\"ip\":\"192.0.2.1\",\"last_seen\":5}]",
          "IP         LAST-SEEN\n192.0.2.1          5\n");
}

/* On a narrow terminal an event keeps its text longest. */
static void test_text_stays(void **state)
{
    struct given g = {"event", "watch", NULL, OUTPUT_TABLE, 40, false, false, false, false};
    check(&g, "[{\"time\":1767323045000,\"type\":\"login\",\"user\":\"anna\",\"text\":\"in\"}]",
          "TIME                 TYPE   USER  TEXT\n"
          "2026-01-02 03:04:05  login  anna  in\n");
}

/* Today's times need no date. */
static void test_short_times(void **state)
{
    time_t now = time(NULL);
    struct tm tm;
    char today[16];
    struct output_column c = {.name = "time", .unit = COMMANDS_TIME, .is_short = true};
    json_t *times = json_pack("[I, I, I]", (json_int_t)now * 1000,
                              (json_int_t)1767323045000 - 86400000000, (json_int_t)0);
    AUTO_BUF text = BUF_INIT;
    assert_non_null(localtime_r(&now, &tm));
    assert_true(strftime(today, sizeof(today), "%H:%M:%S", &tm) > 0);
    output_human(&text, &c, json_array_get(times, 0));
    assert_string_equal(buf_cstr(&text), today);
    buf_clear(&text);
    output_human(&text, &c, json_array_get(times, 1));
    assert_int_equal(text.len, strlen("2023-01-01 00:00:00"));
    buf_clear(&text);
    output_human(&text, &c, json_array_get(times, 2));
    assert_string_equal(buf_cstr(&text), "-");
    json_decref(times);
}

static void test_stream(void **state)
{
    struct given g = {"event", "watch", NULL, OUTPUT_TABLE, 100, true, false, false, true};
    check(&g,
          "[{\"time\":1767323045000,\"type\":\"login\",\"user\":\"anna\",\"ip\":\"192.0.2.1\","
          "\"text\":\"a text that is much longer than the rest of the line has room for\"}]",
          "2026-01-02 03:04:05  login       -           anna          192.0.2.1        "
          "-           a text that is much longer than the rest of the line has room for\n");
}

/* Any two that are in order stay so beside a third: sorting needs that. */
static void test_order_of_texts(void **state)
{
    static const char *const in_order[] = {"9", "10", "100", "", "1a", "Z", "a", "a10", "a9"};
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++)
        for (size_t k = 0; k < ARRAY_LEN(in_order); k++) {
            json_t *a = json_string(in_order[i]), *b = json_string(in_order[k]);
            int order = output_compare(a, b);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            json_decref(a);
            json_decref(b);
        }
}

/* Rows of several daemons, which come one after the other: one table, columns under each other. */
static void test_joined(void **state)
{
    char *text = NULL;
    size_t n = 0;
    struct problem problem = {0};
    FILE *f = open_memstream(&text, &n);
    json_t *first = json_loads("[{\"node\":\"a\",\"name\":\"b1\",\"sessions\":1}]", 0, NULL);
    json_t *second =
        json_loads("[{\"node\":\"mx22\",\"name\":\"a-long-name\",\"sessions\":1000}]", 0, NULL);
    struct output o = {.f = f, .format = OUTPUT_TABLE, .is_joined = true};
    assert_int_equal(
        output_init(&o, commands_find("backend", "list"), "name,sessions,pool", true, &problem), 0);
    output_rows(&o, first);
    output_rows(&o, second);
    output_end(&o);
    assert_int_equal(o.n_rows, 2);
    output_fini(&o);
    fclose(f);
    assert_string_equal(text, "NODE  BACKEND      SESSIONS  POOL\n"
                              "a     b1                  1  -\n"
                              "mx22  a-long-name      1000  -\n");
    free(text);
    /* One that does not end is not kept whole. */
    f = open_memstream(&text, &n);
    o = (struct output){.f = f, .format = OUTPUT_TABLE, .is_joined = true};
    assert_int_equal(output_init(&o, commands_find("backend", "list"), NULL, true, &problem), 0);
    for (int i = 0; i < 1500; i++)
        output_rows(&o, i % 2 ? first : second);
    assert_true(o.is_begun && !o.held && o.n_rows == 1500);
    output_end(&o);
    output_fini(&o);
    fclose(f);
    free(text);
    json_decref(first);
    json_decref(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_columns),
        cmocka_unit_test(test_later_chunks),
        cmocka_unit_test(test_columns_unknown),
        cmocka_unit_test(test_table_object),
        cmocka_unit_test(test_unsafe_text),
        cmocka_unit_test(test_wide_text),
        cmocka_unit_test(test_tsv),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_id),
        cmocka_unit_test(test_own_columns),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_text_stays),
        cmocka_unit_test(test_short_times),
        cmocka_unit_test(test_order_of_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
