/* SPDX-License-Identifier: ISC */
/* Following IMAP in the relay: phases and boundaries in every cutting. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "tests/unit/proto/watch_case.h"

static const struct watch_case cases[] = {
    {"one command",
     {C("a SELECT INBOX\r\n", COMMAND, "SELECT"), S("* 3 EXISTS\r\n", COMMAND),
      S("* OK [UIDVALIDITY 1] x\r\n", COMMAND), S("a OK done\r\n", BETWEEN)}},
    {"a line in pieces",
     {C("a NO", COMMAND, "NO"), C("OP\r\n", COMMAND, "NOOP"), S("* 3 EXI", RESPONSE),
      S("STS\r\n", COMMAND), S("a OK", RESPONSE), S(" x\r\n", BETWEEN)}},
    {"lower case, UID", {C("a uid fetch 1:* FLAGS\r\n", COMMAND, "UID FETCH")}},
    {"gaps", {C("a  noop\r\n", COMMAND, "NOOP"), S("a  OK x\r\n", COMMAND)}},
    {"UID, gaps", {C("a UID  FETCH 1\r\n", COMMAND, "UID ")}},
    {"a tag alone", {C("a\r\n", BETWEEN, ""), C("b \r\n", BETWEEN, "")}},
    {"CR within", {C("a\rb no\rop\r\n", COMMAND, "NOOP"), S("ab O\rK x\r\n", BETWEEN)}},
    {"no letters", {C("a n\x01\xff\x7f\to\r\n", COMMAND, "N????O")}},
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
      S("+ go\r\n", COMMAND), S("a OK\r\n", BETWEEN)}},
    {"impatient client that is refused",
     {C("a APPEND x {8}\r\nb NOOP\r\n", COMMAND, "APPEND"), S("* 1 EXISTS\r\n", COMMAND),
      S("a NO\r\n", COMMAND), C("", COMMAND, "NOOP"), S("b OK\r\n", BETWEEN)}},
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
    watch_cases_run(&proto_imap, cases, ARRAY_LEN(cases));
}

/* The farewell fits between responses, in the middle of a command too, never in compression. */
static void test_boundary(void **state)
{
    struct watch *w = calloc(1, proto_imap.watch_size);
    assert_non_null(w);
    proto_imap.watch_init(w, STR_NULL);
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

static const struct watch_end_case ends[] = {
    {"a command",
     {EC("a NO", "0 open, due"), EC("OP\r\n", "1 open"), ES("a OK", "1 open"),
      ES(" x\r\n", "quiet")}},
    {"pipelined, answered in another order",
     {EC("a NOOP\r\nb FETCH 1 X\r\nc NOOP\r\n", "3 open"), ES("c OK\r\n", "2 open"),
      ES("a OK\r\n* 1 FETCH (X {3}\r\n", "1 open"), ES("b O)\r\n", "1 open"),
      ES("b OK\r\n", "quiet")}},
    {"more than are told apart",
     {EC("1 A x\r\n2 A x\r\n3 A x\r\n4 A x\r\n5 A x\r\n6 A x\r\n7 A x\r\n8 A x\r\n9 A x\r\n10 A "
         "x\r\n",
         "10 open"),
      ES("10 OK\r\n", "9 open"), ES("1 OK\r\n2 OK\r\n3 OK\r\n4 OK\r\n", "5 open"),
      ES("9 OK\r\n8 OK\r\n7 OK\r\n6 OK\r\n", "1 open"), ES("5 BAD\r\n", "quiet")}},
    {"answers to nothing that was asked",
     {EC("a NOOP\r\n", "1 open"), ES("b OK\r\n* OK\r\n", "1 open"), ES("a OK\r\n", "quiet"),
      ES("a OK\r\n", "quiet")}},
    {"a command without a verb is none", {EC("a\r\n\r\n", "quiet"), ES("a BAD\r\n", "quiet")}},
    {"unsolicited", {ES("* 4 EX", "0 open"), ES("ISTS\r\n", "quiet")}},
    {"APPEND",
     {EC("a APPEND x {10}\r\n", "1 open, due"), ES("+ go\r\n", "1 open, due"),
      EC("b NOOP\r\nc ", "1 open, due"), EC("\r\n", "1 open"), ES("a OK\r\n", "quiet")}},
    {"APPEND without waiting",
     {EC("a APPEND x {4+}\r\n", "1 open, due"), EC("b NO\r\n", "1 open"), ES("a OK\r\n", "quiet")}},
    {"APPEND refused before its data",
     {EC("a APPEND x {10}\r\n", "1 open, due"), ES("a NO\r\n", "quiet")}},
    {"APPEND refused within its data",
     {EC("a APPEND x {4+}\r\nab", "1 open, due"), ES("a NO\r\n", "0 open, due"),
      EC("cd\r\n", "quiet")}},
    {"MULTIAPPEND",
     {EC("a APPEND x {2+}\r\nhi {3}\r\n", "1 open, due"), ES("+ go\r\n", "1 open, due"),
      EC("abc\r\n", "1 open"), ES("a OK\r\n", "quiet")}},
    {"IDLE",
     {EC("a IDLE\r\n", "1 open"), ES("+ idling\r\n", "quiet"), ES("* 5 EX", "0 open"),
      ES("ISTS\r\n", "quiet"), EC("DO", "0 open, due"), EC("NE\r\n", "1 open"),
      ES("a OK\r\n", "quiet")}},
    {"IDLE behind another",
     {EC("a SEARCH x\r\nb IDLE\r\n", "2 open"), ES("+ idling\r\n", "1 open"),
      ES("a OK\r\n", "quiet"), ES("b NO\r\n", "quiet")}},
    {"IDLE left before it began",
     {EC("a IDLE\r\nDONE\r\n", "1 open"), ES("+ idling\r\n", "1 open"), ES("a OK\r\n", "quiet")}},
    {"AUTHENTICATE",
     {EC("a UNAUTHENTICATE\r\n", "1 open"), ES("a OK\r\n", "quiet"),
      EC("b AUTHENTICATE LOGIN\r\n", "1 open"), ES("+ VXNlcg==\r\n", "1 open, due"),
      EC("YQ==\r\n", "1 open"), ES("+ UGFzcw==\r\n", "1 open, due"), EC("YSBi\r\n", "1 open"),
      ES("b OK\r\n", "quiet")}},
    {"AUTHENTICATE refused",
     {EC("b AUTHENTICATE LOGIN\r\n", "1 open"), ES("+ \r\n", "1 open, due"),
      ES("b NO\r\n", "quiet")}},
    {"COMPRESS", {EC("a COMPRESS DEFLATE\r\n", "1 open"), ES("a OK\r\n", "opaque")}},
};

/* After UNAUTHENTICATE a client logs in again: what answers a challenge is shown to nobody. */
static void test_unauthenticate(void **state)
{
    struct watch *w = calloc(1, proto_imap.watch_size);
    assert_non_null(w);
    proto_imap.watch_init(w, STR_NULL);
    struct str said = STR("a NOOP\r\nb unauthenticate\r\nc LOGIN x y\r\n");
    size_t n = proto_imap.watch_feed(w, WATCH_CLIENT, said);
    assert_true(w->is_forbidden);
    assert_true(str_eq(str_skip(said, n), STR("c LOGIN x y\r\n")));
    proto_imap.watch_init(w, STR_NULL);
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("b  UNAUTHENTICATE \r\n"));
    assert_true(w->is_forbidden);
    proto_imap.watch_init(w, STR_NULL);
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("a APPEND x {20+}\r\nb UNAUTHENTICATE\r\n12\r\n"));
    assert_false(w->is_forbidden);
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("b UNAUTH"));
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("ENTICATE"));
    assert_false(w->is_forbidden);
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("\n"));
    assert_true(w->is_forbidden);
    free(w);
}

/* What the client says is never taken for a literal that the server takes for commands, nor the
 * other way: rows of what both say until the client has said UNAUTHENTICATE as some server reads
 * it. */
static void test_two_readings(void **state)
{
    static const struct {
        const char *what;
        const char *said[8]; /* "C..." and "S..."; the last is the client's */
        bool is_ambiguous;
    } rows[] = {
        {"a literal is refused",
         {"Ca APPEND x {30}\r\nb UNAUTHENTICATE\r\n", "Sa NO [TOOBIG] x\r\n"},
         false},
        {"its second literal is refused",
         {"Ca APPEND x {1+}\r\nx {30}\r\nb UNAUTHENTICATE\r\n", "Sa NO x\r\n"},
         false},
        {"another command has its tag",
         {"Ca NOOP\r\na APPEND x {20}\r\nb APPEND x {1000+}\r\n\r\nc UNAUTHENTICATE\r\n",
          "Sa OK\r\n", "S+ go\r\n"},
         false},
        {"a line without a command has its tag", {"Ca\r\na APPEND x {23}\r\n"}, true},
        {"a line without a command has the tag of IDLE", {"Ca\r\na IDLE\r\n"}, true},
        {"IDLE has not begun",
         {"Ca IDLE\r\nb APPEND x {100+}\r\nc UNAUTHENTICATE\r\n", "S+ idling\r\n"},
         true},
        {"the tag of IDLE is answered before",
         {"Ca NOOP\r\na IDLE\r\nb APPEND x {100}\r\nc UNAUTHENTICATE\r\n", "Sa OK\r\n",
          "S+ idling\r\n"},
         true},
        {"a literal within IDLE", {"Ca IDLE\r\n", "S+ \r\n", "Cb APPEND x {100+}\r\n"}, true},
        {"a literal behind no command", {"Ca{100+}\r\n"}, true},
        {"a tag with a plus",
         {"C+x NOOP\r\na APPEND x {30}\r\nb UNAUTHENTICATE\r\n", "S+x OK\r\n", "Sa NO\r\n"},
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF held = BUF_INIT;
        struct watch *w = calloc(1, proto_imap.watch_size);
        assert_non_null(w);
        proto_imap.watch_init(w, STR_NULL);
        for (size_t k = 0; k < 8 && rows[i].said[k]; k++) {
            struct str said = str_of(rows[i].said[k] + 1);
            if (rows[i].said[k][0] == 'S')
                (void)proto_imap.watch_feed(w, WATCH_SERVER, said);
            else
                assert_int_equal(buf_append(&held, said.p, said.n), 0);
            for (size_t n = 1; n > 0 && held.len > 0 && !w->is_forbidden;) {
                n = proto_imap.watch_feed(w, WATCH_CLIENT, buf_str(&held));
                buf_consume(&held, n);
            }
        }
        if (!w->is_forbidden || w->is_ambiguous != rows[i].is_ambiguous)
            fail_msg("%s: forbidden %d, ambiguous %d", rows[i].what, w->is_forbidden,
                     w->is_ambiguous);
        free(w);
    }
}

static void test_ends(void **state)
{
    watch_ends_run(&proto_imap, ends, ARRAY_LEN(ends));
    struct watch *w = calloc(1, proto_imap.watch_size);
    assert_non_null(w);
    proto_imap.watch_init(w, STR_NULL);
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("b AUTHENTICATE X\r\n"));
    proto_imap.watch_feed(w, WATCH_SERVER, STR("+ \r\n"));
    proto_imap.watch_feed(w, WATCH_CLIENT, STR("my secret\r\n"));
    assert_string_equal(w->verb, "AUTHENTICATE");
    free(w);
}

static void test_stops(void **state)
{
    static const struct watch_stop rows[] = {
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("a NOOP\r\nb NOOP\r\n"), 8},
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("a APPEND x {3+}\r\na\r\n\r\nb NOOP\r\n"), 22},
        {{STR("a APPEND x {3}\r\n"), STR("+ go\r\n")}, WATCH_CLIENT, STR("a\r\n\r\nb NOOP\r\n"), 5},
        {{STR("a IDLE\r\n"), STR("+ \r\n")}, WATCH_CLIENT, STR("DONE\r\nb NOOP\r\n"), 6},
        {{STR_NULL, STR_NULL}, WATCH_SERVER, STR("* 1 EXISTS\r\n* 2 EXISTS\r\n"), 12},
        {{STR_NULL, STR_NULL}, WATCH_SERVER, STR("* 1 FETCH (X {4}\r\n\r\n\r\n)\r\n* 2\r\n"), 25},
    };
    watch_stops_run(&proto_imap, rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),   cmocka_unit_test(test_unauthenticate),
        cmocka_unit_test(test_ends),     cmocka_unit_test(test_stops),
        cmocka_unit_test(test_boundary), cmocka_unit_test(test_two_readings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
