/* SPDX-License-Identifier: ISC */
/* Head, then the rings of all and of the protocols, then those of the backends. In the machine's
 * own byte order: the file goes nowhere else. */
#include "runtime/history/history_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "proto/proto.h"

#define FILE_WHOLES (1 + PROTO_COUNT)
#define FILE_SECOND_MS 1000
#define FILE_MINUTE_MS 60000

struct file_head {
    char magic[8];
    uint32_t wholes, backends; /* series that there is room for */
    uint64_t ids[HISTORY_BACKENDS_MAX];
};

struct file_record {
    uint64_t wall_ms;
    uint32_t sessions, logins, failures, check;
    uint64_t in, out;
};

struct history_file {
    int fd;
    struct file_head head;
};

static const struct file_head file_empty = {
    .magic = "mphist1", .wholes = FILE_WHOLES, .backends = HISTORY_BACKENDS_MAX};

/* ---- places ---- */

static uint64_t ring_size(struct history_ring r)
{
    return !r.is_minutes  ? HISTORY_SECONDS
           : r.is_backend ? HISTORY_BACKEND_MINUTES
                          : HISTORY_MINUTES;
}

static uint64_t ring_offset(struct history_ring r)
{
    const uint64_t whole = HISTORY_SECONDS + HISTORY_MINUTES;
    uint64_t records = r.is_backend ? FILE_WHOLES * whole + r.place * HISTORY_BACKEND_MINUTES
                                    : r.place * whole + (r.is_minutes ? HISTORY_SECONDS : 0);
    return sizeof(struct file_head) + records * sizeof(struct file_record);
}

static uint64_t ring_step_ms(struct history_ring r)
{
    return r.is_minutes ? FILE_MINUTE_MS : FILE_SECOND_MS;
}

/* A sample of another series in the same place does not pass. */
static uint32_t record_check(const struct file_record *r, uint64_t id)
{
    struct file_record copy = *r;
    copy.check = 0;
    return hash_crc32c(str_n((const char *)&copy, sizeof(copy))) ^ (uint32_t)hash_mix(id);
}

uint64_t history_file_id(const char *name)
{
    uint64_t id = hash_stable(str_of(name));
    return id ? id : 1;
}

/* ---- life ---- */

static int file_put(int fd, const void *p, size_t n, uint64_t offset)
{
    ssize_t done = pwrite(fd, p, n, (off_t)offset);
    return done == (ssize_t)n ? 0 : done < 0 ? err_from_errno(errno) : -ERR_IO;
}

static int file_begin(struct history_file *f)
{
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return -ERR_IO;
    bool is_ours = pread(f->fd, &f->head, sizeof(f->head), 0) == (ssize_t)sizeof(f->head) &&
                   memcmp(f->head.magic, file_empty.magic, sizeof(file_empty.magic)) == 0 &&
                   f->head.wholes == file_empty.wholes && f->head.backends == file_empty.backends;
    if (is_ours)
        return 0;
    f->head = file_empty;
    if (ftruncate(f->fd, 0) < 0)
        return err_from_errno(errno);
    return file_put(f->fd, &f->head, sizeof(f->head), 0);
}

int history_file_open(const char *path, struct history_file **ret)
{
    struct history_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    /* Whatever else lies there must not keep us waiting: a pipe would. */
    f->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    int err = f->fd < 0 ? err_from_errno(errno) : file_begin(f);
    if (err < 0) {
        history_file_free(f);
        return err;
    }
    *ret = f;
    return 0;
}

void history_file_free(struct history_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        (void)close(f->fd);
    free(f);
}

/* ---- reading ---- */

uint64_t history_file_backend(const struct history_file *f, unsigned place)
{
    return f->head.ids[place];
}

static int compare_times(const void *a, const void *b)
{
    const struct history_record *x = a, *y = b;
    return x->wall_ms < y->wall_ms ? -1 : x->wall_ms > y->wall_ms;
}

size_t history_file_read(const struct history_file *f, struct history_ring ring, uint64_t now_ms,
                         struct history_record *ret)
{
    uint64_t size = ring_size(ring), step = ring_step_ms(ring), n = 0;
    AUTO_FREE struct file_record *all = calloc(size, sizeof(*all));
    /* What lies beyond the end of the file reads as nothing. */
    if (!all || pread(f->fd, all, size * sizeof(*all), (off_t)ring_offset(ring)) < 0)
        return 0;
    for (uint64_t i = 0; i < size; i++) {
        const struct file_record *r = &all[i];
        bool is_good = r->wall_ms > 0 && r->wall_ms <= now_ms &&
                       now_ms - r->wall_ms < size * step && r->wall_ms / step % size == i &&
                       r->check == record_check(r, ring.id);
        if (is_good)
            ret[n++] = (struct history_record){
                r->wall_ms, {r->sessions, r->logins, r->failures, r->in, r->out}};
    }
    qsort(ret, n, sizeof(*ret), compare_times);
    return n;
}

/* ---- writing ---- */

static int file_write_one(struct history_file *f, const struct history_write *w)
{
    const struct history_sample *s = &w->record.sample;
    struct file_record r = {.wall_ms = w->record.wall_ms,
                            .sessions = s->sessions,
                            .logins = s->logins,
                            .failures = s->failures,
                            .in = s->in,
                            .out = s->out};
    uint64_t slot = r.wall_ms / ring_step_ms(w->ring) % ring_size(w->ring);
    uint64_t *id = w->ring.is_backend ? &f->head.ids[w->ring.place] : NULL;
    r.check = record_check(&r, w->ring.id);
    if (id && *id != w->ring.id) {
        *id = w->ring.id;
        int err = file_put(f->fd, id, sizeof(*id), (uint64_t)((char *)id - (char *)&f->head));
        if (err < 0)
            return err;
    }
    return file_put(f->fd, &r, sizeof(r), ring_offset(w->ring) + slot * sizeof(r));
}

int history_file_write(struct history_file *f, const struct history_write *v, size_t n)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < n; i++)
        err = file_write_one(f, &v[i]);
    return err;
}
