/* SPDX-License-Identifier: ISC */
/* Styled cells: clipping, cutting and escaping happen here, once. */
#include "tui/screen.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/buf.h"
#include "ctl/output_text.h"

bool screen_reset(struct screen *s, int rows, int cols)
{
    if (rows != s->rows || cols != s->cols) {
        size_t n = (size_t)(rows > 0 ? rows : 0) * (size_t)(cols > 0 ? cols : 0);
        struct screen_cell *cells = n ? realloc(s->cells, n * sizeof(*cells)) : NULL;
        if (!cells) {
            screen_fini(s);
            return false;
        }
        s->cells = cells;
        s->rows = rows;
        s->cols = cols;
    }
    s->cursor_row = s->cursor_col = -1;
    for (int i = 0; i < rows; i++)
        screen_fill(s, i, 0, cols, STYLE_NORMAL);
    return true;
}

void screen_fini(struct screen *s)
{
    free(s->cells);
    s->cells = NULL;
    s->rows = s->cols = 0;
}

static struct screen_cell *screen_cell(const struct screen *s, int row, int col)
{
    return &s->cells[(size_t)row * (size_t)s->cols + (size_t)col];
}

static bool screen_clip(const struct screen *s, int row, int *col, int *width)
{
    if (*col < 0) {
        *width += *col;
        *col = 0;
    }
    if (*width > s->cols - *col)
        *width = s->cols - *col;
    return row >= 0 && row<s->rows && * width> 0;
}

void screen_fill(struct screen *s, int row, int col, int width, enum style style)
{
    if (!screen_clip(s, row, &col, &width))
        return;
    for (int i = 0; i < width; i++)
        *screen_cell(s, row, col + i) = (struct screen_cell){" ", (unsigned char)style};
}

void screen_restyle(struct screen *s, int row, int col, int width, enum style style)
{
    if (!screen_clip(s, row, &col, &width))
        return;
    for (int i = 0; i < width; i++)
        screen_cell(s, row, col + i)->style = (unsigned char)style;
}

static size_t screen_char_len(unsigned char c)
{
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* text is clean and fits. */
static void screen_put(struct screen *s, int row, int col, enum style style, struct str text)
{
    struct screen_cell *last = NULL;
    for (size_t i = 0; i < text.n;) {
        size_t n = screen_char_len((unsigned char)text.p[i]);
        if (n > text.n - i)
            return;
        struct str c = str_n(text.p + i, n);
        int width = output_text_width(c);
        i += n;
        if (width == 0) { /* combining: belongs to the cell before */
            size_t have = last ? strlen(last->text) : sizeof(last->text);
            if (have + n < sizeof(last->text))
                memcpy(last->text + have, c.p, n);
            continue;
        }
        if (col + width > s->cols)
            return;
        last = screen_cell(s, row, col);
        *last = (struct screen_cell){.style = (unsigned char)style};
        memcpy(last->text, c.p, n);
        if (width == 2)
            *screen_cell(s, row, col + 1) = (struct screen_cell){.style = (unsigned char)style};
        col += width;
    }
}

void screen_text(struct screen *s, int row, int col, int width, enum style style, struct str text)
{
    AUTO_BUF clean = BUF_INIT;
    AUTO_BUF cut = BUF_INIT;
    if (!screen_clip(s, row, &col, &width) || output_text_clean(&clean, text) < 0)
        return;
    (void)output_text_cut(&cut, buf_str(&clean), width, s->is_utf8);
    screen_put(s, row, col, style, buf_str(&cut));
}

void screen_printf(struct screen *s, int row, int col, int width, enum style style, const char *fmt,
                   ...)
{
    AUTO_BUF text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (err == 0)
        screen_text(s, row, col, width, style, buf_str(&text));
}

void screen_right(struct screen *s, int row, int col, int width, enum style style, struct str text)
{
    AUTO_BUF clean = BUF_INIT;
    if (output_text_clean(&clean, text) < 0)
        return;
    int n = output_text_width(buf_str(&clean));
    int pad = n < width ? width - n : 0;
    screen_text(s, row, col + pad, width - pad, style, text);
}

void screen_print(const struct screen *s, FILE *f)
{
    for (int row = 0; row < s->rows; row++) {
        int end = s->cols;
        while (end > 0 && strcmp(screen_cell(s, row, end - 1)->text, " ") == 0)
            end--;
        for (int col = 0; col < end; col++)
            fputs(screen_cell(s, row, col)->text, f);
        fputc('\n', f);
    }
}
