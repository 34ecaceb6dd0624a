/* SPDX-License-Identifier: ISC */
/* Answers of the daemon as lines of a page. */
#include "tui/page_rows.h"

#include "base/cleanup.h"
#include "ctl/output.h"
#include "ctl/output_text.h"
#include "tui/list.h"

#define ROWS_LABEL 18
#define ROWS_COLUMN_MIN 38 /* two values side by side need this much each */

/* "backend_user" -> "backend user" */
static void rows_label(struct page *p, const char *name)
{
    char text[ROWS_LABEL];
    (void)str_copy(text, sizeof(text), str_of(name));
    for (char *c = text; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    page_put(p, STYLE_DIM, str_of(text));
}

/* A long value goes on in the next lines, broken at blanks and commas where there are some. */
static void rows_long(struct page *p, enum style style, struct str text, int col, int cols)
{
    int room = cols - col - 2;
    room = room < 10 ? 10 : room;
    while (text.n) {
        size_t n = 0, good = 0;
        for (int used = 0; n < text.n && used < room; used++) {
            n++;
            while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
                n++;
            if (text.p[n - 1] == ' ' || text.p[n - 1] == ',')
                good = n;
        }
        n = n < text.n && good ? good : n;
        page_pad(p, col);
        page_put(p, style, str_n(text.p, n));
        text = str_n(text.p + n, text.n - n);
        if (text.n)
            page_line(p);
    }
}

void page_add_object(struct page *p, const struct command *c, const json_t *object, int cols)
{
    size_t n;
    const struct command_column *columns = commands_columns(c, &n);
    int half = cols >= 2 * ROWS_COLUMN_MIN ? cols / 2 : 0;
    bool is_right = false;
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF text = BUF_INIT;
        const json_t *v = json_object_get(object, columns[i].name);
        const struct output_column o = {.name = (char *)columns[i].name, .unit = columns[i].unit};
        if (!v)
            continue;
        output_human(&text, &o, v);
        bool fits = half && output_text_width(buf_str(&text)) < half - ROWS_LABEL - 2;
        if (!is_right || !fits)
            page_line(p);
        else
            page_pad(p, half);
        int at = is_right && fits ? half : 0;
        rows_label(p, columns[i].name);
        page_pad(p, at + ROWS_LABEL);
        rows_long(p, list_word_style(buf_str(&text)), buf_str(&text), at + ROWS_LABEL, cols);
        is_right = fits && !is_right;
    }
}

void page_add_rows(struct page *p, const struct command *c, const json_t *rows, const char *columns,
                   int cols)
{
    struct problem problem = {0};
    struct output o = {
        .format = OUTPUT_TABLE, .is_utf8 = p->glyphs != GLYPHS_ASCII, .width = cols - 2};
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
    page_line(p);
    page_put(p, STYLE_DIM, title);
    (void)page_add(p, STYLE_NORMAL, rest);
    free(text);
}
