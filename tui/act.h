/* SPDX-License-Identifier: ISC */
/* What changes things: a dialog that names object and count, requests for the rows that were
 * captured when the key was pressed, and what came of them. */
#pragma once

#include <jansson.h>

#include "tui/keys.h"
#include "tui/merge.h"

#define ACT_TARGETS_MAX 5000 /* more are acted on by the filter itself */

struct app;
struct row_action;
struct node;

struct act {
    struct node *node;               /* whose rows; of several as one each row has its own */
    const struct row_action *action; /* NULL: nothing is asked or under way */
    const struct command *command;
    json_t *targets; /* captured identities, or values of a column */
    json_t *rows;    /* as they were then: one for each target; empty for values of a column */
    json_t *places;  /* of each target: its daemon among several, nothing of a single one's */
    bool is_filter;  /* all that the filter matches, too many to name each */
    char filter[512];
    uint64_t n_matched;              /* of the filter when it was captured */
    uint64_t n_sessions;             /* of the targets, counted so far; */
    size_t n_counting;               /* answers that are still to come; */
    bool is_counting[1 + MERGE_MAX]; /* of which daemon, by its place */
    bool is_count_partial;           /* not all could be counted */
    bool knows_sessions;             /* whether the daemons have counted them */
    char
        *object; /* what the question is about, in words; owned, NULL = nothing that is there yet */
    json_t *params; /* what the dialog gave */
    size_t next, n_waiting, n_done, n_failed;
    char failure[512]; /* the first one */
    /* What each daemon owes, by its place (0 = the node itself), and losses when it began. */
    size_t n_owed[1 + MERGE_MAX];
    unsigned losses[1 + MERGE_MAX];
};

/* Whether an action is one on rows of a pane. */
bool act_has(enum pane p, enum action action);
/* True when the action is one of the row actions, whose dialog is open now or which was refused. */
bool act_key(struct app *a, enum action action);
/* The daemon of a target. */
struct node *act_node(const struct act *act, size_t target);
/* Place in what is kept for each daemon. */
size_t act_slot(const struct act *act, const struct node *n);
/* Notes losses of connections, to know of later ones. */
void act_note_losses(struct act *act);
/* Goes on without counts that a lost connection will not bring. */
void act_count_tick(struct app *a);
/* The dialog was answered with yes: sends, or says in the dialog what is wrong. */
void act_confirmed(struct app *a);
/* Sends what still waits; tells when the connection was lost meanwhile. */
void act_tick(struct app *a);
/* An end of sessions that waits for their last commands goes on by itself: true when nobody has to
 * wait for its answer, and none will come. */
bool act_leave(struct app *a);
void act_fini(struct act *act);
/* What was done, as a sentence: "user anna: locked, 34 sessions ended". Owned; NULL without memory.
 */
char *act_said(const struct act *act, const json_t *result);
