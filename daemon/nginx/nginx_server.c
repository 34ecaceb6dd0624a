/* SPDX-License-Identifier: ISC */
/* Settings and what they come from. */
#include "nginx/nginx_server.h"

#include "base/cleanup.h"

static void setting_fini(struct nginx_setting *s)
{
    free(s->key);
    free(s->value);
    free(s->from);
}

void nginx_settings_fini(struct nginx_settings *s)
{
    for (size_t i = 0; i < s->n; i++)
        setting_fini(&s->v[i]);
    free(s->v);
    *s = (struct nginx_settings){0};
}

const struct nginx_setting *nginx_settings_find(const struct nginx_settings *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].key, key) == 0)
            return &s->v[i];
    return NULL;
}

void nginx_settings_drop(struct nginx_settings *s, const char *key)
{
    struct nginx_setting *found = (struct nginx_setting *)nginx_settings_find(s, key);
    if (!found)
        return;
    setting_fini(found);
    s->n--;
    memmove(found, found + 1, (size_t)(s->v + s->n - found) * sizeof(*found));
}

int nginx_settings_set(struct nginx_settings *s, const char *key, const char *value,
                       const char *from)
{
    struct nginx_setting *found = (struct nginx_setting *)nginx_settings_find(s, key);
    struct nginx_setting next = {
        .key = str_dup_c(key),
        .value = str_dup_c(value),
        .from = found && found->from && from ? nginx_origins(found->from, from) : str_dup_c(from),
    };
    struct nginx_setting *v = found ? s->v : realloc(s->v, (s->n + 1) * sizeof(*v));
    if (v)
        s->v = v;
    if (!v || !next.key || !next.value || (from && !next.from)) {
        setting_fini(&next);
        return -ERR_NOMEM;
    }
    if (found)
        setting_fini(found);
    else
        found = &s->v[s->n++];
    *found = next;
    return 0;
}

bool nginx_settings_eq(const struct nginx_settings *a, const struct nginx_settings *b)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct nginx_setting *other = nginx_settings_find(b, a->v[i].key);
        if (!other || strcmp(other->value, a->v[i].value) != 0)
            return false;
    }
    return a->n == b->n;
}

int nginx_fail(struct nginx_import *im, const struct nginx_directive *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int err = buf_printf(im->error, "%s:%u: ", d->file ? d->file : "nginx", d->line);
    if (err == 0 && d->n_words > 0)
        err = BUF_APPEND(im->error, d->words[0], ": ");
    if (err == 0)
        err = buf_vprintf(im->error, fmt, ap);
    va_end(ap);
    return err < 0 ? err : -ERR_CONFIG;
}

char *nginx_origin(const struct nginx_import *im, const struct nginx_directive *d)
{
    AUTO_BUF out = BUF_INIT;
    size_t n = strlen(im->folder);
    if (d->file) {
        bool is_below = strncmp(d->file, im->folder, n) == 0 && d->file[n] == '/';
        return str_printf("%s, %s:%u", d->words[0], d->file + (is_below ? n + 1 : 0), d->line);
    }
    int err = buf_append_c(&out, "nginx's default:");
    for (size_t i = 0; i < d->n_words && err == 0; i++)
        err = BUF_APPEND(&out, " ", d->words[i]);
    return err < 0 ? NULL : buf_steal(&out);
}

char *nginx_origins(const char *a, const char *b)
{
    const char *last = strrchr(a, ';'), *colon = strrchr(b, ':');
    const char *part = last ? last + 2 : a;
    size_t n = colon ? (size_t)(colon - b) + 1 : 0;
    bool is_line = n > 0 && colon[1] >= '0' && colon[1] <= '9';
    if (strstr(a, b))
        return str_dup_c(a);
    return is_line && strncmp(part, b, n) == 0 ? str_printf("%s, %s", a, colon + 1)
                                               : str_printf("%s; %s", a, b);
}

char *nginx_path(const struct nginx_import *im, const char *name)
{
    return name[0] == '/' ? str_dup_c(name) : str_printf("%s/%s", im->folder, name);
}
