/* SPDX-License-Identifier: ISC */
/* What the files of the config commands share. */
#pragma once

#include "control/control_priv.h"
#include "control/runtime.h"

/* A row of config diff. NULL values are left out. */
json_t *config_row(const char *path, const char *old, const char *new_value, const char *effect);
/* Words when a runtime edit hides this change of the file, else NULL; static. Thread: control. */
const char *config_change_hidden(const struct runtime *rt, const struct config_change *ch);
/* Puts the problems of a file into the sentence of a failed work; returns err. */
int config_refuse(struct work *w, const struct config_problems *problems, int err);
