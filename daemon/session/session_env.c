/* SPDX-License-Identifier: ISC */
/* What the sessions of one worker share: how it begins, and its end with all that belongs to it. */
#include "base/container/map.h"
#include "session/capabilities.h"
#include "session/session_priv.h"
#include "session/trace.h"

#define SESSION_PREAUTHS_KEPT 64 /* of some 1,400 bytes: so many clients are accepted at once */

static struct str session_key(const void *item)
{
    const struct session *s = item;
    return map_key_u64(&s->id);
}

void session_env_init(struct session_env *env)
{
    env->phases = &session_phases;
    env->by_id.key = session_key;
    free_list_init(&env->preauths, sizeof(struct preauth), SESSION_PREAUTHS_KEPT);
    list_init(&env->sessions);
    list_init(&env->walks);
    list_init(&env->queries);
    list_init(&env->kills);
    list_init(&env->sorting);
    list_init(&env->held);
}

void session_env_fini(struct session_env *env)
{
    traces_free(env);
    capabilities_free(env->capabilities);
    holds_free(env->holds);
    table_fini(&env->by_id);
    free_list_fini(&env->preauths);
    snapshot_unref(env->snapshot);
    env->snapshot = NULL;
}
