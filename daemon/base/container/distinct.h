/* SPDX-License-Identifier: ISC */
/* About how many different things there were, in 36 bytes: a few are told apart exactly, more by
 * linear counting (Whang et al., 1990). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DISTINCT_BITS 256
#define DISTINCT_EXACT 8

/* Zero-initialised it has seen nothing. */
struct distinct {
    uint32_t n; /* exact ones; more than DISTINCT_EXACT: bits is in use */
    union {
        uint32_t exact[DISTINCT_EXACT];
        uint32_t bits[DISTINCT_BITS / 32];
    };
};

/* The same without the exact ones: sets of several counters, whose hashes have the same key, become
 * one. 8 bits of a thing are in it, no more. Zeros = nothing. */
struct distinct_bits {
    uint32_t v[DISTINCT_BITS / 32];
};

/* Adds a thing by its hash (keyed, where peers choose the things). True: it certainly was not there
 * before; a new one among many may look like one of them. */
bool distinct_add(struct distinct *d, uint32_t hash);
/* Exact up to DISTINCT_EXACT, within a tenth or so up to 500, never over 1567. */
unsigned distinct_count(const struct distinct *d);
/* Adds all that d has seen, that another one has. */
void distinct_bits_add(struct distinct_bits *b, const struct distinct *d);
void distinct_bits_merge(struct distinct_bits *b, const struct distinct_bits *other);
bool distinct_bits_is_empty(const struct distinct_bits *b);
/* How many d and others (NULL = none) have seen together. */
unsigned distinct_count_with(const struct distinct *d, const struct distinct_bits *others);
/* Too many to tell a new thing from a known one. */
bool distinct_is_full(const struct distinct *d);
