/* SPDX-License-Identifier: ISC */
/* What the load generator measured. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include "load.h"

void load_report_unit(struct load_report *r, uint64_t us)
{
    if (r->units == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 4096;
        uint32_t *longer = realloc(r->us, cap * sizeof(*longer));
        if (!longer) {
            load_report_error(r, "out of memory");
            return;
        }
        r->us = longer;
        r->cap = cap;
    }
    r->us[r->units++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void load_report_error(struct load_report *r, const char *fmt, ...)
{
    va_list ap;
    if (r->errors++ > 0)
        return;
    va_start(ap, fmt);
    vsnprintf(r->first_error, sizeof(r->first_error), fmt, ap);
    va_end(ap);
}

static int compare_us(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t report_quantile(const struct load_report *r, uint64_t thousandths)
{
    return r->units == 0 ? 0 : r->us[(r->units - 1) * thousandths / 1000];
}

static double report_cpu(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Errors quote what a server said: only what JSON takes as it is. */
static void report_clean(char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
            *s = '?';
}

void load_report_print(struct load_report *r)
{
    if (r->units > 0)
        qsort(r->us, r->units, sizeof(*r->us), compare_us);
    report_clean(r->first_error);
    printf("{\"units\": %llu, \"errors\": %llu, \"error\": \"%s\", \"seconds\": %.6f, "
           "\"handshakes\": %llu, \"resumed\": %llu, \"cipher\": \"%s\", \"p50_us\": %u, "
           "\"p99_us\": %u, \"max_us\": %u, \"cpu_s\": %.6f}\n",
           (unsigned long long)r->units, (unsigned long long)r->errors, r->first_error,
           (double)(r->ended_us - r->begun_us) / 1e6, (unsigned long long)r->handshakes,
           (unsigned long long)r->resumed, r->cipher, report_quantile(r, 500),
           report_quantile(r, 990), report_quantile(r, 1000), report_cpu());
    fflush(stdout);
}
