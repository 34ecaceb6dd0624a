/* SPDX-License-Identifier: ISC */
/* Following IMAP in the relay: phases and boundaries in every cutting. */
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
     {C("a SELECT INBOX\r\n", COMMAND, "SELECT"), S("* 3 EXISTS\r\n", COMMAND),
      S("* OK [UIDVALIDITY 1] x\r\n", COMMAND), S("a OK done\r\n", BETWEEN)}},
    {"a line in pieces",
     {C("a NO", COMMAND, "NO"), C("OP\r\n", COMMAND, "NOOP"), S("* 3 EXI", RESPONSE),
      S("STS\r\n", COMMAND), S("a OK", RESPONSE), S(" x\r\n", BETWEEN)}},
    {"lower case, UID", {C("a uid fetch 1:* FLAGS\r\n", COMMAND, "UID FETCH")}},
    {"long verb", {C("a XAPPLEPUSHSERVICE x\r\n", COMMAND, "XAPPLEPUSHSERV")}},
    {"unsolicited", {S("* 4 EXISTS\r\n", BETWEEN), S("* 5 EX", RESPONSE), S("ISTS\r\n", BETWEEN)}},
    {"literal of the server",
     {C("a FETCH 1 BODY[]\r\n", COMMAND, "FETCH"), S("* 1 FETCH (BODY[] {20}\r\n", RESPONSE),
      S("a OK nothing\r\n* BYE", RESPONSE), S(" ", RESPONSE), S(")", RESPONSE), S("\r\n", COMMAND),
      S("a OK done\r\n", BETWEEN)}},
    {"several literals",
     {C("a FETCH 1 X\r\n", COMMAND, NULL), S("* 1 FETCH (X {2}\r\n\r\n Y {0}\r\n", RESPONSE),
      S(" Z ~{3}\r\n\r\n\n)\r\n", COMMAND), S("a OK done\r\n", BETWEEN)}},
    {"words that look like a literal",
     {C("a NOOP\r\n", COMMAND, NULL), S("* OK see {5}\r\n", COMMAND), S("a OK {7}\r\n", BETWEEN)}},
    {"big literal",
     {S("* 1 FETCH (X {18446744073709551615}\r\n", RESPONSE), S("a OK x\r\n", RESPONSE)}},
    {"pipelined",
     {C("a NOOP\r\nb FETCH 1 X\r\nc NOOP\r\n", COMMAND, "NOOP"), S("a OK\r\nb OK\r\n", COMMAND),
      S("c OK\r\n", BETWEEN)}},
    {"pipelined and answered at once",
     {C("a NOOP\r\nb NOOP\r\n", COMMAND, NULL), S("a OK\r\nb OK\r\n", BETWEEN)}},
    {"APPEND",
     {C("a APPEND x {10}\r\n", COMMAND, "APPEND"), S("+ go\r\n", DATA),
      C("b NOOP\r\nc", DATA, "APPEND"), C(" ", COMMAND, "APPEND"), C("\r\n", COMMAND, "APPEND"),
      S("a OK\r\n", BETWEEN)}},
    {"APPEND without waiting",
     {C("a APPEND x {4+}\r\nb NO", COMMAND, "APPEND"), C("\r\n", COMMAND, "APPEND"),
      S("a OK\r\n", BETWEEN)}},
    {"APPEND refused, then another command",
     {C("a APPEND x {10}\r\n", COMMAND, "APPEND"), S("a NO [TOOBIG] x\r\n", BETWEEN),
      C("b NOOP\r\n", COMMAND, "NOOP"), S("b OK\r\n", BETWEEN)}},
    {"an earlier answer does not refuse it",
     {C("z NOOP\r\na APPEND x {4}\r\n", COMMAND, "APPEND"), S("z OK\r\n", COMMAND),
      S("+ go\r\n", DATA), C("b X\n", COMMAND, "APPEND"), C("\r\n", COMMAND, "APPEND"),
      S("a OK\r\n", BETWEEN)}},
    {"impatient client",
     {C("a APPEND x {8}\r\nb NOOP\r\n", COMMAND, "APPEND"), C("\r\n", COMMAND, "APPEND"),
      S("+ go\r\na OK\r\n", BETWEEN)}},
    {"MULTIAPPEND",
     {C("a APPEND x {2+}\r\nhi {3}\r\n", COMMAND, "APPEND"), S("+ go\r\n", DATA),
      C("abc\r\n", COMMAND, "APPEND"), S("a OK\r\n", BETWEEN)}},
    {"IDLE",
     {C("a IDLE\r\n", COMMAND, "IDLE"), S("+ idling\r\n", IDLE), S("* 4 EXISTS\r\n", IDLE),
      S("* 5 EX", RESPONSE), S("ISTS\r\n", IDLE), C("DONE\r\n", COMMAND, "IDLE"),
      S("a OK done\r\n", BETWEEN), C("b NOOP\r\n", COMMAND, "NOOP")}},
    {"IDLE refused", {C("a IDLE\r\n", COMMAND, "IDLE"), S("a BAD no\r\n", BETWEEN)}},
    {"IDLE ended by the server",
     {C("a IDLE\r\n", COMMAND, "IDLE"), S("+ idling\r\n", IDLE), S("a NO enough\r\n", BETWEEN)}},
    {"COMPRESS",
     {C("a COMPRESS DEFLATE\r\n", COMMAND, "COMPRESS"), S("* 1 EXISTS\r\n", COMMAND),
      S("a OK on\r\n\x12\x34", OPAQUE), S("* \r\n", OPAQUE), C("x y\r\n", OPAQUE, "COMPRESS")}},
    {"COMPRESS refused",
     {C("a COMPRESS DEFLATE\r\n", COMMAND, "COMPRESS"), S("a NO off\r\n", BETWEEN),
      C("b NOOP\r\n", COMMAND, "NOOP"), S("b OK\r\n", BETWEEN)}},
    {"COMPRESS after another",
     {C("z NOOP\r\na COMPRESS DEFLATE\r\n", COMMAND, "COMPRESS"), S("z OK\r\n", COMMAND),
      S("a OK on\r\n", OPAQUE)}},
    {"bare LF", {C("a NOOP\n", COMMAND, "NOOP"), S("a OK\n", BETWEEN)}},
    {"no verb", {C("a\r\n\r\n", BETWEEN, ""), S("a BAD\r\n* BAD\r\n", BETWEEN)}},
    {"a password like a literal announcement",
     {C("a X \"{5}\"\r\n", COMMAND, "X"), S("a OK\r\n", BETWEEN)}},
};

static void test_phases(void **state)
{
    (void)state;
    watch_cases_run(&proto_imap, cases, ARRAY_LEN(cases));
}

/* The farewell fits between responses, in the middle of a command too, never in compression. */
static void test_boundary(void **state)
{
    (void)state;
    struct watch *w = calloc(1, proto_imap.watch_size);
    assert_non_null(w);
    proto_imap.watch_init(w);
    assert_true(watch_is_boundary(w));
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("a FETCH 1 X\r\n"));
    assert_true(watch_is_boundary(w));
    proto_imap.watch_feed(w, WATCH_SERVER, STR("* 1 FETCH (X {3}\r\n"));
    assert_false(watch_is_boundary(w));
    proto_imap.watch_feed(w, WATCH_SERVER, STR("abc"));
    assert_false(watch_is_boundary(w));
    proto_imap.watch_feed(w, WATCH_SERVER, STR(")\r\n"));
    assert_true(watch_is_boundary(w));
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_boundary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
