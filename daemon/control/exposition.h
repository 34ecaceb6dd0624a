/* SPDX-License-Identifier: ISC */
/* Writing Prometheus' text format 0.0.4: heads, names with labels, values. Thread: control. */
#pragma once

#include "base/buf.h"

struct control;

/* Appending ends at the first failure, which is then the result of the whole page. */
struct exposition {
    struct buf *out;
    int err;
};

/* Text as it is, borrowed. */
void exposition_put(struct exposition *e, struct str text);
__attribute__((format(printf, 2, 3))) void exposition_print(struct exposition *e, const char *fmt,
                                                            ...);
/* Of one metric, before its values. type: "counter", "gauge", "histogram". */
void exposition_head(struct exposition *e, const char *name, const char *type, const char *help);
/* A value of a label: backslash, quote and line feed are escaped. */
void exposition_label(struct exposition *e, const char *value);
/* A number of units of which `per` make one, and the end of the line; per is a power of ten. */
void exposition_value(struct exposition *e, uint64_t v, uint64_t per);
/* A whole metric that has one value without labels. */
void exposition_single(struct exposition *e, const char *name, const char *type, const char *help,
                       uint64_t v, uint64_t per);

/* ---- metrics_fleet.c ---- */

/* All metrics of a fleet; none without one. */
void metrics_fleet(struct exposition *e, const struct control *c);
