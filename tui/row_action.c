/* SPDX-License-Identifier: ISC */
/* Finding an action on rows. */
#include "tui/row_action.h"

#include "base/cleanup.h"

static const struct row_action row_actions[] = {
#define D(pane, action, noun, verb, target, column, flags, words, fields, yes, counted, effect,    \
          said)                                                                                    \
    {PANE_##pane, ACTION_##action, noun, verb,    target, column, ROW_ACTION_##flags,              \
     words,       fields,          yes,  counted, effect, said},
#include "tui/row_actions.def"
#undef D
};

const struct row_action *row_action_find(enum pane p, enum action action)
{
    for (size_t i = 0; i < ARRAY_LEN(row_actions); i++)
        if (row_actions[i].pane == p && row_actions[i].action == action)
            return &row_actions[i];
    return NULL;
}
