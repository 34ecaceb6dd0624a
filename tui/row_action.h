/* SPDX-License-Identifier: ISC */
/* The table of what keys do to rows. */
#pragma once

#include "tui/keys.h"

enum row_action_flag {
    ROW_ACTION_NONE,
    ROW_ACTION_MANY = 1,
    ROW_ACTION_FORM = 2,
    ROW_ACTION_ADD = 4,
    ROW_ACTION_ROWS = 8
};

/* A row of row_actions.def. */
struct row_action {
    enum pane pane;
    enum action action;
    const char *noun, *verb, *target, *column;
    enum row_action_flag flags;
    const char *words, *fields, *yes, *counted, *effect, *said;
};

/* NULL: the action is none on rows of this pane. */
const struct row_action *row_action_find(enum pane p, enum action action);
