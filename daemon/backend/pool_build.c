/* SPDX-License-Identifier: ISC */
/* Building the snapshot of pools from the config, the operators' edits and the living backends. */
#include "backend/pool.h"
#include "base/clock.h"
#include "base/hash.h"
#include "proto/registry/registry.h"

#define POOL_SECRET_MAX 4096

/* ---- members ---- */

/* The edit of a member; the last one counts. */
static const struct pool_edit *pool_find_edit(const struct pool_edit *edits, size_t n,
                                              const char *pool, const char *name)
{
    for (size_t i = n; i > 0; i--)
        if (strcmp(edits[i - 1].pool, pool) == 0 && strcmp(edits[i - 1].name, name) == 0)
            return &edits[i - 1];
    return NULL;
}

/* One member from its row in the file (NULL: only added) and its edit (NULL: none). */
static int pool_add_member(struct pool *p, const struct config_backend *file,
                           const struct pool_edit *e, struct backend_registry *r)
{
    static const struct config_backend none = {.weight = 100};
    const struct config_backend *base = file ? file : &none;
    const char *name = file ? file->name : e->name;
    bool is_new;
    enum backend_admin admin;
    struct pool_member *m = &p->members[p->n_members];
    m->backend = backend_registry_get(r, p->config->name, name, &is_new);
    m->host = str_dup_c(e && e->host ? e->host : base->host);
    if (m->host && addr_parse(str_of(m->host), &m->addr) < 0)
        m->addr = (struct addr){.family = AF_UNSPEC};
    if (!m->backend || !m->host) {
        backend_unref(m->backend);
        free(m->host);
        return -ERR_NOMEM;
    }
    p->n_members++;
    m->tls = config_backend_tls(p->config, e && e->has_tls ? e->tls : base->tls);
    m->is_runtime =
        e && (e->is_added || e->host || e->weight >= 0 || e->has_tls || e->has_max_sessions);
    for (unsigned i = 0; i < PROTO_COUNT; i++) {
        const struct proto *proto = proto_get((enum proto_id)i);
        uint16_t port = e && e->ports[i] ? e->ports[i] : base->ports[i];
        m->is_runtime = m->is_runtime || (e && e->ports[i] != 0);
        m->ports[i] = port                          ? port
                      : m->tls == BACK_TLS_IMPLICIT ? proto->default_tls_port
                                                    : proto->default_port;
    }
    m->weight = e && e->weight >= 0 ? (unsigned)e->weight : base->weight;
    m->max_sessions = e && e->has_max_sessions ? e->max_sessions : base->max_sessions;
    m->hash = hash_stable(str_of(name));
    m->is_in_file = file != NULL;
    /* An object of earlier times knows its state itself. */
    if (is_new && e && e->admin[0] && backend_admin_find(e->admin, &admin) == 0)
        backend_set_admin(m->backend, admin, clock_wall_ms(), "as before the restart");
    return 0;
}

static int pool_add_members(struct pool *p, const struct pool_edit *edits, size_t n,
                            struct backend_registry *r)
{
    const struct config_pool *c = p->config;
    int err = 0;
    p->members = calloc(c->n_backends + n + 1, sizeof(*p->members));
    if (!p->members)
        return -ERR_NOMEM;
    for (size_t i = 0; i < c->n_backends && err == 0; i++) {
        const struct pool_edit *e = pool_find_edit(edits, n, c->name, c->backends[i].name);
        if (!e || !e->is_removed)
            err = pool_add_member(p, &c->backends[i], e, r);
    }
    /* Those that an operator added, and not an earlier edit of the same name did. */
    for (size_t i = 0; i < n && err == 0; i++) {
        const struct pool_edit *e = &edits[i];
        if (e->is_added && !e->is_removed && e->host && strcmp(e->pool, c->name) == 0 &&
            !config_backend_find(c, e->name) && pool_find_edit(edits, n, e->pool, e->name) == e)
            err = pool_add_member(p, NULL, e, r);
    }
    return err;
}

/* ---- secrets and TLS ---- */

static int pool_build_fail(const struct pool *p, int err, const char *what, const char *path,
                           char **ret_error)
{
    *ret_error = path ? str_printf("pool %s: %s %s: %s", p->config->name, what, path, err_text(err))
                      : str_printf("pool %s: %s", p->config->name, what);
    return err;
}

/* The first line of a file, into a wiped buffer. */
static int pool_read_secret(struct files *files, const char *path, struct buf *ret)
{
    struct str rest;
    int err = files_read(files, path, &rest);
    if (err < 0)
        return err;
    if (rest.n > POOL_SECRET_MAX)
        rest.n = POOL_SECRET_MAX;
    struct str line = str_cut(&rest, '\n');
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n == 0 || str_has_crlf_nul(line))
        return -ERR_SYNTAX;
    return buf_append_str(ret, line);
}

static int pool_read_credentials(const struct pool *p, struct files *files, const char *user,
                                 const char *path, struct credentials *ret, char **ret_error)
{
    *ret = (struct credentials){.mech = SASL_PLAIN};
    if (!user)
        return 0;
    int err = buf_append_c(&ret->user, user);
    if (err == 0 && path && (err = pool_read_secret(files, path, &ret->secret)) < 0)
        return pool_build_fail(p, err, "no password to be had from", path, ret_error);
    return err;
}

/* Also for an edit of a pool that had no TLS up to then. */
static int pool_make_tls(struct pool *p, struct files *files, char **ret_error)
{
    const struct config_pool *c = p->config;
    AUTO_FREE char *why = NULL;
    bool needs_tls = c->tls != BACK_TLS_OFF;
    for (size_t i = 0; i < p->n_members; i++)
        needs_tls = needs_tls || p->members[i].tls != BACK_TLS_OFF;
    if (p->tls || !needs_tls)
        return 0;
    int err = config_tls_client(c, files, &p->tls, &why);
    return err < 0 ? pool_build_fail(p, err, why ? why : err_text(err), NULL, ret_error) : 0;
}

/* What an earlier snapshot has loaded from the same files; with TLS also what it can resume. */
static void pool_share_tls(struct pool *p, const struct pool *before)
{
    const struct config_pool *a = p->config, *b = before->config;
    if (before->tls && a->is_verified == b->is_verified && str_eq_c(a->ca_file, b->ca_file) &&
        str_eq_c(a->cert, b->cert) && str_eq_c(a->key, b->key) &&
        str_eq_c(a->priority, b->priority))
        p->tls = tls_client_ref(before->tls);
}

/* before: the same pool of an earlier snapshot of the same file; NULL = none. */
static int pool_load(struct pool *p, struct files *files, const struct pool *before,
                     char **ret_error)
{
    const struct config_pool *c = p->config, *b = before ? before->config : NULL;
    int err;
    if (before)
        pool_share_tls(p, before);
    if (b && str_eq_c(c->master_user, b->master_user) &&
        str_eq_c(c->master_password_file, b->master_password_file))
        err = credentials_copy(&p->master, &before->master);
    else
        err = pool_read_credentials(p, files, c->master_user, c->master_password_file, &p->master,
                                    ret_error);
    if (err < 0)
        return err;
    if (b && str_eq_c(c->check.user, b->check.user) &&
        str_eq_c(c->check.password_file, b->check.password_file))
        return credentials_copy(&p->check, &before->check);
    return pool_read_credentials(p, files, c->check.user, c->check.password_file, &p->check,
                                 ret_error);
}

/* ---- the snapshot ---- */

static int pools_init(struct pools *p, struct files *files, const struct pool_edit *edits,
                      size_t n_edits, struct backend_registry *r, char **ret_error)
{
    const struct config *c = p->config;
    struct pools *last = backend_registry_last(r);
    bool is_same_file = last && config_base(last->config) == config_base(c);
    int err = 0;
    p->none.config = c->no_pool;
    if (c->n_pools == 0 && is_same_file && last->none.config)
        pool_share_tls(&p->none, &last->none);
    if (c->n_pools == 0 && c->no_pool)
        err = pool_make_tls(&p->none, files, ret_error);
    while (p->n < c->n_pools && err == 0) {
        struct pool *pool = &p->v[p->n];
        pool->config = &c->pools[p->n];
        p->n++;
        err = pool_load(pool, files, is_same_file ? pools_find(last, pool->config->name) : NULL,
                        ret_error);
        if (err == 0)
            err = pool_add_members(pool, edits, n_edits, r);
        if (err == 0)
            err = pool_make_tls(pool, files, ret_error);
    }
    pools_unref(last);
    return err;
}

/* c: with the changes in it; its reference is taken over. */
static int pools_build_of(struct config *c, const struct pool_edit *edits, size_t n_edits,
                          struct backend_registry *r, struct pools **ret, char **ret_error)
{
    struct pools *p = calloc(1, sizeof(*p));
    struct pool *v = calloc(c->n_pools + 1, sizeof(*v));
    if (!p || !v) {
        free(p);
        free(v);
        config_unref(c);
        return -ERR_NOMEM;
    }
    atomic_init(&p->refs, 1);
    p->config = c;
    p->routes = backend_registry_routes(r);
    p->v = v;
    backend_registry_sweep(r);
    /* A config that was not read from a file has its files on the disk still. */
    struct files *files = c->files ? files_ref(c->files) : NULL;
    int err = files ? 0 : files_new(&files);
    if (err == 0)
        err = pools_init(p, files, edits, n_edits, r, ret_error);
    files_unref(files);
    if (err < 0) {
        pools_unref(p);
        return err;
    }
    *ret = p;
    return 0;
}

int pools_build_aside(struct config *c, const struct pool_edit *edits, size_t n_edits,
                      struct backend_registry *r, struct pools **ret, char **ret_error)
{
    struct config *changed;
    struct pool_changes *changes = backend_registry_changes(r);
    int err = pool_changes_apply(changes, c, true, &changed, ret_error);
    pool_changes_unref(changes);
    return err < 0 ? err : pools_build_of(changed, edits, n_edits, r, ret, ret_error);
}

int pools_build(struct config *c, const struct pool_edit *edits, size_t n_edits,
                struct backend_registry *r, struct pools **ret, char **ret_error)
{
    int err = pools_build_aside(c, edits, n_edits, r, ret, ret_error);
    if (err == 0)
        backend_registry_set_last(r, *ret);
    return err;
}

int pools_build_changed(struct config *c, const struct pool_changes *changes,
                        const struct pool_edit *edits, size_t n_edits, struct backend_registry *r,
                        struct pools **ret, char **ret_error)
{
    struct config *changed;
    int err = pool_changes_apply(changes, c, false, &changed, ret_error);
    return err < 0 ? err : pools_build_of(changed, edits, n_edits, r, ret, ret_error);
}
