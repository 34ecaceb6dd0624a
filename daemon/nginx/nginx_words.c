/* SPDX-License-Identifier: ISC */
/* Quotes, escapes, comments and ends of words, as nginx has them. */
#include "nginx/nginx_words.h"

void nginx_words_fini(struct nginx_words *w)
{
    buf_wipe(&w->word);
}

static bool words_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next byte, '\0' at the end: no word of a configuration has a NUL. */
static char words_peek(const struct nginx_words *w)
{
    return w->text.n > 0 ? w->text.p[0] : '\0';
}

static void words_skip(struct nginx_words *w)
{
    if (w->text.p[0] == '\n')
        w->line++;
    w->text = str_skip(w->text, 1);
}

static void words_skip_blanks(struct nginx_words *w)
{
    bool is_comment = false;
    while (w->text.n > 0) {
        char c = words_peek(w);
        is_comment = is_comment ? c != '\n' : c == '#';
        if (!is_comment && !words_is_blank(c))
            return;
        words_skip(w);
    }
}

static int words_append(struct nginx_words *w, char c, const char **ret_why)
{
    *ret_why = c == '\0' ? "there is a NUL" : "a word is longer than 4095 bytes";
    if (c == '\0' || w->word.len >= NGINX_WORD_MAX)
        return -ERR_SYNTAX;
    return buf_append_char(&w->word, c);
}

/* What follows a backslash. Others than these keep it: they are for regular expressions. */
static int words_escape(struct nginx_words *w, const char **ret_why)
{
    static const char codes[] = "\"'\\trn", meant[] = "\"'\\\t\r\n";
    words_skip(w);
    char c = words_peek(w);
    const char *known = c ? strchr(codes, c) : NULL;
    *ret_why = "it ends within a word";
    if (w->text.n == 0)
        return -ERR_SYNTAX;
    int err = known ? 0 : words_append(w, '\\', ret_why);
    if (err == 0)
        err = words_append(w, known ? meant[known - codes] : c, ret_why);
    words_skip(w);
    return err;
}

static int words_quoted(struct nginx_words *w, const char **ret_why)
{
    char quote = words_peek(w);
    int err = 0;
    words_skip(w);
    while (err == 0 && w->text.n > 0 && words_peek(w) != quote) {
        if (words_peek(w) == '\\') {
            err = words_escape(w, ret_why);
            continue;
        }
        err = words_append(w, words_peek(w), ret_why);
        words_skip(w);
    }
    if (err < 0)
        return err;
    *ret_why = "a quote is not closed";
    if (w->text.n == 0)
        return -ERR_SYNTAX;
    words_skip(w);
    *ret_why = "a blank or \";\" must follow a closing quote";
    char c = words_peek(w);
    return w->text.n == 0 || words_is_blank(c) || c == ';' || c == '{' || c == ')' ? 0
                                                                                   : -ERR_SYNTAX;
}

static int words_plain(struct nginx_words *w, const char **ret_why)
{
    bool is_after_dollar = false;
    int err = 0;
    while (err == 0 && w->text.n > 0) {
        char c = words_peek(w);
        if (words_is_blank(c) || c == ';' || (c == '{' && !is_after_dollar))
            break;
        is_after_dollar = c == '$';
        if (c == '\\') {
            err = words_escape(w, ret_why);
            continue;
        }
        err = words_append(w, c, ret_why);
        words_skip(w);
    }
    return err;
}

int nginx_words_next(struct nginx_words *w, enum nginx_token *ret, const char **ret_why)
{
    static const char marks[] = {[NGINX_SEMICOLON] = ';', [NGINX_OPEN] = '{', [NGINX_CLOSE] = '}'};
    words_skip_blanks(w);
    w->word_line = w->line;
    *ret = NGINX_END;
    if (w->text.n == 0)
        return 0;
    char c = words_peek(w);
    for (enum nginx_token t = NGINX_SEMICOLON; t <= NGINX_CLOSE; t++)
        if (c == marks[t]) {
            *ret = t;
            words_skip(w);
            return 0;
        }
    *ret = NGINX_WORD;
    buf_clear(&w->word);
    return c == '"' || c == '\'' ? words_quoted(w, ret_why) : words_plain(w, ret_why);
}
