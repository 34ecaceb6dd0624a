/* SPDX-License-Identifier: ISC */
/* The samples of history.h in a file, so that they outlive the engine: a ring of seconds and one of
 * minutes for each series, each sample in the place that its time gives it. What is damaged, too
 * old or of another series is as if it were not there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define HISTORY_SECONDS 1200 /* of all and of protocols: the ten minutes shown and those before */
#define HISTORY_MINUTES 2880 /* a day and the one before */
#define HISTORY_BACKEND_SECONDS 600
#define HISTORY_BACKEND_MINUTES 1440
#define HISTORY_BACKENDS_MAX 128 /* backends with a history of their own */

struct history_sample {
    uint32_t sessions;         /* at its end */
    uint32_t logins, failures; /* during it */
    uint64_t in, out;          /* bytes of clients during it */
};

struct history_record {
    uint64_t wall_ms; /* when it was taken, Unix ms */
    struct history_sample sample;
};

struct history_file;

/* Opens the file; one that is missing or of another format begins anew. Blocking. -ERR_NOMEM, or
 * what the system says. Thread: any, one at a time. */
int history_file_open(const char *path, struct history_file **ret) NODISCARD;
/* Closes it; NULL is fine. */
void history_file_free(struct history_file *f);
/* The number of a series of a name: never 0. */
uint64_t history_file_id(const char *name);
/* Which series a backend's place (below HISTORY_BACKENDS_MAX) is of; 0 = none yet. */
uint64_t history_file_backend(const struct history_file *f, unsigned place);
/* Where a ring is: whole = of all (0) or a protocol (1 + its id), else of a backend's place, which
 * keeps minutes only. */
struct history_ring {
    bool is_backend, is_minutes;
    unsigned place;
    uint64_t id; /* of the series */
};
/* The samples of a ring that are not older than it is long, oldest first, to ret (room for
 * HISTORY_MINUTES). Returns how many. Blocking, from the page cache in most cases. */
size_t history_file_read(const struct history_file *f, struct history_ring ring, uint64_t now_ms,
                         struct history_record *ret);
/* One sample to be written. */
struct history_write {
    struct history_ring ring;
    struct history_record record;
};
/* Writes samples. Blocking. -ERR_x of the first that failed. Thread: a job thread. */
int history_file_write(struct history_file *f, const struct history_write *v, size_t n) NODISCARD;
