/* SPDX-License-Identifier: ISC */
/* From the tree of directives to servers with settings: what a server says, else what mail{} says,
 * else nginx's default. */
#include "nginx/nginx_import.h"

#include "base/cleanup.h"
#include "nginx/nginx_place.h"
#include "nginx/nginx_rows.h"
#include "nginx/nginx_write.h"

void nginx_result_fini(struct nginx_result *r)
{
    buf_wipe(&r->conf);
    buf_fini(&r->report);
    buf_fini(&r->error);
}

static void import_server_fini(struct nginx_server *s)
{
    for (int g = 0; g < NGINX_GROUP_COUNT; g++)
        nginx_settings_fini(&s->groups[g]);
    for (size_t i = 0; i < s->n_listeners; i++) {
        nginx_settings_fini(&s->listeners[i].settings);
        free(s->listeners[i].addresses);
        free(s->listeners[i].from);
        free(s->listeners[i].name);
    }
    free(s->listeners);
    free(s->kept);
    free(s->networks);
    free(s->networks_from);
}

static void import_named_fini(struct nginx_named *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].name);
        nginx_settings_fini(&v[i].settings);
    }
    free(v);
}

static void import_fini(struct nginx_import *im)
{
    for (size_t i = 0; i < im->n_servers; i++)
        import_server_fini(&im->servers[i]);
    free(im->servers);
    for (size_t i = 0; i < im->n_logs; i++)
        nginx_settings_fini(&im->logs[i]);
    free(im->logs);
    nginx_settings_fini(&im->top);
    nginx_settings_fini(&im->tls);
    import_named_fini(im->pools, im->n_pools);
    import_named_fini(im->auths, im->n_auths);
    for (size_t i = 0; i < im->n_defaults; i++)
        nginx_tree_free(im->defaults[i]);
    free(im->defaults);
    nginx_tree_free(im->root);
}

/* ---- what may stand where ---- */

static bool import_is(const struct nginx_directive *d, const char *name)
{
    return strcmp(d->words[0], name) == 0;
}

/* Directives that nginx would refuse where they stand; unknown ones may be a module's. */
static int import_check_block(struct nginx_import *im, struct nginx_directive *block,
                              unsigned where)
{
    for (struct nginx_directive *d = block->first; d; d = d->next) {
        const struct nginx_row *row = strchr(d->words[0], ' ') ? NULL : nginx_row_find(d->words[0]);
        bool is_server = where == NGINX_IN_MAIL && import_is(d, "server");
        if (is_server && !d->has_block)
            return nginx_fail(im, d, "directive has no opening \"{\"");
        if (is_server || (where == NGINX_IN_MAIN && import_is(d, "mail")))
            continue;
        if (!row) {
            nginx_note(d, where == NGINX_IN_MAIN ? NGINX_PASSED : NGINX_NO_EQUAL,
                       where == NGINX_IN_MAIN
                           ? "not about mail"
                           : "unknown: if a module brings it, see what it does and take it out");
            continue;
        }
        if (d->has_block)
            return nginx_fail(im, d, "directive is not terminated by \";\"");
        if (!(row->where & where))
            return nginx_fail(im, d, "directive is not allowed here");
        for (struct nginx_directive *other = block->first; other != d; other = other->next)
            if (!(row->where & NGINX_IN_MANY) && import_is(other, d->words[0]))
                return nginx_fail(im, d, "directive is duplicate");
    }
    return 0;
}

/* ---- inheritance ---- */

static struct nginx_directive *import_find(const struct nginx_directive *block, const char *name)
{
    for (struct nginx_directive *d = block ? block->first : NULL; d; d = d->next)
        if (import_is(d, name))
            return d;
    return NULL;
}

/* The directives of a row that hold for a server: those of the nearest block that has any. */
static int import_row(struct nginx_import *im, struct nginx_server *s, const struct nginx_row *row)
{
    struct nginx_job job = {.import = im, .server = s, .param = nginx_row_apply_param};
    struct nginx_directive *d = NULL;
    for (const struct nginx_directive *block = s->block; block && !d; block = block->parent)
        d = import_find(block, row->name);
    int err = 0;
    if (!d && row->standard) {
        struct nginx_directive **v =
            realloc(im->defaults, (im->n_defaults + 1) * sizeof(struct nginx_directive *));
        d = v ? nginx_tree_default(row->standard) : NULL;
        if (v)
            im->defaults = v;
        if (d)
            v[im->n_defaults++] = d;
        return d ? nginx_row_apply(&job, row, d) : -ERR_NOMEM;
    }
    for (; d && err == 0; d = d->next)
        if (import_is(d, row->name))
            err = nginx_row_apply(&job, row, d);
    return err;
}

static int import_server(struct nginx_import *im, struct nginx_server *s)
{
    static const char *const first[] = {"listen", "protocol"}; /* the others depend on them */
    int err = 0;
    for (size_t i = 0; i < ARRAY_LEN(first) && err == 0; i++)
        err = import_row(im, s, nginx_row_find(first[i]));
    if (err < 0)
        return err;
    if (!import_find(s->block, "listen"))
        return nginx_fail(im, s->block, "no \"listen\" is defined");
    if (!s->proto)
        return nginx_fail(im, s->block, "unknown mail protocol: \"protocol\" is missing");
    for (size_t i = 0; i < nginx_n_rows && err == 0; i++) {
        const struct nginx_row *row = &nginx_rows[i];
        bool is_first = strcmp(row->name, first[0]) == 0 || strcmp(row->name, first[1]) == 0;
        if (row->where & NGINX_IN_SERVER && !is_first &&
            (!*row->proto || strcmp(row->proto, s->proto->name) == 0))
            err = import_row(im, s, row);
    }
    if (err == 0 && !nginx_settings_find(&s->groups[NGINX_OF_AUTH], "url"))
        return nginx_fail(im, s->block, "no \"auth_http\" is defined");
    return err < 0 ? err : nginx_place_server(im, s);
}

static int import_mail(struct nginx_import *im, struct nginx_directive *mail)
{
    int err = import_check_block(im, mail, NGINX_IN_MAIL);
    size_t n = 0;
    for (const struct nginx_directive *d = mail->first; d; d = d->next)
        n += import_is(d, "server");
    if (n > NGINX_SERVERS_MAX)
        return nginx_fail(im, mail, "there are more than %d servers", NGINX_SERVERS_MAX);
    im->servers = calloc(n + 1, sizeof(*im->servers));
    if (!im->servers)
        return -ERR_NOMEM;
    for (struct nginx_directive *d = mail->first; d && err == 0; d = d->next) {
        if (!import_is(d, "server"))
            continue;
        struct nginx_server *s = &im->servers[im->n_servers++];
        s->block = d;
        err = import_check_block(im, d, NGINX_IN_SERVER);
        if (err == 0)
            err = import_server(im, s);
    }
    if (err == 0 && n == 0)
        return nginx_fail(im, mail, "there is no server in it");
    return err;
}

static int import_run(struct nginx_import *im, const char *path, const struct nginx_source *source,
                      struct nginx_result *ret)
{
    int err = nginx_tree_read(path, source, &im->root, &ret->error);
    if (err < 0)
        return err;
    err = import_check_block(im, im->root, NGINX_IN_MAIN);
    struct nginx_directive *mail = import_find(im->root, "mail");
    if (err == 0 && (!mail || !mail->has_block))
        return buf_printf(&ret->error, "%s:1: there is no mail{} in it", path) < 0 ? -ERR_NOMEM
                                                                                   : -ERR_CONFIG;
    for (struct nginx_directive *d = err == 0 ? mail->next : NULL; d; d = d->next)
        if (import_is(d, "mail"))
            return nginx_fail(im, d, "directive is duplicate");
    if (err == 0) {
        struct nginx_job job = {.import = im, .param = nginx_row_apply_param};
        for (struct nginx_directive *d = im->root->first; d && err == 0; d = d->next) {
            const struct nginx_row *row =
                strchr(d->words[0], ' ') ? NULL : nginx_row_find(d->words[0]);
            if (row && row->where == NGINX_IN_MAIN)
                err = nginx_row_apply(&job, row, d);
        }
    }
    if (err == 0)
        err = import_mail(im, mail);
    if (err == 0)
        err = nginx_place(im);
    if (err == 0)
        err = nginx_write_conf(im, path, &ret->conf);
    return err < 0 ? err : nginx_write_report(im, ret);
}

int nginx_import(const char *path, const struct nginx_source *source, struct nginx_result *ret)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *folder = slash ? str_dup(str_n(path, (size_t)(slash - path))) : str_dup_c(".");
    struct nginx_import im = {.folder = folder, .error = &ret->error};
    int err = folder ? import_run(&im, path, source, ret) : -ERR_NOMEM;
    import_fini(&im);
    return err;
}

/* ---- for the manual ---- */

int nginx_each_directive(void (*fn)(void *arg, const char *name, const char *keys,
                                    const char *verdict, const char *words),
                         void *arg)
{
    for (size_t i = 0; i < nginx_n_rows; i++) {
        const struct nginx_row *row = &nginx_rows[i];
        AUTO_BUF keys = BUF_INIT;
        struct str rest = str_of(row->keys), key;
        int err = 0;
        while (err == 0 && (key = str_word(&rest)).n > 0) {
            err = BUF_APPEND(&keys, keys.len > 0 ? ", " : "", nginx_group_path(row->group));
            if (err == 0)
                err = buf_append_str(&keys, key);
        }
        const char *text = err == 0 ? buf_cstr(&keys) : NULL;
        if (!text)
            return -ERR_NOMEM;
        fn(arg, row->name, text, nginx_verdict_name(row->verdict), row->words);
    }
    return 0;
}
