/* SPDX-License-Identifier: ISC */
/* Hosts file: lines of an address and its names, kept as text and searched; it is short. */
#include "io/resolver_hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"

#define CHECK_MS 5000
#define FILE_MAX_BYTES (1024 * 1024)

struct resolver_hosts {
    char *path;
    struct buf text;
    uint64_t checked_ms;
    struct timespec mtime;
    off_t size;
};

/* Half-read files keep the text of before: the next look is a few seconds away. */
static int hosts_read(struct resolver_hosts *h, int fd, const struct stat *st)
{
    AUTO_BUF text = BUF_INIT;
    ssize_t n;
    if (st->st_size > FILE_MAX_BYTES)
        return -ERR_TOO_LONG;
    do {
        if (buf_reserve(&text, 4096) != 0)
            return -ERR_NOMEM;
        n = read(fd, buf_tail(&text), 4096);
        if (n > 0)
            buf_commit(&text, (size_t)n);
    } while (n > 0 && text.len <= FILE_MAX_BYTES);
    if (n < 0)
        return -ERR_IO;
    buf_fini(&h->text);
    h->text = text;
    text = BUF_INIT;
    h->mtime = st->st_mtim;
    h->size = st->st_size;
    return 0;
}

/* Without a descriptor for it, as well, what was read before counts: only a file that is gone has
 * no names. */
static void hosts_refresh(struct resolver_hosts *h)
{
    struct stat st;
    AUTO_CLOSE int fd = open(h->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        buf_fini(&h->text);
        h->size = 0;
    }
    if (fd < 0 || fstat(fd, &st) != 0)
        return;
    if (st.st_size == h->size && st.st_mtim.tv_sec == h->mtime.tv_sec &&
        st.st_mtim.tv_nsec == h->mtime.tv_nsec)
        return;
    int err = hosts_read(h, fd, &st);
    (void)err; /* the names are then asked of DNS */
}

int resolver_hosts_new(const char *path, struct resolver_hosts **ret)
{
    struct resolver_hosts *h = calloc(1, sizeof(*h));
    if (!h)
        return -ERR_NOMEM;
    if (!(h->path = str_dup_c(path))) {
        free(h);
        return -ERR_NOMEM;
    }
    hosts_refresh(h);
    *ret = h;
    return 0;
}

void resolver_hosts_free(struct resolver_hosts *h)
{
    if (!h)
        return;
    buf_fini(&h->text);
    free(h->path);
    free(h);
}

static int hosts_line(struct str line, struct str name, struct buf *v4, struct buf *v6)
{
    struct addr a;
    line = str_cut(&line, '#');
    struct str ip = str_word(&line);
    if (addr_parse(ip, &a) != 0 || a.port != 0)
        return 0;
    struct buf *b = a.family == AF_INET ? v4 : a.family == AF_INET6 ? v6 : NULL;
    for (struct str word = str_word(&line); b && word.n > 0; word = str_word(&line)) {
        if (str_ieq(str_trim(word), name))
            return buf_append(b, &a, sizeof(a));
    }
    return 0;
}

int resolver_hosts_find(struct resolver_hosts *h, uint64_t now_ms, struct str name, struct buf *v4,
                        struct buf *v6)
{
    if (now_ms - h->checked_ms >= CHECK_MS) {
        h->checked_ms = now_ms;
        hosts_refresh(h);
    }
    int err = 0;
    struct str rest = buf_str(&h->text);
    while (err == 0 && rest.n > 0)
        err = hosts_line(str_cut(&rest, '\n'), name, v4, v6);
    return err;
}
