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
    for (size_t done = 0, n; done < bytes.n && !w->is_forbidden; done += n) {
        bool is_held = side == WATCH_CLIENT && w->is_server_due;
        n = p->watch_feed(w, side, str_n(exact + done, bytes.n - done));
        if (is_held) { /* the client of this test says something else then */
            FUZZ_CHECK(n == 0);
            break;
        }
        FUZZ_CHECK(n > 0 && n <= bytes.n - done);
        FUZZ_CHECK(w->is_stepwise || w->is_forbidden || n == bytes.n ||
                   (side == WATCH_CLIENT && w->is_server_due));
    }
    free(exact);
    FUZZ_CHECK(!w->is_quiet || (w->open == 0 && !w->is_client_due && watch_is_boundary(w)));
    FUZZ_CHECK(w->phase < WATCH_PHASE_COUNT);
    FUZZ_CHECK(memchr(w->verb, '\0', sizeof(w->verb)));
    FUZZ_CHECK(str_is_printable_ascii(str_of(w->verb)));
}

static inline struct watch *fuzz_watch_new(const struct proto *p)
{
    struct watch *w = calloc(1, p->watch_size);
    FUZZ_CHECK(w);
    p->watch_init(w, STR("CHUNKING\n"));
    return w;
}

static inline void fuzz_watch_compare(const struct watch *a, const struct watch *b)
{
    FUZZ_CHECK(a->phase == b->phase);
    FUZZ_CHECK(strcmp(a->verb, b->verb) == 0);
    FUZZ_CHECK(a->open == b->open && a->is_quiet == b->is_quiet);
    FUZZ_CHECK(a->is_client_due == b->is_client_due && a->is_server_due == b->is_server_due);
    FUZZ_CHECK(watch_is_boundary(a) == watch_is_boundary(b));
}

/* All know the same after each chunk, however it was cut, and looked at in steps, too. */
static inline void fuzz_watch(const struct proto *p, struct str in)
{
    struct watch *whole = fuzz_watch_new(p), *cut = fuzz_watch_new(p), *step = fuzz_watch_new(p);
    step->is_stepwise = true;
    while (in.n > 0) {
        unsigned char head = (unsigned char)in.p[0];
        enum watch_side side = head & 0x80 ? WATCH_SERVER : WATCH_CLIENT;
        size_t n = head & 0x7f;
        in = str_n(in.p + 1, in.n - 1);
        n = n < in.n ? n : in.n;
        fuzz_watch_feed(p, whole, side, str_n(in.p, n));
        for (size_t i = 0; i < n; i++)
            fuzz_watch_feed(p, cut, side, str_n(in.p + i, 1));
        fuzz_watch_feed(p, step, side, str_n(in.p, n));
        FUZZ_CHECK(whole->is_forbidden == cut->is_forbidden);
        FUZZ_CHECK(whole->is_forbidden == step->is_forbidden);
        if (whole->is_forbidden) /* the end of a relay */
            break;
        fuzz_watch_compare(whole, cut);
        fuzz_watch_compare(whole, step);
        in = str_n(in.p + n, in.n - n);
    }
    free(whole);
    free(cut);
    free(step);
}
