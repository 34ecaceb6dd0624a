/* SPDX-License-Identifier: ISC */
/* Building the snapshot of pools from the config, the operators' edits and the living backends. */
#include "backend/pool.h"
#include "base/clock.h"
#include "base/hash.h"

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

static uint16_t pool_default_port(enum back_tls tls, enum proto_id id)
{
    const struct proto *p = proto_get(id);
    return tls == BACK_TLS_IMPLICIT ? p->default_tls_port : p->default_port;
}

static bool pool_edit_changes(const struct pool_edit *e)
{
    bool changes = e->is_added || e->host || e->weight >= 0 || e->has_tls;
    for (size_t i = 0; i < PROTO_COUNT; i++)
        changes = changes || e->ports[i] != 0;
    return changes;
}

/* An object of earlier times knows its state itself. */
static void pool_restore_admin(struct backend *b, const struct pool_edit *e)
{
    enum backend_admin a;
    if (e && e->admin[0] && backend_admin_find(e->admin, &a) == 0)
        backend_set_admin(b, a, clock_wall_ms(), "as before the restart");
}

/* One member from its row in the file (NULL: only added) and its edit (NULL: none). */
static int pool_add_member(struct pool *p, const struct config_backend *file,
                           const struct pool_edit *e, struct backend_registry *r)
{
    static const struct config_backend none = {.weight = 100};
    const struct config_backend *base = file ? file : &none;
    const char *name = file ? file->name : e->name;
    bool is_new;
    struct pool_member *m = &p->members[p->n_members];
    m->backend = backend_registry_get(r, p->config->name, name, &is_new);
    m->host = str_dup_c(e && e->host ? e->host : base->host);
    if (!m->backend || !m->host) {
        backend_unref(m->backend);
        free(m->host);
        return -ERR_NOMEM;
    }
    p->n_members++;
    m->tls = config_backend_tls(p->config, e && e->has_tls ? e->tls : base->tls);
    for (unsigned i = 0; i < PROTO_COUNT; i++) {
        uint16_t port = e && e->ports[i] ? e->ports[i] : base->ports[i];
        m->ports[i] = port ? port : pool_default_port(m->tls, (enum proto_id)i);
    }
    m->weight = e && e->weight >= 0 ? (unsigned)e->weight : base->weight;
    m->hash = hash_stable(str_of(name));
    m->is_runtime = e && pool_edit_changes(e);
    m->is_in_file = file != NULL;
    if (is_new)
        pool_restore_admin(m->backend, e);
    return 0;
}

static bool pool_is_in_file(const struct config_pool *c, const char *name)
{
    for (size_t i = 0; i < c->n_backends; i++)
        if (strcmp(c->backends[i].name, name) == 0)
            return true;
    return false;
}

/* Added by an operator, and not by an earlier edit of the same name. */
static bool pool_is_addition(const struct pool *p, const struct pool_edit *edits, size_t n,
                             const struct pool_edit *e)
{
    return e->is_added && !e->is_removed && e->host && strcmp(e->pool, p->config->name) == 0 &&
           !pool_is_in_file(p->config, e->name) && pool_find_edit(edits, n, e->pool, e->name) == e;
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
    for (size_t i = 0; i < n && err == 0; i++)
        if (pool_is_addition(p, edits, n, &edits[i]))
            err = pool_add_member(p, NULL, &edits[i], r);
    return err;
}

/* ---- secrets and TLS ---- */

static int pool_fail(const struct pool *p, int err, const char *what, const char *path,
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
        return pool_fail(p, err, "no password to be had from", path, ret_error);
    return err;
}

static bool pool_needs_tls(const struct pool *p)
{
    bool needs_tls = p->config->tls != BACK_TLS_OFF;
    for (size_t i = 0; i < p->n_members; i++)
        needs_tls = needs_tls || p->members[i].tls != BACK_TLS_OFF;
    return needs_tls;
}

/* Also for an edit of a pool that had no TLS up to then. */
static int pool_make_tls(struct pool *p, struct files *files, char **ret_error)
{
    const struct config_pool *c = p->config;
    AUTO_FREE char *why = NULL;
    if (p->tls || !pool_needs_tls(p))
        return 0;
    int err = config_tls_client(c, files, &p->tls, &why);
    return err < 0 ? pool_fail(p, err, why ? why : err_text(err), NULL, ret_error) : 0;
}

static int pool_load(struct pool *p, struct files *files, char **ret_error)
{
    const struct config_pool *c = p->config;
    int err = pool_read_credentials(p, files, c->master_user, c->master_password_file, &p->master,
                                    ret_error);
    if (err == 0)
        err = pool_read_credentials(p, files, c->check.user, c->check.password_file, &p->check,
                                    ret_error);
    return err;
}

/* What an earlier snapshot of the same config has loaded; with TLS also what it can resume. */
static int pool_share(struct pool *p, const struct pool *before)
{
    p->tls = before->tls ? tls_client_ref(before->tls) : NULL;
    int err = credentials_copy(&p->master, &before->master);
    return err < 0 ? err : credentials_copy(&p->check, &before->check);
}

/* ---- the snapshot ---- */

static int pools_init(struct pools *p, struct files *files, const struct pool_edit *edits,
                      size_t n_edits, struct backend_registry *r, char **ret_error)
{
    const struct config *c = p->config;
    struct pools *last = backend_registry_last(r);
    int err = 0;
    p->none.config = c->no_pool;
    if (c->n_pools == 0 && last && last->config == c)
        err = pool_share(&p->none, &last->none);
    if (err == 0 && c->n_pools == 0 && c->no_pool)
        err = pool_make_tls(&p->none, files, ret_error);
    while (p->n < c->n_pools && err == 0) {
        size_t i = p->n++;
        p->v[i].config = &c->pools[i];
        err = last && last->config == c ? pool_share(&p->v[i], &last->v[i])
                                        : pool_load(&p->v[i], files, ret_error);
        if (err == 0)
            err = pool_add_members(&p->v[i], edits, n_edits, r);
        if (err == 0)
            err = pool_make_tls(&p->v[i], files, ret_error);
    }
    pools_unref(last);
    return err;
}

int pools_build(struct config *c, const struct pool_edit *edits, size_t n_edits,
                struct backend_registry *r, struct pools **ret, char **ret_error)
{
    struct pools *p = calloc(1, sizeof(*p));
    struct pool *v = calloc(c->n_pools + 1, sizeof(*v));
    if (!p || !v) {
        free(p);
        free(v);
        return -ERR_NOMEM;
    }
    atomic_init(&p->refs, 1);
    p->config = config_ref(c);
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
    backend_registry_set_last(r, p);
    *ret = p;
    return 0;
}
