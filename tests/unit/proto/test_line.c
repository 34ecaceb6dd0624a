/* SPDX-License-Identifier: ISC */
/* Lines, literals and whole commands, in every cutting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "proto/line.h"
#include "tests/unit/proto/split.h"

/* ---- line_cut ---- */

struct line_case {
    struct str in;
    size_t max;
    const char
        *want; /* "<line>", "(line)" for a bare LF, "!" too long; what is left over does not show */
};

struct line_run {
    const struct line_case *c;
    struct buf seen;
};

static void *line_begin(void *arg)
{
    struct line_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    run->c = arg;
    return run;
}

static size_t line_feed(void *object, struct str in)
{
    struct line_run *run = object;
    struct str line;
    size_t used = 99;
    bool is_bare = false;
    int r = line_cut(in, run->c->max, &line, &used, &is_bare);
    if (r == -ERR_AGAIN) {
        assert_int_equal(used, 99); /* outputs stay untouched */
        return 0;
    }
    if (r == -ERR_TOO_LONG) {
        assert_int_equal(buf_append_c(&run->seen, "!"), 0);
        return SPLIT_STOP;
    }
    assert_int_equal(r, 0);
    assert_int_equal(buf_printf(&run->seen, is_bare ? "(%.*s)" : "<%.*s>", STR_ARG(line)), 0);
    return used;
}

static void line_end(void *object, void *arg, const char *how)
{
    struct line_run *run = object;
    const struct line_case *c = arg;
    if (!str_eq(buf_str(&run->seen), str_of(c->want)))
        fail_msg("%s: \"%.*s\": got \"%.*s\", want \"%s\"", how, STR_ARG(c->in),
                 STR_ARG(buf_str(&run->seen)), c->want);
    buf_fini(&run->seen);
    free(run);
}

static void test_line_cut(void **state)
{
    static struct line_case cases[] = {
        {{"", 0}, 10, ""},
        {{"abc", 3}, 10, ""},
        {{"\r\n", 2}, 10, "<>"},
        {{"\n", 1}, 10, "()"},
        {{"a\r\nb\nc\r\nrest", 12}, 10, "<a>(b)<c>"},
        {{"a\rb\r\n", 5}, 10, "<a\rb>"},
        {{"a\r\r\n", 4}, 10, "<a\r>"},
        {{"12345\r\n", 7}, 5, "<12345>"},
        {{"12345\n", 6}, 5, "(12345)"},
        {{"123456\r\n", 8}, 5, "!"},
        {{"123456\n", 7}, 5, "!"},
        {{"12345\rX\n", 8}, 5, "!"},
        {{"1234567", 7}, 5, "!"},
        {{"\r\n", 2}, 0, "<>"},
        {{"x\r\n", 3}, 0, "!"},
    };
    const struct split_ops ops = {line_begin, line_feed, line_end};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        split_run(&ops, &cases[i], cases[i].in);
    /* no limit at all does not overflow */
    struct str line;
    size_t used;
    assert_int_equal(line_cut(STR("a\r\n"), SIZE_MAX, &line, &used, NULL), 0);
    assert_int_equal(used, 3);
}

static void test_line_literal(void **state)
{
    static const struct {
        struct str line;
        bool is_literal;
        uint64_t size;
        bool is_sync;
    } cases[] = {
        {{"a LOGIN {5}", 11}, true, 5, true},
        {{"a LOGIN {5+}", 12}, true, 5, false},
        {{"a LOGIN {5-}", 12}, true, 5, false},
        {{"{0}", 3}, true, 0, true},
        {{"~{007}", 6}, true, 7, true},
        {{"{18446744073709551615}", 22}, true, UINT64_MAX, true},
        {{"{18446744073709551616}", 22}, true, UINT64_MAX, true},
        {{"{99999999999999999999999+}", 26}, true, UINT64_MAX, false},
        {{"", 0}, false, 0, false},
        {{"{}", 2}, false, 0, false},
        {{"{+}", 3}, false, 0, false},
        {{"5}", 2}, false, 0, false},
        {{"15}", 3}, false, 0, false},
        {{"{5} ", 4}, false, 0, false},
        {{"{5", 2}, false, 0, false},
        {{"{-5}", 4}, false, 0, false},
        {{"{5++}", 5}, false, 0, false},
        {{"{ 5}", 4}, false, 0, false},
        {{"{5\0}", 4}, false, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t size = 0;
        bool is_sync = false;
        bool got = line_literal(cases[i].line, &size, &is_sync);
        if (got != cases[i].is_literal || size != cases[i].size || is_sync != cases[i].is_sync)
            fail_msg("case %zu: got %d %llu %d", i, got, (unsigned long long)size, is_sync);
    }
}

/* ---- line_cut_command ---- */

struct command_case {
    struct str in;
    size_t max_line, max_literals;
    const char *want; /* "<command>" "+" invited "!" fatal "?" refused politely */
};

struct command_run {
    const struct command_case *c;
    unsigned invited;
    struct buf seen;
};

static void *command_begin(void *arg)
{
    struct command_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    run->c = arg;
    return run;
}

static size_t command_feed(void *object, struct str in)
{
    struct command_run *run = object;
    size_t used = 0;
    bool must_invite, is_sync;
    int r;
    do {
        r = line_cut_command(in, run->c->max_line, run->c->max_literals, &run->invited, &used,
                             &must_invite, &is_sync);
        if (must_invite)
            assert_int_equal(buf_append_c(&run->seen, "+"), 0);
    } while (must_invite);
    if (r == -ERR_AGAIN)
        return 0;
    assert_int_equal(run->invited, 0);
    if (r == -ERR_TOO_LONG && !is_sync) {
        assert_int_equal(used, 0);
        assert_int_equal(buf_append_c(&run->seen, "!"), 0);
        return SPLIT_STOP;
    }
    assert_true(r == 0 || r == -ERR_TOO_LONG);
    assert_int_equal(buf_printf(&run->seen, "%s%.*s>", r == 0 ? "<" : "?<", (int)used, in.p), 0);
    return used;
}

static void command_end(void *object, void *arg, const char *how)
{
    struct command_run *run = object;
    const struct command_case *c = arg;
    if (!str_eq(buf_str(&run->seen), str_of(c->want)))
        fail_msg("%s: \"%.*s\": got \"%.*s\", want \"%s\"", how, STR_ARG(c->in),
                 STR_ARG(buf_str(&run->seen)), c->want);
    buf_fini(&run->seen);
    free(run);
}

#define IN(text)                                                                                   \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static void test_line_cut_command(void **state)
{
    static struct command_case cases[] = {
        {IN("a NOOP\r\nb NOOP\r\n"), 100, 100, "<a NOOP\r\n><b NOOP\r\n>"},
        {IN("a L {3}\r\nabc d\r\nb X\r\n"), 100, 100, "+<a L {3}\r\nabc d\r\n><b X\r\n>"},
        {IN("a L {3+}\r\nabc d\r\nb X\r\n"), 100, 100, "<a L {3+}\r\nabc d\r\n><b X\r\n>"},
        {IN("a L {1}\r\nu {2}\r\npw\r\n"), 100, 100, "++<a L {1}\r\nu {2}\r\npw\r\n>"},
        {IN("a L {1+}\r\nu {2}\r\npw\r\n"), 100, 100, "+<a L {1+}\r\nu {2}\r\npw\r\n>"},
        {IN("a L {1}\r\nu {2+}\r\npw\r\n"), 100, 100, "+<a L {1}\r\nu {2+}\r\npw\r\n>"},
        {IN("a L {0}\r\n {0}\r\n\r\nb X\r\n"), 100, 100, "++<a L {0}\r\n {0}\r\n\r\n><b X\r\n>"},
        /* what looks like an announcement inside of a literal is none */
        {IN("a L {6}\r\n{99}\r\n x\r\n"), 100, 100, "+<a L {6}\r\n{99}\r\n x\r\n>"},
        /* an unfinished one waits */
        {IN("a L {3}\r\nab"), 100, 100, "+"},
        {IN("a L {3}\r\nabc"), 100, 100, "+"},
        /* limits: all lines together, all literals together */
        {IN("a L {3}\r\nabc d\r\n"), 9, 3, "+<a L {3}\r\nabc d\r\n>"},
        {IN("a L {3}\r\nabc d\r\n"), 8, 3, "+!"},
        {IN("a L {4}\r\nb X\r\n"), 100, 3, "?<a L {4}\r\n><b X\r\n>"},
        {IN("a L {4+}\r\nabcd\r\n"), 100, 3, "!"},
        {IN("a L {2+}\r\nab{2}\r\nb X\r\n"), 100, 3, "?<a L {2+}\r\nab{2}\r\n><b X\r\n>"},
        {IN("a L {2}\r\nab{2}\r\nb {1}\r\nx\r\n"), 100, 3,
         "+?<a L {2}\r\nab{2}\r\n>+<b {1}\r\nx\r\n>"},
        {IN("a L {99999999999999999999+}\r\nabcd\r\n"), 100, 3, "!"},
        {IN("{0+}\r\n{0+}\r\n{0+}\r\n{0+}\r\n"), 12, 3, "!"},
        {IN("0123456789\r\n"), 9, 3, "!"},
    };
    const struct split_ops ops = {command_begin, command_feed, command_end};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        split_run(&ops, &cases[i], cases[i].in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_cut),
        cmocka_unit_test(test_line_literal),
        cmocka_unit_test(test_line_cut_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
