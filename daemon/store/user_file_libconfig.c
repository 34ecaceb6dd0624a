/* SPDX-License-Identifier: ISC */
/* User files as a list of groups in libconfig's syntax: users = ( { name = "..."; }, ... ); */
#include <libconfig.h>
#include <stdio.h>

#include "store/user_format.h"

#define LIBCONFIG_NESTING_MAX 16 /* libconfig's parser recurses */

/* ---- reading ---- */

/* False: brackets within brackets without end. Strings and comments are taken for brackets too: a
 * user file has no reason for many of them in one place. */
static bool libconfig_is_flat(struct str text)
{
    int depth = 0;
    bool is_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (is_string && c == '\\')
            i++;
        else if (c == '"')
            is_string = !is_string;
        else if (!is_string && (c == '(' || c == '{' || c == '['))
            depth++;
        else if (!is_string && (c == ')' || c == '}' || c == ']'))
            depth--;
        if (depth > LIBCONFIG_NESTING_MAX)
            return false;
    }
    return true;
}

static int libconfig_text(const config_setting_t *s, struct buf *out)
{
    int err = 0;
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_STRING:
        return buf_append_c(out, config_setting_get_string(s));
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return buf_printf(out, "%lld", config_setting_get_int64(s));
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        for (int i = 0; i < config_setting_length(s) && err == 0; i++) {
            const char *item = config_setting_get_string_elem(s, i);
            err = item ? buf_printf(out, "%s%s", i ? "," : "", item) : -ERR_SYNTAX;
        }
        return err;
    default:
        return -ERR_SYNTAX;
    }
}

static void libconfig_member(struct user_reader *r, const config_setting_t *s)
{
    AUTO_SECRET_BUF value = BUF_INIT;
    unsigned line = config_setting_source_line(s);
    const char *name = config_setting_name(s);
    const struct user_field *f = user_field_find(str_of(name));
    if (!f)
        user_reader_complain(r, line, "there is no key %s", name);
    else if (libconfig_text(s, &value) < 0)
        user_reader_complain(r, line, "%s has the wrong type", name);
    else
        user_reader_set(r, line, f, buf_str(&value));
}

static void libconfig_users(struct user_reader *r, const config_setting_t *users)
{
    if (!config_setting_is_list(users)) {
        user_reader_complain(r, config_setting_source_line(users), "users must be a list");
        return;
    }
    for (unsigned i = 0; i < (unsigned)config_setting_length(users); i++) {
        const config_setting_t *u = config_setting_get_elem(users, i);
        unsigned line = config_setting_source_line(u);
        if (!config_setting_is_group(u)) {
            user_reader_complain(r, line, "a user must be a group: { name = \"...\"; }");
            continue;
        }
        if (!user_reader_begin(r))
            return;
        for (unsigned k = 0; k < (unsigned)config_setting_length(u); k++)
            libconfig_member(r, config_setting_get_elem(u, k));
        user_reader_end(r, line);
    }
}

static void libconfig_top(struct user_reader *r, const config_t *c)
{
    const config_setting_t *root = config_root_setting(c);
    bool has_users = false;
    for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++) {
        const config_setting_t *s = config_setting_get_elem(root, i);
        if (strcmp(config_setting_name(s), "users") == 0) {
            has_users = true;
            libconfig_users(r, s);
        } else {
            user_reader_complain(r, config_setting_source_line(s), "there is no key %s",
                                 config_setting_name(s));
        }
    }
    if (!has_users)
        user_reader_complain(r, 1, "the list users is missing");
}

void user_libconfig_parse(struct str text, struct user_reader *r)
{
    config_t c;
    AUTO_SECRET_BUF copy = BUF_INIT;
    bool is_refused = !libconfig_is_flat(text);
    /* A file that comes over the control socket has no business with the daemon's own files. */
    for (struct str rest = text; rest.n > 0 && !is_refused;)
        is_refused = str_is_prefix(str_trim(str_cut(&rest, '\n')), STR("@include"));
    if (is_refused) {
        user_reader_complain(r, 1, "brackets nest too deep, or there is an @include");
        return;
    }
    if (buf_append_str(&copy, text) < 0 || !buf_cstr(&copy)) {
        r->is_out_of_memory = true;
        return;
    }
    config_init(&c);
    if (config_read_string(&c, buf_cstr(&copy)) == CONFIG_TRUE)
        libconfig_top(r, &c);
    else
        user_reader_complain(r, (unsigned)config_error_line(&c), "%s", config_error_text(&c));
    config_destroy(&c);
}

/* ---- writing ---- */

static int libconfig_quote(struct str value, struct buf *out)
{
    int err = buf_append_char(out, '"');
    for (size_t i = 0; i < value.n && err == 0; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c == '"' || c == '\\')
            err = buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            err = buf_printf(out, "\\x%02x", c);
        else
            err = buf_append_char(out, (char)c);
    }
    return err < 0 ? err : buf_append_char(out, '"');
}

int user_libconfig_begin(struct buf *out)
{
    return buf_append_c(out, "users = (\n");
}

int user_libconfig_user(const struct store_user *u, bool is_first, struct buf *out)
{
    size_t n;
    const struct user_field *f = user_fields(&n);
    AUTO_SECRET_BUF value = BUF_INIT;
    int err = buf_append_c(out, is_first ? "  {" : ",\n  {");
    for (size_t i = 0; i < n && err == 0; i++) {
        buf_clear(&value);
        err = user_field_format(&f[i], u, &value);
        if (err < 0 || value.len == 0)
            continue;
        err = buf_printf(out, " %s = ", f[i].name);
        if (err < 0)
            continue;
        if (f[i].kind == USER_FIELD_NUMBER)
            err = buf_append_str(out, buf_str(&value));
        else if (f[i].kind == USER_FIELD_TIME)
            err = buf_printf(out, "%.*sL", STR_ARG(buf_str(&value)));
        else
            err = libconfig_quote(buf_str(&value), out);
        if (err == 0)
            err = buf_append_char(out, ';');
    }
    return err < 0 ? err : buf_append_c(out, " }");
}

int user_libconfig_end(struct buf *out)
{
    return buf_append_c(out, "\n);\n");
}
