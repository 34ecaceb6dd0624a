/* SPDX-License-Identifier: ISC */
/* So many a second, evenly. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TOKEN_BUCKET_AT_ONCE 10000 /* taken in one go without a rate */
#define TOKEN_BUCKET_SAVED_MS 250  /* of a longer pause nothing is made up for */

/* Zero-initialised but for rate, per and at_ms. */
struct token_bucket {
    uint64_t rate;   /* in `per` seconds; 0 = TOKEN_BUCKET_AT_ONCE */
    uint64_t per;    /* 0 = 1 */
    uint64_t at_ms;  /* counted up to here */
    uint64_t credit; /* in units of which 1000 * per are one */
};

/* How many may go now. */
static inline size_t token_bucket_take(struct token_bucket *p, uint64_t now_ms)
{
    if (p->rate == 0)
        return TOKEN_BUCKET_AT_ONCE;
    /* A pause is no reason for a burst; one may always go in the end. */
    uint64_t whole = 1000 * (p->per ? p->per : 1);
    uint64_t elapsed = now_ms - p->at_ms, one = (whole + p->rate - 1) / p->rate;
    uint64_t most = one > TOKEN_BUCKET_SAVED_MS ? one : TOKEN_BUCKET_SAVED_MS;
    p->at_ms = now_ms;
    p->credit += (elapsed < most ? elapsed : most) * p->rate;
    size_t n = p->credit / whole;
    p->credit -= n * whole;
    return n;
}

/* How long n of them take, ms. */
static inline uint64_t token_bucket_time(const struct token_bucket *p, uint64_t n)
{
    return p->rate ? n * 1000 * (p->per ? p->per : 1) / p->rate : 0;
}
