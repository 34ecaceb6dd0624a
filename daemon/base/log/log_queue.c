/* SPDX-License-Identifier: ISC */
/* Two blocks of lines that change places. */
#include "base/log/log_queue.h"

#include <string.h>
#include <sys/mman.h>

/* A block that held more than this gives its memory back. */
#define LOG_QUEUE_KEEP (256 * 1024)

int log_queue_init(struct log_queue *q, size_t cap)
{
    *q = (struct log_queue){.cap = cap};
    char *p = mmap(NULL, 2 * cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -ERR_NOMEM;
    q->fill = p;
    q->out = p + cap;
    return 0;
}

void log_queue_fini(struct log_queue *q)
{
    if (q->fill)
        (void)munmap(q->fill < q->out ? q->fill : q->out, 2 * q->cap);
    *q = (struct log_queue){0};
}

bool log_queue_put(struct log_queue *q, const char *line, size_t n)
{
    if (q->dropped > 0 || n > q->cap - q->fill_n) { /* the gap stays where it is told */
        q->dropped++;
        q->dropped_total++;
        return false;
    }
    memcpy(q->fill + q->fill_n, line, n);
    q->fill_n += n;
    return true;
}

bool log_queue_turn(struct log_queue *q, uint64_t *ret_dropped)
{
    *ret_dropped = 0;
    if (q->fill_n == 0)
        return false;
    char *done = q->out;
    if (q->out_n > LOG_QUEUE_KEEP)
        (void)madvise(done, q->cap, MADV_DONTNEED);
    q->out = q->fill;
    q->out_n = q->fill_n;
    q->out_at = 0;
    q->fill = done;
    q->fill_n = 0;
    *ret_dropped = q->dropped;
    q->dropped = 0;
    return true;
}

bool log_queue_is_empty(const struct log_queue *q)
{
    return q->fill_n == 0 && q->out_at == q->out_n;
}

size_t log_queue_next(const struct log_queue *q, size_t max, const char **ret)
{
    const char *p = q->out + q->out_at;
    size_t n = q->out_n - q->out_at;
    *ret = p;
    if (n <= max)
        return n;
    const char *end = memrchr(p, '\n', max);
    if (!end) /* one line is longer than that */
        end = memchr(p, '\n', n);
    return end ? (size_t)(end - p) + 1 : n;
}

void log_queue_advance(struct log_queue *q, size_t n)
{
    q->out_at += n;
}

void log_queue_discard(struct log_queue *q)
{
    const char *line;
    for (size_t n; (n = log_queue_next(q, 1, &line)) > 0; q->out_at += n) {
        q->dropped++;
        q->dropped_total++;
    }
}
