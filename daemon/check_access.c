/* SPDX-License-Identifier: ISC */
/* Whether the user that the daemon becomes may use the folders, files and sockets of a config. */
#include "check_access.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config_key.h"

/* One thing that is tried. */
struct access_item {
    char *path;
    int mode;         /* of access(2) */
    const char *verb; /* "be written" */
    char key[80];     /* where the file names it */
    bool is_engine;   /* the daemon's user does it; else who starts the daemon */
    bool is_warning;  /* mail goes on without it */
    int failed;       /* errno value of the try */
};

struct access_list {
    struct access_item *v;
    size_t n;
    int err;
};

static void list_add(struct access_list *l, struct access_item item, struct str path)
{
    struct access_item *v = l->err ? NULL : realloc(l->v, (l->n + 1) * sizeof(*v));
    item.path = v ? str_dup(path) : NULL;
    if (v)
        l->v = v;
    if (!item.path)
        l->err = -ERR_NOMEM;
    else
        l->v[l->n++] = item;
}

/* A file that is written, made anew or removed: itself where it is there, and its folder. The
 * daemon makes its own folder when that is missing. */
static void list_add_file(struct access_list *l, struct access_item item, const char *path,
                          const char *own_folder)
{
    const char *slash = strrchr(path, '/');
    struct str folder = str_n(path, slash > path ? (size_t)(slash - path) : 1);
    AUTO_FREE char *name = str_dup(folder);
    item.mode = R_OK | W_OK;
    if (access(path, F_OK) == 0)
        list_add(l, item, str_of(path));
    item.mode = W_OK | X_OK;
    if (name && (access(name, F_OK) == 0 || !own_folder || strcmp(name, own_folder) != 0))
        list_add(l, item, folder);
}

/* The folder need not be writable for a file that is there. */
static void list_add_logs(struct access_list *l, const struct config *c)
{
    for (size_t i = 0; i < c->n_logs; i++) {
        struct access_item item = {.verb = "be written", .mode = W_OK};
        const char *path = c->logs[i].target == LOG_TARGET_FILE ? c->logs[i].path : NULL;
        (void)snprintf(item.key, sizeof(item.key), "log[%zu].path", i);
        if (path && access(path, F_OK) == 0)
            list_add(l, item, str_of(path));
        else if (path)
            list_add_file(l, item, path, NULL);
    }
}

static void list_add_socket(struct access_list *l, const char *key, struct str path)
{
    struct access_item item = {
        .verb = "be connected to", .mode = W_OK, .is_engine = true, .is_warning = true};
    AUTO_FREE char *name = str_dup(path);
    str_copy(item.key, sizeof(item.key), str_of(key));
    if (name && access(name, F_OK) == 0) /* a server may come later */
        list_add(l, item, path);
}

static void list_add_sockets(struct access_list *l, const struct config *c)
{
    char key[80];
    for (size_t i = 0; i < c->n_pools; i++)
        for (size_t j = 0; j < c->pools[i].n_backends; j++) {
            const char *host = c->pools[i].backends[j].host;
            (void)snprintf(key, sizeof(key), "pools[%zu].backends[%zu].host", i, j);
            if (str_is_prefix(str_of(host), STR("unix:")))
                list_add_socket(l, key, str_of(host + strlen("unix:")));
        }
    for (size_t i = 0; i < c->n_auths; i++) {
        const char *url = c->auths[i].url ? strstr(c->auths[i].url, "unix:/") : NULL;
        (void)snprintf(key, sizeof(key), "auth[%zu].url", i);
        if (url)
            list_add_socket(l, key,
                            str_n(url + strlen("unix:"), strcspn(url + strlen("unix:"), ":")));
    }
}

/* What libraries of the engine read while it serves. */
static void list_add_system(struct access_list *l)
{
    static const char *const paths[] = {"/etc/resolv.conf", "/etc/hosts"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const struct access_item item = {.verb = "be read",
                                         .mode = R_OK,
                                         .key = "resolver",
                                         .is_engine = true,
                                         .is_warning = true};
        if (access(paths[i], F_OK) == 0)
            list_add(l, item, str_of(paths[i]));
    }
}

/* ---- trying ---- */

static void list_try(struct access_list *l, bool is_engine)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].is_engine == is_engine && access(l->v[i].path, l->v[i].mode) < 0)
            l->v[i].failed = errno;
}

static int become_user(const struct config *c)
{
    const struct passwd *pw = getpwnam(c->user);
    const struct group *gr = c->group ? getgrnam(c->group) : NULL;
    if (!pw || (c->group && !gr))
        return -ERR_NOT_FOUND; /* said by another check */
    gid_t gid = gr ? gr->gr_gid : pw->pw_gid;
    if (initgroups(pw->pw_name, gid) < 0 || setgid(gid) < 0 || setuid(pw->pw_uid) < 0)
        return err_from_errno(errno);
    return 0;
}

/* A process of its own becomes the user for good and writes what failed, item by item. */
static int list_try_as_user(struct access_list *l, const struct config *c)
{
    int way[2], status;
    if (pipe2(way, O_CLOEXEC) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        if (become_user(c) < 0)
            _exit(1);
        list_try(l, true);
        for (size_t i = 0; i < l->n; i++)
            if (write(way[1], &l->v[i].failed, sizeof(int)) != sizeof(int))
                _exit(1);
        _exit(0);
    }
    int err = pid < 0 ? err_from_errno(errno) : 0;
    close(way[1]);
    for (size_t i = 0; i < l->n && err == 0; i++) {
        int failed;
        if (read(way[0], &failed, sizeof(failed)) != sizeof(failed))
            err = -ERR_NOT_FOUND;
        else if (l->v[i].is_engine)
            l->v[i].failed = failed;
    }
    close(way[0]);
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    return err;
}

/* Who is not root cannot try what another user may do: it may be that root will start the daemon.
 */
static void list_report(const struct access_list *l, const struct config *c, const char *user,
                        struct config_problems *problems)
{
    bool is_guess = c->user && geteuid() != 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct access_item *item = &l->v[i];
        const char *by = item->is_engine ? user : NULL;
        if (item->failed)
            config_problem_add(problems, c->path, 0, item->key, item->is_warning || is_guess,
                               "%s cannot %s%s%s: %s", item->path, item->verb,
                               by ? " by user " : "", by ? by : "", strerrordesc_np(item->failed));
    }
}

int check_access(const struct config *c, struct config_problems *problems)
{
    struct access_list l = {0};
    bool is_other = c->user && geteuid() == 0;
    size_t before = problems->n;
    list_add_file(
        &l, (struct access_item){.verb = "be written", .key = "store.path", .is_engine = true},
        c->store.path, c->state_dir);
    list_add_logs(&l, c);
    list_add_sockets(&l, c);
    list_add_system(&l);
    list_try(&l, false);
    int err = l.err;
    if (err == 0 && is_other)
        err = list_try_as_user(&l, c);
    else
        list_try(&l, true);
    list_report(&l, c, is_other ? c->user : NULL, problems);
    for (size_t i = 0; i < l.n; i++)
        free(l.v[i].path);
    free(l.v);
    for (size_t i = before; i < problems->n && err == 0; i++)
        if (!problems->v[i].is_warning)
            err = -ERR_CONFIG;
    return err == -ERR_NOT_FOUND ? 0 : err;
}
