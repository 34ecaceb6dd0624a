/* SPDX-License-Identifier: ISC */
/* User files in the manner of Dovecot's passwd-file: user:password:uid:gid:gecos:home:shell:extra.
 * The extra fields that Dovecot's proxy knows keep their meaning; what it has no field for (state,
 * SCRAM keys, limits) is only in the other formats. */
#include "store/user_format.h"

#define PASSWD_EXTRA 7 /* position of the extra fields */

/* Dovecot's name and ours. */
static const struct passwd_extra {
    const char *theirs, *ours;
} extras[] = {
    {"host", "backend"},
    {"destuser", "backend_user"},
    {"pass", "backend_password"},
    {"master", "master_user"},
};

/* ---- reading ---- */

static void passwd_extra(struct user_reader *r, unsigned line, struct str word)
{
    struct str value = word, key = str_cut(&value, '=');
    for (size_t i = 0; i < ARRAY_LEN(extras); i++)
        if (str_eq(key, str_of(extras[i].theirs)))
            user_reader_set(r, line, user_field_find(str_of(extras[i].ours)), value);
    if (str_eq(key, STR("nologin")))
        user_reader_set(r, line, user_field_find(STR("state")), STR("locked"));
    else if (str_eq(key, STR("reason")))
        user_reader_set(r, line, user_field_find(STR("state_text")), value);
}

static void passwd_line(struct user_reader *r, unsigned line, struct str text)
{
    struct str rest = text;
    if (!user_reader_begin(r))
        return;
    user_reader_set(r, line, user_field_find(STR("name")), str_cut(&rest, ':'));
    user_reader_set(r, line, user_field_find(STR("password_hash")), str_cut(&rest, ':'));
    for (size_t i = 2; i < PASSWD_EXTRA; i++)
        (void)str_cut(&rest, ':');
    while (rest.n > 0) {
        struct str word = str_word(&rest);
        if (word.n > 0)
            passwd_extra(r, line, word);
    }
    user_reader_end(r, line);
}

void user_passwd_parse(struct str text, struct user_reader *r)
{
    for (unsigned line = 1; text.n > 0 && !r->is_out_of_memory; line++) {
        struct str row = str_trim(str_cut(&text, '\n'));
        if (row.n > 0 && row.p[0] != '#')
            passwd_line(r, line, row);
    }
}

/* ---- writing ---- */

/* Its fields have no way to hold these. */
static bool passwd_has_room(const char *value, const char *ends)
{
    return value && value[0] && !strpbrk(value, ends);
}

int user_passwd_user(const struct store_user *u, bool is_first, struct buf *out)
{
    (void)is_first;
    const char *ends = " \t\r\n";
    const char *hash = u->password_hash;
    if (!u->is_stored) /* a passwd-file has no line that is no account */
        return 0;
    /* a comment is no user, and one without a hash is let in by another judge */
    if (strpbrk(u->name, ":\r\n") || u->name[0] == '#' || (hash && strpbrk(hash, ":\r\n")))
        return -ERR_UNSUPPORTED;
    int err = buf_printf(out, "%s:%s::::::", u->name, hash ? hash : "");
    for (size_t i = 0; i < ARRAY_LEN(extras) && err == 0; i++) {
        const struct user_field *f = user_field_find(str_of(extras[i].ours));
        const char *value = *(char *const *)((const char *)u + f->offset);
        if (passwd_has_room(value, ends))
            err = buf_printf(out, "%s=%s ", extras[i].theirs, value);
    }
    if (err == 0 && u->state == USER_LOCKED)
        err = buf_append_c(out, "nologin ");
    if (err == 0 && passwd_has_room(u->state_text, ends))
        err = buf_printf(out, "reason=%s ", u->state_text);
    return err < 0 ? err : buf_append_char(out, '\n');
}
