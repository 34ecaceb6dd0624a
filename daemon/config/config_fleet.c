/* SPDX-License-Identifier: ISC */
/* The fleet's group: its checks, its secrets out of files, and what a client of Redis is made of.
 */
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/config_check.h"
#include "io/crypto.h"

#define PASSWORD_MAX 512
#define NODE_NAME_MAX 64 /* bytes, as of a host; what names an engine has room for more */

/* ---- checks ---- */

static void check_fleet_servers(struct check *k, const struct config_fleet *f)
{
    struct redis_server at;
    const char *why;
    bool is_remote = false;
    if (f->servers.n == 0)
        check_error(k, "fleet.servers", "is missing: the fleet needs Redis or Valkey");
    for (size_t i = 0; i < f->servers.n; i++) {
        if (redis_server_parse(str_of(f->servers.v[i]), 6379, &at, &why) < 0)
            check_error(k, "fleet.servers", "\"%s\" %s", f->servers.v[i], why);
        else
            is_remote = is_remote || at.unix_path.n == 0;
    }
    if (f->sentinel && f->servers.n == 1)
        check_warning(k, "fleet.servers",
                      "names one Sentinel: without it nobody tells which Redis is the primary");
    if (f->has_tls && f->servers.n > 0 && !is_remote && !f->sentinel)
        check_warning(k, "fleet.tls", "has no effect: UNIX sockets have none");
    if (!f->has_tls && (f->ca_file || f->tls_name))
        check_warning(k, "fleet.tls", "is false: ca_file and tls_name have no effect");
    if (f->user && !f->password_file)
        check_error(k, "fleet.password_file", "is missing: fleet.user needs it");
}

void check_fleet(struct check *k)
{
    const struct config *c = k->config;
    const struct config_fleet *f = &c->fleet;
    k->key[0] = '\0';
    if (f->name) {
        check_fleet_servers(k, f);
        struct stat st;
        if (!f->secret_file)
            check_error(k, "fleet.secret_file",
                        "is missing: the fleet needs it (32 random bytes, the "
                        "same on all nodes)");
        else if (k->is_here && stat(f->secret_file, &st) == 0 && st.st_mode & S_IROTH)
            check_error(k, "fleet.secret_file", "%s can be read by everybody: chmod o-r",
                        f->secret_file);
        if (c->node && str_index(str_of(c->node), '#') >= 0)
            check_error(k, "node", "\"%s\" must hold no \"#\" in a fleet", c->node);
        if (c->node && strlen(c->node) > NODE_NAME_MAX)
            check_error(k, "node", "is longer than %d bytes, too long for a fleet", NODE_NAME_MAX);
        return;
    }
    if (!check_is_set(k, "fleet.name") && (f->servers.n > 0 || f->secret_file))
        check_warning(k, "fleet.name", "is missing: there is no fleet without it");
    for (size_t i = 0; i < c->n_pools; i++) {
        check_enter(k, "pools", i);
        if (c->pools[i].affinity == AFFINITY_STRICT)
            check_warning(k, "affinity", "has no effect without fleet.name");
    }
}

/* ---- secrets ---- */

static int derive_secret(struct config *c, char **ret_error)
{
    struct config_fleet *f = &c->fleet;
    struct str content;
    if (files_read(c->files, f->secret_file, &content) < 0)
        *ret_error = str_printf("%s cannot be read", f->secret_file);
    else if (content.n < CONFIG_FLEET_SECRET_BYTES)
        *ret_error = str_printf("%s holds %zu bytes: %d random ones are the least", f->secret_file,
                                content.n, CONFIG_FLEET_SECRET_BYTES);
    else {
        crypto_sasl()->sha256(content, f->secret);
        return 0;
    }
    return -ERR_CONFIG;
}

static int derive_password(struct config *c, char **ret_error)
{
    struct config_fleet *f = &c->fleet;
    struct str content, line = STR_NULL;
    if (files_read(c->files, f->password_file, &content) == 0)
        line = str_trim(str_cut(&content, '\n'));
    if (line.n == 0 || line.n > PASSWORD_MAX || str_has_crlf_nul(line)) {
        *ret_error = str_printf("%s holds no password in its first line", f->password_file);
        return -ERR_CONFIG;
    }
    f->password = config_alloc_text(config_memory_of(c), line);
    return f->password ? 0 : -ERR_NOMEM;
}

int config_fleet_derive(struct config *c, const char **ret_key, char **ret_error)
{
    if (!c->fleet.name)
        return 0;
    *ret_key = "fleet.secret_file";
    int err = derive_secret(c, ret_error);
    if (err < 0 || !c->fleet.password_file)
        return err;
    *ret_key = "fleet.password_file";
    return derive_password(c, ret_error);
}

/* ---- use ---- */

struct redis_spec config_fleet_spec(const struct config_fleet *f, struct tls_client *tls)
{
    return (struct redis_spec){.servers = f->servers.v,
                               .n_servers = f->servers.n,
                               .sentinel = f->sentinel,
                               .user = f->user,
                               .password = f->password,
                               .tls = tls,
                               .tls_name = f->tls_name,
                               .database = f->database,
                               .timeout_ms = f->timeout_ms};
}

int config_tls_fleet(const struct config_fleet *f, struct files *files, struct tls_client **ret,
                     char **ret_error)
{
    const struct tls_client_spec spec = {
        .files = files, .is_verified = true, .ca_file = f->ca_file};
    *ret = NULL;
    return f->name && f->has_tls ? tls_client_new(&spec, ret, ret_error) : 0;
}

static bool strings_are_alike(const struct config_strings *a, const struct config_strings *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

static bool file_is_alike(const struct config *a, const char *path_a, const struct config *b,
                          const char *path_b)
{
    struct str x = STR_NULL, y = STR_NULL;
    if (path_a && files_read(a->files, path_a, &x) < 0)
        return false;
    if (path_b && files_read(b->files, path_b, &y) < 0)
        return false;
    return str_eq(x, y);
}

bool config_fleet_is_alike(const struct config *a, const struct config *b)
{
    const struct config_fleet *x = &a->fleet, *y = &b->fleet;
    return str_eq_c(x->name, y->name) && strings_are_alike(&x->servers, &y->servers) &&
           str_eq_c(x->sentinel, y->sentinel) && str_eq_c(x->user, y->user) &&
           str_eq_c(x->password, y->password) && x->database == y->database &&
           x->has_tls == y->has_tls && file_is_alike(a, x->ca_file, b, y->ca_file) &&
           str_eq_c(x->tls_name, y->tls_name) && x->timeout_ms == y->timeout_ms;
}
