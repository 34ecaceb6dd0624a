/* SPDX-License-Identifier: ISC */
/* Reading a file: the only place that knows libconfig. Follows the key table and collects what is
 * wrong. */
#include <libconfig.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config_hosts.h"
#include "config/config_places.h"

struct read {
    struct config *config;
    struct config_source source;
    struct config_places places;
    struct config_problems *problems;
    struct config_reading reading;
    struct buf error;
    struct files *given; /* contents of the files; NULL = they are read from the disk */
};

/* Notes where a key stands. */
static int read_place(struct read *r, const char *key, const config_setting_t *s)
{
    const char *file;
    unsigned line;
    config_source_place(&r->source, config_setting_source_line(s), &file, &line);
    return config_places_add(&r->places, key, file, line);
}

/* A problem at a key of the file. */
static void read_bad(struct read *r, const char *key, const char *text)
{
    const char *file;
    unsigned line = config_place_line(&r->places, key, &file);
    config_problem_add(r->problems, file, line, key, false, "%s", text);
}

/* ---- values ---- */

static struct config_value read_scalar(const config_setting_t *s)
{
    struct config_value v = {.kind = VALUE_OTHER, .name = config_setting_name(s)};
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_BOOL:
        v.kind = VALUE_BOOL;
        v.number = config_setting_get_bool(s);
        break;
    case CONFIG_TYPE_INT:
        v.kind = VALUE_INT;
        v.number = config_setting_get_int(s);
        break;
    case CONFIG_TYPE_INT64:
        v.kind = VALUE_INT;
        v.number = config_setting_get_int64(s);
        break;
    case CONFIG_TYPE_STRING:
        v.kind = VALUE_TEXT;
        v.text = config_setting_get_string(s);
        break;
    default:
        break;
    }
    return v;
}

/* *ret_items: owned array that the value borrows. */
static int read_value(config_setting_t *s, struct config_value *ret,
                      struct config_value **ret_items)
{
    *ret = read_scalar(s);
    if (!config_setting_is_aggregate(s))
        return 0;
    size_t n = (size_t)config_setting_length(s);
    struct config_value *items = calloc(n + 1, sizeof(*items));
    if (!items)
        return -ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        items[i] = read_scalar(config_setting_get_elem(s, (unsigned)i));
    ret->kind = config_setting_is_group(s) ? VALUE_FIELDS : VALUE_ITEMS;
    ret->items = items;
    ret->n_items = n;
    *ret_items = items;
    return 0;
}

/* A wrong value is reported, and the default takes its place for the checks that follow. */
static int read_key(struct read *r, const struct config_key *k, void *base, config_setting_t *s,
                    const char *path)
{
    AUTO_FREE struct config_value *items = NULL;
    struct config_value v;
    int err = read_value(s, &v, &items);
    if (err < 0)
        return err;
    err = config_value_set(k, base, &v, &r->reading);
    if (err != -ERR_CONFIG)
        return err;
    const char *text = buf_cstr(&r->error);
    if (!text)
        return -ERR_NOMEM;
    read_bad(r, path, text);
    buf_clear(&r->error);
    return config_value_default(k, base, &r->reading);
}

/* ---- groups ---- */

static int read_group(struct read *r, const struct config_group *g, void *base, config_setting_t *s,
                      const char *path);

static int read_element(struct read *r, const struct config_key *k, void *base, config_setting_t *s,
                        const char *path)
{
    int err = read_place(r, path, s);
    if (err == 0)
        err = config_group_default(k->group(), base, r->config, &r->reading);
    if (err < 0)
        return err;
    if (config_setting_is_group(s))
        return read_group(r, k->group(), base, s, path);
    read_bad(r, path, "must be a group: { ... }");
    return 0;
}

static int read_list(struct read *r, const struct config_key *k, void *base, config_setting_t *s,
                     const char *path)
{
    bool is_empty = config_setting_is_array(s) && config_setting_length(s) == 0;
    if (!config_setting_is_list(s) && !is_empty) {
        read_bad(r, path, "must be a list of groups: ( { ... }, { ... } )");
        return 0;
    }
    size_t n = (size_t)config_setting_length(s), size = k->group()->size;
    char *items = config_alloc(r->reading.memory, n * size);
    if (!items)
        return -ERR_NOMEM;
    *(void **)config_member(k, base) = items;
    *(size_t *)((char *)base + k->count_offset) = n;
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        AUTO_FREE char *place = str_printf("%s[%zu]", path, i);
        config_setting_t *element = config_setting_get_elem(s, (unsigned)i);
        err = place ? read_element(r, k, items + i * size, element, place) : -ERR_NOMEM;
    }
    return err;
}

static char *read_path(const char *path, const char *name)
{
    return *path ? str_printf("%s.%s", path, name) : str_dup_c(name);
}

static int read_unknown(struct read *r, const struct config_group *g, config_setting_t *s,
                        const char *path)
{
    const char *name = config_setting_name(s);
    AUTO_FREE char *place = read_path(path, name);
    int err = place ? read_place(r, place, s) : -ERR_NOMEM;
    if (err < 0)
        return err;
    const char *near = config_key_nearest(g, name);
    AUTO_FREE char *text =
        near ? str_printf("is not known; did you mean \"%s\"?", near) : str_dup_c("is not known");
    if (!text)
        return -ERR_NOMEM;
    read_bad(r, place, text);
    return 0;
}

/* The members have their defaults already. */
static int read_group(struct read *r, const struct config_group *g, void *base, config_setting_t *s,
                      const char *path)
{
    int err = 0;
    for (size_t i = 0; i < g->n_keys && err == 0; i++) {
        const struct config_key *k = &g->keys[i];
        config_setting_t *member = config_setting_get_member(s, k->name);
        AUTO_FREE char *place = read_path(path, k->name);
        if (!place)
            return -ERR_NOMEM;
        if (member)
            err = read_place(r, place, member);
        else if (k->flags & CONFIG_KEY_NEEDED)
            read_bad(r, place, "is missing");
        if (!member || err < 0)
            continue;
        if (k->type == CONFIG_LIST)
            err = read_list(r, k, base, member, place);
        else if (k->type != CONFIG_PART)
            err = read_key(r, k, base, member, place);
        else if (config_setting_is_group(member))
            err = read_group(r, k->group(), config_member(k, base), member, place);
        else
            read_bad(r, place, "must be a group: { ... }");
    }
    for (int i = 0; i < config_setting_length(s) && err == 0; i++) {
        config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
        if (!config_key_find(g, config_setting_name(member)))
            err = read_unknown(r, g, member, path);
    }
    return err;
}

/* ---- the whole file ---- */

static int read_tree(struct read *r)
{
    config_t tree;
    int err = 0;
    config_init(&tree);
    if (!config_read_string(&tree, buf_cstr(&r->source.text))) {
        const char *file;
        unsigned line;
        config_source_place(&r->source, (unsigned)config_error_line(&tree), &file, &line);
        const char *words = config_error_text(&tree);
        const char *reason =
            strcmp(words, "syntax error") == 0
                ? config_syntax_reason(buf_str(&r->source.text), (unsigned)config_error_line(&tree))
                : NULL;
        config_problem_add(r->problems, file, line, "", false, "%s%s%s", words, reason ? ": " : "",
                           reason ? reason : "");
        err = -ERR_CONFIG;
    }
    if (err == 0)
        err = config_group_default(config_group_top(), r->config, NULL, &r->reading);
    if (err == 0)
        err = read_group(r, config_group_top(), r->config, config_root_setting(&tree), "");
    config_destroy(&tree);
    return err;
}

/* What is wrong already is not told again. */
static int read_fleet(struct read *r)
{
    const char *key = NULL;
    AUTO_FREE char *why = NULL;
    for (size_t i = 0; i < r->problems->n; i++)
        if (!r->problems->v[i].is_warning)
            return 0;
    int err = config_fleet_derive(r->config, &key, &why);
    if (err != -ERR_CONFIG)
        return err;
    const char *file;
    unsigned line = config_place_line(&r->places, key, &file);
    config_problem_add(r->problems, file, line, key, false, "%s", why ? why : err_text(err));
    return 0;
}

/* Reads into r->config; problems are those of reading and of the checks after it. */
static int read_config(struct read *r)
{
    r->places.file = r->source.files[0];
    r->reading = (struct config_reading){config_memory_of(r->config), .folder = r->source.folder,
                                         .error = &r->error};
    r->config->path = config_alloc_text(r->reading.memory, str_of(r->source.files[0]));
    int err = r->config->path ? 0 : -ERR_NOMEM;
    if (r->given)
        r->config->files = files_ref(r->given);
    else if (err == 0)
        err = files_new(&r->config->files);
    if (err == 0)
        err = read_tree(r);
    if (err == 0 && !r->given) /* a text that was made of a config has addresses only */
        err = config_hosts_resolve(r->config, &r->places, &config_hosts_system, r->problems);
    if (err == 0)
        err = config_complete(r->config, &r->places);
    if (err == 0)
        config_check(r->config, &r->places, !r->given, r->problems);
    if (err == 0)
        err = read_fleet(r);
    if (r->config->files)
        files_close(r->config->files);
    return err;
}

static size_t read_file_index(const struct config_source *s, const char *file)
{
    size_t i = 0;
    while (i < s->n_files && strcmp(s->files[i], file ? file : "") != 0)
        i++;
    return i;
}

/* In the order of the file, as people mend it. */
static void read_sort(const struct config_source *s, struct config_problems *p)
{
    for (size_t i = 1; i < p->n; i++) {
        struct config_problem q = p->v[i];
        size_t file = read_file_index(s, q.file), to = i;
        for (; to > 0; to--) {
            size_t other = read_file_index(s, p->v[to - 1].file);
            if (other < file || (other == file && p->v[to - 1].line <= q.line))
                break;
            p->v[to] = p->v[to - 1];
        }
        p->v[to] = q;
    }
}

/* From r->source, which is freed. */
static int read_all(struct read *r, struct config **ret)
{
    r->config = config_new();
    int err = r->config ? read_config(r) : -ERR_NOMEM;
    for (size_t i = 0; i < r->problems->n && err == 0; i++)
        if (!r->problems->v[i].is_warning)
            err = -ERR_CONFIG;
    read_sort(&r->source, r->problems);
    config_places_fini(&r->places);
    buf_fini(&r->error);
    config_source_fini(&r->source);
    if (err < 0)
        config_unref(r->config);
    else
        *ret = r->config;
    return err;
}

int config_load(const char *path, struct config **ret, struct config_problems *ret_problems)
{
    struct read r = {.problems = ret_problems};
    int err = config_source_read(path, &r.source, ret_problems);
    return err < 0 ? err : read_all(&r, ret);
}

int config_load_text(const char *name, struct str text, struct files *files, struct config **ret,
                     struct config_problems *ret_problems)
{
    struct read r = {.problems = ret_problems, .given = files};
    int err = config_source_text(name, text, &r.source, ret_problems);
    return err < 0 ? err : read_all(&r, ret);
}

int config_load_to_start(const char *path, struct config **ret,
                         struct config_problems *ret_problems)
{
    struct config *c = NULL;
    int err = config_load(path, &c, ret_problems);
    if (err < 0)
        return err;
    if (geteuid() == 0 && !c->user) {
        config_problem_add(ret_problems, c->path, 0, "user", false, "%s",
                           "is missing: the daemon would stay root; name the user that it "
                           "becomes, or \"root\" if it has to stay root");
        config_unref(c);
        return -ERR_CONFIG;
    }
    *ret = c;
    return 0;
}
