/* SPDX-License-Identifier: ISC */
/* Following ManageSieve in the relay: phases and boundaries in every cutting. */
#include "base/cleanup.h"
#include "watch_case.h"

#define C(input, p, v)                                                                             \
    {                                                                                              \
        WATCH_CLIENT, {"" input, sizeof(input) - 1}, WATCH_##p, v                                  \
    }
#define S(input, p)                                                                                \
    {                                                                                              \
        WATCH_SERVER, {"" input, sizeof(input) - 1}, WATCH_##p, NULL                               \
    }

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

static void test_cases(void **state)
{
    (void)state;
    watch_cases_run(&proto_sieve, cases, ARRAY_LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
