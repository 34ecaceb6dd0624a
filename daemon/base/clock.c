/* SPDX-License-Identifier: ISC */
/* Monotonic and wall clocks. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

static uint64_t clock_read_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_ms(void)
{
    return clock_read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return clock_read_us(CLOCK_REALTIME) / 1000;
}

/* "2026-11-29T08:04:05.", of the last second that this thread has formatted: many lines share it.
 */
static _Thread_local struct {
    uint64_t second;
    char text[21];
} clock_last;

static bool clock_format_second(uint64_t second)
{
    time_t seconds = (time_t)second;
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099)
        return false;
    const struct {
        int value;
        unsigned width;
        char after;
    } parts[] = {{tm.tm_year + 1900, 4, '-'}, {tm.tm_mon + 1, 2, '-'}, {tm.tm_mday, 2, 'T'},
                 {tm.tm_hour, 2, ':'},        {tm.tm_min, 2, ':'},     {tm.tm_sec, 2, '.'}};
    char *dst = clock_last.text;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        dst = str_put_number(dst, (uint64_t)parts[i].value, 10, parts[i].width);
        *dst++ = parts[i].after;
    }
    clock_last.second = second;
    return true;
}

void clock_format(char dst[25], uint64_t wall_ms)
{
    uint64_t second = wall_ms / 1000;
    bool is_known = clock_last.text[0] && clock_last.second == second;
    if (!is_known && !clock_format_second(second)) {
        str_copy(dst, 25, STR("9999-12-31T23:59:59.999Z"));
        return;
    }
    memcpy(dst, clock_last.text, 20);
    (void)str_put_number(dst + 20, wall_ms % 1000, 10, 3);
    dst[23] = 'Z';
    dst[24] = '\0';
}

/* n decimal digits at the start of *s, which is moved on. */
static bool clock_digits(struct str *s, size_t n, int *ret)
{
    uint64_t v;
    if (s->n < n || str_to_u64((struct str){s->p, n}, 9999, &v))
        return false;
    *ret = (int)v;
    *s = (struct str){s->p + n, s->n - n};
    return true;
}

static bool clock_char(struct str *s, char c)
{
    if (s->n == 0 || *s->p != c)
        return false;
    *s = (struct str){s->p + 1, s->n - 1};
    return true;
}

int clock_parse(struct str s, uint64_t *ret_wall_ms)
{
    struct tm tm = {0};
    int ms = 0;
    bool ok = clock_digits(&s, 4, &tm.tm_year) && clock_char(&s, '-') &&
              clock_digits(&s, 2, &tm.tm_mon) && clock_char(&s, '-') &&
              clock_digits(&s, 2, &tm.tm_mday) && clock_char(&s, 'T') &&
              clock_digits(&s, 2, &tm.tm_hour) && clock_char(&s, ':') &&
              clock_digits(&s, 2, &tm.tm_min) && clock_char(&s, ':') &&
              clock_digits(&s, 2, &tm.tm_sec);
    if (ok && clock_char(&s, '.'))
        ok = clock_digits(&s, 3, &ms);
    if (!ok || !clock_char(&s, 'Z') || s.n)
        return -ERR_SYNTAX;
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return -ERR_SYNTAX;
    /* timegm takes February 30 for a day of March */
    int month = tm.tm_mon - 1, seconds = tm.tm_sec;
    tm.tm_year -= 1900;
    tm.tm_mon = month;
    tm.tm_sec = 0;
    uint64_t minute = (uint64_t)timegm(&tm);
    if (tm.tm_mon != month)
        return -ERR_SYNTAX;
    *ret_wall_ms = (minute + (uint64_t)seconds) * 1000 + (uint64_t)ms;
    return 0;
}
