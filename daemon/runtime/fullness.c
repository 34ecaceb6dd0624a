/* SPDX-License-Identifier: ISC */
/* Lines and events about backends that have no room. */
#include "runtime/fullness.h"

#include "base/log/log.h"
#include "runtime/state.h"

static void fullness_say(struct control *c, struct backend *b, bool is_full)
{
    AUTO_BUF text = BUF_INIT;
    uint64_t places = backend_places(b), max = atomic_load(&b->max_sessions);
    b->is_full_told = is_full;
    if (is_full && places < max)
        places = max; /* it was full since the last look, and sessions ended meanwhile */
    if (buf_printf(&text, "%s: %llu of %llu", is_full ? "full" : "room again",
                   (unsigned long long)places, (unsigned long long)max) < 0)
        return;
    LOG_EVENT(LOG_LEVEL_NOTICE, is_full ? "backend-full" : "backend-room", KV_STR("pool", b->pool),
              KV_STR("backend", b->name), KV_U64("places", places), KV_U64("max", max));
    control_event(c, "backend", NULL, NULL, NULL, NULL, b->name, buf_cstr(&text));
}

void fullness_look(struct control *c, uint64_t now_ms)
{
    const struct snapshot *snapshot = control_snapshot(c);
    if (!snapshot)
        return;
    for (size_t i = 0; i < snapshot->pools->n; i++)
        for (size_t k = 0; k < snapshot->pools->v[i].n_members; k++) {
            struct backend *b = snapshot->pools->v[i].members[k].backend;
            uint64_t full_ms = atomic_load_explicit(&b->full_ms, memory_order_relaxed);
            bool is_filled = full_ms != b->full_seen_ms, is_full = backend_is_full(b);
            b->full_seen_ms = full_ms;
            if (!b->is_full_told && (is_filled || is_full))
                fullness_say(c, b, true);
            else if (b->is_full_told && !is_full && now_ms >= full_ms + FULLNESS_CALM_MS)
                fullness_say(c, b, false);
        }
}
