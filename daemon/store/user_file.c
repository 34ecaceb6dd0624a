/* SPDX-License-Identifier: ISC */
/* Users as text: the table of formats. */
#include "store/user_file.h"

#include <stdio.h>

#include "store/user_format.h"

static int write_nothing(struct buf *out)
{
    (void)out;
    return 0;
}

static const struct user_format {
    const char *name;
    void (*parse)(struct str text, struct user_reader *r);
    int (*begin)(struct buf *out);
    int (*user)(const struct store_user *u, bool is_first, struct buf *out);
    int (*end)(struct buf *out);
} formats[] = {
    [USER_FILE_LIBCONFIG] = {"libconfig", user_libconfig_parse, user_libconfig_begin,
                             user_libconfig_user, user_libconfig_end},
    [USER_FILE_CSV] = {"csv", user_csv_parse, user_csv_begin, user_csv_user, write_nothing},
    [USER_FILE_PASSWD] = {"passwd", user_passwd_parse, write_nothing, user_passwd_user,
                          write_nothing},
};

int user_file_format_find(const char *name, enum user_file_format *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(formats[i].name, name) == 0) {
            *ret = (enum user_file_format)i;
            return 0;
        }
    return -ERR_NOT_FOUND;
}

int user_file_parse(enum user_file_format f, struct str text, struct store_user **ret_users,
                    size_t *ret_n, struct buf *ret_errors)
{
    struct user_reader r = {.errors = ret_errors};
    if (text.n && memchr(text.p, '\0', text.n))
        user_reader_complain(&r, 1, "the file has NUL bytes");
    else
        formats[f].parse(text, &r);
    map_fini(&r.seen);
    if (r.n_errors > USER_ERRORS_MAX &&
        buf_printf(ret_errors, "and %zu more\n", r.n_errors - USER_ERRORS_MAX) < 0)
        r.is_out_of_memory = true;
    if (r.is_out_of_memory || r.n_errors > 0) {
        for (size_t i = 0; i < r.n; i++)
            store_user_fini(&r.users[i]);
        free(r.users);
        return r.is_out_of_memory ? -ERR_NOMEM : -ERR_SYNTAX;
    }
    *ret_users = r.users;
    *ret_n = r.n;
    return 0;
}

int user_file_begin(enum user_file_format f, struct buf *out)
{
    return formats[f].begin(out);
}

int user_file_user(enum user_file_format f, const struct store_user *u, bool is_first,
                   struct buf *out)
{
    return formats[f].user(u, is_first, out);
}

int user_file_end(enum user_file_format f, struct buf *out)
{
    return formats[f].end(out);
}
