/* SPDX-License-Identifier: ISC */
/* Sessions as rows: for the walks over them. Thread: the worker's. */
#pragma once

#include "session/row.h"
#include "session/session_priv.h"

/* What a filter sees of a session: the row of filter_match with session_filter_get. */
struct session_match_view {
    const struct session *s;
    char scratch[64];
};
/* The words of fields that have a closed set of them, see struct filter_field. */
const char *session_field_word(int id, size_t i);
bool session_filter_get(const void *look, int id, struct filter_value *ret);
/* Rates are measured between two looks of operators. */
void session_sample(struct session *s);
/* Fills in the fields of these bits. Texts go to `texts` and are in place after session_row_fix:
 * before, the buffer may still move. -ERR_NOMEM. */
int session_row_fill(struct session_row *row, struct buf *texts, const struct session *s,
                     uint64_t fields) NODISCARD;
void session_row_fix(struct session_row *row, const struct buf *texts);
/* Borrows the text of the session, or of scratch. */
struct session_key session_key_of(const struct session *s, enum session_field f, char scratch[64]);
