/* SPDX-License-Identifier: ISC */
/* Following POP3 in the relay: phases and boundaries in every cutting. */
#include "proto/pop3/pop3.h"
#include "tests/unit/proto/watch_case.h"

static const struct watch_case cases[] = {
    {"one line", {C("STAT\r\n", COMMAND, "STAT"), S("+OK 1", RESPONSE), S(" 2\r\n", BETWEEN)}},
    {"in pieces", {C("no", COMMAND, "NO"), C("op\r\n", COMMAND, "NOOP"), S("+OK\r\n", BETWEEN)}},
    {"RETR",
     {C("RETR 1\r\n", COMMAND, "RETR"), S("+OK 9 octets\r\n", RESPONSE),
      S("Subject: x\r\n\r\n..\r\n.x\r\n", RESPONSE), S(" .\r\n. \r\n", RESPONSE),
      S(".\r\n", BETWEEN)}},
    {"RETR at once", {C("RETR 1\r\n", COMMAND, NULL), S("+OK\r\nx\r\n.\r\n", BETWEEN)}},
    {"empty body", {C("RETR 1\r\n", COMMAND, NULL), S("+OK\r\n.\r\n", BETWEEN)}},
    {"RETR refused", {C("RETR 9\r\n", COMMAND, NULL), S("-ERR no\r\n", BETWEEN)}},
    {"LIST and UIDL",
     {C("LIST\r\n", COMMAND, "LIST"), S("+OK\r\n1 2\r\n", RESPONSE), S(".\r\n", BETWEEN),
      C("LIST 1\r\n", COMMAND, "LIST"), S("+OK 1 2\r\n", BETWEEN), C("uidl \r\n", COMMAND, "UIDL"),
      S("+OK\r\n", RESPONSE), S(".\r\n", BETWEEN), C("UIDL 1\r\n", COMMAND, "UIDL"),
      S("+OK 1 x\r\n", BETWEEN)}},
    {"pipelined",
     {C("STAT\r\nTOP 1 0\r\nNOOP\r\nRETR 1\r\n", COMMAND, "RETR"),
      S("+OK 1 2\r\n+OK\r\nx\r\n", RESPONSE), S(".\r\n", COMMAND), S("+OK\r\n", COMMAND),
      S("+OK\r\n", RESPONSE), S(".\r\n", BETWEEN)}},
    {"a body with a positive line",
     {C("RETR 1\r\nQUIT\r\n", COMMAND, "QUIT"), S("+OK\r\n+OK bye\r\n-ERR\r\n", RESPONSE),
      S(".\r\n", COMMAND), S("+OK bye\r\n", BETWEEN)}},
    {"bare LF", {C("RETR 1\n", COMMAND, "RETR"), S("+OK\nx\n.\n", BETWEEN)}},
    {"CAPA", {C("CAPA\r\n", COMMAND, "CAPA"), S("+OK\r\nTOP\r\n", RESPONSE), S(".\r\n", BETWEEN)}},
    {"unsolicited", {S("-ERR bye\r\n", BETWEEN)}},
    {"long verb", {C("ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n", COMMAND, "ABCDEFGHIJKLMN")}},
};

static void test_phases(void **state)
{
    watch_cases_run(&proto_pop3, cases, ARRAY_LEN(cases));
}

/* More commands in flight than can be counted: nothing is said any more, rather than wrong. */
static void test_overflow(void **state)
{
    struct watch *w = calloc(1, proto_pop3.watch_size);
    assert_non_null(w);
    proto_pop3.watch_init(w, STR_NULL);
    for (int i = 0; i < POP3_PIPELINE_MAX; i++)
        proto_pop3.watch_feed(w, WATCH_CLIENT, STR("RETR 1\r\n"));
    assert_int_equal(w->phase, WATCH_COMMAND);
    for (int i = 0; i < POP3_PIPELINE_MAX - 1; i++)
        proto_pop3.watch_feed(w, WATCH_SERVER, STR("+OK\r\nx\r\n.\r\n"));
    assert_int_equal(w->phase, WATCH_COMMAND);
    proto_pop3.watch_feed(w, WATCH_SERVER, STR("+OK\r\nx\r\n.\r\n"));
    assert_int_equal(w->phase, WATCH_BETWEEN);
    for (int i = 0; i <= POP3_PIPELINE_MAX; i++)
        proto_pop3.watch_feed(w, WATCH_CLIENT, STR("NOOP\r\n"));
    assert_int_equal(w->phase, WATCH_OPAQUE);
    assert_false(watch_is_boundary(w));
    free(w);
}

static const struct watch_end_case ends[] = {
    {"one line",
     {EC("ST", "0 open, due"), EC("AT\r\n", "1 open"), ES("+OK", "1 open"),
      ES(" 1 2\r\n", "quiet")}},
    {"RETR",
     {EC("RETR 1\r\n", "1 open"), ES("+OK\r\n", "0 open"), ES("x\r\n", "0 open"),
      ES(".\r\n", "quiet")}},
    {"pipelined",
     {EC("RETR 1\r\nDELE 1\r\nQUIT\r\n", "3 open"), ES("+OK\r\n+OK\r\n.\r\n", "2 open"),
      ES("+OK\r\n", "1 open"), ES("+OK\r\n", "quiet")}},
    {"an empty line is answered, too", {EC("\r\n", "1 open"), ES("-ERR\r\n", "quiet")}},
    {"a challenge",
     {EC("AUTH PLAIN\r\n", "1 open"), ES("+ \r\n", "1 open, due"), EC("AGEAYg==\r\n", "1 open"),
      ES("-ERR\r\n", "quiet")}},
    {"a challenge that is given up",
     {EC("AUTH PLAIN\r\n", "1 open"), ES("+ \r\n", "1 open, due"), ES("-ERR\r\n", "quiet")}},
    {"unsolicited", {ES("-ERR b", "0 open"), ES("ye\r\n", "quiet")}},
};

static void test_ends(void **state)
{
    watch_ends_run(&proto_pop3, ends, ARRAY_LEN(ends));
}

static void test_stops(void **state)
{
    static const struct watch_stop rows[] = {
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("STAT\r\nQUIT\r\n"), 6},
        {{STR("STAT\r\nSTAT\r\n"), STR_NULL}, WATCH_SERVER, STR("+OK\r\n+OK\r\n"), 5},
        {{STR("RETR 1\r\nSTAT\r\n"), STR_NULL}, WATCH_SERVER, STR("+OK\r\nx\r\n.\r\n+OK\r\n"), 11},
    };
    watch_stops_run(&proto_pop3, rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
