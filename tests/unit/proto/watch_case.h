/* SPDX-License-Identifier: ISC */
/* Table tests of the relay followers: chunks of both directions in every cutting, phase and verb
 * after each. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/proto.h"
#include "proto/watch.h"

struct watch_step {
    enum watch_side side;
    struct str bytes;
    enum watch_phase phase; /* afterwards */
    const char *verb;       /* afterwards; NULL = not looked at */
};

#define WATCH_STEPS_MAX 12

struct watch_case {
    const char *what;
    struct watch_step steps[WATCH_STEPS_MAX]; /* up to the first without bytes */
};

static inline void watch_chunk(const struct proto *p, struct watch *w, enum watch_side side,
                               struct str bytes)
{
    char *exact = malloc(bytes.n ? bytes.n : 1);
    assert_non_null(exact);
    memcpy(exact, bytes.p, bytes.n);
    p->watch_feed(w, side, str_n(exact, bytes.n));
    free(exact);
}

/* Each step cut after `first` bytes, then into chunks of `chunk`. */
static inline void watch_case_once(const struct proto *p, const struct watch_case *c, size_t first,
                                   size_t chunk)
{
    struct watch *w = calloc(1, p->watch_size);
    assert_non_null(w);
    p->watch_init(w);
    for (const struct watch_step *s = c->steps; s < c->steps + WATCH_STEPS_MAX && s->bytes.p; s++) {
        for (size_t pos = 0, n = first; pos < s->bytes.n; pos += n, n = chunk) {
            if (n > s->bytes.n - pos)
                n = s->bytes.n - pos;
            watch_chunk(p, w, s->side, str_n(s->bytes.p + pos, n));
        }
        if (w->phase != s->phase || (s->verb && strcmp(w->verb, s->verb) != 0))
            fail_msg("%s, step %td, cut after %zu: %s %s instead of %s %s", c->what,
                     s - c->steps + 1, first, watch_phase_name(w->phase), w->verb,
                     watch_phase_name(s->phase), s->verb ? s->verb : "");
    }
    free(w);
}

static inline void watch_cases_run(const struct proto *p, const struct watch_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t longest = 0;
        for (size_t s = 0; s < WATCH_STEPS_MAX && cases[i].steps[s].bytes.p; s++)
            if (cases[i].steps[s].bytes.n > longest)
                longest = cases[i].steps[s].bytes.n;
        watch_case_once(p, &cases[i], 1, 1);
        for (size_t at = 1; at <= longest; at++)
            watch_case_once(p, &cases[i], at, SIZE_MAX);
    }
}
