/* SPDX-License-Identifier: ISC */
/* Text of the filter language. */
#include "tui/query.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

const char *query_typed(const char *text, const char *search, char *dst, size_t size)
{
    struct str rest = str_of(text);
    AUTO_BUF out = BUF_INIT;
    int err = 0;
    (void)str_copy(dst, size, str_trim(rest));
    if (!search[0] || strchr(text, '"'))
        return dst;
    for (struct str word; (word = str_word(&rest)).n && err == 0;) {
        bool is_not = word.p[0] == '!';
        const char *blank = out.len ? " " : "";
        bool is_term = false;
        for (size_t i = 0; i < word.n; i++)
            is_term = is_term || strchr("=<>", word.p[i]);
        if (is_term)
            err = buf_printf(&out, "%s%.*s", blank, STR_ARG(word));
        else if (word.n > is_not)
            err = buf_printf(&out, "%s%s%s=*%.*s*", blank, is_not ? "!" : "", search,
                             (int)word.n - is_not, word.p + is_not);
    }
    if (err == 0)
        (void)str_copy(dst, size, buf_str(&out));
    return dst;
}

static int query_value(struct buf *filter, const char *value)
{
    const char *c = value;
    while (*c && (isalnum((unsigned char)*c) || strchr("@.-_+/:", *c)))
        c++;
    const char *quote = *value && !*c ? "" : "\""; /* a plain word means itself */
    int err = buf_append_c(filter, quote);
    for (; *value && err == 0; value++)
        err = buf_printf(filter, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    return err == 0 ? buf_append_c(filter, quote) : err;
}

/* "==" takes wildcards as they are. */
static int query_field(struct buf *filter, const char *field, bool is_exact)
{
    return buf_printf(filter, "%s%s%s", filter->len ? " " : "", field, is_exact ? "==" : "=");
}

int query_term(struct buf *filter, const char *field, const char *value)
{
    int err = query_field(filter, field, strpbrk(value, "*?"));
    return err == 0 ? query_value(filter, value) : err;
}

int query_terms(struct buf *filter, const char *field, const json_t *values)
{
    size_t i;
    const json_t *v;
    bool is_exact = false;
    json_array_foreach (values, i, v)
        is_exact = is_exact || strpbrk(json_string_value(v), "*?");
    int err = json_array_size(values) ? query_field(filter, field, is_exact) : 0;
    json_array_foreach (values, i, v) {
        if (err == 0 && i > 0)
            err = buf_append_char(filter, ',');
        if (err == 0)
            err = query_value(filter, json_string_value(v));
    }
    return err;
}
