/* SPDX-License-Identifier: ISC */
/* Styled cells: clipping, cutting and escaping happen here, once. */
#include "tui/screen.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/buf.h"
#include "ctl/output_text.h"

static const char *const shapes[SHAPE_COUNT][3] = {
    [SHAPE_HORIZONTAL] = {"-", "─", "─"},  [SHAPE_VERTICAL] = {"|", "│", "│"},
    [SHAPE_TOP_LEFT] = {"+", "┌", "┌"},    [SHAPE_TOP_RIGHT] = {"+", "┐", "┐"},
    [SHAPE_BOTTOM_LEFT] = {"+", "└", "└"}, [SHAPE_BOTTOM_RIGHT] = {"+", "┘", "┘"},
    [SHAPE_UP] = {"^", "^", "▲"},          [SHAPE_DOWN] = {"v", "v", "▼"},
    [SHAPE_MORE] = {">", ">", "›"},        [SHAPE_BAR] = {"#", "█", "█"},
    [SHAPE_TRACK] = {".", "░", "░"},       [SHAPE_MARK] = {"*", "*", "●"},
};

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
    return s->cells != NULL;
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

const struct screen_cell *screen_at(const struct screen *s, int row, int col)
{
    return screen_cell(s, row, col);
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

/* ---- text ---- */

/* What makes one picture of several characters (joiners, presentation, skin): terminals do not
 * agree on the width of the result, so that each character stands for itself. */
static bool screen_is_joiner(struct str c)
{
    static const struct str joiners[] = {
        {"\u200d", 3},     {"\ufe0e", 3},     {"\ufe0f", 3},     {"\U0001f3fb", 4},
        {"\U0001f3fc", 4}, {"\U0001f3fd", 4}, {"\U0001f3fe", 4}, {"\U0001f3ff", 4},
    };
    for (size_t i = 0; c.n > 2 && i < ARRAY_LEN(joiners); i++)
        if (str_eq(c, joiners[i]))
            return true;
    return false;
}

/* text is clean and fits. Returns the columns used. */
static int screen_put(struct screen *s, int row, int col, enum style style, struct str text)
{
    struct screen_cell *last = NULL;
    int begin = col;
    for (size_t i = 0; i < text.n;) {
        unsigned char lead = (unsigned char)text.p[i];
        size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (n > text.n - i)
            break;
        struct str c = str_n(text.p + i, n);
        int width = output_text_width(c);
        i += n;
        if (screen_is_joiner(c))
            continue;
        if (width == 0) { /* belongs to the cell before, where it fits */
            size_t have = last ? strlen(last->text) : 0;
            if (s->glyphs != GLYPHS_ASCII && last && have + c.n < sizeof(last->text)) {
                memcpy(last->text + have, c.p, c.n);
                last->text[have + c.n] = '\0';
            }
            continue;
        }
        if (col + width > s->cols)
            break;
        if (s->glyphs == GLYPHS_ASCII && c.n > 1)
            c = str_n("??", (size_t)width); /* one question mark a column */
        for (int k = 0; k < width; k++)
            *screen_cell(s, row, col + k) = (struct screen_cell){.style = (unsigned char)style};
        last = screen_cell(s, row, col);
        memcpy(last->text, c.p, c.n == 2 && c.p[0] == '?' ? 1 : c.n);
        if (width == 2 && c.p[0] == '?')
            screen_cell(s, row, col + 1)->text[0] = '?';
        col += width;
    }
    return col - begin;
}

int screen_text(struct screen *s, int row, int col, int width, enum style style, struct str text)
{
    AUTO_BUF clean = BUF_INIT;
    AUTO_BUF cut = BUF_INIT;
    if (!screen_clip(s, row, &col, &width) || output_text_clean(&clean, text) < 0)
        return 0;
    (void)output_text_cut(&cut, buf_str(&clean), width, s->glyphs != GLYPHS_ASCII);
    return screen_put(s, row, col, style, buf_str(&cut));
}

int screen_printf(struct screen *s, int row, int col, int width, enum style style, const char *fmt,
                  ...)
{
    AUTO_BUF text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(&text, fmt, ap);
    va_end(ap);
    return err == 0 ? screen_text(s, row, col, width, style, buf_str(&text)) : 0;
}

void screen_right(struct screen *s, int row, int col, int width, enum style style, struct str text)
{
    AUTO_BUF clean = BUF_INIT;
    if (output_text_clean(&clean, text) < 0)
        return;
    int n = output_text_width(buf_str(&clean));
    int pad = n < width ? width - n : 0;
    (void)screen_text(s, row, col + pad, width - pad, style, text);
}

/* ---- shapes ---- */

void screen_shape(struct screen *s, int row, int col, enum style style, enum shape shape)
{
    int width = 1;
    if (screen_clip(s, row, &col, &width))
        (void)screen_put(s, row, col, style, str_of(shapes[shape][s->glyphs]));
}

static void screen_line(struct screen *s, int row, int col, int width)
{
    for (int i = 0; i < width; i++)
        screen_shape(s, row, col + i, STYLE_BORDER, SHAPE_HORIZONTAL);
}

void screen_box(struct screen *s, int row, int col, int height, int width, struct str title)
{
    int right = col + width - 1, bottom = row + height - 1;
    for (int i = 0; i < height; i++)
        screen_fill(s, row + i, col, width, STYLE_NORMAL);
    screen_line(s, row, col + 1, width - 2);
    screen_line(s, bottom, col + 1, width - 2);
    for (int i = row + 1; i < bottom; i++) {
        screen_shape(s, i, col, STYLE_BORDER, SHAPE_VERTICAL);
        screen_shape(s, i, right, STYLE_BORDER, SHAPE_VERTICAL);
    }
    screen_shape(s, row, col, STYLE_BORDER, SHAPE_TOP_LEFT);
    screen_shape(s, row, right, STYLE_BORDER, SHAPE_TOP_RIGHT);
    screen_shape(s, bottom, col, STYLE_BORDER, SHAPE_BOTTOM_LEFT);
    screen_shape(s, bottom, right, STYLE_BORDER, SHAPE_BOTTOM_RIGHT);
    if (title.n)
        (void)screen_printf(s, row, col + 2, width - 4, STYLE_TITLE, " %.*s ", STR_ARG(title));
}

void screen_bar(struct screen *s, int row, int col, int width, enum style style, uint64_t part,
                uint64_t whole)
{
    int full = whole ? (int)((double)part / (double)whole * width + 0.5) : 0;
    full = part > 0 && full == 0 ? 1 : full;
    for (int i = 0; i < width; i++)
        screen_shape(s, row, col + i, i < full ? style : STYLE_DIM,
                     i < full ? SHAPE_BAR : SHAPE_TRACK);
}

void screen_column(struct screen *s, int bottom, int col, int height, enum style style,
                   uint64_t part, uint64_t whole)
{
    /* What a cell looks like that is filled to so many steps. */
    static const char *const steps[3][9] = {
        {" ", ".", ":", NULL},
        {" ", "▄", "█", NULL},
        {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
    };
    static const char *const fill[3] = {".", "░", "░"};
    int full = s->glyphs == GLYPHS_FULL ? 8 : 2;
    int n = whole ? (int)((double)part / (double)whole * height * full + 0.5) : 0;
    n = part > 0 && n == 0 ? 1 : n;
    for (int i = 0; i < height && n > 0; i++, n -= full) {
        int width = 1, at = col;
        if (screen_clip(s, bottom - i, &at, &width))
            (void)screen_put(
                s, bottom - i, at, style,
                str_of(n > full ? fill[s->glyphs] : steps[s->glyphs][n < full ? n : full]));
    }
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
