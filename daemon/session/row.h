/* SPDX-License-Identifier: ISC */
/* A session as a row: its fields, their values, and the order of rows. Any thread. */
#pragma once

#include "proto/filter.h"
#include "session/session.h"

enum session_field {
#define F(id, name, alias, type, unit, shown, title, text) SESSION_FIELD_##id,
#include "session/fields.def"
#undef F
    SESSION_FIELD_COUNT
};

/* The same fields for filter_parse; ids are enum session_field. */
extern const struct filter_field session_filter_fields[SESSION_FIELD_COUNT];
/* -ERR_NO_PARAM. */
int session_field_find(struct str name, enum session_field *ret) NODISCARD;

/* A value of a row: text for FILTER_TEXT and FILTER_IP (empty = not there), number for the others.
 */
struct session_value {
    struct str text;
    uint64_t number;
};

struct session_row {
    uint64_t id;
    struct session_value v[SESSION_FIELD_COUNT];
};

#define SESSION_FIELD_BIT(f) (UINT64_C(1) << (f))
#define SESSION_FIELDS_ALL (SESSION_FIELD_BIT(SESSION_FIELD_COUNT) - 1)
_Static_assert(SESSION_FIELD_COUNT < 64, "fields are bits of a uint64_t");

/* A place in a sorted list: the value it is sorted by (none for SESSION_FIELD_ID; times as the
 * moment they began, counted backwards) and the session. */
struct session_key {
    uint64_t id;
    struct session_value v;
};

struct session_order {
    enum session_field by;
    bool is_descending;
    bool is_from_end; /* the very last one first */
};
/* The order of a whole sorted list, in which no two keys are equal: of the same value the older
 * session comes first. */
int session_key_order(const struct session_key *a, const struct session_key *b,
                      const struct session_order *o);
