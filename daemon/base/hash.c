/* SPDX-License-Identifier: ISC */
/* SipHash-2-4 (Aumasson, Bernstein 2012), FNV-1a with a finaliser, CRC-32C, kernel random. */
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t hash_rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void hash_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = hash_rotl(v[1], 13) ^ v[0];
    v[0] = hash_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = hash_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = hash_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = hash_rotl(v[1], 17) ^ v[2];
    v[2] = hash_rotl(v[2], 32);
}

/* Little-endian number of n <= 8 bytes. */
static uint64_t hash_le(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void hash_sip_block(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    hash_sip_round(v);
    hash_sip_round(v);
    v[0] ^= m;
}

uint64_t hash_sip(const uint8_t key[16], struct str s)
{
    uint64_t k0 = hash_le(key, 8), k1 = hash_le(key + 8, 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
                     k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull};
    const unsigned char *p = (const unsigned char *)s.p;
    size_t whole = s.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        hash_sip_block(v, hash_le(p + i, 8));
    hash_sip_block(v, (uint64_t)s.n << 56 | (s.n > whole ? hash_le(p + whole, s.n - whole) : 0));
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        hash_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

uint64_t hash_stable(struct str s)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3ull;
    return hash_mix(h);
}

uint32_t hash_crc32c(struct str s)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

void hash_random(void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            abort(); /* a kernel without getrandom: nothing secret can be made here, and no peer can
                        cause it */
        }
    }
}
