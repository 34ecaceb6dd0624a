/* SPDX-License-Identifier: ISC */
/* The key table: which key does what where. */
#pragma once

#include <stdio.h>

#include "tui/input.h"
#include "tui/panes.h"

enum action {
    ACTION_NONE,
#define K(action, key, other, where, role, label, help) ACTION_##action,
#include "tui/keys.def"
#undef K
    ACTION_COUNT
};

/* The bit of pages; those of panes are 1 << PANE_x. */
#define KEYS_PAGE (1u << PANE_COUNT)

struct key_row {
    enum action action;
    int key, other; /* other 0 = none */
    unsigned where;
    enum role role;
    const char *label, *help;
};

/* The table of keys.def: a static array of *ret_n. */
const struct key_row *keys_all(size_t *ret_n);
/* What a key does in one of these places (bits); NULL = nothing. Ctrl-C is Q everywhere. */
const struct key_row *keys_find(unsigned where, int key);
/* "x", "F9", "Enter", "Ctrl-L". dst of 16 bytes. */
void keys_name(char dst[16], int key);
/* The table as man(7) text. */
void keys_manual(FILE *f);
