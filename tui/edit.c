/* SPDX-License-Identifier: ISC */
/* Editing UTF-8 a character at a time. */
#include "tui/edit.h"

#include "base/buf.h"
#include "ctl/output_text.h"
#include "tui/input.h"

void edit_set(struct edit *e, const char *text)
{
    (void)str_copy(e->text, sizeof(e->text), str_of(text));
    e->cursor = strlen(e->text);
}

void edit_wipe(struct edit *e)
{
    explicit_bzero(e->text, sizeof(e->text));
    e->cursor = 0;
}

static bool edit_is_middle(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static void edit_cut(struct edit *e, size_t from, size_t to)
{
    memmove(e->text + from, e->text + to, strlen(e->text + to) + 1);
    e->cursor = from;
}

bool edit_replace(struct edit *e, size_t from, const char *text)
{
    size_t n = strlen(text), len = strlen(e->text);
    if (len - (e->cursor - from) + n >= sizeof(e->text))
        return false;
    memmove(e->text + from + n, e->text + e->cursor, len - e->cursor + 1);
    memcpy(e->text + from, text, n);
    e->cursor = from + n;
    return true;
}

static void edit_insert(struct edit *e, int key)
{
    char c[5] = "";
    if (key < 0x80) {
        c[0] = (char)key;
    } else if (key < 0x800) {
        c[0] = (char)(0xc0 | key >> 6);
        c[1] = (char)(0x80 | (key & 0x3f));
    } else if (key < 0x10000) {
        c[0] = (char)(0xe0 | key >> 12);
        c[1] = (char)(0x80 | (key >> 6 & 0x3f));
        c[2] = (char)(0x80 | (key & 0x3f));
    } else {
        c[0] = (char)(0xf0 | key >> 18);
        c[1] = (char)(0x80 | (key >> 12 & 0x3f));
        c[2] = (char)(0x80 | (key >> 6 & 0x3f));
        c[3] = (char)(0x80 | (key & 0x3f));
    }
    (void)edit_replace(e, e->cursor, c);
}

void edit_paste(struct edit *e, struct str text)
{
    char fits[EDIT_MAX];
    size_t n = 0, room = sizeof(e->text) - 1 - strlen(e->text);
    text = str_trim(text);
    for (size_t i = 0; i < text.n && n < room; i++) {
        char c = text.p[i] == '\n' || text.p[i] == '\r' || text.p[i] == '\t' ? ' ' : text.p[i];
        if ((unsigned char)c >= ' ' && c != 127)
            fits[n++] = c;
    }
    fits[n] = '\0';
    /* A character that was cut in the middle goes whole. */
    while (n > 0 && !str_is_utf8(str_n(fits, n)))
        fits[--n] = '\0';
    (void)edit_replace(e, e->cursor, fits);
    explicit_bzero(fits, sizeof(fits)); /* it may be a secret */
}

static size_t edit_left(const struct edit *e)
{
    size_t at = e->cursor;
    while (at > 0 && edit_is_middle(e->text[--at]))
        ;
    return at;
}

static size_t edit_right(const struct edit *e)
{
    size_t at = e->cursor;
    if (e->text[at])
        at++;
    while (edit_is_middle(e->text[at]))
        at++;
    return at;
}

bool edit_key(struct edit *e, int key)
{
    size_t end = strlen(e->text), word = e->cursor;
    switch (key) {
    case INPUT_LEFT:
    case INPUT_CTRL('B'):
        e->cursor = edit_left(e);
        return true;
    case INPUT_RIGHT:
    case INPUT_CTRL('F'):
        e->cursor = edit_right(e);
        return true;
    case INPUT_HOME:
    case INPUT_CTRL('A'):
        e->cursor = 0;
        return true;
    case INPUT_END:
    case INPUT_CTRL('E'):
        e->cursor = end;
        return true;
    case INPUT_BACKSPACE:
        edit_cut(e, edit_left(e), e->cursor);
        return true;
    case INPUT_DELETE:
    case INPUT_CTRL('D'):
        edit_cut(e, e->cursor, edit_right(e));
        return true;
    case INPUT_CTRL('U'):
        edit_cut(e, 0, e->cursor);
        return true;
    case INPUT_CTRL('K'):
        edit_cut(e, e->cursor, end);
        return true;
    case INPUT_CTRL('W'):
        while (word > 0 && e->text[word - 1] == ' ')
            word--;
        while (word > 0 && e->text[word - 1] != ' ')
            word--;
        edit_cut(e, word, e->cursor);
        return true;
    default:
        if (key < ' ' || key == 0x7f || key >= 0x110000 || (key >= 0xd800 && key < 0xe000))
            return false;
        edit_insert(e, key);
        return true;
    }
}

/* ---- drawing ---- */

static int edit_width(struct str s)
{
    AUTO_BUF clean = BUF_INIT;
    return output_text_clean(&clean, s) < 0 ? 0 : output_text_width(buf_str(&clean));
}

static size_t edit_characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += !edit_is_middle(s.p[i]);
    return n;
}

static void edit_put(struct screen *s, int row, int col, int width, enum style style,
                     struct str text, int cursor)
{
    (void)screen_text(s, row, col, width, style, text);
    if (cursor >= 0) {
        s->cursor_row = row;
        s->cursor_col = col + cursor < s->cols ? col + cursor : s->cols - 1;
    }
}

void edit_draw(const struct edit *e, struct screen *s, int row, int col, int width, bool has_focus)
{
    enum style style = has_focus ? STYLE_INPUT : STYLE_NORMAL;
    const char *from = e->text;
    screen_fill(s, row, col, width, style);
    if (e->is_secret) {
        char dots[EDIT_MAX];
        size_t n = edit_characters(str_of(e->text));
        n = n < (size_t)width ? n : (size_t)(width > 0 ? width : 0);
        memset(dots, '*', n);
        edit_put(s, row, col, width, style, str_n(dots, n),
                 has_focus ? (int)edit_characters(str_n(e->text, e->cursor)) : -1);
        return;
    }
    /* The cursor stays in view. */
    while (from < e->text + e->cursor &&
           edit_width(str_n(from, (size_t)(e->text + e->cursor - from))) >= width) {
        from++;
        while (edit_is_middle(*from))
            from++;
    }
    edit_put(s, row, col, width, style, str_of(from),
             has_focus ? edit_width(str_n(from, (size_t)(e->text + e->cursor - from))) : -1);
}
