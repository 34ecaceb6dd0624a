/* SPDX-License-Identifier: ISC */
/* Checks of the files that a config names: what must be readable is read, certificates are
 * loaded. */
#include "config/config_check.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/os/folder.h"
#include "config/config_directory.h"

#define CHECK_DIRECTORY_WARNINGS 20

/* What stands in no file is inherited and looked at where it stands. What is read here is what the
 * config has from now on. Returns the number of bad files. */
static size_t check_group_files(struct check *k, const struct config_group *g, const void *base,
                                const char *path)
{
    size_t bad = 0;
    for (size_t i = 0; i < g->n_keys; i++) {
        const struct config_key *key = &g->keys[i];
        char at[160];
        (void)snprintf(at, sizeof(at), "%s%s%s", path, *path ? "." : "", key->name);
        if (!config_place_has(k->places, at))
            continue;
        if (key->type == CONFIG_PART)
            bad += check_group_files(k, key->group(), config_member_const(key, base), at);
        for (size_t j = 0; key->type == CONFIG_LIST && j < config_list_count(key, base); j++) {
            char element[192];
            (void)snprintf(element, sizeof(element), "%s[%zu]", at, j);
            bad += check_group_files(k, key->group(), config_list_item(key, base, j), element);
        }
        const char *file = key->flags & CONFIG_KEY_INPUT
                               ? *(const char *const *)config_member_const(key, base)
                               : NULL;
        struct str content;
        if (!file || files_read(k->config->files, file, &content) == 0)
            continue;
        const char *why = strerrordesc_np(errno);
        bad++;
        k->key[0] = '\0';
        check_error(k, at, "%s cannot be read: %s", file, why);
    }
    return bad;
}

/* ---- TLS ---- */

/* Clients refuse a certificate that has ended; mail goes on for those who do not look. */
static void check_tls_ends(struct check *k, const char *name, const struct tls_server *server)
{
    size_t n = 0;
    int64_t now = (int64_t)(clock_wall_ms() / 1000);
    const struct tls_cert_end *ends = tls_server_cert_ends(server, &n);
    for (size_t i = 0; i < n; i++) {
        char at[25];
        if (ends[i].expires <= 0 || ends[i].expires > now)
            continue;
        clock_format(at, (uint64_t)ends[i].expires * 1000);
        check_warning(k, name, "%s has ended at %s", ends[i].file, at);
    }
}

static void check_tls_server(struct check *k, const char *name, const struct config_tls *tls)
{
    struct tls_server *server = NULL;
    AUTO_FREE char *why = NULL;
    int err = config_tls_server(tls, k->config->files, &server, &why);
    if (err < 0)
        check_error(k, name, "%s", why ? why : err_text(err));
    else
        check_tls_ends(k, name, server);
    tls_server_unref(server);
}

/* Each set of certificates once: those of the whole file when a listener uses them as they are. */
static void check_tls_servers(struct check *k)
{
    const struct config *c = k->config;
    bool is_shared = false;
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct config_listener *l = &c->listeners[i];
        check_enter(k, "listeners", i);
        if (l->tls == LISTENER_TLS_OFF || l->tls_config.n_certs == 0)
            continue;
        if (check_is_set(k, "tls_options"))
            check_tls_server(k, "tls_options", &l->tls_config);
        else
            is_shared = true;
    }
    k->key[0] = '\0';
    if (is_shared)
        check_tls_server(k, "tls", &c->tls);
}

struct check_directory {
    struct check *check;
    size_t n_warnings;
};

static void on_left_out(void *arg, const char *file, const char *why)
{
    struct check_directory *d = arg;
    if (d->n_warnings++ < CHECK_DIRECTORY_WARNINGS)
        check_warning(d->check, "tls.directory", "%s/%s %s: it is left out",
                      d->check->config->tls.directory, file, why);
}

/* Certificates are loaded when they are asked for: here only the folder is looked at. */
static void check_tls_directory(struct check *k)
{
    const char *path = k->config->tls.directory;
    struct check_directory d = {.check = k};
    const struct tls_directory_report report = {on_left_out, &d};
    struct str listing;
    k->key[0] = '\0';
    if (!path)
        return;
    int err = config_directory_read(k->config->files, path, &report, &listing);
    if (err == -ERR_TOO_MANY)
        check_error(k, "tls.directory", "%s has more than %d certificates", path,
                    TLS_DIRECTORY_NAMES_MAX);
    else if (err < 0)
        check_error(k, "tls.directory", "%s cannot be listed: %s", path, strerrordesc_np(errno));
    else if (listing.n == 0)
        check_warning(k, "tls.directory", "there is no certificate in %s", path);
    if (d.n_warnings > CHECK_DIRECTORY_WARNINGS)
        check_warning(k, "tls.directory", "%zu more are left out",
                      d.n_warnings - CHECK_DIRECTORY_WARNINGS);
}

/* Also what only a runtime edit of a backend's tls would use: it must not keep the daemon from
 * starting. */
static void check_tls_clients(struct check *k)
{
    const struct config *c = k->config;
    for (size_t i = 0; i < c->n_pools; i++) {
        const struct config_pool *p = &c->pools[i];
        struct tls_client *client = NULL;
        AUTO_FREE char *why = NULL;
        check_enter(k, "pools", i);
        if (!config_pool_has_tls(p) && !p->ca_file && !p->cert && !p->priority)
            continue;
        int err = config_tls_client(p, c->files, &client, &why);
        if (err < 0)
            check_error(k, "tls", "%s", why ? why : err_text(err));
        else
            tls_client_unref(client);
    }
}

/* ---- folders ---- */

static void check_log_folders(struct check *k)
{
    for (size_t i = 0; i < k->config->n_logs; i++) {
        const struct config_log *l = &k->config->logs[i];
        const char *slash = l->path ? strrchr(l->path, '/') : NULL;
        if (l->target != LOG_TARGET_FILE || !slash || slash == l->path)
            continue;
        AUTO_FREE char *folder = str_dup(str_n(l->path, (size_t)(slash - l->path)));
        check_enter(k, "log", i);
        if (folder && access(folder, F_OK) < 0)
            check_error(k, "path", "folder %s: %s", folder, strerrordesc_np(errno));
    }
}

/* Root puts no socket where another user could put another folder; what listens already stays. */
static void check_control_folders(struct check *k)
{
    for (size_t i = 0; i < k->config->n_controls && geteuid() == 0; i++) {
        const char *path = k->config->controls[i].path, *name;
        AUTO_CLOSE int folder = -1;
        bool is_fixed = false;
        check_enter(k, "control", i);
        if (folder_open(path, &folder, &name, &is_fixed) == 0 && !is_fixed)
            check_warning(k, "path",
                          "%s: another user could rename a folder of it, and root does not start "
                          "with a socket there",
                          path);
    }
}

void check_files(struct check *k)
{
    check_log_folders(k);
    check_control_folders(k);
    /* A file that cannot be read would be told a second time by the TLS library. */
    if (check_group_files(k, config_group_top(), k->config, "") > 0)
        return;
    check_tls_servers(k);
    check_tls_directory(k);
    check_tls_clients(k);
}
