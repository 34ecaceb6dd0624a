/* SPDX-License-Identifier: ISC */
/* The worker's cache of learned capabilities. */
#include "session/capabilities.h"

#include "base/cleanup.h"

#define CAPABILITIES_FRESH_MS 1000

struct capabilities {
    uint64_t generation; /* of the snapshot that the slots belong to */
    size_t n;
    struct capabilities_slot {
        struct capabilities_list *list;
        uint64_t checked_ms;
    } slots[];
};

void capabilities_unref(struct capabilities_list *l)
{
    if (!l || --l->refs > 0)
        return;
    for (size_t i = 0; i < FRONT_MEMOS; i++)
        buf_fini(&l->memos[i].text);
    free(l->text);
    free(l->v);
    free(l);
}

void capabilities_free(struct capabilities *c)
{
    for (size_t i = 0; c && i < c->n; i++)
        capabilities_unref(c->slots[i].list);
    free(c);
}

/* Line feeds separate entries that may hold blanks (SMTP, ManageSieve), else blanks do. Empty: a
 * list without entries of its own. */
static struct capabilities_list *capabilities_split(const char *text)
{
    struct capabilities_list *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->refs = 1;
    if (!text[0])
        return l;
    l->text = str_dup_c(text);
    l->v = calloc(strlen(text) / 2 + 2, sizeof(*l->v));
    if (!l->text || !l->v) {
        capabilities_unref(l);
        return NULL;
    }
    char separator = strchr(text, '\n') ? '\n' : ' ';
    size_t n = 0;
    for (char *p = l->text; *p;) {
        char *end = strchrnul(p, separator);
        bool is_last = *end == '\0';
        *end = '\0';
        if (*p)
            l->v[n++] = p;
        p = is_last ? end : end + 1;
    }
    return l;
}

/* Any backend of the pool will do: an up one first. */
static struct capabilities_list *capabilities_learn(const struct snapshot *snapshot,
                                                    const struct config_listener *listener)
{
    const char *name = listener->pool;
    if (!name && snapshot->pools->config->n_pools > 0)
        name = snapshot->pools->config->pools[0].name;
    const struct pool *p = name ? pools_find(snapshot->pools, name) : NULL;
    char text[BACKEND_CAPS_MAX] = "";
    for (size_t i = 0; p && i < p->n_members; i++) {
        const struct backend *b = p->members[i].backend;
        if (text[0] && atomic_load_explicit(&b->health, memory_order_relaxed) != BACKEND_UP)
            continue;
        char seen[BACKEND_CAPS_MAX];
        backend_capabilities(b, listener->proto->id, seen);
        if (seen[0])
            memcpy(text, seen, sizeof(text));
        if (seen[0] && atomic_load_explicit(&b->health, memory_order_relaxed) == BACKEND_UP)
            break;
    }
    return capabilities_split(text);
}

static struct capabilities *capabilities_for(struct capabilities **cache,
                                             const struct snapshot *snapshot)
{
    if (*cache && (*cache)->generation == snapshot->generation)
        return *cache;
    struct capabilities *c = calloc(1, sizeof(*c) + snapshot->n_listeners * sizeof(c->slots[0]));
    if (!c)
        return NULL;
    c->generation = snapshot->generation;
    c->n = snapshot->n_listeners;
    capabilities_free(*cache);
    *cache = c;
    return c;
}

struct capabilities_list *capabilities_get(struct capabilities **cache,
                                           const struct snapshot *snapshot, unsigned listener,
                                           uint64_t now_ms)
{
    struct capabilities *c = capabilities_for(cache, snapshot);
    if (!c || listener >= c->n)
        return NULL;
    struct capabilities_slot *slot = &c->slots[listener];
    const struct config_listener *l = snapshot->listeners[listener].config;
    bool is_learned = !l->capabilities.v && l->learn_capabilities;
    if (!slot->list || (is_learned && now_ms - slot->checked_ms >= CAPABILITIES_FRESH_MS)) {
        slot->checked_ms = now_ms;
        capabilities_unref(slot->list);
        slot->list = is_learned ? capabilities_learn(snapshot, l) : capabilities_split("");
    }
    if (slot->list)
        slot->list->refs++;
    return slot->list;
}
