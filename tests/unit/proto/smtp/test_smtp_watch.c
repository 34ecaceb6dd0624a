/* SPDX-License-Identifier: ISC */
/* Following SMTP in the relay: phases and boundaries in every cutting. */
#include "base/cleanup.h"
#include "tests/unit/proto/watch_case.h"

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
    {"a server that asks for more",
     {C("X-SASL LOGIN\r\n", COMMAND, "?"), S("334 VXNl\r\n", COMMAND), C("RATA\r\n", COMMAND, "?"),
      S("334 UGFz\r\n", COMMAND), C("DATA\r\n", COMMAND, "?"), S("235 in\r\n", BETWEEN),
      C("RSET\r\n", COMMAND, "RSET")}},
    {"what came too early is not shown",
     {C("X-SASL PLAIN\r\nsecret\r\n", COMMAND, "?"), S("334 \r\n", COMMAND)}},
    {"chunk of two numbers",
     {C("BDAT 0 9\r\nNOOP\r\n", COMMAND, "NOOP"), S("501 no\r\n250 ok\r\n", BETWEEN)}},
    {"unasked words", {S("421 timeout\r\n", BETWEEN), S("250-x\r\n", RESPONSE)}},
    {"unknown words", {C("verylongunknownverb x\r\n", COMMAND, "?"), C("\r\n", COMMAND, "?")}},
};

static void test_cases(void **state)
{
    watch_cases_run(&proto_smtp, cases, ARRAY_LEN(cases));
}

static const struct watch_end_case ends[] = {
    {"a command",
     {EC("MA", "0 open, due"), EC("IL FROM:<a>\r\n", "1 open"), ES("250", "1 open"),
      ES(" ok\r\n", "quiet")}},
    {"several lines",
     {EC("EHLO x\r\n", "1 open"), ES("250-a\r\n", "1 open"), ES("250 b\r\n", "quiet")}},
    {"DATA",
     {EC("DATA\r\n", "1 open"), ES("354 go\r\n", "0 open, due"), EC("x\r\n..\r\n", "0 open, due"),
      EC(".\r\n", "1 open"), ES("250 ok\r\n", "quiet")}},
    {"DATA refused", {EC("DATA\r\n", "1 open"), ES("503 no\r\n", "quiet")}},
    {"pipelined",
     {EC("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n", "3 open"),
      ES("250 ok\r\n250 ok\r\n", "1 open"), ES("354 go\r\n", "0 open, due"),
      EC("x\r\n.\r\nQUIT\r\n", "2 open"), ES("250 ok\r\n", "1 open"), ES("221 bye\r\n", "quiet")}},
    {"BDAT",
     {EC("BDAT 4\r\n", "1 open, due"), EC("abc", "1 open, due"), EC("d", "1 open"),
      ES("250 ok\r\n", "quiet"), EC("BDAT 2 LAST\r\nef", "1 open"), ES("250 ok\r\n", "quiet")}},
    {"BDAT one after another",
     {EC("BDAT 2\r\nabBDAT 2 LAST\r\nc", "2 open, due"), EC("d", "2 open"),
      ES("250 ok\r\n", "1 open"), ES("250 ok\r\n", "quiet")}},
    {"BDAT refused within its chunk",
     {EC("BDAT 4\r\nab", "1 open, due"), ES("503 no\r\n", "0 open, due"), EC("cd", "quiet")}},
    {"BDAT of nothing", {EC("BDAT 0 LAST\r\n", "1 open"), ES("250 ok\r\n", "quiet")}},
    {"a server that asks for more",
     {EC("X-SASL LOGIN\r\n", "1 open"), ES("334 VXNlcg==\r\n", "1 open, due"),
      EC("YQ==\r\n", "1 open"), ES("235 ok\r\n", "quiet")}},
    {"an empty line is answered, too", {EC("\r\n", "1 open"), ES("500 no\r\n", "quiet")}},
};

static void test_ends(void **state)
{
    watch_ends_run(&proto_smtp, ends, ARRAY_LEN(ends));
}

static void test_stops(void **state)
{
    static const struct watch_stop rows[] = {
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("NOOP\r\nNOOP\r\n"), 6},
        {{STR("DATA\r\n"), STR("354 go\r\n")}, WATCH_CLIENT, STR("x\r\n.\r\nQUIT\r\n"), 6},
        {{STR("DATA\r\n"), STR("354 go\r\n")}, WATCH_CLIENT, STR(".\r\nQUIT\r\n"), 3},
        {{STR_NULL, STR_NULL}, WATCH_CLIENT, STR("BDAT 3\r\na\r\nBDAT 1 LAST\r\nx"), 11},
        {{STR("NOOP\r\nNOOP\r\n"), STR_NULL}, WATCH_SERVER, STR("250-a\r\n250 b\r\n250 c\r\n"), 14},
    };
    watch_stops_run(&proto_smtp, rows, ARRAY_LEN(rows));
}

/* ---- what is not for clients ---- */

/* What a client says, and the bytes of it behind which it says what it may not; 0 = it may. */
static const struct forbidden_case {
    const char *what;
    const char *learned; /* what the server announced */
    const char *before;  /* a command that the server has answered by 354 */
    const char *said;
    size_t stop;
} forbidden_cases[] = {
    {"XCLIENT", "", "", "XCLIENT ADDR=127.0.0.1\r\n", 8},
    {"in any case", "", "", "xClient LOGIN=x\r\n", 8},
    {"behind another", "", "", "NOOP\r\nXCLIENT LOGIN=x\r\n", 14},
    {"blanks before it", "", "", " \t\v\f\rXCLIENT LOGIN=x\r\n", 13},
    {"a tab behind it", "", "", "XCLIENT\tLOGIN=x\r\n", 8},
    {"a CR behind it", "", "", "XCLIENT\rLOGIN=x\r\n", 8},
    {"no argument", "", "", "STARTTLS\n", 9},
    {"XFORWARD", "", "", "XFORWARD NAME=x\r\n", 9},
    {"AUTH", "", "", "AUTH PLAIN x\r\n", 5},
    {"another word", "", "", "XCLIENTS x\r\nXCLIEN x\r\nNOOP XCLIENT\r\n", 0},
    {"a message", "", "DATA\r\n", "XCLIENT x\r\n.XCLIENT x\r\nAUTH x\r\n", 0},
    {"behind a message", "", "DATA\r\n", "x\r\n.\r\nXCLIENT x\r\n", 14},
    {"behind LF.LF", "", "DATA\r\n", "x\n.\nXCLIENT x\r\n", 12},
    {"behind LF.CRLF", "", "DATA\r\n", "x\n.\r\nXCLIENT x\r\n", 13},
    {"behind CRLF.LF", "", "DATA\r\n", "x\r\n.\nNOOP\r\nXCLIENT x\r\n", 19},
    {"behind CR.CR", "", "DATA\r\n", "x\r.\rXCLIENT x\r\n", 12},
    {"behind CRLF.CR", "", "DATA\r\n", "x\r\n.\rXCLIENT x\r\n", 13},
    {"within a line behind LF.LF", "", "DATA\r\n", "x\n.\nNo XCLIENT x\r\nXCLIENT.\r\n", 0},
    {"a chunk", "CHUNKING\n", "", "BDAT 12 LAST\r\nXCLIENT x\r\nNOOP\r\n", 0},
    {"behind a chunk", "SIZE 1\nchunking\n", "", "BDAT 3\r\n1\r\nXCLIENT x\r\n", 19},
    {"a chunk that the server does not know", "SIZE 1\n", "", "BDAT 11\r\nXCLIENT x\r\n", 17},
    {"a chunk of two numbers", "CHUNKING\n", "", "BDAT 0 30\r\nXCLIENT x\r\n", 19},
};

static void test_forbidden(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(forbidden_cases); i++)
        for (size_t chunk = 1; chunk < 40; chunk++) {
            const struct forbidden_case *c = &forbidden_cases[i];
            struct watch *w = calloc(1, proto_smtp.watch_size);
            size_t done = 0;
            assert_non_null(w);
            proto_smtp.watch_init(w, str_of(c->learned));
            if (*c->before) {
                (void)proto_smtp.watch_feed(w, WATCH_CLIENT, str_of(c->before));
                (void)proto_smtp.watch_feed(w, WATCH_SERVER, STR("354 go\r\n"));
            }
            for (struct str rest = str_of(c->said); rest.n > 0 && !w->is_forbidden;) {
                size_t n = proto_smtp.watch_feed(w, WATCH_CLIENT, str_head(rest, chunk));
                rest = str_skip(rest, n);
                done += n;
            }
            if (w->is_forbidden != (c->stop > 0) || (c->stop > 0 && done != c->stop))
                fail_msg("%s, in chunks of %zu: stops behind %zu bytes", c->what, chunk,
                         w->is_forbidden ? done : 0);
            free(w);
        }
}

/* ---- lines that could be another end of the message ---- */

/* Feeds a message in chunks of `chunk` bytes as the relay does, with one more dot where the watcher
 * stops for one. "^" and "_" stand for CR and LF. */
static void feed_strict(const char *text, size_t chunk, struct buf *out)
{
    struct watch *w = calloc(1, proto_smtp.watch_size);
    AUTO_BUF raw = BUF_INIT;
    assert_non_null(w);
    proto_smtp.watch_init(w, STR_NULL);
    w->is_strict = true;
    (void)proto_smtp.watch_feed(w, WATCH_CLIENT, STR("DATA\r\n"));
    (void)proto_smtp.watch_feed(w, WATCH_SERVER, STR("354 go\r\n"));
    for (const char *p = text; *p; p++)
        assert_int_equal(buf_append_char(&raw, *p == '^' ? '\r' : *p == '_' ? '\n' : *p), 0);
    struct str rest = buf_str(&raw);
    while (rest.n > 0) {
        size_t n = proto_smtp.watch_feed(w, WATCH_CLIENT, str_head(rest, chunk));
        for (size_t i = 0; i < n; i++) {
            char c = rest.p[i];
            assert_int_equal(buf_append_char(out, c == '\r' ? '^' : c == '\n' ? '_' : c), 0);
        }
        assert_true(n == (rest.n < chunk ? rest.n : chunk) || w->false_end);
        rest = str_skip(rest, n);
        if (w->false_end == WATCH_FALSE_END_BEHIND) {
            assert_int_equal(buf_append_c(out, "{REFUSED}"), 0);
            break;
        }
        if (w->false_end)
            assert_int_equal(buf_append_char(out, '.'), 0);
        w->false_end = WATCH_FALSE_END_NONE;
    }
    assert_int_equal(buf_append_c(out, w->phase == WATCH_DATA ? "{data}"
                                       : w->open == 1         ? "{end}"
                                                              : "{more}"),
                     0);
    free(w);
}

static void test_false_ends(void **state)
{
    static const char *const messages[][2] = {
        {"a^_.^_", "a^_.^_{end}"},
        {".^_", ".^_{end}"},
        {"a^_..^_.^_", "a^_..^_.^_{end}"},
        {"a^_.b^_", "a^_.b^_{data}"},
        {"a_.b^.c^_", "a_.b^.c^_{data}"},
        {"a_b^c_^_.^_", "a_b^c_^_.^_{end}"}, /* bare ones elsewhere are the message's own */
        {"a_.^_b", "a_..^_b{data}"},
        {"a_._b", "a_.._b{data}"},
        {"a_.^b", "a_..^b{data}"},
        {"a^_._b", "a^_.._b{data}"},
        {"a^_.^b", "a^_.^{REFUSED}{data}"},
        {"a^_.^^_", "a^_.^{REFUSED}{data}"},
        {"a^.^_b", "a^..^_b{data}"},
        {"a^.^b", "a^..^b{data}"},
        {"a^._b", "a^.._b{data}"},
        {"._b", ".._b{data}"},
        {"_.^_.^_", "_..^_.^_{end}"}, /* the second one is whole: CR LF . CR LF */
        {"a_._._.^_", "a_.._.._..^_{data}"},
        {"a_.^_.^_", "a_..^_.^_{end}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        for (size_t chunk = 1; chunk < 16; chunk++) {
            AUTO_BUF out = BUF_INIT;
            feed_strict(messages[i][0], chunk, &out);
            assert_string_equal(buf_cstr(&out), messages[i][1]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_stops),     cmocka_unit_test(test_false_ends),
        cmocka_unit_test(test_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
