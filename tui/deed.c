/* SPDX-License-Identifier: ISC */
/* Finding a deed. */
#include "tui/deed.h"

#include "base/cleanup.h"

static const struct deed deeds[] = {
#define D(pane, action, noun, verb, target, column, flags, words, fields, yes)                     \
    {PANE_##pane, ACTION_##action, noun, verb, target, column, DEED_##flags, words, fields, yes},
#include "tui/deeds.def"
#undef D
};

const struct deed *deed_find(enum pane p, enum action action)
{
    for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
        if (deeds[i].pane == p && deeds[i].action == action)
            return &deeds[i];
    return NULL;
}
