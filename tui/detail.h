/* SPDX-License-Identifier: ISC */
/* Everything about one row: what the daemon tells of it, where a login would go, its sessions, what
 * happened to it lately. Asked for again and again while it is shown. */
#pragma once

#include "tui/facet.h"
#include "tui/node.h"
#include "tui/text_page.h"

#define DETAIL_EVENTS_MAX 50
#define DETAIL_SESSIONS_MAX 20
#define DETAIL_HISTORY 240 /* samples of a backend's graph */

/* A row of a list on the page, which can be picked. */
struct detail_line {
    size_t line; /* of the page */
    enum pane pane;
    json_t *row; /* owned */
};

struct detail {
    struct node *node; /* NULL: nothing is shown */
    enum pane pane;
    char id[TABLE_ID_MAX]; /* identity of the row */
    char name[FACET_TEXT_MAX], pool[64];
    enum facet
        facet; /* of sessions and events that belong to it, with that name; FACET_COUNT = none */
    json_t *object, *explain, *sessions, *history, *events;
    uint64_t n_sessions;
    char why[256]; /* why the object is not known (any more) */
    bool is_over;  /* it is gone: what is shown is the last that was known */
    json_int_t stream;
    bool is_watching;
    unsigned losses; /* of the node when the stream was opened */
    uint64_t next_ms;
    struct detail_line lines[DETAIL_SESSIONS_MAX + DETAIL_EVENTS_MAX];
    size_t n_lines;
    char picked[TABLE_ID_MAX]; /* identity of a picked line, "" = none */
};

/* Shows a row of a pane; the row itself is what is known at first. */
void detail_open(struct detail *d, struct node *n, enum pane p, const json_t *row);
void detail_close(struct detail *d);
/* Asks for what is due. Returns ms until it wants to be called again. */
int detail_tick(struct detail *d, uint64_t interval_ms);
/* Asks again at the next tick. */
void detail_refresh(struct detail *d);
/* An event of a stream that the node does not know. */
void detail_event(struct detail *d, const json_t *params);
/* What people call a row of a pane: "session", of what limits count "address", "network" or "user".
 * Borrowed from the row or static. */
const char *detail_kind_name(enum pane p, const json_t *row);
/* The lines are found anew. */
void detail_drop_lines(struct detail *d);
/* The picked line; NULL = none. */
const struct detail_line *detail_picked(const struct detail *d);
/* Down (1) or up (-1): to the next line that can be picked when it is in view, else the page moves.
 */
void detail_move(struct detail *d, struct text_page *p, int by);
/* Writes it all for a screen that is `cols` wide. */
void detail_write(struct detail *d, struct text_page *p, int cols);
