/* SPDX-License-Identifier: ISC */
/* One daemon as the dashboard knows it, or several as one: the connection, what was asked and
 * answered, the lists. Asks for what is on the screen, nothing else. No terminal here. */
#pragma once

#include "tui/cluster.h"
#include "tui/list_view.h"
#include "tui/merge.h"
#include "tui/overview.h"
#include "tui/panes.h"
#include "tui/rpc_client.h"

#define NODE_EVENTS_MAX 100000
#define NODE_EVENTS_LAST 1000  /* past events asked for at the beginning, */
#define NODE_EVENTS_KEPT 10000 /* and of a filter: all that the daemon keeps */

enum source_id {
    SOURCE_STATUS,
    SOURCE_OPS, /* what runs, for the line above the keys */
    SOURCE_HISTORY,
    SOURCE_STATS,
    SOURCE_BACKENDS,
    SOURCE_LISTENERS,
    SOURCE_TOP_USERS,
    SOURCE_TOP_ADDRESSES,
    SOURCE_TOP_FAILURES,
    SOURCE_PROTO, /* one each */
    SOURCE_PANE = SOURCE_PROTO + OVERVIEW_PROTOS_MAX,
    SOURCE_COUNT = SOURCE_PANE + PANE_COUNT,
};

/* Something that is asked for again and again. */
struct node_source {
    struct node *node;
    bool is_waiting, is_again;  /* asked; to be asked again at once when the answer is there */
    bool is_urgent;             /* somebody wants to see it anew */
    bool is_absent;             /* the daemon does not know the command */
    uint64_t asked_ms, took_ms; /* when it was asked last, and how long the answer took */
    struct row_table_part part; /* of a list that was asked for */
    unsigned question;          /* of the table when it was asked */
    char why[192];              /* why there is no answer; "" = there is one */
    char unreached[192];        /* who had no part in the answer; "" = all had */
};

struct node {
    char *path;              /* NULL: this is several daemons as one */
    struct rpc_client *rpc;  /* NULL then */
    struct cluster *cluster; /* of those; NULL = one daemon */
    struct node *members;    /* borrowed; n_members of them */
    size_t n_members;
    struct node *whole; /* of which this is one; NULL = of none */
    size_t place;       /* there */
    char label[160];    /* its name for people: the greeting's, else the path */
    char *identities[PANE_COUNT];
    bool is_lost;
    char why[256], hint[128]; /* of the loss */
    uint64_t lost_ms;         /* monotonic; 0 = not lost */
    unsigned losses;          /* connections lost so far */
    char name[64], version[32];
    enum role role;
    bool is_read_only; /* by choice: nothing that changes is sent */

    struct node_source sources[SOURCE_COUNT];
    struct list_view_view lists[PANE_COUNT];
    const char *groups_by;   /* of session top; borrowed */
    const char *failures_by; /* of event top, words; borrowed */
    struct overview overview;
    json_t *ops; /* rows of op list; an operation that was just begun has only its id */

    json_int_t stream;   /* of the events pane; 0 = none */
    bool is_watching;    /* asked for */
    bool has_old_events; /* of another filter: they go when the new ones come */
    uint64_t n_past;     /* events of before that are still to come */
    json_t *held;        /* events that came during a pause */
    bool is_paused;
    /* Events of other streams. */
    void (*other_event)(void *arg, struct node *n, const json_t *params);
    /* An operation that was running is over: its row as it was last. */
    void (*op_ended)(void *arg, struct node *n, const json_t *op);
    void *arg;

    uint64_t next_ms, refreshed_ms, refreshed_wall_ms; /* 0 = never */
};

/* A daemon that is not connected yet. */
int node_init(struct node *n, const char *path) NODISCARD;
/* n_members daemons, which outlive it, as one. */
int node_init_whole(struct node *n, struct node *members, size_t n_members) NODISCARD;
/* Disconnects and frees what it owns. */
void node_fini(struct node *n);
/* As those of rpc_client, of all daemons of a whole. */
bool node_ask(struct node *n, const char *method, json_t *params, rpc_client_answer_fn *fn,
              void *arg);
void node_forget(struct node *n, rpc_client_answer_fn *fn, const void *arg);
size_t node_pending(const struct node *n);
/* Whether there is somebody to ask. */
bool node_is_connected(const struct node *n);
/* The daemon of a row: of a whole's rows that which the row names, else n itself. */
struct node *node_of_row(struct node *n, const json_t *row);
/* Who had no part in what is shown on a screen; "" = all had. */
const char *node_unreached(const struct node *n, enum screen_id screen);
/* Whether there is such a screen: as its needs say, of any daemon of a whole. */
bool node_has_screen(const struct node *n, enum screen_id screen);
/* Reads, writes and asks for what is due on a screen. Returns ms until it wants to be called again.
 */
int node_tick(struct node *n, enum screen_id screen, uint64_t interval_ms);
/* A node that is not looked at: the connection is kept, its state is asked for rarely. */
int node_tick_hidden(struct node *n);
/* Everything is asked for at the next tick. */
void node_refresh(struct node *n);
void node_pause(struct node *n, bool is_paused);
/* By what groups (of sessions, or of failed logins) are made from now on; borrowed. */
void node_group(struct node *n, enum pane p, const char *by);
/* Whether the answer to what a list asks for now (filter, order, another part) is still to come. */
bool node_is_looking(const struct node *n, enum pane p);
/* The filter of the events changed: the stream begins anew. */
void node_restart_events(struct node *n);

/* An operation that was begun at a daemon (n itself, or a member): its end is told however soon it
 * comes. id: a string; borrowed. */
void node_expect_op(struct node *n, const struct node *owner, json_t *id);

/* Whether the daemon, and -r, allow a role's commands. */
bool node_may(const struct node *n, enum role role);
/* Why not, as a sentence. dst of 128 bytes. */
const char *node_may_not(const struct node *n, enum role role, char dst[128]);
/* The answer to a request in words: "no session 1-2 (hint)". dst of 256 bytes. */
const char *node_error_text(const struct control_client_error *e, char dst[256]);
