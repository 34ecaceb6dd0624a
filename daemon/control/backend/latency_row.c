/* SPDX-License-Identifier: ISC */
/* Windows of logins as members of a row. */
#include "control/backend/latency_row.h"

#include <stdio.h>
#include <stdlib.h>

#define RECENT_SECONDS 30

/* Rounded up: nothing takes no time. */
static uint64_t latency_ms(const struct latency_counts *c, unsigned percent)
{
    return (latency_percentile_us(c, percent) + 999) / 1000;
}

void latency_row(json_t *row, const struct history *h, const struct history_series *s)
{
    static const struct {
        const char *p50, *p95, *p99, *connect, *fail;
    } names[WINDOW_COUNT] = {
        [WINDOW_MINUTE] = {"p50", "p95", "p99", "connect", "fail"},
        [WINDOW_TEN_MINUTES] = {"p50_10m", "p95_10m", "p99_10m", "connect_10m", "fail_10m"},
    };
    for (int i = 0; s && i < WINDOW_COUNT; i++) {
        struct window_counts seen;
        history_window(h, s, i, &seen);
        if (i == WINDOW_MINUTE && seen.logins + seen.failures == 0) /* a quiet site has few */
            history_window(h, s, WINDOW_TEN_MINUTES, &seen);
        if (latency_total(&seen.login) > 0) {
            request_put_number(row, names[i].p50, latency_ms(&seen.login, 50));
            request_put_number(row, names[i].p95, latency_ms(&seen.login, 95));
            request_put_number(row, names[i].p99, latency_ms(&seen.login, 99));
            request_put_number(row, names[i].connect, latency_ms(&seen.connect, 50));
        }
        if (seen.logins + seen.failures > 0)
            request_put_number(row, names[i].fail, window_fail_percent(&seen));
    }
}

void latency_row_recent(json_t *row, const struct history *h, const struct history_series *s)
{
    AUTO_BUF text = BUF_INIT;
    size_t n = s ? history_count(h, s, false) : 0;
    uint64_t at;
    n = n < RECENT_SECONDS ? n : RECENT_SECONDS;
    for (size_t back = n; back-- > 0;)
        if (buf_printf(&text, "%s%u", text.len ? " " : "",
                       history_get(h, s, false, back, &at)->logins) < 0)
            return;
    request_set_text(row, "recent", buf_cstr(&text));
}

/* ---- slow ones ---- */

static int latency_compare(const void *a, const void *b)
{
    json_int_t x = *(const json_int_t *)a, y = *(const json_int_t *)b;
    return (x > y) - (x < y);
}

/* Of those from `from` to `to` that have one; of an even number the lower. -1: none has. */
static json_int_t latency_median(const json_t *rows, size_t from, size_t to)
{
    size_t n = 0;
    AUTO_FREE json_int_t *v = calloc(to - from, sizeof(*v));
    if (!v)
        return -1;
    for (size_t i = from; i < to; i++) {
        const json_t *p95 = json_object_get(json_array_get(rows, i), "p95");
        if (p95)
            v[n++] = json_integer_value(p95);
    }
    qsort(v, n, sizeof(*v), latency_compare);
    return n ? v[(n - 1) / 2] : -1;
}

static const char *latency_pool(const json_t *rows, size_t i)
{
    const char *pool = json_string_value(json_object_get(json_array_get(rows, i), "pool"));
    return pool ? pool : "";
}

/* As lists show latencies: milliseconds below ten seconds. */
static void latency_words(char dst[32], json_int_t ms)
{
    bool is_long = ms >= 10000;
    (void)snprintf(dst, 32, "%lld %s", (long long)(is_long ? ms / 1000 : ms), is_long ? "s" : "ms");
}

void latency_mark_slow(json_t *rows)
{
    size_t n = json_array_size(rows);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1;
             to < n && strcmp(latency_pool(rows, to), latency_pool(rows, from)) == 0;)
            to++;
        json_int_t median = latency_median(rows, from, to);
        for (size_t i = from; i < to; i++) {
            json_t *row = json_array_get(rows, i);
            json_int_t p95 = json_integer_value(json_object_get(row, "p95"));
            if (p95 <= LATENCY_SLOW_MS || p95 <= LATENCY_SLOW_TIMES * median)
                continue;
            char slow[32], usual[32];
            latency_words(slow, p95);
            latency_words(usual, median);
            AUTO_FREE char *text = str_printf("%s, the pool's median %s", slow, usual);
            request_set_text(row, "slow", text);
        }
    }
}
