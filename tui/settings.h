/* SPDX-License-Identifier: ISC */
/* What is remembered from one time to the next, in $XDG_CONFIG_HOME/mailproxy/tui.conf. */
#pragma once

#include "tui/panes.h"

#define SETTINGS_INTERVAL_MIN_MS 250
#define SETTINGS_INTERVAL_MAX_MS 60000
#define SETTINGS_HISTORY_MAX 200

enum settings_background { BACKGROUND_AUTO, BACKGROUND_DARK, BACKGROUND_LIGHT };

#define SETTINGS_FILTERS_MAX 40

struct settings_pane {
    char sort[72];     /* "-out"; "" = the daemon's order */
    char columns[512]; /* names of those that are shown; "" = the usual ones */
    bool is_wide, is_set;
};

/* A filter that has a name. */
struct settings_filter {
    char pane[24], name[32];
    char *text; /* owned */
};

struct settings {
    uint64_t interval_ms;
    bool is_ascii, has_mouse;
    enum settings_background background;
    char screen[32];
    unsigned span;
    struct settings_pane panes[PANE_COUNT];
    struct settings_filter filters[SETTINGS_FILTERS_MAX];
    size_t n_filters;
    char *history[SETTINGS_HISTORY_MAX]; /* command lines, oldest first; owned */
    size_t n_history;
};

/* The defaults. */
void settings_init(struct settings *s);
/* Frees what it owns. */
void settings_fini(struct settings *s);
/* The filter of a name in a pane; NULL = none. */
const struct settings_filter *settings_filter(const struct settings *s, enum pane p,
                                              struct str name);
/* Gives a filter a name in a pane, in place of the one that had it; "" forgets it. -ERR_TOO_MANY,
 * -ERR_NOMEM, -ERR_BAD_PARAM of a name that is too long or none. */
int settings_name_filter(struct settings *s, enum pane p, struct str name,
                         const char *text) NODISCARD;
/* Name of the file; owned, NULL when there is no home. */
char *settings_path(void);
/* A missing file is fine. -ERR_SYNTAX with an owned sentence; what was read before it holds. */
int settings_load(struct settings *s, const char *path, char **ret_error) NODISCARD;
/* Writes it with its folder, for the owner alone, whole or not at all. */
int settings_save(const struct settings *s, const char *path) NODISCARD;
