/* SPDX-License-Identifier: ISC */
/* Puts what a directive says among the settings that it belongs to. */
#include "nginx/nginx_put.h"

#include "base/cleanup.h"
#include "config/config_key.h"
#include "nginx/nginx_values.h"

const char nginx_put_why[] = "it holds control characters or is not UTF-8: write it anew";

static struct nginx_settings *put_settings(const struct nginx_job *job, enum nginx_group group)
{
    if (job->listener)
        return &job->listener->settings;
    return job->server && group != NGINX_OF_TOP ? &job->server->groups[group] : &job->import->top;
}

static int put_value(const struct nginx_job *job, enum nginx_group group,
                     const struct nginx_directive *d, const char *key, const char *value)
{
    AUTO_FREE char *from = nginx_origin(job->import, d);
    return from ? nginx_settings_set(put_settings(job, group), key, value, from) : -ERR_NOMEM;
}

int nginx_put(const struct nginx_job *job, const struct nginx_row *row,
              const struct nginx_directive *d, const char *key, const char *value)
{
    return put_value(job, row->group, d, key, value);
}

/* ---- numbers ---- */

const char *nginx_group_path(enum nginx_group group)
{
    static const char *const paths[NGINX_GROUP_COUNT] = {
        [NGINX_OF_TOP] = "",     [NGINX_OF_ALL] = "",          [NGINX_OF_LISTENER] = "listeners[].",
        [NGINX_OF_TLS] = "tls.", [NGINX_OF_POOL] = "pools[].", [NGINX_OF_AUTH] = "auth[]."};
    return paths[group];
}

/* The row of the table of keys; NULL when there is none. */
static const struct config_key *put_key(enum nginx_group group, const char *key)
{
    const struct config_group *g = config_group_top();
    const struct config_key *k = NULL;
    char path[96], name[64];
    (void)snprintf(path, sizeof(path), "%s%s", nginx_group_path(group), key);
    struct str rest = str_of(path);
    while (g && rest.n > 0) {
        struct str part = str_cut(&rest, '.');
        k = str_copy(name, sizeof(name), str_cut(&part, '[')) ? config_key_find(g, name) : NULL;
        g = k && k->group ? k->group() : NULL;
    }
    return rest.n == 0 ? k : NULL;
}

uint64_t nginx_put_within(struct nginx_directive *d, enum nginx_group group, const char *key,
                          uint64_t number)
{
    const struct config_key *k = put_key(group, key);
    char bound[32], remark[128];
    if (!k || (number >= k->min && number <= config_key_max(k)))
        return number;
    uint64_t nearest = number < k->min ? k->min : config_key_max(k);
    config_key_format(k, nearest, bound);
    (void)snprintf(remark, sizeof(remark), "%s is at %s %s", key,
                   number < nearest ? "least" : "most", bound);
    nginx_note(d, NGINX_APPROXIMATE, remark);
    return nearest;
}

int nginx_put_number(const struct nginx_job *job, enum nginx_group group, struct nginx_directive *d,
                     const char *key, uint64_t number)
{
    const struct config_key *k = put_key(group, key);
    char text[32], value[40];
    if (!k)
        return -ERR_INVAL;
    config_key_format(k, nginx_put_within(d, group, key, number), text);
    (void)snprintf(value, sizeof(value), k->type == CONFIG_NUMBER ? "%s" : "\"%s\"", text);
    return put_value(job, group, d, key, value);
}

int nginx_put_numbers(const struct nginx_job *job, const struct nginx_row *row,
                      struct nginx_directive *d, uint64_t number)
{
    struct str rest = str_of(row->keys), key;
    int err = 0;
    while (err == 0 && (key = str_word(&rest)).n > 0) {
        char name[64];
        err = str_copy(name, sizeof(name), key) ? nginx_put_number(job, row->group, d, name, number)
                                                : -ERR_INVAL;
    }
    return err;
}

/* ---- other values ---- */

int nginx_put_all(const struct nginx_job *job, const struct nginx_row *row,
                  const struct nginx_directive *d, const char *value)
{
    struct str rest = str_of(row->keys), key;
    int err = 0;
    while (err == 0 && (key = str_word(&rest)).n > 0) {
        char name[64];
        err = str_copy(name, sizeof(name), key) ? nginx_put(job, row, d, name, value) : -ERR_INVAL;
    }
    return err;
}

int nginx_put_text(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d, const char *key, const char *text)
{
    AUTO_BUF quoted = BUF_INIT;
    int err = nginx_quote(str_of(text), &quoted);
    if (err == -ERR_INVAL) {
        nginx_note(d, NGINX_NO_EQUAL, nginx_put_why);
        return 0;
    }
    const char *value = err == 0 ? buf_cstr(&quoted) : NULL;
    return value ? nginx_put(job, row, d, key, value) : -ERR_NOMEM;
}

struct nginx_settings *nginx_put_group(const struct nginx_job *job, const struct nginx_row *row)
{
    return put_settings(job, row->group);
}

/* Adds a text to a list that several directives make. */
int nginx_put_next(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d, const char *key, const char *text)
{
    const struct nginx_setting *before = nginx_settings_find(nginx_put_group(job, row), key);
    AUTO_BUF list = BUF_INIT;
    int err = before ? buf_append_c(&list, before->value) : 0;
    if (err == 0)
        err = nginx_quote_next(str_of(text), &list);
    if (err == -ERR_INVAL) {
        nginx_note(d, NGINX_NO_EQUAL, nginx_put_why);
        return 0;
    }
    const char *value = err == 0 ? buf_cstr(&list) : NULL;
    return value ? nginx_put(job, row, d, key, value) : -ERR_NOMEM;
}

struct nginx_directive *nginx_kept(const struct nginx_server *s, const char *name)
{
    for (size_t i = 0; i < s->n_kept; i++)
        if (strcmp(s->kept[i]->words[0], name) == 0)
            return s->kept[i];
    return NULL;
}
