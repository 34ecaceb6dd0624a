/* SPDX-License-Identifier: ISC */
/* The connection of a node: made, greeted, lost, ended; and of several as one. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tui/node_events.h"

/* Names of daemons; of two that have the same the socket is named, too. */
static void whole_name(struct node *whole)
{
    for (size_t i = 0; i < whole->n_members; i++) {
        struct node *n = &whole->members[i];
        bool is_same = false;
        for (size_t k = 0; k < whole->n_members; k++)
            is_same = is_same || (k != i && strcmp(whole->members[k].name, n->name) == 0);
        if (!n->name[0])
            continue;
        snprintf(n->label, sizeof(n->label), "%s%s%s%s", n->name, is_same ? " (" : "",
                 is_same ? n->path : "", is_same ? ")" : "");
    }
}

/* The highest role that a daemon grants: what another one refuses it says itself. */
static void whole_greeted(struct node *whole, size_t place)
{
    whole_name(whole);
    whole->is_lost = false;
    whole->lost_ms = 0;
    whole->role = ROLE_VIEWER;
    for (size_t i = 0; i < whole->n_members; i++)
        if (node_is_connected(&whole->members[i]) && whole->members[i].role > whole->role)
            whole->role = whole->members[i].role;
    (void)str_copy(whole->version, sizeof(whole->version), str_of(whole->members[place].version));
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        whole->sources[i].is_absent = false;
    /* The past of this daemon is part of the sums, too. */
    overview_take(&whole->overview.history, NULL);
    cluster_greeted(whole->cluster, place);
    node_refresh(whole);
}

static void node_forget_questions(struct node *n)
{
    n->stream = 0;
    n->n_past = 0;
    n->is_watching = false;
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        n->sources[i].is_waiting = n->sources[i].is_again = false;
}

static void whole_lost(struct node *whole, size_t place)
{
    const struct node *n = &whole->members[place];
    cluster_lost(whole->cluster, place);
    node_refresh(whole);
    if (cluster_connected(whole->cluster) > 0)
        return;
    (void)str_copy(whole->why, sizeof(whole->why), str_of(n->why));
    (void)str_copy(whole->hint, sizeof(whole->hint), str_of(n->hint));
    for (size_t i = 0; i < whole->n_members; i++)
        if (!whole->members[i].is_lost)
            return; /* it may still come */
    if (!whole->is_lost)
        whole->lost_ms = clock_ms();
    whole->is_lost = true;
    node_unwatch(whole); /* else it would be opened again at each daemon, beside the new one */
    node_forget_questions(whole);
}

static void on_node_connected(void *arg)
{
    struct node *n = arg;
    const struct control_client_hello *h = rpc_client_hello(n->rpc);
    n->is_lost = false;
    n->lost_ms = 0;
    (void)str_copy(n->name, sizeof(n->name), str_of(h->node));
    (void)str_copy(n->version, sizeof(n->version), str_of(h->version));
    n->role = ROLE_VIEWER;
    for (int r = ROLE_VIEWER; r <= ROLE_ADMIN; r++)
        if (strcmp(h->role, role_name((enum role)r)) == 0)
            n->role = (enum role)r;
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        n->sources[i].is_absent = false;
    /* Counters of another daemon would make nonsense with the old ones. */
    overview_clear(&n->overview);
    node_refresh(n);
    if (n->whole)
        whole_greeted(n->whole, n->place);
}

static void on_node_lost(void *arg, const char *why, const char *hint)
{
    struct node *n = arg;
    (void)str_copy(n->why, sizeof(n->why), str_of(why));
    (void)str_copy(n->hint, sizeof(n->hint), str_of(hint));
    if (!n->is_lost) {
        n->lost_ms = clock_ms();
        n->losses++;
    }
    n->is_lost = true;
    node_forget_questions(n);
    if (n->whole)
        whole_lost(n->whole, n->place);
}

static int node_begin(struct node *n)
{
    *n = (struct node){.held = json_array(),
                       .role = ROLE_VIEWER,
                       .groups_by = "user",
                       .failures_by = "ip user text"};
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        n->sources[i].node = n;
    for (int p = 0; p < PANE_COUNT; p++)
        list_view_init(&n->lists[p], pane_command((enum pane)p), pane_rows[p].identity,
                       pane_rows[p].sort, pane_rows[p].empty);
    return n->held ? 0 : -ERR_NOMEM;
}

int node_init(struct node *n, const char *path)
{
    int err = node_begin(n);
    n->path = str_dup_c(path);
    if (err < 0 || !n->path)
        return -ERR_NOMEM;
    (void)str_copy(n->label, sizeof(n->label), str_of(path));
    const struct rpc_client_ops ops = {
        .connected = on_node_connected, .lost = on_node_lost, .event = node_on_event, .arg = n};
    return rpc_client_new(path, &ops, &n->rpc);
}

int node_init_whole(struct node *n, struct node *members, size_t n_members)
{
    struct cluster_member m[MERGE_MAX];
    int err = node_begin(n);
    if (err < 0 || n_members > MERGE_MAX)
        return err < 0 ? err : -ERR_TOO_MANY;
    n->members = members;
    n->n_members = n_members;
    (void)str_copy(n->label, sizeof(n->label), STR("all"));
    for (size_t i = 0; i < n_members; i++) {
        m[i] = (struct cluster_member){members[i].rpc, members[i].label};
        members[i].whole = n;
        members[i].place = i;
    }
    /* Rows that stay those of one daemon are told apart by it, too: each may know the same name. */
    for (int p = 0; p < PANE_COUNT; p++) {
        struct list_view_view *l = &n->lists[p];
        const struct command *c = l->table.command;
        l->table.has_node = c && (merge_kind(c) == MERGE_ROWS || merge_kind(c) == MERGE_STREAM);
        if (!l->table.has_node || !l->table.identity[0])
            continue;
        n->identities[p] = str_printf("%s %s", MERGE_PLACE, l->table.identity);
        if (!n->identities[p])
            return -ERR_NOMEM;
        l->table.identity = n->identities[p];
    }
    return cluster_new(m, n_members, &n->cluster);
}

void node_fini(struct node *n)
{
    rpc_client_free(n->rpc);
    cluster_free(n->cluster);
    for (int p = 0; p < PANE_COUNT; p++)
        free(n->identities[p]);
    for (int p = 0; p < PANE_COUNT; p++)
        list_view_fini(&n->lists[p]);
    overview_fini(&n->overview);
    json_decref(n->ops);
    json_decref(n->held);
    free(n->path);
    *n = (struct node){0};
}
