/* SPDX-License-Identifier: ISC */
/* A list of resolvers, told apart by what they were made from. */
#include "io/resolver_set.h"

#include <stdlib.h>

#include "base/container/list.h"

struct member {
    struct list link;
    struct resolver *resolver;
};

struct resolver_set {
    struct loop *loop;
    struct list members; /* the first is the first */
};

static void member_free(struct member *m)
{
    list_del(&m->link);
    resolver_free(m->resolver);
    free(m);
}

static int member_new(struct resolver_set *s, const struct resolver_spec *spec, struct member **ret)
{
    struct member *m = calloc(1, sizeof(*m));
    if (!m)
        return -ERR_NOMEM;
    list_add_tail(&s->members, &m->link);
    int err = resolver_new(s->loop, spec, &m->resolver);
    if (err < 0) {
        member_free(m);
        return err;
    }
    *ret = m;
    return 0;
}

static struct member *set_first(const struct resolver_set *s)
{
    return LIST_ITEM(s->members.next, struct member, link);
}

int resolver_set_new(struct loop *l, const struct resolver_spec *first, struct resolver_set **ret)
{
    struct member *m;
    struct resolver_set *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->loop = l;
    list_init(&s->members);
    int err = member_new(s, first, &m);
    if (err < 0) {
        free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void resolver_set_free(struct resolver_set *s)
{
    if (!s)
        return;
    while (!list_is_empty(&s->members))
        member_free(set_first(s));
    free(s);
}

struct resolver *resolver_set_first(const struct resolver_set *s)
{
    return set_first(s)->resolver;
}

int resolver_set_get(struct resolver_set *s, const struct resolver_spec *spec,
                     struct resolver **ret)
{
    struct member *m = NULL;
    LIST_FOREACH_SAFE (it, &s->members) {
        m = LIST_ITEM(it, struct member, link);
        if (resolver_is_like(m->resolver, spec)) {
            *ret = m->resolver;
            return 0;
        }
    }
    int err = member_new(s, spec, &m);
    if (err == 0)
        *ret = m->resolver;
    return err;
}

int resolver_set_configure(struct resolver_set *s, const struct resolver_spec *specs, size_t n)
{
    struct member *first = set_first(s);
    int err = resolver_configure(first->resolver, &specs[0]);
    LIST_FOREACH_SAFE (it, &s->members) {
        struct member *m = LIST_ITEM(it, struct member, link);
        bool is_wanted = m == first || !resolver_is_idle(m->resolver);
        for (size_t i = 0; i < n && !is_wanted; i++)
            is_wanted = resolver_is_like(m->resolver, &specs[i]);
        if (!is_wanted)
            member_free(m);
    }
    return err;
}
