/* SPDX-License-Identifier: ISC */
/* Values of an answer as text, for people or raw, and their order. */
#include <inttypes.h>
#include <time.h>

#include "base/buf.h"
#include "base/units.h"
#include "ctl/output.h"
#include "ctl/output_text.h"

bool output_is_number(enum commands_type unit)
{
    return unit == COMMANDS_NUMBER || unit == COMMANDS_SIZE || unit == COMMANDS_DURATION ||
           unit == COMMANDS_LATENCY || unit == COMMANDS_PERCENT;
}

int output_compare(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double m = json_number_value(a), n = json_number_value(b);
        return (m > n) - (m < n);
    }
    if (json_is_string(a) && json_is_string(b)) {
        /* Ids of operations are texts, and numbers: those come first, in their own order. */
        const char *s = json_string_value(a), *t = json_string_value(b);
        uint64_t x, y;
        bool is_s = str_to_u64(str_of(s), UINT64_MAX, &x) == 0;
        bool is_t = str_to_u64(str_of(t), UINT64_MAX, &y) == 0;
        if (is_s != is_t)
            return is_s ? -1 : 1;
        return is_s ? (x > y) - (x < y) : strcmp(s, t);
    }
    /* Absent values come first, and booleans false before true. */
    return (int)(a ? json_typeof(a) + 1 : 0) == (int)(b ? json_typeof(b) + 1 : 0) ? 0
           : (a ? json_is_true(a) + 1 : 0) < (b ? json_is_true(b) + 1 : 0)        ? -1
                                                                                  : 1;
}

static int output_list(struct buf *out, const json_t *list, const char *separator)
{
    size_t i;
    json_t *item;
    int err = 0;
    json_array_foreach ((json_t *)list, i, item) {
        if (i && !err)
            err = buf_append_c(out, separator);
        output_raw(out, item);
    }
    return err;
}

/* imap=143,pop3=110 */
static int output_members(struct buf *out, const json_t *object)
{
    const char *key;
    json_t *value;
    int err = 0;
    bool is_first = true;
    json_object_foreach ((json_t *)object, key, value) {
        if (!err)
            err = buf_printf(out, "%s%s=", is_first ? "" : ",", key);
        output_raw(out, value);
        is_first = false;
    }
    return err;
}

void output_raw(struct buf *out, const json_t *value)
{
    int err = 0;
    if (json_is_string(value))
        err = output_text_clean(out, str_n(json_string_value(value), json_string_length(value)));
    else if (json_is_integer(value))
        err = buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        err = buf_printf(out, "%.*g", 10, json_real_value(value));
    else if (json_is_boolean(value))
        err = buf_append_c(out, json_is_true(value) ? "true" : "false");
    else if (json_is_array(value))
        err = output_list(out, value, ",");
    else if (json_is_object(value))
        err = output_members(out, value);
    (void)err; /* out of memory: the value is cut */
}

static int output_human_number(struct buf *out, const struct output_column *col, json_int_t v)
{
    char text[32];
    struct tm tm, now;
    time_t t = (time_t)(v / 1000), current = time(NULL);
    if (col->unit == COMMANDS_TIME && v <= 0)
        return buf_append_c(out, "-");
    if (col->unit == COMMANDS_TIME || col->unit == COMMANDS_CLOCK) {
        if (!localtime_r(&t, &tm) || !localtime_r(&current, &now))
            return buf_printf(out, "%" JSON_INTEGER_FORMAT, v);
        bool is_this_year = col->is_short && now.tm_year == tm.tm_year;
        bool is_today = is_this_year && now.tm_yday == tm.tm_yday;
        /* As much of a time as must be said. */
        size_t n = col->unit == COMMANDS_CLOCK || is_today
                       ? strftime(text, sizeof(text), "%H:%M:%S", &tm)
                   : is_this_year ? strftime(text, sizeof(text), "%m-%d %H:%M", &tm)
                                  : strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
        if (n == 0)
            return buf_printf(out, "%" JSON_INTEGER_FORMAT, v);
        return col->unit == COMMANDS_TIME ? buf_append_c(out, text)
                                          : buf_printf(out, "%s.%03d", text, (int)(v % 1000));
    }
    if (col->unit == COMMANDS_PERCENT)
        return buf_printf(out, "%" JSON_INTEGER_FORMAT "%%", v);
    if (col->unit == COMMANDS_LATENCY && v < 10000)
        return buf_printf(out, "%" JSON_INTEGER_FORMAT "ms", v);
    if (v < 0 || (col->unit != COMMANDS_SIZE && col->unit != COMMANDS_DURATION &&
                  col->unit != COMMANDS_LATENCY))
        return buf_printf(out, "%" JSON_INTEGER_FORMAT, v);
    if (col->unit == COMMANDS_SIZE)
        units_human_size(text, (uint64_t)v);
    else
        units_human_duration(text, (uint64_t)v);
    return buf_append_c(out, text);
}

void output_human(struct buf *out, const struct output_column *col, const json_t *value)
{
    int err = 0;
    if (json_is_integer(value))
        err = output_human_number(out, col, json_integer_value(value));
    else if (json_is_boolean(value))
        err = buf_append_c(out, json_is_true(value) ? "yes" : "no");
    else
        output_raw(out, value);
    if (out->len == 0)
        err = buf_append_char(out, '-');
    (void)err;
}
