/* SPDX-License-Identifier: ISC */
/* Looking keys up and naming them. */
#include "tui/keys.h"

#include <stdio.h>

#include "base/cleanup.h"

#define BIT(view) (1u << VIEW_##view)
#define ALL ((1u << VIEW_COUNT) - 1)
#define LISTS (ALL & ~BIT(OVERVIEW))
static const struct key_row key_rows[] = {
#define K(action, key, other, views, role, label, help)                                            \
    {ACTION_##action, key, other, views, COMMANDS_##role, label, help},
#include "tui/keys.def"
#undef K
};

const struct key_row *keys_all(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(key_rows);
    return key_rows;
}

const struct key_row *keys_find(enum view v, int key)
{
    for (size_t i = 0; i < ARRAY_LEN(key_rows); i++) {
        const struct key_row *k = &key_rows[i];
        if ((k->views & (1u << v)) && (key == k->key || (k->other && key == k->other)))
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
        {'\r', "Enter"},         {' ', "Space"},
        {'\t', "Tab"},           {27, "Esc"},
        {TERM_UP, "Up"},         {TERM_DOWN, "Down"},
        {TERM_HOME, "Home"},     {TERM_END, "End"},
        {TERM_PAGE_UP, "PgUp"},  {TERM_PAGE_DOWN, "PgDn"},
        {TERM_BACKTAB, "S-Tab"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].key == key) {
            (void)str_copy(dst, 16, str_of(names[i].name));
            return;
        }
    if (key >= TERM_F1 && key <= TERM_F12)
        snprintf(dst, 16, "F%d", key - TERM_F1 + 1);
    else if (key > 0 && key < 32)
        snprintf(dst, 16, "^%c", key + 64);
    else
        snprintf(dst, 16, "%c", key);
}
