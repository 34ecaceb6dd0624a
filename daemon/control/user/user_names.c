/* SPDX-License-Identifier: ISC */
/* The names of the store and those of the sessions, merged. */
#include "control/user/user_names.h"

#include "limits/limits.h"
#include "runtime/rules/limit_service.h"

const char *user_judge(const struct control *c)
{
    const struct config *config = control_snapshot(c)->config;
    for (size_t i = 0; i < config->n_auths; i++)
        if (config->auths[i].type != AUTH_TYPE_USERS)
            return config_auth_type_name(config->auths[i].type);
    return NULL;
}

/* Those of a stripe. 0, or -ERR_NOMEM. */
static int user_names_add(struct user_names *names, size_t max, struct limit_users *t)
{
    int err = 0;
    pthread_mutex_lock(&t->lock);
    LIST_FOREACH (it, &t->all) {
        const struct limit_user *u = LIST_ITEM(it, struct limit_user, link);
        if (u->sessions == 0 || names->n == max || err < 0)
            continue;
        names->v[names->n++] = (struct user_name){.at = names->text.len, .sessions = u->sessions};
        err = buf_append(&names->text, u->name, strlen(u->name) + 1);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

int user_names_take(const struct control *c, struct user_names *ret)
{
    struct limits *l = limit_service_limits(c->limit_service);
    size_t n = limits_count(l).users; /* who comes meanwhile may be in the next list */
    int err = 0;
    ret->v = calloc(n + 1, sizeof(*ret->v));
    if (!ret->v)
        return -ERR_NOMEM;
    for (size_t i = 0; i < l->n_stripes && err == 0; i++)
        err = user_names_add(ret, n, &l->users[i]);
    return err;
}

void user_names_fini(struct user_names *names)
{
    buf_fini(&names->text);
    free(names->v);
    *names = (struct user_names){0};
}

/* ---- merging ---- */

struct names_walk {
    struct user_names *names;
    size_t at; /* the next one */
    bool (*fn)(void *arg, const struct store_user *u, uint64_t sessions);
    void *arg;
    bool is_stopped;
};

static const char *name_text(const struct user_names *names, size_t i)
{
    return buf_str(&names->text).p + names->v[i].at;
}

/* The order of the store: bytes. */
static int name_compare(const void *a, const void *b, void *text)
{
    const struct user_name *x = a, *y = b;
    return strcmp((const char *)text + x->at, (const char *)text + y->at);
}

/* Those with sessions before a name of the store; NULL = all that are left. */
static void names_pass_on(struct names_walk *w, const char *before)
{
    while (!w->is_stopped && w->at < w->names->n) {
        const char *name = name_text(w->names, w->at);
        if (before && strcmp(name, before) >= 0)
            return;
        const struct store_user u = {.name = (char *)name};
        w->is_stopped = !w->fn(w->arg, &u, w->names->v[w->at++].sessions);
    }
}

static bool names_stored(void *arg, const struct store_user *u)
{
    struct names_walk *w = arg;
    names_pass_on(w, u->name);
    if (w->is_stopped)
        return false;
    bool has_sessions = w->at < w->names->n && strcmp(name_text(w->names, w->at), u->name) == 0;
    uint64_t sessions = has_sessions ? w->names->v[w->at++].sessions : 0;
    w->is_stopped = !w->fn(w->arg, u, sessions);
    return !w->is_stopped;
}

static void names_sort(struct user_names *names)
{
    if (!names->is_sorted)
        qsort_r(names->v, names->n, sizeof(*names->v), name_compare,
                (void *)buf_str(&names->text).p);
    names->is_sorted = true;
}

int user_names_each(struct store *store, struct user_names *names, const char *after,
                    bool (*fn)(void *arg, const struct store_user *u, uint64_t sessions), void *arg)
{
    struct names_walk w = {.names = names, .fn = fn, .arg = arg};
    names_sort(names);
    while (after && w.at < names->n && strcmp(name_text(names, w.at), after) <= 0)
        w.at++;
    int err = store_user_each(store, after, SIZE_MAX, names_stored, &w);
    if (err == 0)
        names_pass_on(&w, NULL);
    return err;
}

/* ---- counting ---- */

struct names_count {
    const struct user_names *names;
    size_t at;
    uint64_t n, offset;
    char *before; /* the last one of the first offset */
    int err;
};

static void names_count_one(struct names_count *c, const char *name)
{
    c->n++;
    if (c->n == c->offset && !(c->before = str_dup_c(name)))
        c->err = -ERR_NOMEM;
}

/* One of the store; those with sessions before it are further ones. */
static bool names_count_stored(void *arg, const char *name)
{
    struct names_count *c = arg;
    int order = 1;
    while (c->at < c->names->n && (order = strcmp(name_text(c->names, c->at), name)) < 0)
        names_count_one(c, name_text(c->names, c->at++));
    c->at += c->at < c->names->n && order == 0;
    names_count_one(c, name);
    return c->err == 0;
}

int user_names_count(struct store *store, struct user_names *names, uint64_t offset,
                     uint64_t *ret_n, char **ret_before)
{
    struct names_count c = {.names = names, .offset = offset};
    bool is_more = true; /* than accounts */
    *ret_before = NULL;
    int err = names->n == 0 && offset == 0 ? store_has_names(store, &is_more) : 0;
    if (err < 0 || !is_more)
        return err < 0 ? err : store_user_count(store, ret_n);
    names_sort(names);
    err = store_name_each(store, names_count_stored, &c);
    while (c.err == 0 && c.at < names->n)
        names_count_one(&c, name_text(names, c.at++));
    *ret_n = c.n;
    *ret_before = c.before;
    return err < 0 ? err : c.err;
}
