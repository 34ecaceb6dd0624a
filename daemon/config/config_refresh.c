/* SPDX-License-Identifier: ISC */
/* Sets of files that belong together: changed, tried, taken. */
#include "config/config_refresh.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/container/map.h"
#include "config/config_directory.h"
#include "config/config_key.h"
#include "io/tls/tls.h"

#define SET_FILES 3
#define SET_NO_CERT SIZE_MAX

/* Files that belong together, and who uses them: one of the last three. */
struct tls_set {
    const char *files[SET_FILES]; /* NULL = not named */
    const char *where;            /* key of the config */
    const struct config_tls *tls;
    size_t cert; /* of tls; SET_NO_CERT = all of it uses them */
    const struct config_pool *pool;
    const struct config_auth *auth;
};

typedef int tls_set_fn(void *arg, const struct tls_set *set);

/* ---- which there are ---- */

static int each_set_of_tls(const struct config_tls *t, const char *where, tls_set_fn *fn, void *arg)
{
    const struct tls_set others[] = {
        {{t->client_ca, t->client_crl}, where, t, SET_NO_CERT, NULL, NULL},
        {{t->dh_params}, where, t, SET_NO_CERT, NULL, NULL},
        {{t->ticket_key}, where, t, SET_NO_CERT, NULL, NULL},
        {{t->password_file}, where, t, SET_NO_CERT, NULL, NULL},
        {{t->directory}, where, t, SET_NO_CERT, NULL, NULL},
    };
    int err = 0;
    for (size_t i = 0; i < t->n_certs && err == 0; i++) {
        const struct config_tls_cert *c = &t->certs[i];
        err = fn(arg, &(struct tls_set){{c->cert, c->key, c->ocsp}, where, t, i, NULL, NULL});
    }
    for (size_t i = 0; i < ARRAY_LEN(others) && err == 0; i++)
        err = fn(arg, &others[i]);
    return err;
}

static int each_set_of_pool(const struct config_pool *p, tls_set_fn *fn, void *arg)
{
    int err = fn(arg, &(struct tls_set){{p->cert, p->key}, "pools", .pool = p});
    return err < 0 ? err : fn(arg, &(struct tls_set){{p->ca_file}, "pools", .pool = p});
}

static int each_set_of_auth(const struct config_auth *a, tls_set_fn *fn, void *arg)
{
    int err = fn(arg, &(struct tls_set){{a->cert, a->key}, "auth", .auth = a});
    return err < 0 ? err : fn(arg, &(struct tls_set){{a->ca_file}, "auth", .auth = a});
}

static int each_set(const struct config *c, tls_set_fn *fn, void *arg)
{
    int err = each_set_of_tls(&c->tls, "tls", fn, arg);
    for (size_t i = 0; i < c->n_listeners && err == 0; i++)
        err = each_set_of_tls(&c->listeners[i].tls_config, "listeners", fn, arg);
    for (size_t i = 0; i < c->n_pools && err == 0; i++)
        err = each_set_of_pool(&c->pools[i], fn, arg);
    for (size_t i = 0; i < c->n_auths && err == 0; i++)
        err = each_set_of_auth(&c->auths[i], fn, arg);
    return err;
}

struct each_file {
    int (*fn)(void *arg, const char *path);
    void *arg;
};

static int on_set_files(void *arg, const struct tls_set *set)
{
    const struct each_file *e = arg;
    int err = 0;
    for (size_t i = 0; i < SET_FILES && err == 0; i++)
        if (set->files[i])
            err = e->fn(e->arg, set->files[i]);
    return err;
}

int config_each_tls_file(const struct config *c, int (*fn)(void *arg, const char *path), void *arg)
{
    struct each_file e = {fn, arg};
    return each_set(c, on_set_files, &e);
}

/* ---- can they be used? ---- */

static int try_tls(const struct config_tls *t, struct files *files, char **ret_error)
{
    struct tls_server *server = NULL;
    int err = config_tls_server(t, files, &server, ret_error);
    tls_server_unref(server);
    return err;
}

static int try_pool(const struct config_pool *p, struct files *files, char **ret_error)
{
    struct tls_client *client = NULL;
    int err = config_tls_client(p, files, &client, ret_error);
    tls_client_unref(client);
    return err;
}

static int try_auth(const struct config_auth *a, struct files *files, char **ret_error)
{
    struct tls_client *client = NULL;
    int err = config_tls_auth(a, files, &client, ret_error);
    tls_client_unref(client);
    return err;
}

/* A certificate is tried without the others, the others' files with one certificate. */
static struct config_tls set_tls(const struct tls_set *set)
{
    struct config_tls t = *set->tls;
    if (t.n_certs > 1)
        t.n_certs = 1;
    if (set->cert != SET_NO_CERT) {
        t.certs = &t.certs[set->cert];
        t.client_auth = TLS_CLIENT_AUTH_OFF;
        t.client_ca = t.client_crl = t.dh_params = t.ticket_key = NULL;
    }
    return t;
}

/* Listeners without a group of their own mostly stand together: they have copies of the same bytes.
 */
static int try_all(const struct config *c, struct files *files, char **ret_error)
{
    const struct config_tls *before = NULL;
    int err = 0;
    for (size_t i = 0; i < c->n_listeners && err == 0; i++) {
        const struct config_listener *l = &c->listeners[i];
        const struct config_tls *tls = &l->tls_config;
        if (l->tls == LISTENER_TLS_OFF || tls->n_certs == 0)
            continue;
        if (!before || memcmp(before, tls, sizeof(*tls)) != 0)
            err = try_tls(tls, files, ret_error);
        before = tls;
    }
    for (size_t i = 0; i < c->n_pools && err == 0; i++)
        if (config_pool_has_tls(&c->pools[i]))
            err = try_pool(&c->pools[i], files, ret_error);
    for (size_t i = 0; i < c->n_auths && err == 0; i++)
        err = try_auth(&c->auths[i], files, ret_error);
    return err;
}

/* ---- reading them again ---- */

struct refresh {
    const struct config *config;
    struct files *disk;
    struct map changed; /* paths that have another content on the disk */
    struct map judged;  /* those of them that were tried, and paths that cannot be read */
    struct map taken;   /* those that are used from now on */
    struct config_problems *problems;
};

static int path_add(struct map *m, const char *path)
{
    return map_put(m, str_of(path), m, NULL);
}

static void refresh_warn(const struct refresh *r, const char *where, const char *why)
{
    config_problem_add(r->problems, r->config->path, 0, where, true,
                       "%s; what was there before stays in use", why);
}

static int on_path_read(void *arg, const char *path)
{
    struct refresh *r = arg;
    struct str now, before;
    if (files_read(r->config->files, path, &before) < 0)
        return 0;
    int err = config_directory_read(r->disk, path, NULL, &now);
    if (err < 0 && err != -ERR_NOMEM && !map_get(&r->judged, str_of(path))) {
        AUTO_FREE char *why = str_printf("%s cannot be read: %s", path, strerrordesc_np(errno));
        refresh_warn(r, "", why ? why : path);
        return path_add(&r->judged, path);
    }
    if (err < 0)
        return err == -ERR_NOMEM ? err : 0;
    return str_eq(now, before) ? 0 : path_add(&r->changed, path);
}

/* Contents of the config, but of some paths those on the disk. */
struct picked {
    const struct refresh *refresh;
    const struct map *from_disk;
    struct files *files;
};

static int pick_path(void *arg, const char *path)
{
    const struct picked *p = arg;
    struct str content;
    bool is_new = map_get(p->from_disk, str_of(path));
    /* One that cannot be read is not there for whoever tries, either. */
    int err = files_read(is_new ? p->refresh->disk : p->refresh->config->files, path, &content);
    if (err == 0)
        err = files_put(p->files, str_of(path), content);
    return err == -ERR_NOMEM ? err : 0;
}

/* Tries what is in `paths`, with all else or (set) with what the set needs; 0 with *ret, or why not
 * (owned, may be NULL). */
static int refresh_try(const struct refresh *r, const struct map *paths, const struct tls_set *set,
                       struct files **ret, char **ret_error)
{
    struct picked p = {.refresh = r, .from_disk = paths};
    struct each_file each = {pick_path, &p};
    const struct config_tls tls = set ? set_tls(set) : (struct config_tls){0};
    struct str path, content;
    size_t pos = 0;
    int err = files_new(&p.files);
    if (err < 0)
        return err;
    if (set && set->pool)
        err = each_set_of_pool(set->pool, on_set_files, &each);
    else if (set && set->auth)
        err = each_set_of_auth(set->auth, on_set_files, &each);
    else if (set)
        err = each_set_of_tls(&tls, set->where, on_set_files, &each);
    while (!set && err == 0 && files_next(r->config->files, &pos, &path, &content)) {
        AUTO_FREE char *name = str_dup(path);
        err = name ? pick_path(&p, name) : -ERR_NOMEM;
    }
    files_close(p.files);
    if (err == 0 && !set)
        err = try_all(r->config, p.files, ret_error);
    else if (err == 0 && set->pool)
        err = try_pool(set->pool, p.files, ret_error);
    else if (err == 0 && set->auth)
        err = try_auth(set->auth, p.files, ret_error);
    else if (err == 0 && tls.n_certs > 0) /* else nobody uses them */
        err = try_tls(&tls, p.files, ret_error);
    if (err == 0 && ret)
        *ret = p.files;
    else
        files_unref(p.files);
    return err;
}

/* Paths of a set that changed and were not judged yet. -ERR_NOT_FOUND: one of the set cannot be
 * read, so that all of it stays as it was. */
static int set_changes(const struct refresh *r, const struct tls_set *set, struct map *ret)
{
    struct str content;
    int err = 0;
    for (size_t i = 0; i < SET_FILES && err == 0; i++) {
        const char *path = set->files[i];
        if (path && files_read(r->disk, path, &content) < 0)
            return -ERR_NOT_FOUND;
        if (path && map_get(&r->changed, str_of(path)) && !map_get(&r->judged, str_of(path)))
            err = path_add(ret, path);
    }
    return err;
}

static int paths_add(struct map *to, const struct map *paths)
{
    size_t pos = 0;
    struct str path;
    void *value;
    int err = 0;
    while (err == 0 && map_next(paths, &pos, &path, &value))
        err = map_put(to, path, to, NULL);
    return err;
}

static int on_set(void *arg, const struct tls_set *set)
{
    struct refresh *r = arg;
    CLEANUP(map_fini) struct map paths = {0};
    AUTO_FREE char *why = NULL;
    int err = set_changes(r, set, &paths);
    if (err < 0 || paths.count == 0)
        return err == -ERR_NOT_FOUND ? 0 : err;
    int tried = refresh_try(r, &paths, set, NULL, &why);
    if (tried == -ERR_NOMEM)
        return tried;
    if (tried < 0)
        refresh_warn(r, set->where, why ? why : err_text(tried));
    err = paths_add(&r->judged, &paths);
    return err < 0 || tried < 0 ? err : paths_add(&r->taken, &paths);
}

/* All that changed where it can be used together; else set by set, and then together. */
static int refresh_take(struct refresh *r, struct files **ret, size_t *ret_n)
{
    AUTO_FREE char *why = NULL;
    int err = refresh_try(r, &r->changed, NULL, ret, &why);
    if (err == 0)
        *ret_n = r->changed.count;
    if (err == 0 || err == -ERR_NOMEM)
        return err;
    err = each_set(r->config, on_set, r);
    if (err < 0 || r->taken.count == 0)
        return err;
    AUTO_FREE char *still = NULL;
    err = refresh_try(r, &r->taken, NULL, ret, &still);
    if (err == 0)
        *ret_n = r->taken.count;
    else if (err != -ERR_NOMEM)
        refresh_warn(r, "tls", still ? still : err_text(err));
    return err == -ERR_NOMEM ? err : 0;
}

int config_refresh(struct config *c, struct files *disk, size_t *ret_changed,
                   struct config_problems *problems)
{
    struct refresh r = {.config = c, .disk = disk, .problems = problems};
    struct files *files = NULL;
    *ret_changed = 0;
    int err = c->files ? config_each_tls_file(c, on_path_read, &r) : 0;
    files_close(disk);
    if (err == 0 && r.changed.count > 0)
        err = refresh_take(&r, &files, ret_changed);
    map_fini(&r.changed);
    map_fini(&r.judged);
    map_fini(&r.taken);
    if (err == 0 && files) {
        files_unref(c->files);
        c->files = files;
    }
    return err;
}
