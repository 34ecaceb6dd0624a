/* SPDX-License-Identifier: ISC */
/* Certificates, keys and authorities that changed on the disk: put in force without a reload. All
 * functions: control thread. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct control;
struct certificates;

struct certificates_figures {
    uint64_t loaded,
        refused; /* times that new ones were put in force, and that some could not be */
};

/* -ERR_NOMEM. */
int certificates_new(struct control *c, struct certificates **ret) NODISCARD;
void certificates_free(struct certificates *s); /* NULL is fine */
/* The supervisor has seen a change: the files are read in the turn of reloads, and what can be used
 * is put in force. The outcome is logged, an event, counted, and shown as long as it matters. */
void certificates_refresh(struct certificates *s);
struct certificates_figures certificates_figures(const struct certificates *s);
