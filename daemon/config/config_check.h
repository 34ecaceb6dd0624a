/* SPDX-License-Identifier: ISC */
/* Inside of the checks after reading: where findings go, and the groups of checks. */
#pragma once

#include "config/config_places.h"

struct check {
    const struct config *config;
    const struct config_places *places;
    struct config_problems *problems;
    char key[192]; /* the part that is being looked at: "pools[0]" */
    bool is_here;  /* files and users of this machine are looked at */
};

/* A finding at a key of the part at hand ("" = the part itself). */
void check_error(struct check *k, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void check_warning(struct check *k, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Is the key of the part at hand in the file? */
bool check_is_set(const struct check *k, const char *name);
/* Makes element i of a list the part at hand. */
void check_enter(struct check *k, const char *list, size_t i);
/* Another name that is meant, as the end of a sentence: "; did you mean ..."; empty without one.
 * dst of 128 bytes. */
const char *check_nearest(char dst[128], const char *word, const char *const *names, size_t n);

/* The kinds of checks, each over the whole config. */
void check_addresses(struct check *k); /* syntax, duplicates, overlaps */
void check_listeners(struct check *k);
void check_pools(struct check *k);
void check_fleet(struct check *k);
void check_files(struct check *k); /* readable, certificates that load */
