/* SPDX-License-Identifier: ISC */
/* The overview: graphs of the daemon's history, backends as bars, totals. */
#pragma once

#include <jansson.h>

#include "tui/screen.h"

struct overview {
    json_t *history;  /* rows of stats.history, oldest first; NULL */
    json_t *stats;    /* of stats.show; NULL */
    json_t *backends; /* rows of backend.list; NULL */
};

void overview_fini(struct overview *o);
/* Each takes a reference to what an answer holds. */
void overview_take_history(struct overview *o, const json_t *result);
void overview_take_stats(struct overview *o, const json_t *result);
void overview_take_backends(struct overview *o, const json_t *result);
void overview_draw(const struct overview *o, struct screen *s, int row, int height, bool is_stale);
