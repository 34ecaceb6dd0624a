/* SPDX-License-Identifier: ISC */
/* What a node is asked, and may be asked: one daemon or several as one. */
#include "tui/node.h"

#include <stdio.h>

/* ---- roles ---- */

bool node_may(const struct node *n, enum role role)
{
    return role == ROLE_VIEWER || (!n->is_read_only && role <= n->role);
}

const char *node_may_not(const struct node *n, enum role role, char dst[128])
{
    if (n->is_read_only)
        snprintf(dst, 128, "started with -r: nothing is changed from here");
    else
        snprintf(dst, 128, "this needs the role %s; the daemon takes you for %s", role_name(role),
                 role_name(n->role));
    return dst;
}

const char *node_error_text(const struct control_client_error *e, char dst[256])
{
    snprintf(dst, 256, "%s%s%s%s", e->text ? e->text : "failed", e->hint ? " (" : "",
             e->hint ? e->hint : "", e->hint ? ")" : "");
    return dst;
}

/* ---- one daemon or several ---- */

bool node_ask(struct node *n, const char *method, json_t *params, rpc_client_answer_fn *fn,
              void *arg)
{
    return n->cluster ? cluster_ask(n->cluster, method, params, fn, arg)
                      : rpc_client_ask(n->rpc, method, params, fn, arg);
}

void node_forget(struct node *n, rpc_client_answer_fn *fn, const void *arg)
{
    if (n->cluster)
        cluster_forget(n->cluster, fn, arg);
    else
        rpc_client_forget(n->rpc, fn, arg);
}

size_t node_pending(const struct node *n)
{
    return n->cluster ? cluster_pending(n->cluster) : rpc_client_pending(n->rpc);
}

bool node_is_connected(const struct node *n)
{
    return n->cluster ? cluster_connected(n->cluster) > 0 : rpc_client_hello(n->rpc) != NULL;
}

struct node *node_of_row(struct node *n, const json_t *row)
{
    const json_t *place = json_object_get(row, MERGE_PLACE);
    size_t i = (size_t)json_integer_value(place);
    return n->cluster && json_is_integer(place) && i < n->n_members ? &n->members[i] : n;
}

/* ---- what is shown ---- */

bool node_has_screen(const struct node *n, enum screen_id screen)
{
    const char *needs = screen_rows[screen].needs;
    const json_t *status = n->overview.status, *one;
    size_t i;
    json_array_foreach (json_object_get(status, "nodes"), i, one)
        if (control_client_member_text(one, needs)[0])
            return true;
    return !needs[0] || control_client_member_text(status, needs)[0];
}

void node_refresh(struct node *n)
{
    n->next_ms = 0;
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        n->sources[i].is_again = n->sources[i].is_waiting;
        n->sources[i].is_urgent = true;
    }
}

void node_group(struct node *n, enum pane p, const char *by)
{
    *(p == PANE_GROUPS ? &n->groups_by : &n->failures_by) = by;
    row_table_clear(&n->lists[p].table);
    n->lists[p].table.is_changed = true;
    n->lists[p].table.question++;
    list_view_reset_widths(&n->lists[p]);
    node_refresh(n);
}

bool node_is_looking(const struct node *n, enum pane p)
{
    const struct node_source *s = &n->sources[SOURCE_PANE + p];
    const struct row_table *t = &n->lists[p].table;
    if (!s->is_waiting)
        return p == PANE_EVENTS && (n->has_old_events || n->n_past > 0);
    return p == PANE_EVENTS || !t->rows || t->is_changed || !row_table_has_visible(t);
}

const char *node_unreached(const struct node *n, enum screen_id screen)
{
    const enum pane *p = screen_rows[screen].panes;
    const enum source_id ids[] = {SOURCE_STATUS, (enum source_id)(SOURCE_PANE + p[0]),
                                  (enum source_id)(SOURCE_PANE + p[1])};
    if (screen == SCREEN_EVENTS && n->cluster && n->stream &&
        cluster_stream_failure(n->cluster, n->stream)[0])
        return cluster_stream_failure(n->cluster, n->stream);
    for (int i = SOURCE_HISTORY; p[0] == PANE_OVERVIEW && i < SOURCE_PANE; i++)
        if (n->sources[i].unreached[0])
            return n->sources[i].unreached;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (n->sources[ids[i]].unreached[0])
            return n->sources[ids[i]].unreached;
    return "";
}
