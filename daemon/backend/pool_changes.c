/* SPDX-License-Identifier: ISC */
/* Changes of pools: copies, comparison, the store's value, and their application to a config. */
#include "backend/pool_changes.h"

#include "base/cleanup.h"
#include "base/log/log.h"

/* ---- one change ---- */

int pool_change_init(struct pool_change *c, const char *name)
{
    *c = (struct pool_change){.name = str_dup_c(name),
                              .values = calloc(config_pool_keys(), sizeof(char *))};
    if (c->name && c->values)
        return 0;
    pool_change_fini(c);
    return -ERR_NOMEM;
}

void pool_change_fini(struct pool_change *c)
{
    for (size_t i = 0; c->values && i < config_pool_keys(); i++)
        free(c->values[i]);
    free(c->values);
    free((char *)c->name);
    free((char *)c->like);
    *c = (struct pool_change){0};
}

int pool_change_set(struct pool_change *c, size_t key, const char *text)
{
    char *copy = str_dup_c(text);
    if (text && !copy)
        return -ERR_NOMEM;
    free(c->values[key]);
    c->values[key] = copy;
    return 0;
}

int pool_change_copy(struct pool_change *dst, const struct pool_change *src)
{
    int err = pool_change_init(dst, src->name);
    if (err < 0)
        return err;
    dst->is_added = src->is_added;
    dst->is_removed = src->is_removed;
    dst->like = str_dup_c(src->like);
    if (src->like && !dst->like)
        err = -ERR_NOMEM;
    for (size_t i = 0; i < config_pool_keys() && err == 0; i++)
        err = pool_change_set(dst, i, src->values[i]);
    if (err < 0)
        pool_change_fini(dst);
    return err;
}

bool pool_change_is_empty(const struct pool_change *c)
{
    for (size_t i = 0; i < config_pool_keys(); i++)
        if (c->values[i])
            return false;
    return !c->is_added && !c->is_removed;
}

bool pool_change_is_equal(const struct pool_change *a, const struct pool_change *b)
{
    bool is_equal = str_eq_c(a->name, b->name) && str_eq_c(a->like, b->like) &&
                    a->is_added == b->is_added && a->is_removed == b->is_removed;
    for (size_t i = 0; i < config_pool_keys() && is_equal; i++)
        is_equal = str_eq_c(a->values[i], b->values[i]);
    return is_equal;
}

bool pool_change_absorb(struct pool_change *c, const struct config_pool *file)
{
    bool *needless = file ? &c->is_added : &c->is_removed;
    bool is_dropped = *needless;
    *needless = false;
    if (!file)
        return is_dropped;
    if (is_dropped)
        free((char *)STEAL(c->like));
    /* What the file says in the same words. */
    for (size_t i = 0; i < config_pool_keys(); i++) {
        AUTO_BUF text = BUF_INIT;
        if (!c->values[i] || config_pool_print(file, i, &text) < 0 ||
            !str_eq(buf_str(&text), str_of(c->values[i])))
            continue;
        free(STEAL(c->values[i]));
        is_dropped = true;
    }
    return is_dropped;
}

/* ---- the list ---- */

int pool_changes_with(const struct pool_changes *before, const struct pool_change *c,
                      struct pool_changes **ret)
{
    size_t n = before ? before->n : 0;
    bool is_left_out = pool_change_is_empty(c);
    struct pool_changes *next = calloc(1, sizeof(*next));
    struct pool_change *v = calloc(n + 1, sizeof(*v));
    int err = next && v ? 0 : -ERR_NOMEM;
    if (err < 0) {
        free(next);
        free(v);
        return err;
    }
    atomic_init(&next->refs, 1);
    next->v = v;
    bool is_there = false;
    for (size_t i = 0; i < n && err == 0; i++) {
        bool is_it = strcmp(before->v[i].name, c->name) == 0;
        is_there = is_there || is_it;
        if (is_it && is_left_out)
            continue;
        err = pool_change_copy(&v[next->n], is_it ? c : &before->v[i]);
        next->n += err == 0;
    }
    if (err == 0 && !is_there && !is_left_out) {
        err = n < POOL_CHANGES_MAX ? pool_change_copy(&v[next->n], c) : -ERR_TOO_MANY;
        next->n += err == 0;
    }
    if (err < 0 || next->n == 0)
        pool_changes_unref(STEAL(next));
    if (err == 0)
        *ret = next;
    return err;
}

struct pool_changes *pool_changes_ref(struct pool_changes *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void pool_changes_unref(struct pool_changes *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < c->n; i++)
        pool_change_fini(&c->v[i]);
    free(c->v);
    free(c);
}

const struct pool_change *pool_changes_find(const struct pool_changes *c, const char *name)
{
    for (size_t i = 0; c && i < c->n; i++)
        if (strcmp(c->v[i].name, name) == 0)
            return &c->v[i];
    return NULL;
}

bool pool_changes_are_equal(const struct pool_changes *a, const struct pool_changes *b)
{
    size_t n = a ? a->n : 0;
    bool is_equal = n == (b ? b->n : 0);
    for (size_t i = 0; i < n && is_equal; i++) {
        const struct pool_change *other = pool_changes_find(b, a->v[i].name);
        is_equal = other && pool_change_is_equal(&a->v[i], other);
    }
    return is_equal;
}

/* ---- in force ---- */

/* A pool of the file, or one that was added, into *p. */
static int pool_change_apply(const struct pool_change *ch, const struct config_pool *file,
                             struct config *derived, struct config_pool *p, char **ret_error)
{
    struct config_pool made;
    AUTO_FREE char *why = NULL;
    int err = 0;
    if (file) {
        made = *file;
    } else {
        const struct config_pool *like =
            ch->like ? config_pool_find(config_base(derived), ch->like) : NULL;
        if (ch->like && !like)
            why = str_printf("it was made like pool %s, which the file does not have", ch->like);
        err = ch->like && !like ? -ERR_CONFIG : config_pool_init(derived, &made, ch->name, like);
    }
    if (err == 0) {
        for (size_t i = 0; i < config_pool_keys() && err == 0; i++)
            if (ch->values[i])
                err = config_pool_set(derived, &made, i, ch->values[i], &why);
        err = err < 0 ? err : config_pool_check(derived, &made, &why);
    }
    if (err == 0)
        *p = made;
    else if (why)
        *ret_error = str_printf("pool %s, as it was changed at runtime: %s", ch->name, why);
    return err;
}

static int change_fail(int err, bool is_lenient, char **ret_error)
{
    if (err != -ERR_CONFIG || !is_lenient)
        return err;
    LOG_EVENT(LOG_LEVEL_ERROR, "runtime-pool-left-out", KV_STR("detail", *ret_error));
    free(STEAL(*ret_error));
    return 0;
}

int pool_changes_apply(const struct pool_changes *changes, struct config *c, bool is_lenient,
                       struct config **ret, char **ret_error)
{
    struct config *d;
    if (!changes) {
        *ret = config_ref(c);
        return 0;
    }
    int err = config_derive(c, changes->n, &d);
    if (err < 0)
        return err;
    d->n_pools = 0;
    for (size_t i = 0; i < c->n_pools && err == 0; i++) {
        const struct pool_change *ch = pool_changes_find(changes, c->pools[i].name);
        if (ch && ch->is_removed)
            continue;
        d->pools[d->n_pools] = c->pools[i];
        if (ch)
            err = change_fail(
                pool_change_apply(ch, &c->pools[i], d, &d->pools[d->n_pools], ret_error),
                is_lenient, ret_error);
        d->n_pools++;
    }
    for (size_t i = 0; i < changes->n && err == 0; i++) {
        const struct pool_change *ch = &changes->v[i];
        if (!ch->is_added || config_pool_find(c, ch->name))
            continue;
        err = pool_change_apply(ch, NULL, d, &d->pools[d->n_pools], ret_error);
        d->n_pools += err == 0;
        err = change_fail(err, is_lenient, ret_error);
    }
    if (err < 0)
        config_unref(d);
    else
        *ret = d;
    return err;
}

char *pool_change_fault(const struct pool_change *ch, struct config *c)
{
    struct config *d;
    struct config_pool made;
    char *error = NULL;
    const struct config_pool *file = config_pool_find(c, ch->name);
    if (ch->is_removed || (!file && !ch->is_added) || config_derive(c, 0, &d) < 0)
        return NULL;
    if (pool_change_apply(ch, file, d, &made, &error) == 0)
        free(STEAL(error));
    config_unref(d);
    return error;
}
