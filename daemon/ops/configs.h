/* SPDX-License-Identifier: ISC */
/* Taking over the file, and going back. All functions: control thread. */
#pragma once

#include "config/config.h"
#include "rpc/work.h"

struct control;
struct configs;
struct snapshot;

/* -ERR_NOMEM. */
int configs_new(struct control *c, struct configs **ret) NODISCARD;
void configs_free(struct configs *c); /* NULL is fine */
/* The first snapshot is there: what needs a restart is told apart from it. is_kept: see
 * control_note_start. */
void configs_note_start(struct control *c, bool is_kept);
/* The configuration that the engine started with: one reference. */
struct config *configs_started(const struct control *c);
/* What a file changes: live keys and those of new sessions against what runs, the others against
 * what the engine started with, so that they stay in sight until the restart. */
int configs_changes(const struct config *started, const struct config *running,
                    const struct config *file, struct config_changes *ret) NODISCARD;
/* In the turn of the config: the snapshot of a configuration with the runtime edits as they are, to
 * follow another one. All that takes long is done here, loading certificates among it. -ERR_x with
 * a sentence in w->error. Thread: a job thread. */
int configs_snapshot(struct work *w, struct config *config, const struct snapshot *before,
                     struct snapshot **ret) NODISCARD;
/* Puts the problems of a file into the sentence of a failed work; returns err. */
int config_refuse(struct work *w, const struct config_problems *problems, int err);
/* Answers config reload and config confirm; takes over r. */
void configs_request_reload(struct request *r);
void configs_request_confirm(struct request *r);
/* Reloads on the daemon's own account; the outcome is logged. */
void configs_reload(struct control *c);
/* A reload has not been confirmed yet and may be taken back. */
bool configs_is_waiting(const struct control *c);
/* Until then; 0 = none is to be confirmed. */
uint64_t configs_confirm_left_ms(const struct control *c);
