/* SPDX-License-Identifier: ISC */
/* The end of an operation is told where the operator is, whatever is on the screen. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/control_client.h"
#include "tui/app.h"

#define APP_TOLD_MS 2000 /* a key that is being held must not wipe it away unread */

/* arg: the daemon that it ran at. */
static void on_op(void *arg, const json_t *op, const struct control_client_error *error)
{
    struct node *n = arg;
    struct app *a = n->arg;
    const char *state = control_client_member_text(op, "state");
    size_t used = strlen(a->told);
    (void)error;
    if (!state[0])
        return;
    struct node *shown = app_node(a);
    if (strcmp(state, "running") == 0) { /* it began after the list was made */
        if (shown == n || shown == n->whole)
            node_expect_op(shown, n, json_object_get(op, "id"));
        return;
    }
    /* "mx2: drain of main/b1: done: no sessions left" */
    const char *target = control_client_member_text(op, "target"),
               *text = control_client_member_text(op, "text");
    AUTO_FREE char *words =
        str_printf("%s%s%s%s%s: %s%s%s", n->whole ? n->label : "", n->whole ? ": " : "",
                   control_client_member_text(op, "kind"), target[0] ? " of " : "", target,
                   control_client_member_text(op, "state"), text[0] ? ": " : "", text);
    snprintf(a->told + used, sizeof(a->told) - used, "%s%s", used ? "; " : "", words ? words : "");
    a->is_told_bad =
        a->is_told_bad || (strcmp(state, "done") != 0 && strcmp(state, "cancelled") != 0);
}

void app_op_ended(struct node *n, const json_t *op)
{
    struct node *owner = node_of_row(n, op);
    (void)node_ask(owner, "op.show", json_pack("{s:O}", "id", json_object_get(op, "id")), on_op,
                   owner);
}

void app_tell(struct app *a)
{
    if (!a->told[0] || a->dialog.is_open || a->menu.is_open || a->prompt.is_open)
        return;
    app_say(a, a->is_told_bad, "%s", a->told);
    a->told[0] = '\0';
    a->is_told_bad = false;
    a->told_until_ms = clock_ms() + APP_TOLD_MS;
}
