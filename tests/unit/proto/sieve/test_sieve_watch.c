/* SPDX-License-Identifier: ISC */
/* Following ManageSieve in the relay: phases and boundaries in every cutting. */
#include "base/cleanup.h"
#include "tests/unit/proto/watch_case.h"

static const struct watch_case cases[] = {
    {"one command",
     {C("listscripts\r\n", COMMAND, "LISTSCRIPTS"), S("\"a\" ACTIVE\r\n", RESPONSE),
      S("\"OK\"\r\nO", RESPONSE), S("K \"done\"\r\n", BETWEEN), C("NO", COMMAND, "LISTSCRIPTS"),
      C("OP\r\n", COMMAND, "NOOP"), S("OK\r\n", BETWEEN)}},
    {"a script comes",
     {C("GETSCRIPT \"a\"\r\n", COMMAND, "GETSCRIPT"), S("{13}\r\nOK\r\nNO\r\nBYE\r\n", RESPONSE),
      S("\r\n", RESPONSE), S("OK {4}\r\nOK\r\n", RESPONSE), S("\r\n", BETWEEN)}},
    {"a script goes",
     {C("PUTSCRIPT \"a\" {12+}\r\nNOOP\r\n", DATA, "PUTSCRIPT"), C("LOGO", DATA, NULL),
      C("UT", COMMAND, "PUTSCRIPT"), C("\r\n", COMMAND, "PUTSCRIPT"),
      S("NO (QUOTA) \"full\"\r\n", BETWEEN)}},
    {"literal right behind the verb",
     {C("CHECKSCRIPT {2+}\r\nhi\r\n", COMMAND, "CHECKSCRIPT"), S("OK\r\n", BETWEEN)}},
    {"a name that looks like a literal",
     {C("DELETESCRIPT \"{9+}\"\r\n", COMMAND, "DELETESCRIPT"), S("OK\r\n", BETWEEN)}},
    {"braces within a line", {C("NOOP {9+} \r\n", COMMAND, "NOOP"), S("NO \"x\"\r\n", BETWEEN)}},
    {"a literal beyond any number",
     {C("PUTSCRIPT \"a\" {99999999999999999999+}\r\nNOOP\r\n", DATA, "PUTSCRIPT")}},
    {"pipelined",
     {C("NOOP\r\nHAVESPACE \"a\" 1\r\n", COMMAND, "HAVESPACE"), S("OK\r\n", COMMAND),
      S("NO (QUOTA/MAXSIZE) \"x\"\r\n", BETWEEN)}},
    {"another login",
     {C("UNAUTHENTICATE\r\n", COMMAND, "UNAUTHENTICATE"), S("OK\r\n", BETWEEN),
      C("AUTHENTICATE \"LOGIN\"\r\n", COMMAND, "AUTHENTICATE"), S("\"VXNl\"\r\n", COMMAND),
      C("\"am9l\"\r\n", COMMAND, "AUTHENTICATE"), S("{4}\r\nUGFz\r\n", COMMAND),
      C("{4+}\r\nNOOP", COMMAND, "AUTHENTICATE"), C("\r\n", COMMAND, "AUTHENTICATE"),
      S("OK\r\n", BETWEEN)}},
    {"STARTTLS",
     {C("STARTTLS\r\n", COMMAND, "STARTTLS"), S("OK \"go\"\r\n", OPAQUE),
      C("\x16\x03", OPAQUE, NULL)}},
    {"STARTTLS refused",
     {C("STARTTLS\r\n", COMMAND, "STARTTLS"), S("NO\r\n", BETWEEN), C("NOOP\r\n", COMMAND, "NOOP"),
      S("OK\r\n", BETWEEN)}},
    {"unasked", {S("BYE (TRYLATER) \"x\"\r\n", BETWEEN)}},
    {"unknown", {C("secretword x\r\n", COMMAND, "?"), S("NO \"what\"\r\n", BETWEEN)}},
};

static void test_unauthenticate(void **state)
{
    struct watch *w = calloc(1, proto_sieve.watch_size);
    assert_non_null(w);
    proto_sieve.watch_init(w, STR_NULL);
    struct str said = STR("NOOP\r\nUnauthenticate\r\nAUTHENTICATE \"PLAIN\"\r\n");
    size_t n = proto_sieve.watch_feed(w, WATCH_CLIENT, said);
    assert_true(w->is_forbidden);
    assert_true(str_eq(str_skip(said, n), STR("AUTHENTICATE \"PLAIN\"\r\n")));
    free(w);
}

static void test_cases(void **state)
{
    watch_cases_run(&proto_sieve, cases, ARRAY_LEN(cases));
}

static const struct watch_end_case ends[] = {
    {"a command",
     {EC("LISTSC", "0 open, due"), EC("RIPTS\r\n", "1 open"), ES("\"a\" ACTIVE\r\n", "1 open"),
      ES("OK\r\n", "quiet")}},
    {"PUTSCRIPT",
     {EC("PUTSCRIPT \"a\" {5+}\r\n", "0 open, due"), EC("keep;", "0 open, due"),
      EC("\r\n", "1 open"), ES("NO {4}\r\nOK\r\n", "1 open"), ES("\r\n", "quiet")}},
    {"GETSCRIPT",
     {EC("GETSCRIPT \"a\"\r\n", "1 open"), ES("{4}\r\nOK\r\n\r\n", "1 open"),
      ES("OK\r\n", "quiet")}},
    {"pipelined",
     {EC("NOOP\r\nPUTSCRIPT \"a\" {2+}\r\n\r\n\r\nLOGOUT\r\n", "3 open"), ES("OK\r\n", "2 open"),
      ES("NO \"x\"\r\n", "1 open"), ES("BYE\r\n", "quiet")}},
    {"AUTHENTICATE",
     {EC("AUTHENTICATE \"LOGIN\"\r\n", "1 open"), ES("{4}\r\nVXNl\r\n", "1 open, due"),
      EC("\"YQ==\"\r\n", "1 open"), ES("OK\r\n", "quiet")}},
    {"AUTHENTICATE given up",
     {EC("AUTHENTICATE \"LOGIN\"\r\n", "1 open"), ES("\"VXNl\"\r\n", "1 open, due"),
      ES("NO\r\n", "quiet")}},
    {"unsolicited", {ES("BY", "0 open"), ES("E\r\n", "quiet")}},
    {"STARTTLS", {EC("STARTTLS\r\n", "1 open"), ES("OK\r\n", "opaque")}},
};

static void test_ends(void **state)
{
    watch_ends_run(&proto_sieve, ends, ARRAY_LEN(ends));
}

static void test_stops(void **state)
{
    static const struct watch_stop rows[] = {
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("NOOP\r\nNOOP\r\n"), 6},
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("PUTSCRIPT \"a\" {2+}\r\n\r\n\r\nNOOP\r\n"), 24},
        {{STR("NOOP\r\nNOOP\r\n"), STR_NULL}, WATCH_SERVER, STR("OK {2}\r\n\r\n\r\nOK\r\n"), 12},
    };
    watch_stops_run(&proto_sieve, rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unauthenticate),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
