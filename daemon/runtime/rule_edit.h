/* SPDX-License-Identifier: ISC */
/* A change of bans or overrides by an operator: at once in memory, then in the store, then the
 * answer. All functions: control thread. */
#pragma once

#include "runtime/limiter.h"
#include "runtime/state.h"

struct ruling {
    struct request *request;
    const char *kind; /* RULE_STORE_ */
    struct rule_batch *batch;
    struct subject *subjects; /* those of parameter "subject"; owned */
    size_t n;
    uint64_t count; /* rules put or removed so far */
    int err;        /* the first trouble */
};

/* Reads the subjects of a request, which may have none. -ERR_x: the request is answered. */
int ruling_begin(struct request *r, const char *kind, struct ruling *ret) NODISCARD;
/* Puts a rule in force; by, created and the end (parameter "for") are filled in. False: it was so
 * already, or there is trouble. */
bool ruling_put(struct ruling *u, struct rule_spec *spec);
/* False: there was none. */
bool ruling_remove(struct ruling *u, const struct subject *s);
/* Writes what was changed and answers the request. Frees what the ruling holds. */
void ruling_end(struct ruling *u);
/* Frees it instead; with err not 0 the request is answered with it (printf). */
void ruling_abort(struct ruling *u, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A row with what bans and overrides have in common: subject, kind, until, left. */
json_t *ruling_row(const struct rule *r, const struct rules_time *now);
