/* SPDX-License-Identifier: ISC */
/* Bundles in sealed memory files. */
#include "supervisor/content.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "config/config_bundle.h"
#include "config/config_refresh.h"

#define CONTENT_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

int content_memory(int *ret_fd)
{
    int fd = memfd_create("mailproxy-content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_from_errno(errno);
    *ret_fd = fd;
    return 0;
}

int content_memory_make(struct content_memory *ret)
{
    *ret = (struct content_memory){-1, -1};
    int err = content_memory(&ret->bundle);
    if (err == 0)
        err = content_memory(&ret->keys);
    if (err < 0)
        content_memory_close(ret);
    return err;
}

void content_memory_close(struct content_memory *m)
{
    if (m->bundle >= 0)
        close(m->bundle);
    if (m->keys >= 0)
        close(m->keys);
    *m = (struct content_memory){-1, -1};
}

static int content_map(int fd, struct str *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_from_errno(errno);
    if (st.st_size == 0)
        return -ERR_EOF;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_from_errno(errno);
    *ret = str_n(p, (size_t)st.st_size);
    return 0;
}

/* ---- writing ---- */

static int content_write_bytes(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_from_errno(n < 0 ? errno : EIO);
        bytes = str_n(bytes.p + n, bytes.n - (size_t)n);
    }
    return 0;
}

/* The bundle gets places instead of keys, the keys go to a memory of their own. */
static int content_write_keys(struct config *c, int keys, struct config_problems *problems,
                              struct buf *out)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    struct files *files = NULL;
    uint64_t service;
    hash_random(&service, sizeof(service));
    if (keys < 0)
        return -ERR_UNSUPPORTED;
    int err = content_keys_take(c, service, &text, &files, problems);
    if (err == 0)
        err = content_write_bytes(keys, buf_str(&text));
    if (err == 0)
        err = plan_append_keys(c, service, out);
    if (err < 0) {
        files_unref(files);
        return err;
    }
    files_unref(c->files);
    c->files = files;
    return 0;
}

/* What was read (taken over) goes to fd: of a configuration that cannot be used (NULL) only why. */
static int content_put(struct config *c, int loaded, int fd, int keys, struct buf *out,
                       struct config_problems *problems)
{
    size_t before = out->len;
    int err = 0;
    if (c && c->tls.is_key_process)
        err = content_write_keys(c, keys, problems, out);
    if (err == -ERR_CONFIG) { /* it says why; there is nothing to put in force */
        config_unref(STEAL(c));
        out->len = before;
        loaded = err;
        err = 0;
    }
    if (err == 0)
        err = config_bundle_append(c, problems, out);
    if (err == 0 && c)
        err = plan_append(c, out);
    if (err == 0)
        err = content_write_bytes(fd, buf_str(out));
    config_unref(c);
    return err < 0 ? err : loaded;
}

int content_write(const char *config_path, int fd, int keys, struct config_problems *ret_problems)
{
    AUTO_SECRET_BUF out = BUF_INIT;
    struct config *c = NULL;
    struct config_problems problems = {0};
    int loaded = config_load_to_start(config_path, &c, &problems);
    int err = loaded == -ERR_CONFIG ? 0 : loaded;
    if (err == 0 && c)
        err = plan_append_files(c, c->files, &out);
    if (err == 0)
        err = content_put(STEAL(c), loaded, fd, keys, &out, &problems);
    config_unref(c);
    if (ret_problems)
        *ret_problems = problems;
    else
        config_problems_fini(&problems);
    return err;
}

/* ---- writing once more ---- */

/* Into the configuration, where key processes have them. */
static int content_load_keys(struct config *c, int from)
{
    struct str records;
    struct files *files = NULL;
    int err = content_map(from, &records);
    if (err < 0)
        return err == -ERR_EOF ? 0 : err;
    err = content_keys_restore(c->files, records, &files);
    munmap((void *)records.p, records.n);
    if (err < 0)
        return err;
    files_unref(c->files);
    c->files = files;
    return 0;
}

int content_refresh(int from, int from_keys, int fd, int keys)
{
    AUTO_SECRET_BUF out = BUF_INIT;
    struct config *c = NULL;
    struct files *disk = NULL;
    struct config_problems old = {0}, problems = {0};
    size_t n_changed = 0;
    struct str bundle;
    int err = content_map(from, &bundle);
    if (err == 0) {
        err = config_bundle_load(bundle, &c, &old);
        munmap((void *)bundle.p, bundle.n);
    }
    if (err == 0 && from_keys >= 0)
        err = content_load_keys(c, from_keys);
    if (err == 0)
        err = files_new(&disk);
    if (err == 0)
        err = config_refresh(c, disk, &n_changed, &problems);
    if (err == 0)
        err = plan_append_files(c, disk, &out);
    if (err == 0)
        err = plan_append_refresh(n_changed == 0, problems.n > 0, &out);
    if (err == 0)
        err = content_put(STEAL(c), 0, fd, keys, &out, &problems);
    config_unref(c);
    files_unref(disk);
    config_problems_fini(&old);
    config_problems_fini(&problems);
    return err;
}

/* ---- reading ---- */

/* Takes fd and keys over unless it fails. */
static int content_read(int fd, struct key_process *keys, struct content **ret)
{
    struct str bundle;
    struct content *c = calloc(1, sizeof(*c));
    int err = c ? content_map(fd, &bundle) : -ERR_NOMEM;
    if (err == 0) {
        err = plan_read(bundle, &c->plan);
        munmap((void *)bundle.p, bundle.n);
    }
    if (err < 0) {
        free(c);
        return err;
    }
    c->refs = 1;
    c->fd = fd;
    c->keys = keys;
    c->is_valid = c->plan.n_folders > 0;
    *ret = c;
    return 0;
}

int content_new(int fd, int keys, struct content **ret)
{
    struct content *c = NULL;
    AUTO_CLOSE int owned = fd;
    AUTO_CLOSE int memory = keys;
    int err = fcntl(fd, F_ADD_SEALS, CONTENT_SEALS) < 0 ? err_from_errno(errno)
                                                        : content_read(fd, NULL, &c);
    if (err < 0)
        return err;
    owned = -1;
    if (c->plan.keys.n_channels > 0) {
        memory = -1;
        err = keys < 0 ? -ERR_SYNTAX : key_process_new(keys, c->plan.keys.n_channels, &c->keys);
    }
    if (err < 0)
        content_unref(c);
    else
        *ret = c;
    return err;
}

int content_adopt(int fd, struct key_process *keys, struct content **ret)
{
    struct content *c = NULL;
    AUTO_CLOSE int owned = fd;
    int seals = fcntl(fd, F_GET_SEALS);
    int err = seals < 0                                  ? err_from_errno(errno)
              : (seals & CONTENT_SEALS) != CONTENT_SEALS ? -ERR_PERM
                                                         : content_read(fd, keys, &c);
    if (err < 0) {
        key_process_free(keys);
        return err;
    }
    owned = -1;
    if (c->plan.keys.n_channels != (keys ? keys->n : 0)) {
        content_unref(c);
        return -ERR_SYNTAX;
    }
    *ret = c;
    return 0;
}

struct content *content_ref(struct content *c)
{
    c->refs++;
    return c;
}

void content_unref(struct content *c)
{
    if (!c || --c->refs > 0)
        return;
    close(c->fd);
    key_process_free(c->keys);
    plan_fini(&c->plan);
    free(c);
}
