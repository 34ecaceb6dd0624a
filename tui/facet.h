/* SPDX-License-Identifier: ISC */
/* What a row of any list is about: its user, address, backend and so on, by which other lists can
 * be filtered and pages be opened. */
#pragma once

#include <jansson.h>

#include "tui/panes.h"

enum facet {
    FACET_USER,
    FACET_IP,
    FACET_NET,
    FACET_BACKEND,
    FACET_POOL,
    FACET_LISTENER,
    FACET_CLIENT,
    FACET_PROTO,
    FACET_SESSION,
    FACET_COUNT
};

#define FACET_TEXT_MAX 256

struct facet_row {
    int key;           /* letter in menus */
    const char *name;  /* as people call it */
    const char *field; /* of sessions */
    const char *event; /* field of events, NULL = none */
};

extern const struct facet_row facet_rows[FACET_COUNT];

/* What a row of a pane has for a facet, in dst of FACET_TEXT_MAX; false when it has none. */
bool facet_of(enum pane p, const json_t *row, enum facet f, char *dst);
