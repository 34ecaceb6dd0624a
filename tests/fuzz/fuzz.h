/* SPDX-License-Identifier: ISC */
/* What all fuzz targets share: checks, choices drawn from the input, and a trace to compare runs
 * by. */
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "tests/unit/proto/split.h"

/* The one entry point of a target: libFuzzer's, and replay.c's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many changed copies of the corpus a replay runs, of a target that takes long. */
extern const unsigned fuzz_replay_runs __attribute__((weak));

/* A broken promise ends the program. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
    } while (0)

static inline void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/* Takes the next byte for choices; 0 at the end. Only its low 6 bits tell, so that a letter does in
 * a seed: '@' is 0. */
static inline unsigned fuzz_choice(struct str *in)
{
    if (in->n == 0)
        return 0;
    unsigned choice = (unsigned char)in->p[0] & 0x3f;
    *in = str_n(in->p + 1, in->n - 1);
    return choice;
}

/* Cuts the part before the first `mark` off *in; all of it when there is none. */
static inline struct str fuzz_cut(struct str *in, struct str mark)
{
    struct str whole = *in;
    for (size_t i = 0; i + mark.n <= whole.n; i++)
        if (memcmp(whole.p + i, mark.p, mark.n) == 0) {
            *in = str_n(whole.p + i + mark.n, whole.n - i - mark.n);
            return str_n(whole.p, i);
        }
    *in = STR_NULL;
    return whole;
}

/* Appends to a trace. Without memory there is no answer to give. */
static inline void fuzz_note(struct buf *trace, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline void fuzz_note(struct buf *trace, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    FUZZ_CHECK(buf_vprintf(trace, fmt, ap) == 0);
    va_end(ap);
}

static inline void fuzz_note_str(struct buf *trace, struct str s)
{
    FUZZ_CHECK(buf_append_str(trace, s) == 0);
}

/* What is sent to a peer is whole lines: each ends in CR LF, and neither stands elsewhere; no NUL.
 */
static inline void fuzz_check_lines(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        FUZZ_CHECK(s.p[i] != '\0');
        FUZZ_CHECK(s.p[i] != '\n' || (i > 0 && s.p[i - 1] == '\r'));
        FUZZ_CHECK(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
    }
    FUZZ_CHECK(s.n == 0 || s.p[s.n - 1] == '\n');
}

/* Runs in several cuttings whose points depend on the input alone: whole, in chunks of few bytes,
 * and byte by byte when that does not take long. */
static inline void fuzz_cuttings(const struct split_ops *ops, void *arg, struct str in)
{
    uint64_t h = hash_stable(in);
    split_once(ops, arg, in, in.n, in.n + 1);
    if (in.n > 1) {
        split_once(ops, arg, in, 1 + h % (in.n - 1), 1 + (h >> 32) % 24);
        split_once(ops, arg, in, 1 + (h >> 16) % (in.n - 1), in.n);
    }
    if (in.n <= 512)
        split_once(ops, arg, in, 1, 1);
}

/* The first cutting's trace is the one that the others must match. */
static inline void fuzz_compare(struct buf *first, struct buf *trace, const char *how)
{
    if (strcmp(how, "whole") == 0) {
        buf_clear(first);
        fuzz_note_str(first, buf_str(trace));
        return;
    }
    if (str_eq(buf_str(first), buf_str(trace)))
        return;
    fprintf(stderr, "%s differs\n--- whole\n%.*s\n--- %s\n%.*s\n", how, STR_ARG(buf_str(first)),
            how, STR_ARG(buf_str(trace)));
    abort();
}
