/* SPDX-License-Identifier: ISC */
/* Printing a config as a file, whole or without what the defaults say. */
#include "base/cleanup.h"
#include "config/config_key.h"

struct dump {
    const struct config *config;
    struct config *scratch; /* memory of references; NULL = print all */
    unsigned flags;
    bool is_line; /* all in one line */
    struct buf *out;
};

static int dump_key(struct dump *d, const struct config_key *k, const void *base, const void *ref,
                    unsigned depth);

static int dump_indent(struct dump *d, unsigned depth)
{
    if (d->is_line)
        return buf_append_char(d->out, ' ');
    return buf_printf(d->out, "\n%*s", (int)(2 * depth), "");
}

/* ref: the same group as a file without its keys would have it; NULL = print all. */
static int dump_group(struct dump *d, const struct config_group *g, const void *base,
                      const void *ref, unsigned depth)
{
    int err = buf_append_char(d->out, '{');
    size_t before = d->out->len;
    for (size_t i = 0; i < g->n_keys && err == 0; i++)
        err = dump_key(d, &g->keys[i], base, ref, depth + 1);
    if (err == 0)
        err = d->out->len > before ? dump_indent(d, depth) : buf_append_char(d->out, ' ');
    return err < 0 ? err : buf_append_char(d->out, '}');
}

/* ---- what the defaults say ---- */

/* An element of a list with nothing but the keys that it needs, completed as it would be. */
static int dump_reference(struct dump *d, const struct config_key *list, const void *element,
                          void **ret)
{
    const struct config_group *g = list->group(), *top = config_group_top();
    const struct config_reading r = {.memory = config_memory_of(d->scratch)};
    void *ref = config_alloc(r.memory, g->size);
    int err = ref ? config_group_default(g, ref, d->config, &r) : -ERR_NOMEM;
    if (err < 0)
        return err;
    for (size_t i = 0; i < g->n_keys; i++) {
        const struct config_key *k = &g->keys[i];
        if (k->flags & CONFIG_KEY_NEEDED)
            memcpy(config_member(k, ref), config_member_const(k, element), k->size);
    }
    if (list >= top->keys && list < top->keys + top->n_keys) {
        *(void **)config_member(list, d->scratch) = ref;
        *(size_t *)((char *)d->scratch + list->count_offset) = 1;
        err = config_complete(d->scratch, NULL);
    }
    if (err == 0)
        *ret = ref;
    return err;
}

/* What an empty file would give. Names that others derive from are first those of c. */
static int dump_defaults(const struct config *c, struct config *ret)
{
    const struct config_reading r = {.memory = config_memory_of(ret)};
    int err = config_group_default(config_group_top(), ret, NULL, &r);
    const char *state_dir = ret->state_dir, *run_dir = ret->run_dir;
    ret->server_name = c->server_name;
    ret->state_dir = c->state_dir;
    ret->run_dir = c->run_dir;
    if (err == 0)
        err = config_complete(ret, NULL);
    ret->server_name = NULL;
    ret->state_dir = state_dir;
    ret->run_dir = run_dir;
    return err < 0 ? err : config_complete(ret, NULL);
}

/* ---- keys ---- */

static int dump_list(struct dump *d, const struct config_key *k, const void *base, unsigned depth)
{
    size_t n = config_list_count(k, base);
    int err = buf_append_char(d->out, '(');
    for (size_t i = 0; i < n && err == 0; i++) {
        const void *element = config_list_item(k, base, i);
        void *ref = NULL;
        if (i > 0)
            err = buf_append_char(d->out, ',');
        if (err == 0 && d->scratch)
            err = dump_reference(d, k, element, &ref);
        if (err == 0)
            err = dump_indent(d, depth + 1);
        if (err == 0)
            err = dump_group(d, k->group(), element, ref, depth + 1);
    }
    if (err == 0)
        err = dump_indent(d, depth);
    return err < 0 ? err : buf_append_char(d->out, ')');
}

/* Appends nothing for what has no value. */
static int dump_value(struct dump *d, const struct config_key *k, const void *base, const void *ref,
                      unsigned depth)
{
    if (k->type == CONFIG_LIST)
        return config_list_count(k, base) ? dump_list(d, k, base, depth) : 0;
    if (k->type == CONFIG_PART)
        return dump_group(d, k->group(), config_member_const(k, base),
                          ref ? config_member_const(k, ref) : NULL, depth);
    return d->flags & CONFIG_DUMP_SECRETS ? config_value_print(k, base, d->out)
                                          : config_value_print_masked(k, base, d->out);
}

/* Would the whole value of the key be the same? */
static int dump_is_same(const struct dump *d, const struct config_key *k, const void *a,
                        const void *b, bool *ret)
{
    AUTO_SECRET_BUF text_a = BUF_INIT;
    AUTO_SECRET_BUF text_b = BUF_INIT;
    struct dump in_a = {.config = d->config, .flags = CONFIG_DUMP_SECRETS, .out = &text_a};
    struct dump in_b = {.config = d->config, .flags = CONFIG_DUMP_SECRETS, .out = &text_b};
    int err = dump_value(&in_a, k, a, NULL, 0);
    if (err == 0)
        err = dump_value(&in_b, k, b, NULL, 0);
    if (err == 0)
        *ret = str_eq(buf_str(&text_a), buf_str(&text_b));
    return err;
}

static int dump_key(struct dump *d, const struct config_key *k, const void *base, const void *ref,
                    unsigned depth)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    struct dump in = *d;
    bool is_default = false;
    in.out = &text;
    int err = 0;
    if (ref && !(k->flags & CONFIG_KEY_NEEDED))
        err = dump_is_same(d, k, base, ref, &is_default);
    if (err == 0 && !is_default)
        err = dump_value(&in, k, base, ref, depth);
    if (err < 0 || text.len == 0)
        return err;
    err = dump_indent(d, depth);
    if (err == 0)
        err = buf_printf(d->out, "%s = ", k->name);
    if (err == 0)
        err = buf_append_str(d->out, buf_str(&text));
    return err < 0 ? err : buf_append_char(d->out, ';');
}

static int dump_all(struct dump *d, const struct config *ref)
{
    const struct config_group *g = config_group_top();
    AUTO_SECRET_BUF text = BUF_INIT;
    struct buf *out = d->out;
    int err = 0;
    d->out = &text;
    for (size_t i = 0; i < g->n_keys && err == 0; i++)
        err = dump_key(d, &g->keys[i], d->config, ref, 0);
    d->out = out;
    if (err < 0 || text.len == 0)
        return err;
    err = buf_append_str(out, str_trim(buf_str(&text)));
    return err < 0 ? err : buf_append_char(out, '\n');
}

int config_dump(const struct config *c, unsigned flags, struct buf *out)
{
    struct dump d = {.config = c, .flags = flags, .out = out};
    if (!(flags & CONFIG_DUMP_ONLY_SET))
        return dump_all(&d, NULL);
    struct config *ref = config_new();
    d.scratch = config_new();
    int err = ref && d.scratch ? dump_defaults(c, ref) : -ERR_NOMEM;
    if (err == 0)
        err = dump_defaults(c, d.scratch);
    if (err == 0)
        err = dump_all(&d, ref);
    config_unref(ref);
    config_unref(d.scratch);
    return err;
}

int config_group_print_line(const struct config *c, const struct config_key *list,
                            const void *element, struct buf *out)
{
    struct dump d = {.config = c, .is_line = true, .out = out, .scratch = config_new()};
    void *ref = NULL;
    int err = d.scratch ? dump_defaults(c, d.scratch) : -ERR_NOMEM;
    if (err == 0)
        err = dump_reference(&d, list, element, &ref);
    if (err == 0)
        err = dump_group(&d, list->group(), element, ref, 0);
    config_unref(d.scratch);
    return err;
}
