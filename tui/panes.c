/* SPDX-License-Identifier: ISC */
/* Panes and screens by name. */
#include "tui/panes.h"

const struct pane_row pane_rows[PANE_COUNT] = {
#define P(id, name, noun, verb, identity, sort, search, empty)                                     \
    {name, noun, verb, identity, sort, search, empty},
#include "tui/panes.def"
};

const struct screen_row screen_rows[SCREEN_COUNT] = {
#define S(id, name, short, pane, other, needs) {name, short, {PANE_##pane, PANE_##other}, needs},
#include "tui/panes.def"
};

int screen_find(const char *name, int *ret_focus)
{
    for (int s = 0; s < SCREEN_COUNT; s++)
        for (int i = 0; i < 2; i++)
            if (strcmp(pane_rows[screen_rows[s].panes[i]].name, name) == 0 ||
                (i == 0 && strcmp(screen_rows[s].name, name) == 0)) {
                *ret_focus = i;
                return s;
            }
    return -1;
}

const struct command *pane_command(enum pane p)
{
    return pane_rows[p].noun ? commands_find(pane_rows[p].noun, pane_rows[p].verb) : NULL;
}
