/* SPDX-License-Identifier: ISC */
/* What the overview shows: the daemon's history, totals per protocol, backends, and what needs a
 * person. No terminal here. */
#pragma once

#include <jansson.h>

#include "tui/screen.h"

#define OVERVIEW_PROTOS_MAX 8

/* A length of time: at least so many samples are shown, and more where there is room for more
 * columns, up to those that the daemon keeps. */
struct overview_span {
    const char *step; /* as stats history takes it */
    unsigned step_s, samples, kept;
};

struct overview_proto {
    char name[16];
    json_t *stats; /* NULL before the first answer */
};

struct overview {
    size_t span;
    int width;       /* widest graph that was drawn */
    bool is_short;   /* there are fewer samples than it has room for: all are asked for again */
    json_t *history; /* samples, oldest first */
    json_t *stats, *backends, *listeners, *status;
    struct overview_proto protos[OVERVIEW_PROTOS_MAX];
    size_t n_protos;
};

/* Frees the samples; it is empty afterwards. */
void overview_fini(struct overview *o);
/* After a loss: what came before may be of another daemon. */
void overview_clear(struct overview *o);
const struct overview_span *overview_span(const struct overview *o);
/* The next span in a direction; the samples are forgotten. */
void overview_set_span(struct overview *o, int by);
/* A graph is as wide as this. */
void overview_set_width(struct overview *o, int width);
/* How many samples to ask for: those that are missing. */
unsigned overview_wanted(const struct overview *o, uint64_t now_wall_ms);
/* Appends the samples of an answer that are new. */
void overview_take_history(struct overview *o, const json_t *result);
/* Replaces a member by the answer, or by its rows. */
void overview_take(json_t **member, const json_t *result);
/* The protocols of the listeners. */
void overview_take_listeners(struct overview *o, const json_t *result);

/* How many samples a column stands for, and how many columns there are. */
void overview_scale(const struct overview_span *span, int width, unsigned *ret_each,
                    unsigned *ret_columns);
/* A value of each column of a graph, oldest first: the highest of the samples that it stands for.
 * Returns how many columns there are, at most width. */
struct overview_graph {
    const char *title, *member;
    const char *second; /* added to member; NULL */
    bool is_rate, is_size;
    enum style style;
};
size_t overview_columns(const json_t *samples, const struct overview_graph *g,
                        const struct overview_span *span, int width, double *ret);

/* One line for somebody who has to act. */
struct overview_warning {
    enum style style;
    char text[256];
};
size_t overview_warnings(const struct overview *o, struct overview_warning *ret, size_t max);

/* Draws the overview from row on; is_stale greys it. */
void overview_draw(struct overview *o, struct screen *s, int row, int height, bool is_stale);
/* One graph with its title and latest value. */
void overview_draw_graph(const json_t *samples, const struct overview_graph *g,
                         const struct overview_span *span, struct screen *s, int row, int col,
                         int height, int width);
/* Style and words of a backend's state: "up", "DOWN", "up, drain". dst of 32 bytes. */
enum style overview_backend_state(const json_t *backend, char dst[32]);
