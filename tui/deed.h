/* SPDX-License-Identifier: ISC */
/* The table of what keys do to rows. */
#pragma once

#include "tui/keys.h"

enum deed_flag { DEED_NONE, DEED_MANY = 1, DEED_FORM = 2, DEED_ADD = 4, DEED_ROWS = 8 };

/* A row of deeds.def. */
struct deed {
    enum pane pane;
    enum action action;
    const char *noun, *verb, *target, *column;
    enum deed_flag flags;
    const char *words, *fields, *yes;
};

/* NULL: the action is no deed on rows of this pane. */
const struct deed *deed_find(enum pane p, enum action action);
