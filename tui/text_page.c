/* SPDX-License-Identifier: ISC */
/* Styled lines. */
#include "tui/text_page.h"

#include <stdarg.h>

#include "base/container/array.h"
#include "ctl/output_text.h"
#include "tui/input.h"

#define PAGE_LINES_MAX 20000
#define PAGE_SCROLL 8 /* columns */

/* Cleaned text has no control bytes: they are free to mean styles. */
_Static_assert(STYLE_COUNT < ' ', "styles fit below the printable characters");

static void text_page_forget(struct text_page *p, size_t n)
{
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        buf_fini(&p->lines[i]);
    memmove(p->lines, p->lines + n, (p->n - n) * sizeof(*p->lines));
    p->n -= n;
    p->top = p->top > n ? p->top - n : 0;
    p->n_paused = p->n_paused > n ? p->n_paused - n : 0;
}

void text_page_clear(struct text_page *p)
{
    size_t top = p->top;
    text_page_forget(p, p->n);
    p->top = top;
}

void text_page_fini(struct text_page *p)
{
    text_page_forget(p, p->n);
    free(p->lines);
    *p = (struct text_page){0};
}

void text_page_line(struct text_page *p)
{
    if (p->n == PAGE_LINES_MAX)
        text_page_forget(p, PAGE_LINES_MAX / 4);
    if (!ARRAY_ROOM(p->lines, p->n, p->cap))
        return;
    p->lines[p->n++] = BUF_INIT;
}

void text_page_put(struct text_page *p, enum style style, struct str text)
{
    if (!p->n)
        text_page_line(p);
    if (!p->n || buf_append_char(&p->lines[p->n - 1], (char)(style + 1)) < 0)
        return;
    (void)!output_text_clean(&p->lines[p->n - 1], text);
}

void text_page_say(struct text_page *p, enum style style, struct str text)
{
    text_page_line(p);
    text_page_put(p, style, text);
}

void text_page_printf(struct text_page *p, enum style style, const char *fmt, ...)
{
    AUTO_BUF text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (err == 0)
        text_page_put(p, style, buf_str(&text));
}

/* Cuts the next run of one style off *rest. */
static struct str text_page_run(struct str *rest, enum style *ret_style)
{
    if (rest->n && (unsigned char)rest->p[0] < ' ') {
        *ret_style = (enum style)(rest->p[0] - 1);
        *rest = str_n(rest->p + 1, rest->n - 1);
    }
    size_t n = 0;
    while (n < rest->n && (unsigned char)rest->p[n] >= ' ')
        n++;
    struct str run = str_n(rest->p, n);
    *rest = str_n(rest->p + n, rest->n - n);
    return run;
}

int text_page_line_width(const struct text_page *p, size_t i)
{
    struct str rest = buf_str(&p->lines[i]);
    enum style style = STYLE_NORMAL;
    int width = 0;
    while (rest.n)
        width += output_text_width(text_page_run(&rest, &style));
    return width;
}

void text_page_pad(struct text_page *p, int col)
{
    int width = p->n ? text_page_line_width(p, p->n - 1) : 0;
    if (width < col)
        text_page_printf(p, STYLE_NORMAL, "%*s", col - width, "");
}

void text_page_wrap(struct text_page *p, enum style style, const char *text, int width)
{
    int at = p->n ? text_page_line_width(p, p->n - 1) : 0;
    struct str rest = str_of(text);
    for (bool is_first = true; rest.n; is_first = false) {
        size_t n = output_text_fit(rest, width - at);
        if (!is_first) {
            text_page_line(p);
            text_page_pad(p, at);
        }
        text_page_put(p, style, str_n(rest.p, n));
        rest = str_skip(rest, n < rest.n ? n + 1 : n);
    }
}

size_t text_page_add(struct text_page *p, enum style style, struct str text)
{
    const char *lf;
    while (text.n && (lf = memchr(text.p, '\n', text.n))) {
        struct str line = str_n(text.p, (size_t)(lf - text.p));
        text_page_say(p, style, line);
        text = str_n(lf + 1, text.n - line.n - 1);
    }
    return text.n;
}

void text_page_heading(struct text_page *p, const char *text)
{
    if (p->n)
        text_page_line(p);
    text_page_say(p, STYLE_TITLE, str_of(text));
}

/* ---- moving ---- */

size_t text_page_lines(const struct text_page *p)
{
    return p->is_paused ? p->n_paused : p->n;
}

void text_page_pause(struct text_page *p, bool is_paused)
{
    p->is_paused = is_paused;
    p->n_paused = p->n;
    p->is_following = !is_paused;
}

static size_t text_page_last_top(const struct text_page *p)
{
    size_t height = p->height > 0 ? (size_t)p->height : 1, n = text_page_lines(p);
    return n > height ? n - height : 0;
}

bool text_page_key(struct text_page *p, int key)
{
    long all = (long)p->n, height = p->height > 1 ? p->height : 1;
    const struct {
        int key, other;
        long by;
    } moves[] = {
        {INPUT_UP, 'k', -1},
        {INPUT_DOWN, 'j', 1},
        {INPUT_PAGE_UP, INPUT_CTRL('B'), -height},
        {INPUT_PAGE_DOWN, INPUT_CTRL('F'), height},
        {INPUT_PAGE_DOWN, ' ', height},
        {INPUT_HOME, 'g', -all},
        {INPUT_END, 'G', all},
    };
    for (size_t i = 0; i < ARRAY_LEN(moves); i++)
        if (key == moves[i].key || key == moves[i].other) {
            long last = (long)text_page_last_top(p), by = moves[i].by, to = (long)p->top;
            to = by > last - to ? last : to + by;
            p->top = (size_t)(to < 0 ? 0 : to);
            p->is_following = p->is_stream && !p->is_paused && to >= last;
            return true;
        }
    if (key == INPUT_LEFT)
        p->left = p->left > PAGE_SCROLL ? p->left - PAGE_SCROLL : 0;
    else if (key == INPUT_RIGHT)
        p->left += PAGE_SCROLL;
    return key == INPUT_LEFT || key == INPUT_RIGHT;
}

/* ---- drawing ---- */

static void text_page_draw_line(const struct text_page *p, const struct buf *line, struct screen *s,
                                int row, int col, int end, bool is_stale)
{
    struct str rest = buf_str(line);
    enum style style = STYLE_NORMAL;
    int at = col - p->left;
    while (rest.n) {
        struct str run = text_page_run(&rest, &style);
        /* What is scrolled out is passed over a character at a time. */
        while (run.n && at < col) {
            size_t n = 1;
            while (n < run.n && ((unsigned char)run.p[n] & 0xc0) == 0x80)
                n++;
            at += output_text_width(str_n(run.p, n));
            run = str_n(run.p + n, run.n - n);
        }
        (void)screen_text(s, row, at, end - at, is_stale ? STYLE_DIM : style, run);
        at += output_text_width(run);
    }
}

void text_page_draw(struct text_page *p, struct screen *s, int row, int col, int height, int width,
                    bool is_stale)
{
    p->height = height;
    if (p->is_following || p->top > text_page_last_top(p))
        p->top = text_page_last_top(p);
    for (int i = 0; i < height && p->top + (size_t)i < text_page_lines(p); i++)
        text_page_draw_line(p, &p->lines[p->top + (size_t)i], s, row + i, col, col + width,
                            is_stale);
}

char *text_page_text(const struct text_page *p)
{
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < p->n; i++) {
        struct str rest = buf_str(&p->lines[i]);
        enum style style;
        while (rest.n)
            if (buf_append_str(&text, text_page_run(&rest, &style)) < 0)
                return NULL;
        if (buf_append_char(&text, '\n') < 0)
            return NULL;
    }
    return buf_steal(&text);
}
