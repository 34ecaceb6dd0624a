/* SPDX-License-Identifier: ISC */
/* Hash functions: SipHash-2-4 for keyed tables, a 64-bit mixer for rendezvous hashing, CRC-32C for
 * PROXY v2. */
#pragma once

#include <stdint.h>

#include "base/str.h"

/* SipHash-2-4 with a 16-byte key. */
uint64_t hash_sip(const uint8_t key[16], struct str s);
/* SipHash-1-3, for places in a table, which nobody gets to see. */
uint64_t hash_sip_table(const uint8_t key[16], struct str s);
/* Stable hash without a key: the same on every machine and version (routing depends on it). FNV-1a
 * 64 finished by a strong mixer. */
uint64_t hash_stable(struct str s);
/* Mixes 64 bits (splitmix64 finaliser). */
uint64_t hash_mix(uint64_t x);
/* CRC-32C (Castagnoli). */
uint32_t hash_crc32c(struct str s);
/* Fills n bytes with random from the kernel (getrandom); never fails. */
void hash_random(void *p, size_t n);
