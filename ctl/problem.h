/* SPDX-License-Identifier: ISC */
/* What went wrong in a run of mailproxyctl: exit code, name, sentence and hint. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "ctl/control_client.h"

/* Exit codes of mailproxyctl. */
enum problem_exit {
    PROBLEM_NONE = 0,
    PROBLEM_FAILED = 1,
    PROBLEM_USAGE = 2,
    PROBLEM_NOT_FOUND = 3,
    PROBLEM_NOT_PERMITTED = 4,
    PROBLEM_NOT_REACHABLE = 5,
    PROBLEM_TIMEOUT = 6,
    PROBLEM_PARTLY = 7,
    PROBLEM_VERSION = 8,
};

/* Zero-initialised is "nothing wrong"; problem_fini frees. */
struct problem {
    enum problem_exit exit;
    char *name; /* "E_NO_BACKEND" */
    char *text; /* sentence without a full stop */
    char *hint; /* or NULL */
    char *node; /* where, with several daemons; or NULL */
};

/* Frees the texts; it is empty afterwards, and may be before. */
void problem_fini(struct problem *p);
/* Sets a problem (a former one is replaced) and returns its exit code. hint (may be NULL) is
 * copied. */
int problem_set(struct problem *p, enum problem_exit code, const char *name, const char *hint,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The same for a mistake on the command line: PROBLEM_USAGE. */
int problem_usage(struct problem *p, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Turns an error of the client library or daemon into a problem; returns its exit code. */
int problem_from_client(struct problem *p, const struct control_client_error *e);
/* Prints `{"error":{...}}` to out when is_json, else `mailproxyctl: sentence (hint)` to err.
 * Nothing when nothing is wrong. */
void problem_print(const struct problem *p, bool is_json, FILE *out, FILE *err);
/* Nothing was found that the command is about: of several daemons others may have it. */
bool problem_is_no_match(const struct problem *p);
/* What several parts of a job come to: the first failure, or PROBLEM_PARTLY when some parts
 * succeeded and some failed. Feed each part's code with the number of parts before. */
int problem_combine(int before, int code, size_t n_before);
