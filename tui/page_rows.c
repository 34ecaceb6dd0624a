/* SPDX-License-Identifier: ISC */
/* Answers of the daemon as lines of a page. */
#include "tui/page_rows.h"

#include "base/cleanup.h"
#include "ctl/output.h"
#include "ctl/output_text.h"
#include "tui/list_view.h"

#define ROWS_LABEL 18
#define ROWS_COLUMN_MIN 38 /* two values side by side need this much each */
#define ROWS_LINES_MAX 2   /* of a value among others */

/* "backend_user" -> "backend user" */
static const char *rows_label(const char *name, char dst[ROWS_LABEL])
{
    (void)str_copy(dst, ROWS_LABEL, str_of(name));
    for (char *c = dst; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    return dst;
}

/* The text of a member; false when it is not there. */
static bool rows_text(struct buf *text, const struct command_column *column, const json_t *object)
{
    const json_t *v = json_object_get(object, column->name);
    const struct output_column o = {.name = (char *)column->name, .unit = column->unit};
    buf_clear(text);
    if (v)
        output_human(text, &o, v);
    return v != NULL;
}

static bool rows_is_long(const struct buf *text, int cols)
{
    return output_text_width(buf_str(text)) > ROWS_LINES_MAX * (cols - ROWS_LABEL);
}

/* A long value goes on in the next lines, broken at blanks and commas where there are some. */
static void rows_long(struct text_page *p, enum style style, struct str text, int col, int cols)
{
    int room = cols - col - 2;
    room = room < 10 ? 10 : room;
    while (text.n) {
        size_t n = 0, good = 0;
        for (int used = 0; n < text.n;) {
            size_t from = n++;
            while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
                n++;
            used += output_text_width(str_n(text.p + from, n - from));
            if (used > room && from > 0) {
                n = from;
                break;
            }
            if (text.p[n - 1] == ' ' || text.p[n - 1] == ',')
                good = n;
        }
        n = n < text.n && good ? good : n;
        text_page_pad(p, col);
        text_page_put(p, style, str_n(text.p, n));
        text = str_n(text.p + n, text.n - n);
        if (text.n)
            text_page_line(p);
    }
}

void page_add_object(struct text_page *p, const struct command *c, const json_t *object, int cols)
{
    size_t n;
    const struct command_column *columns = commands_columns(c, &n);
    int half = cols >= 2 * ROWS_COLUMN_MIN ? cols / 2 : 0;
    bool is_right = false;
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        char label[ROWS_LABEL];
        if (!rows_text(&text, &columns[i], object) || rows_is_long(&text, cols))
            continue;
        bool fits = half && output_text_width(buf_str(&text)) < half - ROWS_LABEL - 2;
        if (!is_right || !fits)
            text_page_line(p);
        else
            text_page_pad(p, half);
        int at = is_right && fits ? half : 0;
        text_page_put(p, STYLE_DIM, str_of(rows_label(columns[i].name, label)));
        text_page_pad(p, at + ROWS_LABEL);
        rows_long(p, list_view_word_style(buf_str(&text)), buf_str(&text), at + ROWS_LABEL, cols);
        is_right = fits && !is_right;
    }
}

void page_add_long(struct text_page *p, const struct command *c, const json_t *object, int cols)
{
    size_t n;
    const struct command_column *columns = commands_columns(c, &n);
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        char label[ROWS_LABEL];
        if (!rows_text(&text, &columns[i], object) || !rows_is_long(&text, cols))
            continue;
        text_page_heading(p, rows_label(columns[i].name, label));
        text_page_line(p);
        rows_long(p, STYLE_NORMAL, buf_str(&text), 0, cols);
    }
}

void page_add_rows(struct text_page *p, const struct command *c, const json_t *rows,
                   const char *columns, int width)
{
    struct problem problem = {0};
    struct output o = {.format = OUTPUT_TABLE,
                       .is_utf8 = p->glyphs != GLYPHS_ASCII,
                       .width = width > 0 ? width : 1,
                       .has_short_times = true};
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    o.f = f;
    if (f && output_init(&o, c, columns, false, &problem) == 0) {
        o.has_choice = false;
        output_rows(&o, rows);
        output_end(&o);
    }
    output_fini(&o);
    problem_fini(&problem);
    if (f)
        fclose(f);
    struct str rest = str_of(text), title = str_cut(&rest, '\n');
    text_page_say(p, STYLE_DIM, title);
    (void)text_page_add(p, STYLE_NORMAL, rest);
    free(text);
}
