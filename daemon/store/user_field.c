/* SPDX-License-Identifier: ISC */
/* What the formats of user files share: the table of properties, and a reader that checks values
 * and collects users and problems. */
#include "store/user_field.h"

#include <stdio.h>

#include "base/container/array.h"

/* ---- properties ---- */

#define FIELD(name, kind, member)                                                                  \
    {                                                                                              \
        name, USER_FIELD_##kind, offsetof(struct store_user, member)                               \
    }
static const struct user_field fields[] = {
    FIELD("name", NAME, name),
    FIELD("source", SOURCE, is_stored),
    FIELD("password_hash", SENT, password_hash),
    FIELD("scram", SENT, scram),
    FIELD("plain_password", SENT, plain_password),
    FIELD("pool", SENT, pool),
    FIELD("backend", SENT, backend),
    FIELD("backend_user", SENT, backend_user),
    FIELD("backend_password", SENT, backend_password),
    FIELD("master_user", SENT, master_user),
    FIELD("state", STATE, state),
    FIELD("state_text", TEXT, state_text),
    FIELD("state_until", TIME, state_until_ms),
    FIELD("protocols", PROTOCOLS, protocols),
    FIELD("max_sessions", NUMBER, max_sessions),
    FIELD("note", TEXT, note),
};

const struct user_field *user_fields(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(fields);
    return fields;
}

const struct user_field *user_field_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (str_eq(name, str_of(fields[i].name)))
            return &fields[i];
    return NULL;
}

/* Of a name: an account here, or only what operators said of it. */
static const char *const sources[] = {[false] = "other", [true] = "store"};

int user_field_format(const struct user_field *f, const struct store_user *u, struct buf *out)
{
    const char *member = (const char *)u + f->offset;
    uint64_t number = f->kind == USER_FIELD_TIME     ? *(const uint64_t *)member
                      : f->kind == USER_FIELD_NUMBER ? *(const unsigned *)member
                                                     : 0;
    switch (f->kind) {
    case USER_FIELD_SOURCE:
        return buf_append_c(out, sources[u->is_stored]);
    case USER_FIELD_STATE:
        return u->state == USER_ACTIVE ? 0 : buf_append_c(out, store_user_state_name(u->state));
    case USER_FIELD_PROTOCOLS:
        return store_protocols_format(u->protocols, out);
    case USER_FIELD_NUMBER:
    case USER_FIELD_TIME:
        return number ? buf_printf(out, "%llu", (unsigned long long)number) : 0;
    default:
        return buf_append_str(out, str_of(*(char *const *)member));
    }
}

/* ---- reading ---- */

void user_reader_complain(struct user_reader *r, unsigned line, const char *fmt, ...)
{
    va_list ap;
    if (++r->n_errors > USER_ERRORS_MAX)
        return;
    va_start(ap, fmt);
    if (buf_printf(r->errors, "line %u: ", line) < 0 || buf_vprintf(r->errors, fmt, ap) < 0 ||
        buf_append_char(r->errors, '\n') < 0)
        r->is_out_of_memory = true;
    va_end(ap);
}

struct store_user *user_reader_begin(struct user_reader *r)
{
    if (!ARRAY_ROOM(r->users, r->n, r->cap)) {
        r->is_out_of_memory = true;
        return NULL;
    }
    r->users[r->n] = (struct store_user){.is_stored = true};
    return &r->users[r->n++];
}

void user_reader_set(struct user_reader *r, unsigned line, const struct user_field *f,
                     struct str value)
{
    struct store_user *u = &r->users[r->n - 1];
    char *member = (char *)u + f->offset;
    char **text = NULL; /* of a field that is one */
    bool is_bad;
    char name[USER_NAME_MAX + 1];
    uint64_t n;
    if (value.n == 0)
        return;
    if (f->kind == USER_FIELD_NAME || f->kind == USER_FIELD_TEXT || f->kind == USER_FIELD_SENT)
        text = (char **)member;
    if (text && *text) {
        user_reader_complain(r, line, "%s is set twice", f->name);
        return;
    }
    switch (f->kind) {
    case USER_FIELD_NAME:
        if (user_name_normalise(value, name) < 0)
            user_reader_complain(r, line, "this is not a user name");
        else if (!(*text = str_dup_c(name)))
            r->is_out_of_memory = true;
        break;
    case USER_FIELD_SOURCE:
        u->is_stored = str_eq(value, str_of(sources[true]));
        if (!u->is_stored && !str_eq(value, str_of(sources[false])))
            user_reader_complain(r, line, "source is one of store, other");
        break;
    case USER_FIELD_STATE:
        if (store_user_state_find(value, &u->state) < 0)
            user_reader_complain(r, line, "state is one of active, locked, held");
        break;
    case USER_FIELD_PROTOCOLS:
        if (store_protocols_parse(value, &u->protocols, NULL) < 0)
            user_reader_complain(r, line, "protocols has an unknown protocol");
        break;
    case USER_FIELD_NUMBER:
        if (str_to_u64(value, INT32_MAX, &n) < 0)
            user_reader_complain(r, line, "%s must be a number", f->name);
        else
            *(unsigned *)member = (unsigned)n;
        break;
    case USER_FIELD_TIME:
        if (str_to_u64(value, USER_FILE_TIME_MAX, (uint64_t *)member) < 0)
            user_reader_complain(r, line, "%s must be a number", f->name);
        break;
    case USER_FIELD_TEXT:
    case USER_FIELD_SENT:
        is_bad = f->kind == USER_FIELD_SENT ? str_has_crlf_nul(value)
                                            : memchr(value.p, '\0', value.n) != NULL;
        if (is_bad || !str_is_utf8(value))
            user_reader_complain(r, line, "%s has bytes that are not allowed", f->name);
        else if (value.n > USER_TEXT_MAX)
            user_reader_complain(r, line, "%s is longer than %d bytes", f->name, USER_TEXT_MAX);
        else if (!(*text = str_dup(value)))
            r->is_out_of_memory = true;
        break;
    }
}

void user_reader_end(struct user_reader *r, unsigned line)
{
    const struct store_user *u = &r->users[r->n - 1];
    void *before = NULL;
    if (!u->name) {
        if (r->n_errors == 0)
            user_reader_complain(r, line, "a user has no name");
        return;
    }
    if (!u->is_stored && (store_user_has_password(u) || u->backend_user || u->backend_password ||
                          u->master_user || u->note))
        user_reader_complain(r, line, "user %s is of another source and has an account", u->name);
    if (map_put(&r->seen, str_of(u->name), u->name, &before) < 0)
        r->is_out_of_memory = true;
    else if (before)
        user_reader_complain(r, line, "user %s is there twice", u->name);
}
