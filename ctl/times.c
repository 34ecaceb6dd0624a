/* SPDX-License-Identifier: ISC */
/* Forms of times, and how far they are away. */
#include "ctl/times.h"

#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

#define TIMES_TEXT_MAX 32

/* What of a form is left to be found out. */
enum times_lack { TIMES_NOTHING, TIMES_YEAR, TIMES_DATE };

static const struct {
    const char *form;
    enum times_lack lack;
} forms[] = {
    {"%Y-%m-%d %H:%M:%S", TIMES_NOTHING},
    {"%Y-%m-%dT%H:%M:%S", TIMES_NOTHING},
    {"%Y-%m-%d %H:%M", TIMES_NOTHING},
    {"%Y-%m-%dT%H:%M", TIMES_NOTHING},
    {"%Y-%m-%d", TIMES_NOTHING},
    {"%m-%d %H:%M:%S", TIMES_YEAR},
    {"%m-%d %H:%M", TIMES_YEAR},
    {"%H:%M:%S", TIMES_DATE},
    {"%H:%M", TIMES_DATE},
};

static const struct {
    const char *word;
    int days; /* from today */
} days[] = {{"yesterday", -1}, {"today", 0}, {"tomorrow", 1}};

static time_t times_make(struct tm tm, bool is_utc)
{
    tm.tm_isdst = -1;
    return is_utc ? timegm(&tm) : mktime(&tm);
}

/* Fills what the form does not say from today. True when the text has the form. */
static bool times_read(const char *text, const char *form, enum times_lack lack,
                       const struct tm *today, struct tm *ret)
{
    struct tm tm = {.tm_mday = 1};
    const char *end = strptime(text, form, &tm);
    if (!end || *end)
        return false;
    /* The 30th of February would become a day of March. */
    static const int days_of[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 1900 + (lack == TIMES_NOTHING ? tm.tm_year : today->tm_year);
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (tm.tm_mday > days_of[tm.tm_mon] || (tm.tm_mon == 1 && tm.tm_mday == 29 && !is_leap))
        return false;
    if (lack != TIMES_NOTHING)
        tm.tm_year = today->tm_year;
    if (lack == TIMES_DATE) {
        tm.tm_mon = today->tm_mon;
        tm.tm_mday = today->tm_mday;
    }
    *ret = tm;
    return true;
}

static int times_find(const char *text, bool is_utc, bool is_past, time_t now, time_t *ret)
{
    struct tm today, tm;
    if (!(is_utc ? gmtime_r(&now, &today) : localtime_r(&now, &today)))
        return -ERR_RANGE;
    for (size_t i = 0; i < ARRAY_LEN(days); i++)
        if (strcmp(text, days[i].word) == 0) {
            tm = (struct tm){.tm_year = today.tm_year,
                             .tm_mon = today.tm_mon,
                             .tm_mday = today.tm_mday + days[i].days};
            *ret = times_make(tm, is_utc);
            return 0;
        }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (!times_read(text, forms[i].form, forms[i].lack, &today, &tm))
            continue;
        *ret = times_make(tm, is_utc);
        /* A time of day is that of today, or of the day before or after it; a day is one of this
         * year, or of the year before or after it. */
        if (forms[i].lack != TIMES_NOTHING && !(is_past ? *ret <= now : *ret > now)) {
            *(forms[i].lack == TIMES_DATE ? &tm.tm_mday : &tm.tm_year) += is_past ? -1 : 1;
            *ret = times_make(tm, is_utc);
        }
        return 0;
    }
    return -ERR_SYNTAX;
}

int times_parse(struct str text, bool is_past, time_t now, uint64_t *ret_ms)
{
    char copy[TIMES_TEXT_MAX];
    time_t t;
    *ret_ms = 0;
    if (text.n == 0 || strchr(" \t", text.p[0]) || !str_copy(copy, sizeof(copy), text))
        return -ERR_SYNTAX;
    bool is_utc = copy[text.n - 1] == 'Z' && text.n > 1;
    if (is_utc)
        copy[text.n - 1] = '\0';
    int err = times_find(copy, is_utc, is_past, now, &t);
    if (err < 0)
        return err;
    if (is_past ? t > now : t <= now)
        return -ERR_RANGE;
    *ret_ms = (uint64_t)(is_past ? now - t : t - now) * 1000;
    return 0;
}
