/* SPDX-License-Identifier: ISC */
/* Pools that are changed beside the file: their keys one by one, and a config that has them. */
#include "config/config_pool.h"

#include "base/cleanup.h"
#include "base/units.h"
#include "config/config_key.h"

/* ---- the keys ---- */

#define KEY(name, ...) {#name, #name},
#define PART(...)
#define LIST(...)
static const struct {
    const char *name, *path;
} keys[] = {
#include "config/pool_keys.def"
#undef KEY
#define KEY(name, ...) {"check_" #name, "check." #name},
#include "config/check_keys.def"
#undef KEY
#undef PART
#undef LIST
};

size_t config_pool_keys(void)
{
    return ARRAY_LEN(keys);
}

const char *config_pool_key_name(size_t i)
{
    return keys[i].name;
}

const char *config_pool_key_path(size_t i)
{
    return keys[i].path;
}

/* *ret_at: where the struct of its group is in a pool. */
static const struct config_key *pool_key(size_t i, size_t *ret_at)
{
    const struct config_group *g = config_key_find(config_group_top(), "pools")->group();
    const char *dot = strchr(keys[i].path, '.');
    *ret_at = 0;
    if (!dot)
        return config_key_find(g, keys[i].path);
    *ret_at = offsetof(struct config_pool, check);
    return config_key_find(config_key_find(g, "check")->group(), dot + 1);
}

enum config_pool_kind config_pool_key_kind(size_t i)
{
    static const enum config_pool_kind kinds[CONFIG_TYPE_COUNT] = {
        [CONFIG_BOOL] = POOL_KEY_BOOL,
        [CONFIG_NUMBER] = POOL_KEY_NUMBER,
        [CONFIG_DURATION] = POOL_KEY_DURATION};
    size_t at;
    return kinds[pool_key(i, &at)->type];
}

bool config_pool_key_is_live(size_t i)
{
    size_t at;
    const struct config_key *k = pool_key(i, &at);
    return k->type != CONFIG_NAME && k->type != CONFIG_PATH;
}

int config_pool_key_find(const char *name, size_t *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i].name, name) == 0) {
            *ret = i;
            return 0;
        }
    return -ERR_NO_PARAM;
}

/* ---- values ---- */

static bool key_is_text(const struct config_key *k)
{
    return k->type == CONFIG_TEXT || k->type == CONFIG_NAME || k->type == CONFIG_PATH;
}

int config_pool_print(const struct config_pool *p, size_t key, struct buf *out)
{
    size_t at;
    const struct config_key *k = pool_key(key, &at);
    const void *base = (const char *)p + at;
    AUTO_BUF value = BUF_INIT;
    if (key_is_text(k)) {
        const char *text = *(const char *const *)config_member_const(k, base);
        return text ? buf_append_c(out, text) : 0;
    }
    int err = config_value_print(k, base, &value);
    struct str rest = buf_str(&value);
    /* Words and units have no characters of the file's grammar in them. */
    for (size_t i = 0; i < rest.n && err == 0; i++)
        if (!memchr("\"[] ", rest.p[i], 4))
            err = buf_append_char(out, rest.p[i]);
    return err;
}

uint64_t config_pool_number(const struct config_pool *p, size_t key)
{
    AUTO_BUF text = BUF_INIT;
    uint64_t n = 0;
    enum config_pool_kind kind = config_pool_key_kind(key);
    if (kind == POOL_KEY_TEXT || config_pool_print(p, key, &text) < 0)
        return 0;
    if (kind == POOL_KEY_BOOL)
        return str_eq(buf_str(&text), STR("true"));
    int err = kind == POOL_KEY_DURATION ? units_parse_duration(buf_str(&text), &n)
                                        : str_to_u64(buf_str(&text), UINT64_MAX, &n);
    return err < 0 ? 0 : n;
}

#define POOL_WORDS_MAX 16

int config_pool_set(struct config *derived, struct config_pool *p, size_t key, const char *text,
                    char **ret_error)
{
    size_t at;
    const struct config_key *k = pool_key(key, &at);
    char *base = (char *)p + at;
    AUTO_BUF why = BUF_INIT;
    AUTO_FREE char *list = str_dup_c(text);
    /* The kind of value that the file would have; of another one the setter says what it wants. */
    struct config_value items[POOL_WORDS_MAX], v = {.kind = VALUE_TEXT, .text = text};
    uint64_t n;
    bool is_true = strcmp(text, "true") == 0;
    if (k->type == CONFIG_BOOL && (is_true || strcmp(text, "false") == 0))
        v = (struct config_value){.kind = VALUE_BOOL, .number = is_true};
    if (k->type == CONFIG_NUMBER && str_to_u64(str_of(text), INT64_MAX, &n) == 0)
        v = (struct config_value){.kind = VALUE_INT, .number = (int64_t)n};
    const struct config_reading r = {.memory = config_memory_of(derived), .error = &why};
    if (!list)
        return -ERR_NOMEM;
    if (key_is_text(k) && !*text) {
        *(const char **)config_member(k, base) = NULL;
        return 0;
    }
    if (k->type == CONFIG_WORDS) {
        /* Several words; their texts borrow from list, which is cut into them. */
        v = (struct config_value){.kind = VALUE_ITEMS, .items = items};
        for (char *word = list, *next; word && v.n_items < POOL_WORDS_MAX; word = next) {
            next = strchr(word, ',');
            if (next)
                *next++ = '\0';
            items[v.n_items++] = (struct config_value){.kind = VALUE_TEXT, .text = word};
        }
    }
    int err = config_value_set(k, base, &v, &r);
    if (err == -ERR_CONFIG) {
        const char *sentence = buf_cstr(&why);
        *ret_error = str_printf("%s: %s", keys[key].path, sentence ? sentence : "");
    }
    return err;
}

/* ---- a config with other pools ---- */

int config_derive(struct config *c, size_t n_more, struct config **ret)
{
    struct config *d = config_new();
    if (!d)
        return -ERR_NOMEM;
    *d = *c;
    d->refs = 1;
    d->files = c->files ? files_ref(c->files) : NULL;
    d->base = config_ref(c);
    d->pools = config_alloc(config_memory_of(d), (c->n_pools + n_more + 1) * sizeof(*d->pools));
    if (!d->pools) {
        config_unref(d);
        return -ERR_NOMEM;
    }
    if (c->n_pools > 0)
        memcpy(d->pools, c->pools, c->n_pools * sizeof(*d->pools));
    *ret = d;
    return 0;
}

const struct config *config_base(const struct config *c)
{
    return c->base ? c->base : c;
}

int config_pool_init(struct config *derived, struct config_pool *p, const char *name,
                     const struct config_pool *like)
{
    const struct config_reading r = {.memory = config_memory_of(derived)};
    *p = (struct config_pool){0};
    int err = 0;
    if (like)
        *p = *like;
    else
        err = config_group_default(config_key_find(config_group_top(), "pools")->group(), p, NULL,
                                   &r);
    p->backends = NULL;
    p->n_backends = 0;
    p->name = config_alloc_text(r.memory, str_of(name));
    return err < 0 ? err : p->name ? 0 : -ERR_NOMEM;
}
