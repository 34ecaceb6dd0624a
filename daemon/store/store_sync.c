/* SPDX-License-Identifier: ISC */
/* The front of what stores note of users that are everywhere the same: passes on. */
#include "store/store_sync.h"

#include <string.h>

#include "base/secret.h"
#include "store/store_ops.h"

void store_sync_fini(struct store_sync *s)
{
    secret_free(s->base);
    *s = (struct store_sync){0};
}

int store_sync_track(struct store *s)
{
    return s->ops->sync_track(s);
}

uint64_t store_sync_edits(const struct store *s)
{
    return s->ops->sync_edits(s);
}

int store_sync_doubt_all(struct store *s)
{
    return s->ops->sync_doubt_all(s);
}

int store_sync_get(struct store *s, const char *name, struct store_sync *ret)
{
    return s->ops->sync_get(s, name, ret);
}

int store_sync_each(struct store *s, enum store_sync_state state, size_t limit,
                    bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                    void *arg)
{
    return s->ops->sync_each(s, state, limit, fn, arg);
}

int store_sync_removed(struct store *s, uint64_t before_ms, size_t limit,
                       bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                       void *arg)
{
    return s->ops->sync_removed(s, before_ms, limit, fn, arg);
}

int store_sync_count(struct store *s, enum store_sync_state state, uint64_t *ret)
{
    return s->ops->sync_count(s, state, ret);
}

int store_sync_write(struct store *s, const struct store_sync_write *v, size_t n)
{
    return n > 0 ? s->ops->sync_write(s, v, n) : 0;
}
