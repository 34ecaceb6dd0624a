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

/* Of the client, which looks at the verb, too; of the server. */
#define C(input, p, v)                                                                             \
    {                                                                                              \
        WATCH_CLIENT, {"" input, sizeof(input) - 1}, WATCH_##p, v                                  \
    }
#define S(input, p)                                                                                \
    {                                                                                              \
        WATCH_SERVER, {"" input, sizeof(input) - 1}, WATCH_##p, NULL                               \
    }

/* What the client said while the server was due. */
struct watch_held {
    char bytes[256];
    size_t n;
};

static inline void watch_chunk_once(const struct proto *p, struct watch *w, enum watch_side side,
                                    struct str bytes, struct watch_held *held)
{
    char *exact = malloc(bytes.n ? bytes.n : 1);
    assert_non_null(exact);
    memcpy(exact, bytes.p, bytes.n);
    for (size_t done = 0, n; done < bytes.n; done += n) {
        bool is_held = side == WATCH_CLIENT && w->is_server_due;
        n = p->watch_feed(w, side, str_n(exact + done, bytes.n - done));
        if (is_held) {
            assert_int_equal(n, 0);
            n = bytes.n - done;
            assert_true(held->n + n <= sizeof(held->bytes));
            memcpy(held->bytes + held->n, exact + done, n);
            held->n += n;
        }
        assert_true(n > 0 && n <= bytes.n - done);
        assert_true(w->is_stepwise || n == bytes.n || (side == WATCH_CLIENT && w->is_server_due));
    }
    free(exact);
}

static inline void watch_chunk(const struct proto *p, struct watch *w, enum watch_side side,
                               struct str bytes, struct watch_held *held)
{
    watch_chunk_once(p, w, side, bytes, held);
    if (held->n > 0 && !w->is_server_due) {
        struct watch_held before = *held;
        held->n = 0;
        watch_chunk_once(p, w, WATCH_CLIENT, str_n(before.bytes, before.n), held);
    }
}

/* Each step cut after `first` bytes, then into chunks of `chunk`. */
static inline void watch_case_once(const struct proto *p, const struct watch_case *c, size_t first,
                                   size_t chunk)
{
    struct watch_held held = {.n = 0};
    struct watch *w = calloc(1, p->watch_size);
    assert_non_null(w);
    p->watch_init(w, STR("SIZE 100\nCHUNKING\n8BITMIME\n"));
    for (const struct watch_step *s = c->steps; s < c->steps + WATCH_STEPS_MAX && s->bytes.p; s++) {
        for (size_t pos = 0, n = first; pos < s->bytes.n; pos += n, n = chunk) {
            if (n > s->bytes.n - pos)
                n = s->bytes.n - pos;
            watch_chunk(p, w, s->side, str_n(s->bytes.p + pos, n), &held);
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

/* ---- may a session end now? ---- */

struct watch_end_step {
    enum watch_side side;
    struct str bytes;
    const char *state; /* afterwards, as watch_end_text has it */
};

struct watch_end_case {
    const char *what;
    struct watch_end_step steps[WATCH_STEPS_MAX]; /* up to the first without bytes */
};

/* Of the client, of the server. */
#define WATCH_END(side, input, state)                                                              \
    {                                                                                              \
        side, {"" input, sizeof(input) - 1}, state                                                 \
    }
#define EC(input, state) WATCH_END(WATCH_CLIENT, input, state)
#define ES(input, state) WATCH_END(WATCH_SERVER, input, state)

/* "quiet", "opaque", or "2 open", with ", due" when the client has to go on. */
static inline const char *watch_end_text(const struct watch *w, char dst[32])
{
    if (w->phase == WATCH_OPAQUE)
        return "opaque";
    if (w->is_quiet)
        return w->open == 0 && !w->is_client_due ? "quiet" : "contradiction";
    snprintf(dst, 32, "%u open%s", w->open, w->is_client_due ? ", due" : "");
    return dst;
}

static inline void watch_end_once(const struct proto *p, const struct watch_end_case *c,
                                  bool is_stepwise, size_t first, size_t chunk)
{
    char text[32];
    struct watch_held held = {.n = 0};
    struct watch *w = calloc(1, p->watch_size);
    assert_non_null(w);
    p->watch_init(w, STR("SIZE 100\nCHUNKING\n8BITMIME\n"));
    assert_true(w->is_quiet);
    w->is_stepwise = is_stepwise;
    for (const struct watch_end_step *s = c->steps; s < c->steps + WATCH_STEPS_MAX && s->bytes.p;
         s++) {
        for (size_t pos = 0, n = first; pos < s->bytes.n; pos += n, n = chunk) {
            n = n < s->bytes.n - pos ? n : s->bytes.n - pos;
            watch_chunk(p, w, s->side, str_n(s->bytes.p + pos, n), &held);
        }
        if (strcmp(watch_end_text(w, text), s->state) != 0)
            fail_msg("%s, step %td, %s, cut after %zu: %s instead of %s", c->what, s - c->steps + 1,
                     is_stepwise ? "in steps" : "whole", first, watch_end_text(w, text), s->state);
    }
    free(w);
}

static inline void watch_ends_run(const struct proto *p, const struct watch_end_case *cases,
                                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t longest = 0;
        for (size_t s = 0; s < WATCH_STEPS_MAX && cases[i].steps[s].bytes.p; s++)
            if (cases[i].steps[s].bytes.n > longest)
                longest = cases[i].steps[s].bytes.n;
        for (int step = 0; step < 2; step++) {
            watch_end_once(p, &cases[i], step, 1, 1);
            for (size_t at = 1; at <= longest; at++)
                watch_end_once(p, &cases[i], step, at, SIZE_MAX);
        }
    }
}

/* ---- where does a command, or a response, end? ---- */

struct watch_stop {
    struct str before[2]; /* what the client and the server said already */
    enum watch_side side;
    struct str bytes; /* one command or response, and more */
    size_t n;         /* how long it is */
};

static inline void watch_stops_run(const struct proto *p, const struct watch_stop *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t cut = 0; cut < rows[i].n; cut++) {
            struct watch_held held = {.n = 0};
            struct watch *w = calloc(1, p->watch_size);
            assert_non_null(w);
            p->watch_init(w, STR("SIZE 100\nCHUNKING\n8BITMIME\n"));
            for (int k = 0; k < 2; k++)
                if (rows[i].before[k].n > 0)
                    watch_chunk(p, w, k == 0 ? WATCH_CLIENT : WATCH_SERVER, rows[i].before[k],
                                &held);
            w->is_stepwise = true;
            watch_chunk(p, w, rows[i].side, str_n(rows[i].bytes.p, cut), &held);
            size_t used =
                p->watch_feed(w, rows[i].side, str_n(rows[i].bytes.p + cut, rows[i].bytes.n - cut));
            if (used != rows[i].n - cut)
                fail_msg("row %zu, cut after %zu: stopped after %zu instead of %zu", i, cut, used,
                         rows[i].n - cut);
            free(w);
        }
}
