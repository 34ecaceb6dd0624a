/* SPDX-License-Identifier: ISC */
/* Changes of the configuration as rows of config diff and config reload. */
#pragma once

#include "runtime/runtime.h"
#include "runtime/state.h"

/* A row of config diff. NULL values are left out. */
json_t *config_row(const char *path, const char *old, const char *new_value, const char *effect);
/* What a runtime edit makes of a change of the file. */
enum config_hidden {
    CONFIG_HIDDEN_NONE,
    CONFIG_HIDDEN_HIDDEN, /* the edit says something else */
    CONFIG_HIDDEN_SAME,   /* the edit says what the file says now */
};
/* What the control plane's edits make of one; file is the new one. Thread: control. */
enum config_hidden config_change_hidden(const struct control *c, const struct config *file,
                                        const struct config_change *ch);
/* A row of a change with its effect, or with what a runtime edit does to it. */
json_t *config_change_row(const struct config_change *ch, enum config_hidden hidden);
