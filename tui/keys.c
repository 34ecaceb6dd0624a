/* SPDX-License-Identifier: ISC */
/* Looking keys up and naming them. */
#include "tui/keys.h"

#include "base/cleanup.h"

#define BIT(pane) (1u << PANE_##pane)
#define ALL (KEYS_PAGE - 1)
#define LISTS (ALL & ~BIT(OVERVIEW))
#define PAGE KEYS_PAGE
static const struct key_row key_rows[] = {
#define K(action, key, other, where, role, label, help)                                            \
    {ACTION_##action, key, other, where, ROLE_##role, label, help},
#include "tui/keys.def"
#undef K
};

const struct key_row *keys_all(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(key_rows);
    return key_rows;
}

const struct key_row *keys_find(unsigned where, int key)
{
    if (key == INPUT_CTRL('C'))
        key = 'Q';
    for (size_t i = 0; i < ARRAY_LEN(key_rows); i++) {
        const struct key_row *k = &key_rows[i];
        if ((k->where & where) && (key == k->key || (k->other && key == k->other)))
            return k;
    }
    return NULL;
}

void keys_name(char dst[16], int key)
{
    static const struct {
        int key;
        const char *name;
    } names[] = {
        {INPUT_ENTER, "Enter"},   {' ', "Space"},
        {INPUT_TAB, "Tab"},       {INPUT_ESC, "Esc"},
        {INPUT_UP, "Up"},         {INPUT_DOWN, "Down"},
        {INPUT_LEFT, "Left"},     {INPUT_RIGHT, "Right"},
        {INPUT_HOME, "Home"},     {INPUT_END, "End"},
        {INPUT_PAGE_UP, "PgUp"},  {INPUT_PAGE_DOWN, "PgDn"},
        {INPUT_BACKTAB, "S-Tab"}, {INPUT_BACKSPACE, "BkSp"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].key == key) {
            (void)str_copy(dst, 16, str_of(names[i].name));
            return;
        }
    if (key >= INPUT_F1 && key <= INPUT_F12)
        snprintf(dst, 16, "F%d", key - INPUT_F1 + 1);
    else if (key > 0 && key < ' ')
        snprintf(dst, 16, "Ctrl-%c", key + 'A' - 1);
    else
        snprintf(dst, 16, "%c", key);
}

/* ---- manual ---- */

static void manual_text(FILE *f, const char *s)
{
    for (; *s; s++)
        fputs(*s == '-' ? "\\-" : *s == '\\' ? "\\e" : (char[2]){*s, 0}, f);
}

/* The panes where it is valid, unless that is everywhere. */
static void manual_where(FILE *f, unsigned where)
{
    bool is_first = true;
    if ((where & LISTS) == LISTS || (where & ~PAGE) == 0 || (where | BIT(EVENTS)) == LISTS)
        return;
    fputs(" (", f);
    for (int p = 0; p < PANE_COUNT; p++)
        if (where & (1u << p)) {
            fprintf(f, "%s%s", is_first ? "" : ", ", pane_rows[p].name);
            is_first = false;
        }
    fputc(')', f);
}

void keys_manual(FILE *f)
{
    for (size_t i = 0; i < ARRAY_LEN(key_rows); i++) {
        const struct key_row *k = &key_rows[i];
        char name[16];
        fputs(".TP\n\\fB", f);
        keys_name(name, k->key);
        manual_text(f, name);
        if (k->other) {
            fputs("\\fR, \\fB", f);
            keys_name(name, k->other);
            manual_text(f, name);
        }
        fputs("\\fR\n", f);
        manual_text(f, k->help);
        manual_where(f, k->where);
        if (k->role != ROLE_VIEWER)
            fprintf(f, "; needs the role %s", role_name(k->role));
        fputs(".\n", f);
    }
}
