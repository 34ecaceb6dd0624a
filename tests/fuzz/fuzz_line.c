/* SPDX-License-Identifier: ISC */
/* Cutting lines and commands with literals. Input: a byte of choices (the limits), then bytes. */
#include "fuzz.h"
#include "proto/line.h"

struct cutter {
    size_t max_line, max_literals;
    struct buf first;
};

struct cutter_run {
    struct cutter *c;
    unsigned invited;
    struct buf trace;
};

static void *begin(void *arg)
{
    struct cutter_run *run = calloc(1, sizeof(*run));
    FUZZ_CHECK(run);
    run->c = arg;
    return run;
}

static size_t feed(void *object, struct str in)
{
    struct cutter_run *run = object;
    for (;;) {
        size_t used = 0;
        bool is_invited = false, is_sync = false;
        int err = line_cut_command(in, run->c->max_line, run->c->max_literals, &run->invited, &used,
                                   &is_invited, &is_sync);
        FUZZ_CHECK(used <= in.n);
        FUZZ_CHECK(err == 0 || err == -ERR_AGAIN || err == -ERR_TOO_LONG);
        if (is_invited)
            fuzz_note(&run->trace, "{+}");
        if (err == -ERR_AGAIN) {
            if (is_invited)
                continue;
            /* nobody has to keep more than that; each literal has a line end at least */
            FUZZ_CHECK(in.n <= 3 * run->c->max_line + run->c->max_literals);
            return 0;
        }
        FUZZ_CHECK(run->invited == 0);
        fuzz_note(&run->trace, "{%d %d}", err, err == -ERR_TOO_LONG && is_sync);
        fuzz_note_str(&run->trace, str_n(in.p, used));
        if (err == -ERR_TOO_LONG && !is_sync)
            return SPLIT_STOP;
        FUZZ_CHECK(used > 0);
        return used;
    }
}

static void end(void *object, void *arg, const char *how)
{
    struct cutter_run *run = object;
    struct cutter *c = arg;
    fuzz_compare(&c->first, &run->trace, how);
    buf_fini(&run->trace);
    free(run);
}

static void lines(struct str in, size_t max)
{
    struct str line;
    size_t used;
    bool is_bare, is_sync;
    uint64_t literal;
    for (;;) {
        int err = line_cut(in, max, &line, &used, &is_bare);
        FUZZ_CHECK(err == 0 || err == -ERR_AGAIN || err == -ERR_TOO_LONG);
        if (err < 0)
            return;
        FUZZ_CHECK(line.n <= max && str_index(line, '\n') < 0);
        FUZZ_CHECK(used == line.n + (is_bare ? 1 : 2) && used <= in.n);
        (void)line_literal(line, &literal, &is_sync);
        in = str_n(in.p + used, in.n - used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct split_ops ops = {begin, feed, end};
    struct str in = str_n(data, size);
    unsigned choice = fuzz_choice(&in);
    struct cutter c = {.max_line = choice & 1 ? 20 : 1000, .max_literals = choice & 2 ? 10 : 500};
    lines(in, c.max_line);
    fuzz_cuttings(&ops, &c, in);
    buf_fini(&c.first);
    return 0;
}
