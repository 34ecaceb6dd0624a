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
