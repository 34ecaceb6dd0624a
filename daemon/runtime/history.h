/* SPDX-License-Identifier: ISC */
/* What happened lately, in samples for graphs: one a second for ten minutes, one a minute for a
 * day; in all, per protocol and per backend. Memory is bounded. All functions: control thread. */
#pragma once

#include "base/err.h"
#include "proto/proto.h"

struct control;
struct history;
struct backend;

#define HISTORY_STEP_MS 1000
#define HISTORY_STEPS_A_MINUTE 60
#define HISTORY_SECONDS 600
#define HISTORY_MINUTES 1440
#define HISTORY_BACKENDS_MAX 128 /* backends with a history of their own */

struct history_sample {
    uint32_t sessions;         /* at its end */
    uint32_t logins, failures; /* during it */
    uint64_t in, out;          /* bytes of clients during it */
};

/* Takes a sample a second as soon as the control loop runs. -ERR_NOMEM. */
int history_new(struct control *c, struct history **ret) NODISCARD;
void history_free(struct history *h); /* NULL is fine */
/* Takes the sample of a second that ends now; the timer's work. */
void history_take(struct history *h, uint64_t wall_ms);
/* When the engine started, Unix ms. */
uint64_t history_started_ms(const struct history *h);

/* Whose samples. */
struct history_series;
const struct history_series *history_total(const struct history *h);
const struct history_series *history_proto(const struct history *h, enum proto_id p);
/* By "pool/name" or name; NULL when there is none. */
const struct history_series *history_backend(const struct history *h, const char *name);
/* Samples there are, at most HISTORY_SECONDS or HISTORY_MINUTES. */
size_t history_count(const struct history *h, const struct history_series *s, bool is_minutes);
/* The sample before `back` later ones (0 = newest); back < history_count. */
const struct history_sample *history_get(const struct history *h, const struct history_series *s,
                                         bool is_minutes, size_t back, uint64_t *ret_wall_ms);
