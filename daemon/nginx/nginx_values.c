/* SPDX-License-Identifier: ISC */
/* Times, sizes and quotes. */
#include "nginx/nginx_values.h"

#include "base/cleanup.h"

struct values_unit {
    const char *name;
    uint64_t factor;
};

/* Numbers with units, added up, blanks behind them. A number alone has the first unit, whose name
 * is
 * "". */
static int values_parse(const char *text, const struct values_unit *units, size_t n_units,
                        uint64_t *ret)
{
    *ret = 0;
    if (!*text)
        return -ERR_SYNTAX;
    while (*text) {
        static const char digits[] = "0123456789";
        size_t n = strspn(text, digits), letters = strcspn(text + n, "0123456789 "), u = 0;
        uint64_t number, sum;
        int err = str_to_u64(str_n(text, n), UINT32_MAX, &number);
        while (u < n_units && !str_eq(str_of(units[u].name), str_n(text + n, letters)))
            u++;
        if (err < 0 || n == 0 || u == n_units)
            return err == -ERR_RANGE ? err : -ERR_SYNTAX;
        if (__builtin_mul_overflow(number, units[u].factor, &sum) ||
            __builtin_add_overflow(*ret, sum, ret))
            return -ERR_RANGE;
        text += n + letters;
        text += strspn(text, " ");
    }
    return 0;
}

int nginx_time(const char *text, uint64_t *ret_ms)
{
    static const struct values_unit units[] = {
        {"", 1000},          {"ms", 1},          {"s", 1000},
        {"m", 60000},        {"h", 3600000},     {"d", 86400000},
        {"w", 7 * 86400000}, {"M", 2592000000U}, {"y", UINT64_C(31536000000)},
    };
    return values_parse(text, units, ARRAY_LEN(units), ret_ms);
}

int nginx_size(const char *text, uint64_t *ret_bytes)
{
    static const struct values_unit units[] = {
        {"", 1},        {"k", 1024},   {"K", 1024}, {"m", 1024 * 1024}, {"M", 1024 * 1024},
        {"g", 1 << 30}, {"G", 1 << 30}};
    return values_parse(text, units, ARRAY_LEN(units), ret_bytes);
}

int nginx_quote(struct str text, struct buf *out)
{
    int err = buf_append_char(out, '"');
    for (size_t i = 0; i < text.n && err == 0; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 || c == 0x7f)
            return -ERR_INVAL;
        if (c == '"' || c == '\\')
            err = buf_append_char(out, '\\');
        if (err == 0)
            err = buf_append_char(out, (char)c);
    }
    if (!str_is_utf8(text))
        return -ERR_INVAL;
    return err < 0 ? err : buf_append_char(out, '"');
}

int nginx_quote_next(struct str text, struct buf *list)
{
    bool is_first = list->len <= strlen("[ ]");
    AUTO_BUF quoted = BUF_INIT;
    int err = nginx_quote(text, &quoted);
    if (err < 0)
        return err;
    if (list->len > 0)
        list->len -= strlen(" ]");
    err = buf_append_c(list, is_first ? list->len > 0 ? " " : "[ " : ", ");
    if (err == 0)
        err = buf_append_str(list, buf_str(&quoted));
    return err < 0 ? err : buf_append_c(list, " ]");
}
