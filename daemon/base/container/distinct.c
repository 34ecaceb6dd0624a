/* SPDX-License-Identifier: ISC */
/* A short list of hashes, then a bitmap. */
#include "base/container/distinct.h"

static bool bits_set(uint32_t bits[DISTINCT_BITS / 32], uint32_t hash)
{
    uint32_t *word = &bits[hash / 32 % (DISTINCT_BITS / 32)], bit = 1U << hash % 32;
    bool is_new = (*word & bit) == 0;
    *word |= bit;
    return is_new;
}

bool distinct_add(struct distinct *d, uint32_t hash)
{
    if (d->n > DISTINCT_EXACT)
        return bits_set(d->bits, hash);
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
        (void)bits_set(d->bits, list.exact[i]);
    (void)bits_set(d->bits, hash);
    return true;
}

static unsigned bits_used(const uint32_t bits[DISTINCT_BITS / 32])
{
    unsigned n = 0;
    for (unsigned i = 0; i < DISTINCT_BITS / 32; i++)
        n += (unsigned)__builtin_popcount(bits[i]);
    return n;
}

/* With k of m bits set the next thing sets another one with probability (m - k) / m: it takes
 * m / (m - k) things on average. The sum of these is about m * ln(m / (m - used)). */
static unsigned bits_count(const uint32_t bits[DISTINCT_BITS / 32])
{
    unsigned milli = 0, used = bits_used(bits);
    for (unsigned k = 0; k < used; k++)
        milli += DISTINCT_BITS * 1000 / (DISTINCT_BITS - k);
    return (milli + 500) / 1000;
}

unsigned distinct_count(const struct distinct *d)
{
    if (d->n <= DISTINCT_EXACT)
        return d->n;
    unsigned n = bits_count(d->bits);
    return n > DISTINCT_EXACT ? n : DISTINCT_EXACT + 1;
}

/* ---- of several ---- */

void distinct_bits_add(struct distinct_bits *b, const struct distinct *d)
{
    for (uint32_t i = 0; i < d->n && d->n <= DISTINCT_EXACT; i++)
        (void)bits_set(b->v, d->exact[i]);
    for (unsigned i = 0; i < DISTINCT_BITS / 32 && d->n > DISTINCT_EXACT; i++)
        b->v[i] |= d->bits[i];
}

void distinct_bits_merge(struct distinct_bits *b, const struct distinct_bits *other)
{
    for (unsigned i = 0; i < DISTINCT_BITS / 32; i++)
        b->v[i] |= other->v[i];
}

bool distinct_bits_is_empty(const struct distinct_bits *b)
{
    return bits_used(b->v) == 0;
}

unsigned distinct_count_with(const struct distinct *d, const struct distinct_bits *others)
{
    unsigned own = distinct_count(d);
    if (!others || distinct_bits_is_empty(others))
        return own;
    struct distinct_bits all = *others;
    distinct_bits_add(&all, d);
    unsigned n = bits_count(all.v);
    return n > own ? n : own;
}

bool distinct_is_full(const struct distinct *d)
{
    return d->n > DISTINCT_EXACT && bits_used(d->bits) >= DISTINCT_BITS / 8 * 7;
}
