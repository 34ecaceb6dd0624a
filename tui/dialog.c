/* SPDX-License-Identifier: ISC */
/* Boxes and lines that take the keys while they are open. */
#include "tui/dialog.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "ctl/output_text.h"
#include "tui/term.h"

static void dialog_open(struct dialog *d, enum dialog_kind kind)
{
    dialog_close(d);
    d->kind = kind;
    d->n_fields = 0;
}

void dialog_confirm(struct dialog *d, const char *fmt, ...)
{
    va_list ap;
    dialog_open(d, DIALOG_CONFIRM);
    va_start(ap, fmt);
    vsnprintf(d->title, sizeof(d->title), fmt, ap);
    va_end(ap);
    d->focus = 0; /* No, until a field is added */
}

void dialog_add(struct dialog *d, const char *label, const char *value)
{
    if (d->n_fields == DIALOG_FIELDS_MAX)
        return;
    struct dialog_field *f = &d->fields[d->n_fields++];
    f->label = label;
    (void)str_copy(f->text, sizeof(f->text), str_of(value));
    f->cursor = strlen(f->text);
    d->focus = 0;
}

void dialog_line(struct dialog *d, const char *prompt, const char *value)
{
    dialog_open(d, DIALOG_LINE);
    dialog_add(d, prompt, value);
    d->history_at = d->n_history;
}

void dialog_pane(struct dialog *d, const char *title, char *text)
{
    dialog_open(d, DIALOG_PANE);
    (void)str_copy(d->title, sizeof(d->title), str_of(title));
    d->pane = text;
    d->pane_top = 0;
}

void dialog_close(struct dialog *d)
{
    d->kind = DIALOG_NONE;
    free(d->pane);
    d->pane = NULL;
}

void dialog_fini(struct dialog *d)
{
    dialog_close(d);
    for (size_t i = 0; i < d->n_history; i++)
        free(d->history[i]);
    free(d->history);
}

const char *dialog_value(const struct dialog *d, size_t field)
{
    return field < d->n_fields ? d->fields[field].text : "";
}

void dialog_remember(struct dialog *d, const char *line)
{
    if (d->n_history > 0 && strcmp(d->history[d->n_history - 1], line) == 0)
        return;
    char *copy = str_dup_c(line);
    char **history = realloc(d->history, (d->n_history + 1) * sizeof(*history));
    if (history)
        d->history = history;
    if (!copy || !history) {
        free(copy);
        return;
    }
    d->history[d->n_history++] = copy;
    if (d->n_history > DIALOG_HISTORY_MAX) {
        free(d->history[0]);
        memmove(d->history, d->history + 1, --d->n_history * sizeof(*d->history));
    }
}

/* ---- editing ---- */

static bool field_is_middle(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static void field_insert(struct dialog_field *f, int key)
{
    char bytes[4];
    size_t n = 0, len = strlen(f->text);
    if (key < 0x80) {
        bytes[n++] = (char)key;
    } else if (key < 0x800) {
        bytes[n++] = (char)(0xc0 | key >> 6);
    } else if (key < 0x10000) {
        bytes[n++] = (char)(0xe0 | key >> 12);
        bytes[n++] = (char)(0x80 | (key >> 6 & 0x3f));
    } else {
        bytes[n++] = (char)(0xf0 | key >> 18);
        bytes[n++] = (char)(0x80 | (key >> 12 & 0x3f));
        bytes[n++] = (char)(0x80 | (key >> 6 & 0x3f));
    }
    if (key >= 0x80)
        bytes[n++] = (char)(0x80 | (key & 0x3f));
    if (len + n >= sizeof(f->text))
        return;
    memmove(f->text + f->cursor + n, f->text + f->cursor, len - f->cursor + 1);
    memcpy(f->text + f->cursor, bytes, n);
    f->cursor += n;
}

static size_t field_left(const struct dialog_field *f)
{
    size_t at = f->cursor;
    while (at > 0 && field_is_middle(f->text[--at]))
        ;
    return at;
}

static size_t field_right(const struct dialog_field *f)
{
    size_t at = f->cursor;
    if (f->text[at])
        at++;
    while (field_is_middle(f->text[at]))
        at++;
    return at;
}

static void field_cut(struct dialog_field *f, size_t from, size_t to)
{
    memmove(f->text + from, f->text + to, strlen(f->text + to) + 1);
    f->cursor = from;
}

static void field_key(struct dialog_field *f, int key)
{
    switch (key) {
    case TERM_LEFT:
        f->cursor = field_left(f);
        break;
    case TERM_RIGHT:
        f->cursor = field_right(f);
        break;
    case TERM_HOME:
    case 1: /* ^A */
        f->cursor = 0;
        break;
    case TERM_END:
    case 5: /* ^E */
        f->cursor = strlen(f->text);
        break;
    case TERM_BACKSPACE:
        field_cut(f, field_left(f), f->cursor);
        break;
    case TERM_DELETE:
        field_cut(f, f->cursor, field_right(f));
        break;
    case 21: /* ^U */
        field_cut(f, 0, f->cursor);
        break;
    default:
        if (key >= ' ' && key < 0x110000)
            field_insert(f, key);
        break;
    }
}

/* ---- keys ---- */

static enum dialog_result confirm_key(struct dialog *d, int key)
{
    size_t stops = d->n_fields + 2;
    bool is_in_field = d->focus < d->n_fields;
    if (key == 27)
        return DIALOG_NO;
    if (key == '\t' || key == TERM_DOWN || (!is_in_field && key == TERM_RIGHT))
        d->focus = (d->focus + 1) % stops;
    else if (key == TERM_BACKTAB || key == TERM_UP || (!is_in_field && key == TERM_LEFT))
        d->focus = (d->focus + stops - 1) % stops;
    else if (key == '\r' && is_in_field)
        d->focus++;
    else if (key == '\r')
        return d->focus == d->n_fields + 1 ? DIALOG_YES : DIALOG_NO;
    else if (is_in_field)
        field_key(&d->fields[d->focus], key);
    else if (key == 'y' || key == 'Y')
        return DIALOG_YES;
    else if (key == 'n' || key == 'N' || key == 'q')
        return DIALOG_NO;
    return DIALOG_OPEN;
}

static void line_history(struct dialog *d, bool is_up)
{
    struct dialog_field *f = &d->fields[0];
    if (is_up ? d->history_at == 0 : d->history_at >= d->n_history)
        return;
    d->history_at = is_up ? d->history_at - 1 : d->history_at + 1;
    const char *line = d->history_at < d->n_history ? d->history[d->history_at] : "";
    (void)str_copy(f->text, sizeof(f->text), str_of(line));
    f->cursor = strlen(f->text);
}

static enum dialog_result line_key(struct dialog *d, int key)
{
    if (key == '\r')
        return DIALOG_YES;
    if (key == 27)
        return DIALOG_NO;
    if (key == TERM_UP || key == TERM_DOWN)
        line_history(d, key == TERM_UP);
    else
        field_key(&d->fields[0], key);
    return DIALOG_OPEN;
}

static size_t pane_lines(const struct dialog *d)
{
    size_t n = 1;
    for (const char *p = d->pane; (p = strchr(p, '\n')) && p[1]; p++)
        n++;
    return n;
}

static enum dialog_result pane_key(struct dialog *d, int key, int rows)
{
    size_t page = rows > 4 ? (size_t)rows - 4 : 1, lines = pane_lines(d);
    size_t last = lines > page ? lines - page : 0;
    long by = key == TERM_UP || key == 'k'          ? -1
              : key == TERM_DOWN || key == 'j'      ? 1
              : key == TERM_PAGE_UP                 ? -(long)page
              : key == TERM_PAGE_DOWN || key == ' ' ? (long)page
              : key == TERM_HOME || key == 'g'      ? -(long)lines
              : key == TERM_END || key == 'G'       ? (long)lines
                                                    : 0;
    if (by == 0)
        return key == TERM_RESIZE || key == TERM_MOUSE ? DIALOG_OPEN : DIALOG_NO;
    long to = (long)d->pane_top + by;
    d->pane_top = to < 0 ? 0 : (size_t)to > last ? last : (size_t)to;
    return DIALOG_OPEN;
}

enum dialog_result dialog_key(struct dialog *d, int key, int rows)
{
    switch (d->kind) {
    case DIALOG_CONFIRM:
        return confirm_key(d, key);
    case DIALOG_LINE:
        return line_key(d, key);
    case DIALOG_PANE:
        return pane_key(d, key, rows);
    case DIALOG_NONE:
        break;
    }
    return DIALOG_NO;
}

/* ---- drawing ---- */

static int dialog_width(struct str s)
{
    return output_text_width(s);
}

static void box_draw(struct screen *s, int row, int col, int height, int width)
{
    for (int i = 0; i < height; i++)
        screen_fill(s, row + i, col, width, STYLE_HEADER);
    for (int i = 1; i < height - 1; i++)
        screen_fill(s, row + i, col + 1, width - 2, STYLE_NORMAL);
}

static void field_draw(const struct dialog_field *f, struct screen *s, int row, int col, int width,
                       bool has_focus)
{
    int at = dialog_width(str_n(f->text, f->cursor)), skip = 0;
    const char *from = f->text;
    while (at - skip >= width && *from) { /* keep the cursor in view */
        from++;
        while (field_is_middle(*from))
            from++;
        skip = dialog_width(str_n(f->text, (size_t)(from - f->text)));
    }
    screen_fill(s, row, col, width, has_focus ? STYLE_INPUT : STYLE_DIM);
    screen_text(s, row, col, width, has_focus ? STYLE_INPUT : STYLE_NORMAL, str_of(from));
    if (has_focus) {
        s->cursor_row = row;
        s->cursor_col = col + at - skip < s->cols ? col + at - skip : s->cols - 1;
    }
}

static void confirm_draw(const struct dialog *d, struct screen *s)
{
    int title = dialog_width(str_of(d->title));
    int width = title + 4 > 60 ? title + 4 : 60, height = (int)d->n_fields + 5;
    width = width > s->cols ? s->cols : width;
    int row = (s->rows - height) / 2, col = (s->cols - width) / 2;
    row = row < 0 ? 0 : row;
    box_draw(s, row, col, height, width);
    screen_text(s, row + 1, col + 2, width - 4, STYLE_TITLE, str_of(d->title));
    for (size_t i = 0; i < d->n_fields; i++) {
        screen_text(s, row + 2 + (int)i, col + 2, 14, STYLE_DIM, str_of(d->fields[i].label));
        field_draw(&d->fields[i], s, row + 2 + (int)i, col + 16, width - 18, d->focus == i);
    }
    int buttons = row + height - 2;
    screen_text(s, buttons, col + 2, 8, d->focus == d->n_fields ? STYLE_SELECTED : STYLE_NORMAL,
                STR("[ No ]"));
    screen_text(s, buttons, col + 12, 9,
                d->focus == d->n_fields + 1 ? STYLE_SELECTED : STYLE_NORMAL, STR("[ Yes ]"));
    screen_text(s, buttons, col + 23, width - 25, STYLE_DIM, STR("Tab moves, Esc leaves"));
}

static void pane_draw(const struct dialog *d, struct screen *s)
{
    const char *line = d->pane ? d->pane : "";
    int top = 1, height = s->rows - 2;
    for (int i = 0; i < s->rows; i++)
        screen_fill(s, i, 0, s->cols, STYLE_NORMAL);
    screen_fill(s, 0, 0, s->cols, STYLE_HEADER);
    screen_text(s, 0, 1, s->cols - 1, STYLE_HEADER, str_of(d->title));
    for (size_t i = 0; i < d->pane_top && line; i++)
        line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    for (int i = 0; i < height && line && *line; i++) {
        const char *end = strchrnul(line, '\n');
        screen_text(s, top + i, 1, s->cols - 2, STYLE_NORMAL, str_n(line, (size_t)(end - line)));
        line = *end ? end + 1 : end;
    }
    screen_text(s, s->rows - 1, 0, s->cols, STYLE_DIM, STR(" arrows scroll, any other key closes"));
}

void dialog_draw(struct dialog *d, struct screen *s)
{
    switch (d->kind) {
    case DIALOG_CONFIRM:
        confirm_draw(d, s);
        break;
    case DIALOG_LINE: {
        int row = s->rows - 1, label = dialog_width(str_of(d->fields[0].label));
        screen_fill(s, row, 0, s->cols, STYLE_INPUT);
        screen_text(s, row, 0, s->cols, STYLE_INPUT, str_of(d->fields[0].label));
        field_draw(&d->fields[0], s, row, label, s->cols - label, true);
        break;
    }
    case DIALOG_PANE:
        pane_draw(d, s);
        break;
    case DIALOG_NONE:
        break;
    }
}
