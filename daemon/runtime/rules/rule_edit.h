/* SPDX-License-Identifier: ISC */
/* A change of bans or overrides by an operator: at once in memory, then in the store, then the
 * answer. All functions: control thread. */
#pragma once

#include "runtime/rules/limit_service.h"
#include "runtime/state.h"

struct rule_edit {
    struct request *request;
    const char *kind; /* RULE_DB_ */
    struct rule_batch *batch;
    struct limit_target *subjects; /* those of parameter "subject"; owned */
    size_t n;
    uint64_t count; /* rules put or removed so far */
    int err;        /* the first trouble */
};

/* Reads the subjects of a request, which may have none. -ERR_x: the request is answered. */
int rule_edit_begin(struct request *r, const char *kind, struct rule_edit *ret) NODISCARD;
/* Puts a rule in force; by, created and the end (parameter "for") are filled in. False: it was so
 * already, or there is trouble. */
bool rule_edit_put(struct rule_edit *u, struct rule_spec *spec);
/* False: there was none. */
bool rule_edit_remove(struct rule_edit *u, const struct limit_target *s);
/* Writes what was changed and answers the request. Frees what the edit holds. */
void rule_edit_end(struct rule_edit *u);
/* Frees it instead; with err not 0 the request is answered with it (printf). */
void rule_edit_abort(struct rule_edit *u, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A row with what bans and overrides have in common: subject, kind, until, left. */
json_t *rule_edit_row(const struct rule *r, const struct rules_time *now);
