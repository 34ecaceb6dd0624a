/* SPDX-License-Identifier: ISC */
/* The part of a list that a request asks for: its filter, offset and limit, which rows belong to
 * it, and how the answer begins and ends. Any thread, but page_init and page_answer. */
#pragma once

#include "rpc/request.h"

struct page {
    struct filter *filter; /* of rows of JSON; owned, NULL = all */
    bool is_counted;       /* with an offset: what matches before and behind is counted, too */
    size_t offset, limit;  /* rows that match and are passed over; rows of the part */
    size_t seen, matched;  /* rows looked at, and those of them that match */
    size_t n;              /* rows of the part so far */
};

/* What the arguments filter, offset, cursor (which takes the place of an offset) and limit say.
 * usual, most: the limit where none or a greater one is given. -ERR_x: r was answered. Thread:
 * control. */
int page_init(struct page *p, struct request *r, size_t usual, size_t most) NODISCARD;
void page_fini(struct page *p);

/* Does the next row that matches belong to the part? */
static inline bool page_wants(const struct page *p)
{
    return p->matched >= p->offset && p->n < p->limit;
}
/* Does a row match? Counts it. row: NULL where nobody needs it, without a filter; else: no. */
bool page_match(struct page *p, const json_t *row);
/* Does anything that matches, and was counted, come behind the part? */
static inline bool page_has_more(const struct page *p)
{
    return p->matched > p->offset + p->n;
}

/* The answer as text: what stands before the rows and behind them. cursor: from where the list goes
 * on, NULL = it is complete. -ERR_NOMEM. */
int page_begin(struct buf *out) NODISCARD;
int page_end(const struct page *p, struct buf *out, const char *cursor) NODISCARD;
/* The answer of rows as a tree (may be NULL after lack of memory); takes over rows and r. Thread:
 * control. */
void page_answer(const struct page *p, struct request *r, json_t *rows, const char *cursor);
