/* SPDX-License-Identifier: ISC */
/* The key table: which key does what on which screen. */
#pragma once

#include "ctl/commands.h"
#include "tui/term.h"

enum view {
    VIEW_OVERVIEW,
    VIEW_SESSIONS,
    VIEW_BACKENDS,
    VIEW_USERS,
    VIEW_LISTENERS,
    VIEW_EVENTS,
    VIEW_AUDIT,
    VIEW_COUNT
};

enum action {
    ACTION_NONE,
#define K(action, key, other, views, role, label, help) ACTION_##action,
#include "tui/keys.def"
#undef K
    ACTION_COUNT
};

struct key_row {
    enum action action;
    int key, other;
    unsigned views; /* bits by enum view */
    enum commands_role role;
    const char *label, *help;
};

const struct key_row *keys_all(size_t *ret_n);
/* What a key does on a view; NULL = nothing. */
const struct key_row *keys_find(enum view v, int key);
/* "x", "F9", "Enter", "^L"... dst of 16 bytes. */
void keys_name(char dst[16], int key);
