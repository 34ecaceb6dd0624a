/* SPDX-License-Identifier: ISC */
/* The panes and screens of panes.def. */
#pragma once

#include "rpc/commands.h"

enum pane {
#define P(id, name, noun, verb, identity, sort, search, empty) PANE_##id,
#include "tui/panes.def"
    PANE_COUNT
};

enum screen_id {
#define S(id, name, short, pane, other, needs) SCREEN_##id,
#include "tui/panes.def"
    SCREEN_COUNT
};

struct pane_row {
    const char *name, *noun, *verb, *identity, *sort, *search, *empty;
};

struct screen_row {
    const char *name, *short_name;
    enum pane panes[2]; /* the same twice: only one */
    const char *needs;  /* member of system status; "" = nothing */
};

extern const struct pane_row pane_rows[PANE_COUNT];
extern const struct screen_row screen_rows[SCREEN_COUNT];

/* The screen of a name or of a pane's name; -1 when there is none. *ret_focus is 0 or 1. */
int screen_find(const char *name, int *ret_focus);
/* The command that fills a pane; NULL when there is none. */
const struct command *pane_command(enum pane p);
