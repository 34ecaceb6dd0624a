/* SPDX-License-Identifier: ISC */
/* What the overview shows: the daemon's history, totals per protocol, backends, who is busiest, and
 * what needs a person. Its lines can be picked and lead to what they are about. No terminal here.
 */
#pragma once

#include "tui/graph.h"
#include "tui/panes.h"

#define OVERVIEW_PROTOS_MAX 8
#define OVERVIEW_LINES_MAX 64
#define OVERVIEW_LINE_ID_MAX 320
#define OVERVIEW_TOP 12 /* of the busiest users and addresses */

struct overview_proto {
    char name[16];
    json_t *stats; /* NULL before the first answer */
};

/* A line that can be picked, where it was drawn last. */
struct overview_line {
    int row, col, width;
    enum pane pane;
    json_t *object; /* of that pane, owned; NULL: the line leads to the list itself */
    char id[OVERVIEW_LINE_ID_MAX];
};

struct overview {
    size_t span;
    int cols;           /* cells of the graphs that were drawn last */
    uint64_t cursor_ms; /* time whose values are told, Unix ms; 0 = now */
    json_t *history;    /* samples, oldest first */
    json_t *stats, *backends, *listeners, *status, *top_users, *top_addresses, *top_failures;
    struct overview_proto protos[OVERVIEW_PROTOS_MAX];
    size_t n_protos;
    struct overview_line lines[OVERVIEW_LINES_MAX];
    size_t n_lines;
    char picked[OVERVIEW_LINE_ID_MAX]; /* "" = none */
};

/* Frees the samples; it is empty afterwards. */
void overview_fini(struct overview *o);
/* After a loss: what came before may be of another daemon. */
void overview_clear(struct overview *o);
const struct graph_span *overview_span(const struct overview *o);
/* The next span in a direction; the samples are forgotten. */
void overview_set_span(struct overview *o, int by);
/* How many samples to ask for: those that are missing. */
unsigned overview_wanted(const struct overview *o, uint64_t now_wall_ms);
/* Appends the samples of an answer that are new. */
void overview_take_history(struct overview *o, const json_t *result);
/* Replaces a member by the answer, or by its rows. */
void overview_take(json_t **member, const json_t *result);
/* The protocols of the listeners. */
void overview_take_listeners(struct overview *o, const json_t *result);

/* Moves the time whose values are told by cells of the graphs; beyond the newest it is now again.
 */
void overview_move_cursor(struct overview *o, int by);
/* Picks the next line, or the one before. */
void overview_move(struct overview *o, int by);
/* The picked line; NULL = none. */
const struct overview_line *overview_picked(const struct overview *o);
/* Picks the line at a place of the screen; false when there is none. */
bool overview_pick_at(struct overview *o, int row, int col);
/* No line is picked and no time is looked at; false when that was so before. */
bool overview_unpick(struct overview *o);

/* One line for somebody who has to act, and where it leads. */
struct overview_warning {
    enum style style;
    enum pane pane;
    const json_t *object; /* borrowed; NULL: to the list */
    char text[256];
};
/* The worst first. Returns how many there are, at most max. */
size_t overview_warnings(const struct overview *o, struct overview_warning *ret, size_t max);

/* Why a backend, or some of its protocols, is down; the protocols are said elsewhere. "" = nobody
 * knows. Owned; NULL without memory. */
char *overview_why_down(const json_t *backend);

/* Draws the overview from row on; is_stale greys it. */
void overview_draw(struct overview *o, struct screen *s, int row, int height, bool is_stale);
/* Style and words of a backend's state: "up", "DOWN", "up, drain". dst of 32 bytes. */
enum style overview_backend_state(const json_t *backend, char dst[32]);

/* ---- for the parts of the overview ---- */

/* A number of an object; 0 = it has none. */
uint64_t overview_number(const json_t *object, const char *member);
/* A line that was drawn can be picked; row -1: it is there and has no room. object: borrowed, NULL
 * = the list of the pane. what: names the line, besides its pane. */
void overview_put_line(struct overview *o, struct screen *s, int row, int col, int width,
                       enum pane pane, const json_t *object, const char *what);
/* The backends, with titles, from row on. */
void overview_draw_backends(struct overview *o, struct screen *s, int row, int height);
