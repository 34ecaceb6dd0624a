/* SPDX-License-Identifier: ISC */
/* Habits from other files, and slips, known by two tokens that cannot follow each other. */
#include "config/config_key.h"

#include <string.h>

#include "base/cleanup.h"

/* Kinds of tokens beside characters that stand for themselves. */
#define SYNTAX_TEXT '"'
#define SYNTAX_NAME 'n'
#define SYNTAX_VALUE 'v' /* a number, true or false */
#define SYNTAX_WORD 'w'  /* a word in the place of a value */

/* before: kinds of the token before, empty = any; token: kinds of the one that may not follow. */
static const struct syntax_rule {
    const char *before, *token, *reason;
} rules[] = {
    {",", ")]}", "a comma stands before a closing bracket"},
    {"}", "{", "a comma is missing between } and {"},
    {"{", "{", "a list of groups stands in ( and )"},
    {"n", "nvw{\"",
     "\"=\" is missing behind a name (mailproxyd --from-nginx FILE translates a "
     "file of NGINX)"},
    {"", "w", "a text stands in double quotes (yes and no are true and false)"},
    {"", "'", "a text stands in double quotes"},
    {"", "\xef", "the file begins with a byte order mark"},
};

#define SYNTAX_DIGITS "0123456789"
#define SYNTAX_HEX SYNTAX_DIGITS "abcdefABCDEF"
#define SYNTAX_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool syntax_is_word_part(char c)
{
    return c && strchr(SYNTAX_LETTERS SYNTAX_DIGITS "_-.*/", c);
}

/* A number, true or false. */
static bool syntax_is_value(struct str word)
{
    size_t n_dots = 0, n_others = 0;
    for (size_t i = 0; i < word.n; i++) {
        n_dots += word.p[i] == '.';
        n_others += !strchr(SYNTAX_HEX ".-xXL", word.p[i]);
    }
    bool is_number = strchr(SYNTAX_DIGITS "-.", word.p[0]) && n_dots < 2 && n_others == 0;
    return is_number || str_ieq(word, STR("true")) || str_ieq(word, STR("false"));
}

/* The bytes of what is no token at the beginning: blanks and comments. */
static size_t syntax_blank(struct str s)
{
    size_t n = 0;
    if (strchr(" \t\r\n", s.p[0]))
        return 1;
    if (s.p[0] == '#' || str_is_prefix(s, STR("//")))
        while (n < s.n && s.p[n] != '\n')
            n++;
    else if (str_is_prefix(s, STR("/*")))
        for (n = 2; n < s.n && !str_is_prefix(str_n(s.p + n, s.n - n), STR("*/"));)
            n++;
    return n;
}

/* The kind of the token at the beginning, and its bytes. before: the kind of the one before it. */
static char syntax_token(struct str s, char before, size_t *ret_n)
{
    size_t n = 1;
    *ret_n = 1;
    if (s.p[0] == '"') {
        while (n < s.n && s.p[n] != '"')
            n += s.p[n] == '\\' && n + 1 < s.n ? 2 : 1;
        *ret_n = n < s.n ? n + 1 : s.n;
        return SYNTAX_TEXT;
    }
    if (!syntax_is_word_part(s.p[0]))
        return s.p[0];
    while (n < s.n && syntax_is_word_part(s.p[n]))
        n++;
    *ret_n = n;
    struct str word = str_n(s.p, n);
    if (syntax_is_value(word))
        return SYNTAX_VALUE;
    return before && strchr("=:([,", before) ? SYNTAX_WORD : SYNTAX_NAME;
}

static const char *syntax_judge(char before, char token)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if ((!rules[i].before[0] || (before && strchr(rules[i].before, before))) &&
            strchr(rules[i].token, token))
            return rules[i].reason;
    return NULL;
}

const char *config_syntax_reason(struct str text, unsigned line)
{
    char before = '\0';
    for (unsigned at = 1; text.n > 0 && at <= line;) {
        size_t n = syntax_blank(text);
        if (n == 0) {
            char token = syntax_token(text, before, &n);
            const char *reason = at == line ? syntax_judge(before, token) : NULL;
            if (reason)
                return reason;
            before = token;
        }
        n = n > text.n ? text.n : n;
        for (size_t i = 0; i < n; i++)
            at += text.p[i] == '\n';
        text = str_n(text.p + n, text.n - n);
    }
    return NULL;
}
