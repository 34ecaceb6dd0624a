/* SPDX-License-Identifier: ISC */
/* User files as CSV (RFC 4180) whose first line names the columns. */
#include "store/user_format.h"

#define CSV_COLUMNS_MAX 64

/* ---- reading ---- */

struct csv {
    struct str rest;
    unsigned line; /* of the value read last */
    unsigned next_line;
    struct buf value;
    bool is_row_end, is_broken;
};

/* Everything up to the closing quote; doubled quotes are one. */
static int csv_quoted(struct csv *c)
{
    size_t i = 1;
    for (; i < c->rest.n; i++) {
        char ch = c->rest.p[i];
        if (ch == '"') {
            if (i + 1 >= c->rest.n || c->rest.p[i + 1] != '"')
                break;
            i++;
        }
        c->next_line += ch == '\n';
        if (buf_append_char(&c->value, ch) < 0)
            return -ERR_NOMEM;
    }
    c->is_broken = i >= c->rest.n;
    c->rest = str_skip(c->rest, c->is_broken ? i : i + 1);
    return 0;
}

/* The next value of the row into c->value. */
static int csv_next(struct csv *c)
{
    buf_clear(&c->value);
    c->line = c->next_line;
    int err;
    if (c->rest.n > 0 && c->rest.p[0] == '"') {
        err = csv_quoted(c);
    } else {
        size_t n = 0;
        while (n < c->rest.n && c->rest.p[n] != ',' && c->rest.p[n] != '\n' && c->rest.p[n] != '\r')
            n++;
        struct str value = str_trim(str_head(c->rest, n));
        c->is_broken = str_index(value, '"') >= 0;
        c->rest = str_skip(c->rest, n);
        err = buf_append_str(&c->value, value);
    }
    if (err < 0)
        return err;
    if (c->rest.n > 0 && c->rest.p[0] == '\r')
        c->rest = str_skip(c->rest, 1);
    c->is_row_end = c->rest.n == 0 || c->rest.p[0] == '\n';
    c->is_broken = c->is_broken || (!c->is_row_end && c->rest.p[0] != ',');
    c->next_line += c->rest.n > 0 && c->is_row_end;
    if (c->rest.n > 0 && !c->is_broken)
        c->rest = str_skip(c->rest, 1);
    return 0;
}

/* Names the columns that there are. */
static void csv_tell_columns(const struct csv *c, struct user_reader *r)
{
    AUTO_BUF names = BUF_INIT;
    size_t n;
    const struct user_field *fields = user_fields(&n);
    for (size_t i = 0; i < n; i++)
        if (buf_printf(&names, "%s%s", i ? ", " : "", fields[i].name))
            r->is_out_of_memory = true;
    user_reader_complain(r, c->line, "the first line names the columns: %s", buf_cstr(&names));
}

static size_t csv_head(struct csv *c, struct user_reader *r, const struct user_field **columns)
{
    size_t n = 0;
    bool has_name = false;
    do {
        if (csv_next(c) < 0) {
            r->is_out_of_memory = true;
            return 0;
        }
        if (n == CSV_COLUMNS_MAX || c->is_broken) {
            user_reader_complain(r, c->line, "the first line must name the columns");
            return 0;
        }
        columns[n] = user_field_find(buf_str(&c->value));
        if (c->value.len == 0)
            user_reader_complain(r, c->line, "a column has no name");
        else if (!columns[n])
            user_reader_complain(r, c->line, "there is no column %.*s",
                                 STR_ARG(str_head(buf_str(&c->value), 60)));
        has_name = has_name || (columns[n] && columns[n]->kind == USER_FIELD_NAME);
        n++;
    } while (!c->is_row_end);
    if (r->n_errors > 0)
        csv_tell_columns(c, r);
    else if (!has_name)
        user_reader_complain(r, c->line, "the first line names no column name");
    return r->n_errors == 0 ? n : 0;
}

static void csv_row(struct csv *c, struct user_reader *r, const struct user_field *const *columns,
                    size_t n_columns)
{
    size_t n = 0;
    unsigned first = c->next_line;
    if (!user_reader_begin(r))
        return;
    do {
        if (csv_next(c) < 0) {
            r->is_out_of_memory = true;
            return;
        }
        if (c->is_broken || n == n_columns) {
            user_reader_complain(r, c->line,
                                 c->is_broken ? "a quote is out of place"
                                              : "there are more values than columns");
            (void)str_cut(&c->rest, '\n'); /* on with the next line */
            c->next_line = c->line + 1;
            c->is_row_end = true;
            return;
        }
        user_reader_set(r, c->line, columns[n++], buf_str(&c->value));
    } while (!c->is_row_end);
    user_reader_end(r, first);
}

void user_csv_parse(struct str text, struct user_reader *r)
{
    const struct user_field *columns[CSV_COLUMNS_MAX];
    static const struct str mark = STR("\xef\xbb\xbf"); /* a spreadsheet's byte order mark */
    bool has_mark = str_is_prefix(text, mark);
    struct csv c = {.rest = has_mark ? str_skip(text, mark.n) : text, .next_line = 1};
    size_t n = csv_head(&c, r, columns);
    while (n > 0 && c.rest.n > 0 && !r->is_out_of_memory) {
        struct str rest = c.rest;
        if (str_trim(str_cut(&rest, '\n')).n > 0) {
            csv_row(&c, r, columns, n);
        } else { /* a blank line */
            c.rest = rest;
            c.next_line++;
        }
    }
    buf_wipe(&c.value);
}

/* ---- writing ---- */

static int csv_append(struct str value, struct buf *out)
{
    bool is_plain = true;
    for (size_t i = 0; i < value.n; i++)
        is_plain = is_plain && !strchr("\",\r\n", value.p[i]);
    if (is_plain && str_trim(value).n == value.n)
        return buf_append_str(out, value);
    int err = buf_append_char(out, '"');
    for (size_t i = 0; i < value.n && err == 0; i++) {
        if (value.p[i] == '"')
            err = buf_append_char(out, '"');
        if (err == 0)
            err = buf_append_char(out, value.p[i]);
    }
    return err < 0 ? err : buf_append_char(out, '"');
}

int user_csv_begin(struct buf *out)
{
    size_t n;
    const struct user_field *f = user_fields(&n);
    for (size_t i = 0; i < n; i++)
        if (buf_printf(out, "%s%s", i ? "," : "", f[i].name) < 0)
            return -ERR_NOMEM;
    return buf_append_char(out, '\n');
}

int user_csv_user(const struct store_user *u, bool is_first, struct buf *out)
{
    (void)is_first;
    size_t n;
    const struct user_field *f = user_fields(&n);
    AUTO_SECRET_BUF value = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        buf_clear(&value);
        if ((i > 0 && buf_append_char(out, ',') < 0) || user_field_format(&f[i], u, &value) < 0 ||
            csv_append(buf_str(&value), out) < 0)
            return -ERR_NOMEM;
    }
    return buf_append_char(out, '\n');
}
