/* SPDX-License-Identifier: ISC */
/* Windows over totals. */
#include "runtime/history/windows.h"

/* Between two copies, seconds: a window is exact to a twelfth of its length. */
static const unsigned window_steps[WINDOW_COUNT] = {[WINDOW_MINUTE] = 5, [WINDOW_TEN_MINUTES] = 50};

bool windows_is_due(uint64_t second)
{
    for (int i = 0; i < WINDOW_COUNT; i++)
        if (second % window_steps[i] == 0)
            return true;
    return false;
}

void windows_take(struct windows *w, const struct window_counts *now, uint64_t second)
{
    for (int i = 0; i < WINDOW_COUNT; i++)
        if (second % window_steps[i] == 0)
            w->rings[i].copies[w->rings[i].n++ % WINDOW_COPIES] = *now;
}

void windows_get(const struct windows *w, enum window which, const struct window_counts *now,
                 struct window_counts *ret)
{
    const struct window_ring *r = &w->rings[which];
    struct window_counts seen = *now;
    /* The oldest copy, at most a window and a step ago. While there is room for more, all that ever
     * happened is within the window: also what came before the first copy. */
    const struct window_counts *before =
        r->n >= WINDOW_COPIES ? &r->copies[r->n % WINDOW_COPIES] : &w->base;
    latency_subtract(&seen.login, &before->login);
    latency_subtract(&seen.connect, &before->connect);
    seen.logins -= before->logins;
    seen.failures -= before->failures;
    *ret = seen;
}

unsigned window_fail_percent(const struct window_counts *c)
{
    uint64_t tries = (uint64_t)c->logins + c->failures;
    return tries ? (unsigned)((c->failures * UINT64_C(100) + tries - 1) / tries) : 0;
}
