/* SPDX-License-Identifier: ISC */
/* Lists of routes: copies, comparison, text. */
#include "backend/routes.h"

int routes_new(const struct config_route *v, size_t n, struct routes **ret)
{
    struct routes *r = calloc(1, sizeof(*r));
    struct config_route *copy = calloc(n + 1, sizeof(*copy));
    int err = r && copy ? 0 : -ERR_NOMEM;
    if (err < 0) {
        free(r);
        free(copy);
        return err;
    }
    atomic_init(&r->refs, 1);
    r->v = copy;
    while (err == 0 && r->n < n) {
        struct config_route *dst = &copy[r->n];
        const struct config_route *src = &v[r->n];
        *dst = (struct config_route){.domain = str_dup_c(src->domain),
                                     .user = str_dup_c(src->user),
                                     .listener = str_dup_c(src->listener),
                                     .proto = src->proto,
                                     .pool = str_dup_c(src->pool)};
        bool is_whole = !src->domain == !dst->domain && !src->user == !dst->user &&
                        !src->listener == !dst->listener && !src->pool == !dst->pool;
        err = is_whole ? 0 : -ERR_NOMEM;
        r->n++;
    }
    if (err < 0)
        routes_unref(r);
    else
        *ret = r;
    return err;
}

struct routes *routes_ref(struct routes *r)
{
    if (r)
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void routes_unref(struct routes *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < r->n; i++) {
        free((char *)r->v[i].domain);
        free((char *)r->v[i].user);
        free((char *)r->v[i].listener);
        free((char *)r->v[i].pool);
    }
    free(r->v);
    free(r);
}

bool routes_are_equal(const struct config_route *a, size_t n_a, const struct config_route *b,
                      size_t n_b)
{
    bool is_equal = n_a == n_b;
    for (size_t i = 0; i < n_a && is_equal; i++)
        is_equal = str_eq_c(a[i].domain, b[i].domain) && str_eq_c(a[i].user, b[i].user) &&
                   str_eq_c(a[i].listener, b[i].listener) && a[i].proto == b[i].proto &&
                   str_eq_c(a[i].pool, b[i].pool);
    return is_equal;
}

int route_print(const struct config_route *r, struct buf *out)
{
    const struct {
        const char *name, *value;
    } parts[] = {{"domain", r->domain},
                 {"user", r->user},
                 {"listener", r->listener},
                 {"protocol", r->proto ? r->proto->name : NULL}};
    const char *before = "";
    int err = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts) && err == 0; i++)
        if (parts[i].value) {
            err = buf_printf(out, "%s%s=%s", before, parts[i].name, parts[i].value);
            before = " ";
        }
    return err;
}
