/* SPDX-License-Identifier: ISC */
/* Items with letters: keys and drawing. */
#include "tui/menu.h"

#include <stdarg.h>
#include <string.h>

#include "ctl/output_text.h"
#include "tui/input.h"

#define MENU_FRAME 4 /* borders, title, hint */

/* Letters in the order of the keyboard's alphabet; j and k move. */
static const char menu_letters[] = "abcdefghilmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

void menu_open(struct menu *m, int kind, const char *title, const char *hint)
{
    *m = (struct menu){.is_open = true, .kind = kind};
    (void)str_copy(m->title, sizeof(m->title), str_of(title));
    (void)str_copy(m->hint, sizeof(m->hint), str_of(hint));
}

void menu_close(struct menu *m)
{
    m->is_open = false;
    m->n = 0;
}

static int menu_free_key(const struct menu *m)
{
    for (const char *c = menu_letters; *c; c++) {
        size_t i = 0;
        while (i < m->n && m->items[i].key != *c)
            i++;
        if (i == m->n)
            return *c;
    }
    return 0;
}

void menu_add(struct menu *m, int key, const char *name, bool is_on, const char *fmt, ...)
{
    va_list ap;
    if (m->n == MENU_ITEMS_MAX)
        return;
    struct menu_item *i = &m->items[m->n];
    *i = (struct menu_item){.key = key ? key : menu_free_key(m), .is_on = is_on};
    (void)str_copy(i->name, sizeof(i->name), str_of(name));
    va_start(ap, fmt);
    vsnprintf(i->text, sizeof(i->text), fmt, ap);
    va_end(ap);
    if (is_on)
        m->at = m->n;
    m->n++;
}

enum menu_result menu_key(struct menu *m, int key)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].key == key) {
            m->at = i;
            return MENU_PICKED;
        }
    if (key == INPUT_ENTER && m->n > 0)
        return MENU_PICKED;
    if (key == INPUT_ESC || key == INPUT_BACKSPACE || key == INPUT_CTRL('C') || m->n == 0)
        return MENU_LEFT;
    if (key == INPUT_DOWN || key == 'j' || key == INPUT_TAB)
        m->at = (m->at + 1) % m->n;
    else if (key == INPUT_UP || key == 'k' || key == INPUT_BACKTAB)
        m->at = (m->at + m->n - 1) % m->n;
    return MENU_OPEN;
}

void menu_draw(struct menu *m, struct screen *s)
{
    if (!m->is_open)
        return;
    int room = s->rows - MENU_FRAME;
    int width = output_text_width(str_of(m->title)), hint = output_text_width(str_of(m->hint));
    width = hint > width ? hint : width;
    for (size_t i = 0; i < m->n; i++) {
        int w = output_text_width(str_of(m->items[i].text)) + 4;
        width = w > width ? w : width;
    }
    width = width + 4 < s->cols ? width + 4 : s->cols;
    size_t n = (int)m->n < room ? m->n : room > 0 ? (size_t)room : 0;
    int row = (s->rows - (int)n - MENU_FRAME) / 2, col = (s->cols - width) / 2;
    row = row < 0 ? 0 : row;
    if (m->at < m->first)
        m->first = m->at;
    if (n > 0 && m->at >= m->first + n)
        m->first = m->at - n + 1;
    screen_box(s, row, col, (int)n + MENU_FRAME - 1, width, str_of(m->title));
    for (size_t k = 0; k < n; k++) {
        const struct menu_item *i = &m->items[m->first + k];
        int line = row + 1 + (int)k;
        if (i->key)
            (void)screen_printf(s, line, col + 2, 1, STYLE_KEY, "%c", i->key);
        (void)screen_text(s, line, col + 4, width - 6, i->is_on ? STYLE_TITLE : STYLE_NORMAL,
                          str_of(i->text));
        if (m->first + k == m->at)
            screen_restyle(s, line, col + 1, width - 2, STYLE_SELECTED);
    }
    (void)screen_text(s, row + 1 + (int)n, col + 2, width - 4, STYLE_DIM, str_of(m->hint));
}
