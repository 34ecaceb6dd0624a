/* SPDX-License-Identifier: ISC */
/* A short list of hashes, then a bitmap. */
#include "base/container/distinct.h"

static bool distinct_set(struct distinct *d, uint32_t hash)
{
    uint32_t *word = &d->bits[hash / 32 % (DISTINCT_BITS / 32)], bit = 1U << hash % 32;
    bool is_new = (*word & bit) == 0;
    *word |= bit;
    return is_new;
}

bool distinct_add(struct distinct *d, uint32_t hash)
{
    if (d->n > DISTINCT_EXACT)
        return distinct_set(d, hash);
    for (uint32_t i = 0; i < d->n; i++)
        if (d->exact[i] == hash)
            return false;
    if (d->n < DISTINCT_EXACT) {
        d->exact[d->n++] = hash;
        return true;
    }
    const struct distinct list = *d;
    *d = (struct distinct){.n = DISTINCT_EXACT + 1};
    for (uint32_t i = 0; i < list.n; i++)
        (void)distinct_set(d, list.exact[i]);
    (void)distinct_set(d, hash);
    return true;
}

static unsigned distinct_used(const struct distinct *d)
{
    unsigned n = 0;
    for (unsigned i = 0; i < DISTINCT_BITS / 32; i++)
        n += (unsigned)__builtin_popcount(d->bits[i]);
    return n;
}

/* With k of m bits set the next thing sets another one with probability (m - k) / m: it takes
 * m / (m - k) things on average. The sum of these is about m * ln(m / (m - used)). */
unsigned distinct_count(const struct distinct *d)
{
    unsigned milli = 0;
    if (d->n <= DISTINCT_EXACT)
        return d->n;
    unsigned used = distinct_used(d);
    for (unsigned k = 0; k < used; k++)
        milli += DISTINCT_BITS * 1000 / (DISTINCT_BITS - k);
    unsigned n = (milli + 500) / 1000;
    return n > DISTINCT_EXACT ? n : DISTINCT_EXACT + 1;
}

bool distinct_is_full(const struct distinct *d)
{
    return d->n > DISTINCT_EXACT && distinct_used(d) >= DISTINCT_BITS / 8 * 7;
}
