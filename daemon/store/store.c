/* SPDX-License-Identifier: ISC */
/* The front of the stores: finds the kind, checks arguments, passes on. */
#include "store/store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "store/store_ops.h"

static const struct store_ops *const kinds[] = {&store_sqlite_ops};

int store_open(const struct store_spec *spec, struct store **ret, char **ret_error)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(str_of(spec->type), str_of(kinds[i]->type)))
            return kinds[i]->open(spec, ret, ret_error);
    *ret_error = str_printf("there is no kind of store called \"%s\"", spec->type);
    return -ERR_UNSUPPORTED;
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}

int store_check(struct store *s, char **ret_error)
{
    return s->ops->check(s, ret_error);
}

int store_user_get(struct store *s, const char *name, struct store_user *ret)
{
    return s->ops->user_get(s, name, ret);
}

int store_user_put(struct store *s, const struct store_user *u, enum store_write how,
                   uint64_t now_ms)
{
    if (!u->name || !u->name[0])
        return -ERR_INVAL;
    return s->ops->user_put(s, u, how, now_ms);
}

int store_user_remove(struct store *s, const char *name)
{
    return s->ops->user_remove(s, name);
}

int store_user_each(struct store *s, const char *after, size_t limit,
                    bool (*fn)(void *arg, const struct store_user *u), void *arg)
{
    return s->ops->user_each(s, after, limit, fn, arg);
}

int store_user_count(struct store *s, uint64_t *ret)
{
    return s->ops->user_count(s, ret);
}

int store_name_each(struct store *s, bool (*fn)(void *arg, const char *name), void *arg)
{
    return s->ops->name_each(s, fn, arg);
}

int store_has_names(struct store *s, bool *ret)
{
    return s->ops->has_names(s, ret);
}

int store_user_import(struct store *s, const struct store_user *users, size_t n,
                      enum store_write how, uint64_t now_ms,
                      bool (*progress)(void *arg, size_t done), void *arg, size_t *ret_added,
                      size_t *ret_changed)
{
    for (size_t i = 0; i < n; i++)
        if (!users[i].name || !users[i].name[0])
            return -ERR_INVAL;
    return s->ops->user_import(s, users, n, how, now_ms, progress, arg, ret_added, ret_changed);
}

int store_user_logins(struct store *s, const struct store_login *v, size_t n)
{
    return n > 0 ? s->ops->user_logins(s, v, n) : 0;
}

int store_runtime_put(struct store *s, const char *kind, const char *name, const char *json,
                      uint64_t now_ms)
{
    return s->ops->runtime_put(s, kind, name, json, now_ms);
}

int store_runtime_remove(struct store *s, const char *kind, const char *name)
{
    return s->ops->runtime_remove(s, kind, name);
}

int store_runtime_set(struct store *s, const char *kind, const char *name, const char *json)
{
    if (json)
        return store_runtime_put(s, kind, name, json, clock_wall_ms());
    int err = store_runtime_remove(s, kind, name);
    return err == -ERR_NOT_FOUND ? 0 : err;
}

int store_runtime_each(struct store *s,
                       bool (*fn)(void *arg, const char *kind, const char *name, const char *json,
                                  uint64_t at_ms),
                       void *arg)
{
    return s->ops->runtime_each(s, fn, arg);
}

int store_audit_add(struct store *s, const struct store_audit *a)
{
    return s->ops->audit_add(s, a);
}

int store_audit_each(struct store *s, uint64_t before_id, size_t limit,
                     bool (*fn)(void *arg, const struct store_audit *a), void *arg)
{
    return s->ops->audit_each(s, before_id, limit, fn, arg);
}

int store_audit_expire(struct store *s, uint64_t at_ms)
{
    return s->ops->audit_expire(s, at_ms);
}
