/* SPDX-License-Identifier: ISC */
/* What happened lately, in samples for graphs: one a second for twenty minutes, one a minute for
 * two days; in all, per protocol and, half as long, per backend. Memory is bounded; a file keeps
 * them for the next engine. All functions: control thread. */
#pragma once

#include "base/err.h"
#include "proto/proto.h"
#include "runtime/history/history_file.h"
#include "runtime/history/windows.h"

struct control;
struct history;
struct backend;

#define HISTORY_STEP_MS 1000
#define HISTORY_STEPS_A_MINUTE 60

/* Takes a sample a second as soon as the control loop runs. path: the file that has those of the
 * engine before, and gets the new ones every ten seconds; NULL = none. A file that cannot be used
 * is a line in the log. -ERR_NOMEM. */
int history_new(struct control *c, const char *path, struct history **ret) NODISCARD;
/* Writes what is not in the file yet. NULL is fine. No job threads may be left. */
void history_free(struct history *h);
/* Takes the sample of a second that ends now; the timer's work. */
void history_take(struct history *h, uint64_t wall_ms);
/* When the engine started, Unix ms. */
uint64_t history_started_ms(const struct history *h);

/* Whose samples. */
struct history_series;
const struct history_series *history_total(const struct history *h);
const struct history_series *history_proto(const struct history *h, enum proto_id p);
/* Of this backend; NULL when there is none. */
const struct history_series *history_of_backend(const struct history *h, const struct backend *b);
/* Logins of the last minute or ten: how long they took, how many failed. */
void history_window(const struct history *h, const struct history_series *s, enum window which,
                    struct window_counts *ret);
/* By "pool/name" or name; NULL when there is none. */
const struct history_series *history_backend(const struct history *h, const char *name);
/* Samples there are. */
size_t history_count(const struct history *h, const struct history_series *s, bool is_minutes);
/* The sample before `back` later ones (0 = newest); back < history_count. */
const struct history_sample *history_get(const struct history *h, const struct history_series *s,
                                         bool is_minutes, size_t back, uint64_t *ret_wall_ms);
