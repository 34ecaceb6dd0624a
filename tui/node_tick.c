/* SPDX-License-Identifier: ISC */
/* What is due: reads, writes, and asks for what is on the screen. */
#include "base/clock.h"
#include "tui/node_events.h"
#include "tui/node_source.h"

#define NODE_HIDDEN_MS 5000
#define NODE_RARELY_MS 5000

static void node_ask_screen(struct node *n, enum screen_id screen)
{
    source_ask(n, SOURCE_STATUS);
    source_ask(n, SOURCE_OPS);
    for (int i = 0; i < 2; i++) {
        enum pane p = screen_rows[screen].panes[i];
        if (i == 1 && p == screen_rows[screen].panes[0])
            break;
        if (p == PANE_OVERVIEW) {
            source_ask(n, SOURCE_HISTORY);
            source_ask(n, SOURCE_STATS);
            source_ask(n, SOURCE_BACKENDS);
            source_ask(n, SOURCE_LISTENERS);
            source_ask_again(n, SOURCE_TOP_USERS, NODE_RARELY_MS);
            source_ask_again(n, SOURCE_TOP_ADDRESSES, NODE_RARELY_MS);
            source_ask_again(n, SOURCE_TOP_FAILURES, NODE_RARELY_MS);
            for (size_t k = 0; k < n->overview.n_protos; k++)
                source_ask(n, (enum source_id)(SOURCE_PROTO + k));
        } else if (p == PANE_EVENTS) {
            node_watch(n);
        } else {
            source_ask_again(n, (enum source_id)(SOURCE_PANE + p), 0);
        }
    }
}

static int node_sooner(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* Reads, writes, and returns ms until that is due again. */
static int node_run(struct node *n)
{
    if (n->cluster)
        return cluster_tick(n->cluster);
    rpc_client_run(n->rpc);
    return rpc_client_timeout_ms(n->rpc);
}

int node_tick(struct node *n, enum screen_id screen, uint64_t interval_ms)
{
    int ms = node_run(n);
    uint64_t now = clock_ms();
    if (!node_is_connected(n))
        return ms;
    if (screen != SCREEN_EVENTS)
        node_unwatch(n);
    if (now >= n->next_ms && (!n->is_paused || n->next_ms == 0)) {
        n->next_ms = now + interval_ms;
        node_ask_screen(n, screen);
    }
    int due = n->is_paused ? -1 : (int)(n->next_ms - now);
    return node_sooner(due, ms);
}

int node_tick_hidden(struct node *n)
{
    int ms = node_run(n);
    uint64_t now = clock_ms();
    if (!node_is_connected(n))
        return ms;
    node_unwatch(n);
    /* Several as one are nothing that could be away. */
    if (n->cluster)
        return ms;
    if (now >= n->next_ms) {
        n->next_ms = now + NODE_HIDDEN_MS;
        source_ask(n, SOURCE_STATUS);
    }
    return node_sooner((int)(n->next_ms - now), ms);
}
