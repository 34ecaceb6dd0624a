/* SPDX-License-Identifier: ISC */
/* The life of a config, and the list of problems of a file. */
#include "config/config.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/container/list.h"
#include "config/config_key.h"

struct config_block {
    struct config_block *next;
    max_align_t data[];
};

struct config_memory {
    struct config_block *blocks;
    struct config config;
};

void *config_alloc(struct config_memory *m, size_t n)
{
    struct config_block *b = calloc(1, sizeof(*b) + n);
    if (!b)
        return NULL;
    b->next = m->blocks;
    m->blocks = b;
    return b->data;
}

char *config_alloc_text(struct config_memory *m, struct str s)
{
    char *copy = config_alloc(m, s.n + 1);
    if (copy && s.n)
        memcpy(copy, s.p, s.n);
    return copy;
}

struct config_memory *config_memory_of(struct config *c)
{
    return CONTAINER_OF(c, struct config_memory, config);
}

struct config *config_new(void)
{
    struct config_memory *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->config.refs = 1;
    return &m->config;
}

struct config *config_ref(struct config *c)
{
    __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void config_unref(struct config *c)
{
    if (!c || __atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    struct config_memory *m = config_memory_of(c);
    explicit_bzero(c->fleet.secret, sizeof(c->fleet.secret));
    if (c->fleet.password && !c->base) /* that of a derived one is its base's */
        explicit_bzero(c->fleet.password, strlen(c->fleet.password));
    files_unref(c->files);
    config_unref(c->base);
    for (struct config_block *b = m->blocks; b;) {
        struct config_block *next = b->next;
        free(b);
        b = next;
    }
    free(m);
}

const struct config_pool *config_pool_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_pools; i++)
        if (strcmp(c->pools[i].name, name) == 0)
            return &c->pools[i];
    return NULL;
}

const struct config_backend *config_backend_find(const struct config_pool *pool, const char *name)
{
    for (size_t i = 0; pool && i < pool->n_backends; i++)
        if (strcmp(pool->backends[i].name, name) == 0)
            return &pool->backends[i];
    return NULL;
}

size_t config_auth_find(const struct config *c, const char *name)
{
    size_t i = 0;
    while (i < c->n_auths && !(c->auths[i].name && strcmp(c->auths[i].name, name) == 0))
        i++;
    return i;
}

const struct config_listener *config_listener_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        if (strcmp(c->listeners[i].name, name) == 0)
            return &c->listeners[i];
    return NULL;
}

void config_problem_add(struct config_problems *p, const char *file, unsigned line, const char *key,
                        bool is_warning, const char *fmt, ...)
{
    /* What is said of a value that was not understood is about the one in its place. */
    for (size_t i = 0; is_warning && *key && i < p->n; i++)
        if (!p->v[i].is_warning && p->v[i].line == line && strcmp(p->v[i].key, key) == 0)
            return;
    struct config_problem *v = realloc(p->v, (p->n + 1) * sizeof(*v));
    if (!v)
        return;
    p->v = v;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    v[p->n] = (struct config_problem){.file = str_dup_c(file),
                                      .line = line,
                                      .key = str_dup_c(key),
                                      .text = str_dup_c(text),
                                      .is_warning = is_warning};
    p->n++;
}

void config_problems_fini(struct config_problems *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].file);
        free(p->v[i].key);
        free(p->v[i].text);
    }
    free(p->v);
    *p = (struct config_problems){0};
}

int config_problems_format(const struct config_problems *p, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < p->n && err == 0; i++) {
        const struct config_problem *q = &p->v[i];
        if (q->file)
            err = q->line ? buf_printf(out, "%s:%u: ", q->file, q->line)
                          : buf_printf(out, "%s: ", q->file);
        if (err == 0 && q->is_warning)
            err = buf_append_c(out, "warning: ");
        if (err == 0 && q->key && *q->key)
            err = buf_printf(out, "%s: ", q->key);
        if (err == 0)
            err = buf_printf(out, "%s\n", q->text ? q->text : err_text(ERR_NOMEM));
    }
    return err;
}

void config_problems_say(struct config_problems *p)
{
    AUTO_BUF text = BUF_INIT;
    if (p->n > 0 && config_problems_format(p, &text) == 0)
        log_write_stderr(text.data + text.start, text.len);
    config_problems_fini(p);
}

void config_problems_log(const struct config_problems *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct config_problem *q = &p->v[i];
        AUTO_FREE char *place = q->file && q->line ? str_printf("%s:%u", q->file, q->line) : NULL;
        if (q->is_warning)
            LOG_EVENT(LOG_LEVEL_WARN, "config-warning", KV_STR("at", place ? place : q->file),
                      KV_STR("key", q->key && *q->key ? q->key : NULL), KV_STR("detail", q->text));
    }
}

bool config_limits_trust(const struct config_limits *l, const struct addr *a)
{
    for (size_t i = 0; i < l->trusted.n; i++)
        if (addr_net_has(&l->trusted.v[i], a))
            return true;
    return a->family == AF_UNIX;
}
