/* SPDX-License-Identifier: ISC */
/* The common part of the relay followers. */
#include "proto/watch.h"

static const char *const watch_phase_names[WATCH_PHASE_COUNT] = {
    [WATCH_BETWEEN] = "between", [WATCH_COMMAND] = "command", [WATCH_RESPONSE] = "response",
    [WATCH_DATA] = "data",       [WATCH_IDLE] = "idle",       [WATCH_OPAQUE] = "opaque",
};

const char *watch_phase_name(enum watch_phase p)
{
    return watch_phase_names[(unsigned)p < WATCH_PHASE_COUNT ? p : WATCH_OPAQUE];
}

void watch_go_opaque(struct watch *w)
{
    w->phase = WATCH_OPAQUE;
    w->open = 0;
    w->is_quiet = w->is_server_due = false;
    w->is_client_due = true;
}

void watch_set_verb(struct watch *w, struct str word, const char *const *verbs, size_t n)
{
    ptrdiff_t at = str_find_among(word, verbs, n);
    (void)str_copy(w->verb, sizeof(w->verb), at < 0 ? STR("?") : str_of(verbs[at]));
}

bool watch_is_boundary(const struct watch *w)
{
    /* The followers say RESPONSE whenever a response is under way, whatever the client does
     * meanwhile. */
    return w->phase != WATCH_RESPONSE && w->phase < WATCH_OPAQUE;
}

uint32_t watch_unanswered(const struct watch *w)
{
    if (w->phase == WATCH_OPAQUE)
        return 0;
    return w->is_client_due && w->open == 0 ? 1 : w->open;
}
