/* SPDX-License-Identifier: ISC */
/* A map from names to contents that have memory of their own, left out of core dumps. */
#include "base/os/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/container/map.h"

struct files {
    unsigned refs; /* atomic */
    bool is_closed;
    struct map by_path; /* struct file_content */
};

/* Pages of its own: they can be kept out of dumps, and are given back at once. */
struct file_content {
    size_t size; /* of the pages */
    size_t n;
    struct file_stamp stamp; /* zeros when it is from no file */
    char bytes[];
};

static struct file_content *file_content_new(size_t n)
{
    size_t size = sizeof(struct file_content) + n + 1;
    struct file_content *c =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c == MAP_FAILED)
        return NULL;
    (void)madvise(c, size, MADV_DONTDUMP);
    c->size = size;
    c->n = n;
    return c;
}

static void file_content_free(struct file_content *c)
{
    if (!c)
        return;
    explicit_bzero(c->bytes, c->n);
    munmap(c, c->size);
}

static void stamp_take(const struct stat *st, struct file_stamp *ret)
{
    const uint64_t s = 1000000000;
    *ret = (struct file_stamp){
        .device = st->st_dev,
        .inode = st->st_ino,
        .bytes = (uint64_t)st->st_size,
        .written_ns = (uint64_t)st->st_mtim.tv_sec * s + (uint64_t)st->st_mtim.tv_nsec,
        .changed_ns = (uint64_t)st->st_ctim.tv_sec * s + (uint64_t)st->st_ctim.tv_nsec};
}

void file_stamp_of(const char *path, struct file_stamp *ret)
{
    struct stat st;
    *ret = (struct file_stamp){0};
    if (stat(path, &st) == 0)
        stamp_take(&st, ret);
}

bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->written_ns == b->written_ns && a->changed_ns == b->changed_ns;
}

int files_new(struct files **ret)
{
    struct files *f = calloc(1, sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    f->refs = 1;
    *ret = f;
    return 0;
}

struct files *files_ref(struct files *f)
{
    __atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

void files_unref(struct files *f)
{
    size_t pos = 0;
    struct str path;
    void *content;
    if (!f || __atomic_fetch_sub(&f->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    while (map_next(&f->by_path, &pos, &path, &content))
        file_content_free(content);
    map_fini(&f->by_path);
    free(f);
}

/* Takes c over. */
static int files_add(struct files *f, struct str path, struct file_content *c)
{
    int err = map_get(&f->by_path, path) ? -ERR_EXISTS : map_put(&f->by_path, path, c, NULL);
    if (err < 0)
        file_content_free(c);
    return err;
}

int files_put_stamped(struct files *f, struct str path, struct str content,
                      const struct file_stamp *stamp)
{
    struct file_content *c = file_content_new(content.n);
    if (!c)
        return -ERR_NOMEM;
    if (content.n)
        memcpy(c->bytes, content.p, content.n);
    c->stamp = *stamp;
    return files_add(f, path, c);
}

int files_put(struct files *f, struct str path, struct str content)
{
    static const struct file_stamp none;
    return files_put_stamped(f, path, content, &none);
}

static int files_fail(int failed)
{
    errno = failed;
    return failed == EFBIG ? -ERR_TOO_LONG : err_from_errno(failed);
}

/* A file may shrink or grow while it is read: what is there counts, up to the limit. */
static int files_load(int fd, size_t size, struct file_content **ret)
{
    struct file_content *c = file_content_new(size);
    size_t at = 0;
    ssize_t n = 1;
    if (!c)
        return files_fail(ENOMEM);
    while (at < size && n > 0) {
        n = read(fd, c->bytes + at, size - at);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            at += (size_t)n;
    }
    if (n < 0) {
        int failed = errno;
        file_content_free(c);
        return files_fail(failed);
    }
    c->n = at;
    *ret = c;
    return 0;
}

static int files_load_path(const char *path, struct file_content **ret)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return files_fail(errno);
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) /* /dev/null: as an empty file */
        return files_fail(S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
    if (st.st_size > FILES_BYTES_MAX)
        return files_fail(EFBIG);
    int err = files_load(fd, (size_t)st.st_size, ret);
    if (err == 0)
        stamp_take(&st, &(*ret)->stamp);
    return err;
}

int files_read(struct files *f, const char *path, struct str *ret)
{
    struct file_content *c = map_get(&f->by_path, str_of(path));
    if (!c && f->is_closed)
        return files_fail(ENOENT);
    int err = c ? 0 : files_load_path(path, &c);
    if (err == 0 && !map_get(&f->by_path, str_of(path)))
        err = files_add(f, str_of(path), c);
    if (err == 0)
        *ret = str_n(c->bytes, c->n);
    return err;
}

void files_stamp(const struct files *f, const char *path, struct file_stamp *ret)
{
    const struct file_content *c = map_get(&f->by_path, str_of(path));
    *ret = c ? c->stamp : (struct file_stamp){0};
}

void files_close(struct files *f)
{
    f->is_closed = true;
}

bool files_next(const struct files *f, size_t *pos, struct str *ret_path, struct str *ret_content)
{
    void *value;
    if (!map_next(&f->by_path, pos, ret_path, &value))
        return false;
    const struct file_content *c = value;
    *ret_content = str_n(c->bytes, c->n);
    return true;
}
