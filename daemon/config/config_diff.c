/* SPDX-License-Identifier: ISC */
/* What differs between two configs, key by key; members of lists are told apart by their names. */
#include "base/cleanup.h"
#include "config/config_key.h"

struct diff {
    const struct config *a, *b;
    struct config_changes changes;
};

void config_changes_fini(struct config_changes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->v[i].path);
        free(c->v[i].old_value);
        free(c->v[i].new_value);
    }
    free(c->v);
    *c = (struct config_changes){0};
}

/* Takes the values; NULL = absent. */
static int diff_add(struct diff *d, const char *path, char *old_value, char *new_value,
                    enum config_effect effect)
{
    struct config_changes *c = &d->changes;
    struct config_change *v = realloc(c->v, (c->n + 1) * sizeof(*v));
    char *copy = str_dup_c(path);
    if (v)
        c->v = v;
    if (!v || !copy) {
        free(copy);
        free(old_value);
        free(new_value);
        return -ERR_NOMEM;
    }
    v[c->n++] = (struct config_change){copy, old_value, new_value, effect};
    return 0;
}

/* ---- values ---- */

/* Owned text of a value, NULL when it has none. */
static int diff_text(const struct config_key *k, const void *base, char **ret)
{
    AUTO_BUF text = BUF_INIT;
    int err = config_value_print_masked(k, base, &text);
    if (err < 0)
        return err;
    *ret = text.len ? buf_steal(&text) : NULL;
    return 0;
}

static int diff_value(struct diff *d, const struct config_key *k, const void *a, const void *b,
                      const char *path)
{
    AUTO_SECRET_BUF text_a = BUF_INIT;
    AUTO_SECRET_BUF text_b = BUF_INIT;
    AUTO_FREE char *old_value = NULL;
    AUTO_FREE char *new_value = NULL;
    int err = config_value_print(k, a, &text_a);
    if (err == 0)
        err = config_value_print(k, b, &text_b);
    if (err < 0 || str_eq(buf_str(&text_a), buf_str(&text_b)))
        return err;
    err = diff_text(k, a, &old_value);
    if (err == 0)
        err = diff_text(k, b, &new_value);
    return err < 0 ? err : diff_add(d, path, STEAL(old_value), STEAL(new_value), k->effect);
}

/* ---- lists ---- */

static int diff_group(struct diff *d, const struct config_group *g, const void *a, const void *b,
                      const char *path);
static int diff_part(struct diff *d, const struct config_key *part, const void *a, const void *b,
                     const char *path);

static const void *diff_find(const struct config_key *k, const void *base, const char *name)
{
    for (size_t i = 0; i < config_list_count(k, base); i++) {
        const void *element = config_list_item(k, base, i);
        if (strcmp(config_element_name(k, element), name) == 0)
            return element;
    }
    return NULL;
}

static int diff_member(struct diff *d, const struct config_key *k, const void *a, const void *b,
                       const char *path)
{
    if (a && b)
        return diff_group(d, k->group(), a, b, path);
    if (!a && !b)
        return 0;
    /* Only one side has it: whole, in one line; what it means begins with its first key. */
    AUTO_BUF text = BUF_INIT;
    int err = config_group_print_line(b ? d->b : d->a, k, b ? b : a, &text);
    char *value = err == 0 ? buf_steal(&text) : NULL;
    if (!value)
        return err < 0 ? err : -ERR_NOMEM;
    return diff_add(d, path, b ? NULL : value, b ? value : NULL, k->group()->keys[0].effect);
}

/* "a, b": the names that both sides have, in the order of base. */
static int diff_order_text(const struct config_key *k, const void *base, const void *other,
                           struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < config_list_count(k, base) && err == 0; i++) {
        const char *name = config_element_name(k, config_list_item(k, base, i));
        if (diff_find(k, other, name))
            err = buf_printf(out, "%s%s", out->len ? ", " : "", name);
    }
    return err;
}

static int diff_named(struct diff *d, const struct config_key *k, const void *a, const void *b,
                      const char *path)
{
    AUTO_BUF order_a = BUF_INIT;
    AUTO_BUF order_b = BUF_INIT;
    int err = diff_order_text(k, a, b, &order_a);
    if (err == 0)
        err = diff_order_text(k, b, a, &order_b);
    /* Order has a meaning: the first pool and the first certificate are the defaults. */
    if (err == 0 && !str_eq(buf_str(&order_a), buf_str(&order_b)))
        err =
            diff_add(d, path, buf_steal(&order_a), buf_steal(&order_b), k->group()->keys[0].effect);
    for (int side = 0; side < 2; side++) {
        const void *base = side ? b : a;
        for (size_t i = 0; i < config_list_count(k, base) && err == 0; i++) {
            const char *name = config_element_name(k, config_list_item(k, base, i));
            const void *in_a = diff_find(k, a, name), *in_b = diff_find(k, b, name);
            AUTO_FREE char *at = str_printf("%s[%s]", path, name);
            if (side && in_a)
                continue;
            err = at ? diff_member(d, k, in_a, in_b, at) : -ERR_NOMEM;
        }
    }
    return err;
}

static int diff_is_element_same(const struct diff *whole, const struct config_key *k, const void *a,
                                const void *b, bool *ret)
{
    struct diff d = {.a = whole->a, .b = whole->b};
    int err = diff_group(&d, k->group(), a, b, "");
    *ret = d.changes.n == 0;
    config_changes_fini(&d.changes);
    return err;
}

/* Members without names, such as routes: equal ones at both ends are left out, so that one line
 * more is one change. */
static int diff_numbered(struct diff *d, const struct config_key *k, const void *a, const void *b,
                         const char *path)
{
    size_t n_a = config_list_count(k, a), n_b = config_list_count(k, b), head = 0;
    bool is_same = true;
    int err = 0;
    while (err == 0 && head < n_a && head < n_b) {
        err = diff_is_element_same(d, k, config_list_item(k, a, head), config_list_item(k, b, head),
                                   &is_same);
        if (!is_same)
            break;
        head++;
    }
    while (err == 0 && n_a > head && n_b > head) {
        err = diff_is_element_same(d, k, config_list_item(k, a, n_a - 1),
                                   config_list_item(k, b, n_b - 1), &is_same);
        if (!is_same)
            break;
        n_a--;
        n_b--;
    }
    for (size_t i = head; (i < n_a || i < n_b) && err == 0; i++) {
        AUTO_FREE char *at = str_printf("%s[%zu]", path, i);
        err = at ? diff_member(d, k, i < n_a ? config_list_item(k, a, i) : NULL,
                               i < n_b ? config_list_item(k, b, i) : NULL, at)
                 : -ERR_NOMEM;
    }
    return err;
}

/* ---- groups ---- */

/* Would the values differ, if the key stood in its own group and in the one that it inherits? */
static int diff_from_origin(struct diff *d, const struct config_key *k, const void *base,
                            const struct config_origin *from)
{
    AUTO_SECRET_BUF own = BUF_INIT;
    AUTO_SECRET_BUF there = BUF_INIT;
    const struct config_key *o = config_key_find(from->group, k->name);
    int err = config_value_print(k, base, &own);
    if (err == 0)
        err = config_value_print(o, from->base, &there);
    if (err < 0 || str_eq(buf_str(&own), buf_str(&there)))
        return err;
    return diff_add(d, k->name, NULL, NULL, k->effect);
}

/* Is all of the key as at the top level? k: a key or a part at base. */
static bool diff_inherits(const struct config *c, const struct config_key *k, const void *base)
{
    struct diff d = {.a = c, .b = c};
    struct config_origin from;
    int err = 0;
    if (!config_key_origin(k, c, &from))
        return false;
    const struct config_group *g = k->type == CONFIG_PART ? k->group() : NULL;
    if (!g)
        err = diff_from_origin(&d, k, base, &from);
    else if (g == from.group)
        err = diff_group(&d, g, from.base, config_member_const(k, base), "");
    for (size_t i = 0; g && g != from.group && i < g->n_keys && err == 0; i++)
        err = diff_from_origin(&d, &g->keys[i], config_member_const(k, base), &from);
    bool is_same = err == 0 && d.changes.n == 0;
    config_changes_fini(&d.changes);
    return is_same;
}

/* Is a key of a part as in the group that the part inherits? */
static bool diff_part_inherits(const struct config *c, const struct config_key *part,
                               const struct config_key *k, const void *base)
{
    struct diff d = {.a = c, .b = c};
    struct config_origin from;
    if (!config_key_origin(part, c, &from) || k->type == CONFIG_PART)
        return false;
    const void *own = config_member_const(part, base);
    int err =
        k->type != CONFIG_LIST ? diff_from_origin(&d, k, own, &from)
        : part->group() == from.group
            ? (config_list_has_names(k) ? diff_named : diff_numbered)(&d, k, from.base, own, "")
            : -ERR_INVAL;
    bool is_same = err == 0 && d.changes.n == 0;
    config_changes_fini(&d.changes);
    return is_same;
}

static int diff_key(struct diff *d, const struct config_key *k, const void *a, const void *b,
                    const char *path)
{
    if (k->type == CONFIG_LIST)
        return (config_list_has_names(k) ? diff_named : diff_numbered)(d, k, a, b, path);
    return k->type == CONFIG_PART ? diff_part(d, k, a, b, path) : diff_value(d, k, a, b, path);
}

/* A change of what the part inherits is told once, at the top: also where the part sets other keys.
 */
static int diff_part(struct diff *d, const struct config_key *part, const void *a, const void *b,
                     const char *path)
{
    const struct config_group *g = part->group();
    int err = 0;
    for (size_t i = 0; i < g->n_keys && err == 0; i++) {
        const struct config_key *k = &g->keys[i];
        if (diff_part_inherits(d->a, part, k, a) && diff_part_inherits(d->b, part, k, b))
            continue;
        AUTO_FREE char *at = *path ? str_printf("%s.%s", path, k->name) : str_dup_c(k->name);
        err = at ? diff_key(d, k, config_member_const(part, a), config_member_const(part, b), at)
                 : -ERR_NOMEM;
    }
    return err;
}

static int diff_group(struct diff *d, const struct config_group *g, const void *a, const void *b,
                      const char *path)
{
    int err = 0;
    for (size_t i = 0; i < g->n_keys && err == 0; i++) {
        const struct config_key *k = &g->keys[i];
        AUTO_FREE char *at = *path ? str_printf("%s.%s", path, k->name) : str_dup_c(k->name);
        if (!at)
            return -ERR_NOMEM;
        /* A change of what listeners inherit is told once, at the top. */
        if (diff_inherits(d->a, k, a) && diff_inherits(d->b, k, b))
            continue;
        err = diff_key(d, k, a, b, at);
    }
    return err;
}

int config_diff(const struct config *a, const struct config *b, struct config_changes *ret)
{
    struct diff d = {.a = a, .b = b};
    int err = diff_group(&d, config_group_top(), a, b, "");
    if (err < 0)
        config_changes_fini(&d.changes);
    else
        *ret = d.changes;
    return err;
}
