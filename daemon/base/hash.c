/* SPDX-License-Identifier: ISC */
/* SipHash-2-4 (Aumasson, Bernstein 2012), FNV-1a with a finaliser, CRC-32C, kernel random. */
#include "base/hash.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t hash_rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void sip_round(struct sip *v)
{
    v->a += v->b;
    v->b = hash_rotl(v->b, 13) ^ v->a;
    v->a = hash_rotl(v->a, 32);
    v->c += v->d;
    v->d = hash_rotl(v->d, 16) ^ v->c;
    v->a += v->d;
    v->d = hash_rotl(v->d, 21) ^ v->a;
    v->c += v->b;
    v->b = hash_rotl(v->b, 17) ^ v->c;
    v->c = hash_rotl(v->c, 32);
}

static inline void sip_block(struct sip *v, uint64_t m, int rounds)
{
    v->d ^= m;
    for (int i = 0; i < rounds; i++)
        sip_round(v);
    v->a ^= m;
}

static inline uint64_t hash_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/* c rounds for each block of 8 bytes, d at the end. */
static inline uint64_t sip(const uint8_t key[16], struct str s, int c, int d)
{
    uint64_t k0 = hash_le64(key), k1 = hash_le64(key + 8);
    struct sip v = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
                    k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull};
    size_t whole = s.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        sip_block(&v, hash_le64(s.p + i), c);
    uint64_t last = (uint64_t)s.n << 56;
    for (size_t i = whole; i < s.n; i++)
        last |= (uint64_t)(unsigned char)s.p[i] << (8 * (i - whole));
    sip_block(&v, last, c);
    v.c ^= 0xff;
    for (int i = 0; i < d; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

uint64_t hash_sip(const uint8_t key[16], struct str s)
{
    return sip(key, s, 2, 4);
}

uint64_t hash_sip_table(const uint8_t key[16], struct str s)
{
    return sip(key, s, 1, 3);
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
    static const uint32_t of_half[16] = {/* what the remainder's low four bits add to the rest */
                                         0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                         0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                         0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                         0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        crc = crc >> 4 ^ of_half[crc & 15];
        crc = crc >> 4 ^ of_half[crc & 15];
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
