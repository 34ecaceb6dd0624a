/* SPDX-License-Identifier: ISC */
/* Durations and sizes as text. */
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"

struct unit {
    struct str name;
    uint64_t factor;
};

/* Longest first where one is a prefix of another's reading order; printing picks the largest that
 * divides. */
static const struct unit duration_units[] = {
    {{"ms", 2}, 1},      {{"s", 1}, 1000},     {{"m", 1}, 60000},
    {{"h", 1}, 3600000}, {{"d", 1}, 86400000}, {{"w", 1}, 604800000},
};

static const struct unit size_units[] = {
    {{"b", 1}, 1},          {{"k", 1}, 1ull << 10}, {{"m", 1}, 1ull << 20},
    {{"g", 1}, 1ull << 30}, {{"t", 1}, 1ull << 40},
};

/* Cuts a run of digits off *s. */
static struct str units_digits(struct str *s)
{
    size_t n = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    struct str head = str_n(s->p, n);
    *s = str_skip(*s, n);
    return head;
}

static const struct unit *units_find(const struct unit *units, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(units[i].name, name))
            return &units[i];
    return NULL;
}

static int units_add(uint64_t *total, struct str digits, const struct unit *unit)
{
    uint64_t v, product;
    int err = str_to_u64(digits, UINT64_MAX, &v);
    if (err)
        return err;
    if (__builtin_mul_overflow(v, unit->factor, &product) ||
        __builtin_add_overflow(*total, product, total))
        return -ERR_RANGE;
    return 0;
}

int units_parse_duration(struct str s, uint64_t *ret_ms)
{
    uint64_t total = 0;
    if (str_eq(s, STR("0"))) {
        *ret_ms = 0;
        return 0;
    }
    if (s.n == 0)
        return -ERR_SYNTAX;
    while (s.n) {
        struct str digits = units_digits(&s);
        size_t n = 0; /* letters */
        while (n < s.n && !(s.p[n] >= '0' && s.p[n] <= '9'))
            n++;
        const struct unit *unit =
            units_find(duration_units, ARRAY_LEN(duration_units), str_head(s, n));
        s = str_skip(s, n);
        if (digits.n == 0 || !unit)
            return -ERR_SYNTAX;
        int err = units_add(&total, digits, unit);
        if (err)
            return err;
    }
    *ret_ms = total;
    return 0;
}

int units_parse_size(struct str s, uint64_t *ret_bytes)
{
    uint64_t total = 0;
    struct str digits = units_digits(&s);
    if (digits.n == 0)
        return -ERR_SYNTAX;
    if (s.n > 1 && str_ieq((struct str){s.p + 1, s.n - 1}, STR("ib")))
        s.n = 1;
    else if (s.n == 2 && (s.p[1] == 'b' || s.p[1] == 'B'))
        s.n = 1;
    const struct unit *unit =
        s.n ? units_find(size_units, ARRAY_LEN(size_units), s) : &size_units[0];
    if (!unit)
        return -ERR_SYNTAX;
    int err = units_add(&total, digits, unit);
    if (err)
        return err;
    *ret_bytes = total;
    return 0;
}

/* The largest unit that divides the value without rest. */
static const struct unit *units_exact(const struct unit *units, size_t n, uint64_t v)
{
    const struct unit *best = &units[0];
    for (size_t i = 1; i < n; i++)
        if (v && v % units[i].factor == 0)
            best = &units[i];
    return best;
}

void units_format_duration(char dst[32], uint64_t ms)
{
    const struct unit *u = units_exact(duration_units, ARRAY_LEN(duration_units) - 1, ms);
    if (ms == 0)
        snprintf(dst, 32, "0");
    else
        snprintf(dst, 32, "%" PRIu64 "%s", ms / u->factor, u->name.p);
}

void units_format_size(char dst[32], uint64_t bytes)
{
    const struct unit *u = units_exact(size_units, ARRAY_LEN(size_units), bytes);
    snprintf(dst, 32, "%" PRIu64 "%s", bytes / u->factor, u == &size_units[0] ? "" : u->name.p);
}

void units_human_size(char dst[32], uint64_t bytes)
{
    static const char letters[] = "BKMGTPE";
    size_t i = 0;
    double v = (double)bytes;
    while (v >= 999.5 && i + 2 < sizeof(letters)) {
        v /= 1024;
        i++;
    }
    if (i == 0)
        snprintf(dst, 32, "%" PRIu64, bytes);
    else
        snprintf(dst, 32, v < 9.95 ? "%.1f%c" : "%.0f%c", v, letters[i]);
}

void units_human_duration(char dst[32], uint64_t ms)
{
    uint64_t s = ms / 1000;
    if (s < 60)
        snprintf(dst, 32, "%" PRIu64 "s", s);
    else if (s < 3600)
        snprintf(dst, 32, "%" PRIu64 "m", s / 60);
    else if (s < 86400)
        snprintf(dst, 32, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(dst, 32, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}
