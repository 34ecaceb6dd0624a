/* SPDX-License-Identifier: ISC */
/* Puts what a directive says among the settings that it belongs to. */
#include "nginx/nginx_put.h"

#include "base/cleanup.h"
#include "nginx/nginx_values.h"

const char nginx_put_why[] = "it holds control characters or is not UTF-8: write it anew";

static struct nginx_settings *put_settings(const struct nginx_job *job, enum nginx_group group)
{
    if (job->listener)
        return &job->listener->settings;
    return job->server && group != NGINX_OF_TOP ? &job->server->groups[group] : &job->import->top;
}

int nginx_put(const struct nginx_job *job, const struct nginx_row *row,
              const struct nginx_directive *d, const char *key, const char *value)
{
    AUTO_FREE char *from = nginx_origin(job->import, d);
    return from ? nginx_settings_set(put_settings(job, row->group), key, value, from) : -ERR_NOMEM;
}

/* Sets all keys of a row to one value. */
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
