/* SPDX-License-Identifier: ISC */
/* Which keys are valid now: those of the list or of the page, and those of its object. */
#include "tui/app.h"

/* Over details those keys are valid too that do something to the object. */
static bool key_is_for_object(const struct app *a, const struct key_row *k)
{
    enum pane p = app_object_pane(a);
    bool is_own =
        k->action == ACTION_CHECK || k->action == ACTION_EXPLAIN || k->action == ACTION_TRACE;
    bool is_row_action = act_has(p, k->action) && k->action != ACTION_ADD;
    return a->over == OVER_DETAIL && k->where & (1u << p) && (is_own || is_row_action);
}

bool app_has_key(const struct app *a, const struct key_row *k)
{
    if (a->over != OVER_NONE)
        return k->where & KEYS_PAGE || key_is_for_object(a, k);
    if (k->action == ACTION_NODE_NEXT || k->action == ACTION_NODE_PREVIOUS)
        return a->n_nodes > 1;
    return k->where & (1u << app_pane(a));
}

const struct key_row *app_find_key(const struct app *a, int key)
{
    const struct key_row *k = NULL;
    if (a->over == OVER_NONE)
        return keys_find(1u << app_pane(a), key);
    k = keys_find(KEYS_PAGE, key);
    if (k || a->over != OVER_DETAIL)
        return k;
    k = keys_find(1u << app_object_pane(a), key);
    return k && key_is_for_object(a, k) ? k : NULL;
}
