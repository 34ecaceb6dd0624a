/* SPDX-License-Identifier: ISC */
/* Following SMTP in the relay: phases and boundaries in every cutting. */
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
     {C("mail FROM:<a>\r\n", COMMAND, "MAIL"), S("250 ok\r\n", BETWEEN), C("RSE", COMMAND, "MAIL"),
      C("T\r\n", COMMAND, "RSET"), S("250 ok", RESPONSE), S("\r\n", BETWEEN)}},
    {"reply of several lines",
     {C("EHLO x\r\n", COMMAND, "EHLO"), S("250-a\r\n", RESPONSE), S("250-b\r\n25", RESPONSE),
      S("0 c\r\n", BETWEEN)}},
    {"reply of a code alone", {C("NOOP\r\n", COMMAND, "NOOP"), S("250\r\n", BETWEEN)}},
    {"pipelined mail",
     {C("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n", COMMAND, "DATA"),
      S("250 ok\r\n250 ok\r\n", COMMAND), S("354 go\r\n", DATA), C("x\r\n..\r\n", DATA, "DATA"),
      C(".\r\n", COMMAND, "DATA"), S("250 taken\r\n", BETWEEN), C("QUIT\r\n", COMMAND, "QUIT"),
      S("221 bye\r\n", BETWEEN)}},
    {"data that is not taken",
     {C("DATA\r\n", COMMAND, "DATA"), S("554 no recipients\r\n", BETWEEN),
      C("RSET\r\n", COMMAND, "RSET")}},
    {"an empty message",
     {C("DATA\r\n", COMMAND, "DATA"), S("354 go\r\n", DATA), C(".\r\nNOOP\r\n", COMMAND, "NOOP"),
      S("250 ok\r\n", COMMAND), S("250 ok\r\n", BETWEEN)}},
    {"only CRLF.CRLF ends a message",
     {C("DATA\r\n", COMMAND, NULL), S("354 go\r\n", DATA),
      C("a\n.\nMAIL FROM:<x>\r\n", DATA, "DATA"), C("a\n.\r\nMAIL FROM:<x>\r\n", DATA, "DATA"),
      C("a\r\n.\nRSET\r\n", DATA, "DATA"), C("a\r.\r\nRSET\r\n", DATA, "DATA"),
      C("a\r\n.\rRSET\r\n", DATA, "DATA"), C("\r\r\n.\r\r\n", DATA, "DATA"),
      C("\r\n\r\n.\r\n", COMMAND, "DATA"), S("250 ok\r\n", BETWEEN)}},
    {"chunks",
     {C("BDAT 9\r\nQUIT\r\n.\r\nNO", COMMAND, "BDAT"), C("OP\r\n", COMMAND, "NOOP"),
      S("250 ok\r\n250 ok\r\n", BETWEEN), C("bdat 4 LAST\r\nab", DATA, "BDAT"),
      S("421 bye\r\n", DATA), C("cd", BETWEEN, "BDAT")}},
    {"chunk of nothing", {C("BDAT 0 LAST\r\n", COMMAND, "BDAT"), S("250 ok\r\n", BETWEEN)}},
    {"chunk beyond any number",
     {C("BDAT 99999999999999999999999\r\nRSET\r\n", DATA, "BDAT"), S("552 no\r\n", DATA)}},
    {"chunk without a number",
     {C("BDAT x5\r\nRSET\r\n", COMMAND, "RSET"), S("501 no\r\n250 ok\r\n", BETWEEN)}},
    {"authentication",
     {C("AUTH LOGIN\r\n", COMMAND, "AUTH"), S("334 VXNl\r\n", COMMAND),
      C("RATA\r\n", COMMAND, "AUTH"), S("334 UGFz\r\n", COMMAND), C("DATA\r\n", COMMAND, "AUTH"),
      S("235 in\r\n", BETWEEN), C("RSET\r\n", COMMAND, "RSET")}},
    {"a response that came too early is not shown",
     {C("AUTH PLAIN\r\nsecret\r\n", COMMAND, "?"), S("334 \r\n", COMMAND)}},
    {"STARTTLS",
     {C("STARTTLS\r\n", COMMAND, "STARTTLS"), S("220 go\r\n", OPAQUE), C("\x16\x03", OPAQUE, NULL),
      S("\x16\x03\n", OPAQUE)}},
    {"STARTTLS refused",
     {C("STARTTLS\r\n", COMMAND, "STARTTLS"), S("454 no\r\n", BETWEEN),
      C("NOOP\r\n", COMMAND, "NOOP"), S("220 odd\r\n", BETWEEN)}},
    {"unasked words", {S("421 timeout\r\n", BETWEEN), S("250-x\r\n", RESPONSE)}},
    {"unknown words", {C("verylongunknownverb x\r\n", COMMAND, "?"), C("\r\n", COMMAND, "?")}},
};

static void test_cases(void **state)
{
    (void)state;
    watch_cases_run(&proto_smtp, cases, ARRAY_LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
