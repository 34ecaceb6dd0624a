/* SPDX-License-Identifier: ISC */
/* Words, blocks and includes of nginx's files: what is read, and what is refused, with its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nginx/nginx_tree.h"
#include "nginx/nginx_words.h"
#include "nginx_case.h"

/* ---- words ---- */

/* The words of a text with their lines: "1:word", separated by blanks; ";" "{" "}" as they are. */
static void words_of(const char *text, struct buf *out)
{
    struct nginx_words w = {.text = str_of(text), .line = 1};
    enum nginx_token token = NGINX_WORD;
    const char *why = NULL;
    int err = 0;
    while (err == 0 && token != NGINX_END) {
        err = nginx_words_next(&w, &token, &why);
        if (err == 0 && token == NGINX_WORD)
            err = buf_printf(out, "%u:%.*s ", w.word_line, STR_ARG(buf_str(&w.word)));
        else if (err == 0 && token != NGINX_END)
            err = buf_printf(out, "%c ", ";{}"[token - NGINX_SEMICOLON]);
    }
    if (err == -ERR_SYNTAX)
        assert_int_equal(buf_printf(out, "%u! %s", w.word_line, why), 0);
    nginx_words_fini(&w);
}

static void test_words(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"a b;", "1:a 1:b ; "},
        {"a\n b\t;\r\n", "1:a 2:b ; "},
        {"a{b;}", "1:a { 1:b ; } "},
        {"# all\na; # end\nb;", "2:a ; 3:b ; "},
        {"a#b c;", "1:a#b 1:c ; "},
        {"a 'b c' \"d;{e\";", "1:a 1:b c 1:d;{e ; "},
        {"a \"\" b;", "1:a 1: 1:b ; "},
        {"a \"b\nc\" d;", "1:a 1:b\nc 2:d ; "},
        {"a \"b\\\"c\\\\d\" 'e\\'f';", "1:a 1:b\"c\\d 1:e'f ; "},
        {"a b\\ c d\\;e f\\.g \\{h;", "1:a 1:b\\ c 1:d\\;e 1:f\\.g 1:\\{h ; "},
        {"a \\t\\n;", "1:a 1:\t\n ; "},
        {"a b\"c d;", "1:a 1:b\"c 1:d ; "},
        {"a ${b}c $d{e;", "1:a 1:${b}c 1:$d { 1:e ; "},
        {"a b}c;", "1:a 1:b}c ; "},
        {"a \"b\"{c;", "1:a 1:b { 1:c ; "},
        {"a \"b\"c;", "1:a 1! a blank or \";\" must follow a closing quote"},
        {"a;\n\"b\n;", "1:a ; 2! a quote is not closed"},
        {"a \\", "1:a 1! it ends within a word"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF out = BUF_INIT;
        words_of(cases[i].text, &out);
        assert_string_equal(buf_cstr(&out), cases[i].want);
    }
}

static void test_long_words(void **state)
{
    char text[NGINX_WORD_MAX + 3];
    memset(text, 'a', sizeof(text));
    text[NGINX_WORD_MAX] = ';';
    text[NGINX_WORD_MAX + 1] = '\0';
    AUTO_BUF fits = BUF_INIT;
    words_of(text, &fits);
    assert_int_equal(fits.len, strlen("1:") + NGINX_WORD_MAX + strlen(" ; "));
    text[NGINX_WORD_MAX] = 'a';
    text[NGINX_WORD_MAX + 1] = ';';
    text[NGINX_WORD_MAX + 2] = '\0';
    AUTO_BUF out = BUF_INIT;
    words_of(text, &out);
    assert_string_equal(buf_cstr(&out), "1! a word is longer than 4095 bytes");
}

/* ---- the tree ---- */

static void print_tree(const struct nginx_directive *d, struct buf *out)
{
    for (const struct nginx_directive *c = d->first; c; c = c->next) {
        assert_ptr_equal(c->parent, d);
        assert_int_equal(buf_printf(out, "%s:%u", strrchr(c->file, '/') + 1, c->line), 0);
        for (size_t i = 0; i < c->n_words; i++)
            assert_int_equal(buf_printf(out, " %s", c->words[i]), 0);
        assert_int_equal(buf_append_c(out, c->has_block ? "{" : ";"), 0);
        print_tree(c, out);
        if (c->has_block)
            assert_int_equal(buf_append_char(out, '}'), 0);
    }
}

static void read_files(const char *files, struct buf *out)
{
    struct str text = str_of(files);
    struct nginx_source source = nginx_case_source(&text);
    struct nginx_directive *root = NULL;
    AUTO_BUF error = BUF_INIT;
    int err = nginx_tree_read("/n/nginx.conf", &source, &root, &error);
    assert_int_equal(err == 0, root != NULL);
    if (err == 0)
        print_tree(root, out);
    else
        assert_int_equal(buf_append_str(out, buf_str(&error)), 0);
    nginx_tree_free(root);
}

static void test_tree(void **state)
{
    static const struct {
        const char *files, *want;
    } cases[] = {
        {"=== /n/nginx.conf\na b;\nmail {\n c;\n server { d; } }\n",
         "nginx.conf:1 a b;nginx.conf:2 mail{nginx.conf:3 c;nginx.conf:4 server{nginx.conf:4 d;}}"},
        /* what is not about mail is passed over, with its includes */
        {"=== /n/nginx.conf\nhttp { include gone; a { b; } }\nc;\n",
         "nginx.conf:1 http{}nginx.conf:2 c;"},
        /* patterns, in the order of names; relative to the first file */
        {"=== /n/nginx.conf\nmail { include d/*.conf; }\n=== /n/d/1.conf\na;\n=== /n/d/2.conf\n"
         "include ../n/e;\n=== /n/d/3.txt\nx;\n=== /n/../n/e\nf;\n",
         "nginx.conf:1 mail{1.conf:1 a;e:1 f;}"},
        {"=== /n/nginx.conf\ninclude none/*;\na;\n", "nginx.conf:2 a;"},
        {"=== /n/nginx.conf\n\ninclude none;\n", "/n/nginx.conf:2: include /n/none: not found"},
        {"=== /n/other\n", "/n/nginx.conf: cannot be read: not found"},
        {"=== /n/nginx.conf\nmail {\na;\n",
         "/n/nginx.conf:3: unexpected end of file, \"}\" is missing"},
        {"=== /n/nginx.conf\nhttp {\na;\n", "/n/nginx.conf:1: the block has no end"},
        {"=== /n/nginx.conf\na;\n}\n", "/n/nginx.conf:2: unexpected \"}\""},
        {"=== /n/nginx.conf\n;\n", "/n/nginx.conf:1: unexpected \";\""},
        {"=== /n/nginx.conf\nmail { {} }\n", "/n/nginx.conf:1: unexpected \"{\""},
        {"=== /n/nginx.conf\nmail { a }\n", "/n/nginx.conf:1: unexpected \"}\""},
        {"=== /n/nginx.conf\na\n",
         "/n/nginx.conf:2: unexpected end of file, \";\" or \"}\" is missing"},
        {"=== /n/nginx.conf\nmail { include 1; a; }\n=== /n/1\nb; }\n", "/n/1:1: unexpected \"}\""},
        {"=== /n/nginx.conf\ninclude;\n", "/n/nginx.conf:1: include needs one file"},
        /* a file that includes itself */
        {"=== /n/nginx.conf\ninclude nginx.conf;\n",
         "/n/nginx.conf:1: blocks and includes are deeper than 16"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF out = BUF_INIT;
        read_files(cases[i].files, &out);
        assert_string_equal(buf_cstr(&out), cases[i].want);
    }
}

/* Files that include each other twice would take 2^15 readings. */
static void test_many_files(void **state)
{
    AUTO_BUF files = BUF_INIT;
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(buf_append_c(&files, "=== /n/nginx.conf\ninclude 1; include 1;\n"), 0);
    for (int i = 1; i < 14; i++)
        assert_int_equal(
            buf_printf(&files, "=== /n/%d\ninclude %d; include %d;\n", i, i + 1, i + 1), 0);
    assert_int_equal(buf_append_c(&files, "=== /n/14\na;\n"), 0);
    read_files(buf_cstr(&files), &out);
    assert_non_null(strstr(buf_cstr(&out), "more than 256 files are included"));
}

static void test_many_words(void **state)
{
    AUTO_BUF files = BUF_INIT;
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(buf_append_c(&files, "=== /n/nginx.conf\nhttp {"), 0);
    for (int i = 0; i < NGINX_WORDS_MAX; i++)
        assert_int_equal(buf_append_c(&files, "a;"), 0);
    assert_int_equal(buf_append_c(&files, "}\n"), 0);
    read_files(buf_cstr(&files), &out);
    assert_string_equal(buf_cstr(&out), "/n/nginx.conf:1: there are more than 100000 words");
    /* fewer, where each is kept */
    files.len = strlen("=== /n/nginx.conf\n");
    for (int i = 0; i <= NGINX_BLOCK_MAX; i++)
        assert_int_equal(buf_append_c(&files, "a;"), 0);
    buf_clear(&out);
    read_files(buf_cstr(&files), &out);
    assert_string_equal(buf_cstr(&out), "/n/nginx.conf:1: a block has more than 1000 directives");
    files.len = strlen("=== /n/nginx.conf\n");
    for (int i = 0; i <= NGINX_ARGUMENTS_MAX; i++)
        assert_int_equal(buf_append_c(&files, "a "), 0);
    buf_clear(&out);
    read_files(buf_cstr(&files), &out);
    assert_string_equal(buf_cstr(&out), "/n/nginx.conf:1: it has more than 500 words");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),      cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_tree),       cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_many_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
