/* SPDX-License-Identifier: ISC */
/* How long logins took and how many failed, as members of a row. */
#pragma once

#include "rpc/request.h"
#include "runtime/history/history.h"

/* Sets the LATENCY_COLUMNS of commands.def; without logins in a window those of it are left out.
 * s NULL is fine. Thread: control. */
void latency_row(json_t *row, const struct history *h, const struct history_series *s);
/* Sets "recent": logins of each of the last seconds, oldest first. s NULL is fine. */
void latency_row_recent(json_t *row, const struct history *h, const struct history_series *s);

#define LATENCY_SLOW_MS 200 /* below it nobody is slow */
#define LATENCY_SLOW_TIMES 3
/* Sets "slow" of rows whose p95 is far from the median of their pool, in which rows of a pool stand
 * together. */
void latency_mark_slow(json_t *rows);
