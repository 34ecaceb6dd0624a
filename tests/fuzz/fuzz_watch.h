/* SPDX-License-Identifier: ISC */
/* The follower of a relay: chunks of both directions. Input: chunks, each led by a byte: its high
 * bit is the side (server), the rest its length. */
#pragma once

#include "fuzz.h"
#include "proto/proto.h"
#include "proto/watch.h"

static inline void fuzz_watch_feed(const struct proto *p, struct watch *w, enum watch_side side,
                                   struct str bytes)
{
    char *exact = malloc(bytes.n ? bytes.n : 1);
    FUZZ_CHECK(exact);
    memcpy(exact, bytes.p ? bytes.p : "", bytes.n);
    p->watch_feed(w, side, str_n(exact, bytes.n));
    free(exact);
    FUZZ_CHECK(w->phase < WATCH_PHASE_COUNT);
    FUZZ_CHECK(memchr(w->verb, '\0', sizeof(w->verb)));
    FUZZ_CHECK(str_is_printable_ascii(str_of(w->verb)));
}

static inline struct watch *fuzz_watch_new(const struct proto *p)
{
    struct watch *w = calloc(1, p->watch_size);
    FUZZ_CHECK(w);
    p->watch_init(w);
    return w;
}

/* Both know the same after each chunk, however it was cut. */
static inline void fuzz_watch(const struct proto *p, struct str in)
{
    struct watch *whole = fuzz_watch_new(p), *cut = fuzz_watch_new(p);
    while (in.n > 0) {
        unsigned char head = (unsigned char)in.p[0];
        enum watch_side side = head & 0x80 ? WATCH_SERVER : WATCH_CLIENT;
        size_t n = head & 0x7f;
        in = str_n(in.p + 1, in.n - 1);
        n = n < in.n ? n : in.n;
        fuzz_watch_feed(p, whole, side, str_n(in.p, n));
        for (size_t i = 0; i < n; i++)
            fuzz_watch_feed(p, cut, side, str_n(in.p + i, 1));
        FUZZ_CHECK(whole->phase == cut->phase);
        FUZZ_CHECK(strcmp(whole->verb, cut->verb) == 0);
        FUZZ_CHECK(watch_is_boundary(whole) == watch_is_boundary(cut));
        in = str_n(in.p + n, in.n - n);
    }
    free(whole);
    free(cut);
}
