/* SPDX-License-Identifier: ISC */
/* Records of users: a line of what is known of the change, the name, and the user as in a file of
 * users. */
#include "fleet/user_record.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "store/user_field.h"
#include "store/user_file.h"

#define RECORD_VERSION "1"

void user_record_fini(struct user_record *r)
{
    free(r->name);
    store_user_fini(&r->user);
    *r = (struct user_record){0};
}

/* ---- text ---- */

static int user_csv(const struct store_user *u, struct buf *out)
{
    int err = user_file_begin(USER_FILE_CSV, out);
    return err < 0 ? err : user_file_user(USER_FILE_CSV, u, true, out);
}

/* One user. */
static int user_csv_read(struct str text, struct store_user *ret)
{
    AUTO_BUF errors = BUF_INIT;
    struct store_user *users = NULL;
    size_t n = 0;
    int err = user_file_parse(USER_FILE_CSV, text, &users, &n, &errors);
    if (err < 0)
        return err;
    for (size_t i = n == 1; i < n; i++)
        store_user_fini(&users[i]);
    if (n == 1)
        *ret = users[0];
    free(users);
    return n == 1 ? 0 : -ERR_SYNTAX;
}

int user_record_text(const struct user_record *r, struct buf *out)
{
    size_t before = out->len;
    if (!r->is_removed && store_user_is_too_long(&r->user)) /* an older version wrote it */
        return -ERR_TOO_LONG;
    int err = buf_printf(out, RECORD_VERSION " %llu %llu %s\n%s\n", (unsigned long long)r->revision,
                         (unsigned long long)r->at_ms, r->writer, r->name);
    if (err == 0 && !r->is_removed)
        err = user_csv(&r->user, out);
    return err < 0 ? err : out->len - before > USER_RECORD_MAX ? -ERR_TOO_LONG : 0;
}

static int record_read_head(struct str line, struct user_record *ret)
{
    struct str version = str_cut(&line, ' '), revision = str_cut(&line, ' '),
               at = str_cut(&line, ' ');
    bool is_good = str_eq(version, STR(RECORD_VERSION)) &&
                   str_to_u64(revision, INT64_MAX, &ret->revision) == 0 && ret->revision > 0 &&
                   str_to_u64(at, INT64_MAX, &ret->at_ms) == 0 && line.n > 0 && str_is_utf8(line) &&
                   !str_has_crlf_nul(line) && str_copy(ret->writer, sizeof(ret->writer), line);
    return is_good ? 0 : -ERR_SYNTAX;
}

int user_record_read(struct str text, struct user_record *ret)
{
    char name[USER_NAME_MAX + 1];
    *ret = (struct user_record){0};
    int err = text.n > USER_RECORD_MAX ? -ERR_SYNTAX : record_read_head(str_cut(&text, '\n'), ret);
    struct str wanted = str_cut(&text, '\n');
    if (err == 0 && (user_name_normalise(wanted, name) < 0 || !str_eq(wanted, str_of(name))))
        err = -ERR_SYNTAX;
    if (err == 0 && !(ret->name = str_dup(wanted)))
        err = -ERR_NOMEM;
    ret->is_removed = text.n == 0;
    if (err == 0 && !ret->is_removed)
        err = user_csv_read(text, &ret->user);
    if (err == 0 && !ret->is_removed && strcmp(ret->user.name, ret->name) != 0)
        err = -ERR_SYNTAX;
    if (err < 0)
        user_record_fini(ret);
    return err;
}

char *user_record_base(const struct user_record *r)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    if (r->is_removed)
        return str_dup_c(STORE_NOBODY);
    return user_csv(&r->user, &text) < 0 ? NULL : buf_steal(&text);
}

/* ---- which one ---- */

bool user_record_is_later(const struct user_record *a, const struct user_record *b)
{
    return a->at_ms != b->at_ms ? a->at_ms > b->at_ms : strcmp(a->writer, b->writer) > 0;
}

bool user_record_is_same(const struct user_record *a, const struct user_record *b)
{
    AUTO_SECRET_BUF x = BUF_INIT, y = BUF_INIT;
    if (a->is_removed || b->is_removed)
        return a->is_removed && b->is_removed;
    return user_csv(&a->user, &x) == 0 && user_csv(&b->user, &y) == 0 &&
           str_eq(buf_str(&x), buf_str(&y));
}

/* Properties that are set together are changed together. */
static const char *const groups[][3] = {
    {"password_hash", "scram", "plain_password"},
    {"pool", "backend", "backend"},
    {"backend_user", "backend_password", "master_user"},
    {"state", "state_text", "state_until"},
};

/* The first property of the group that i belongs to. */
static size_t group_of(const struct user_field *fields, size_t i)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (size_t k = 0; k < ARRAY_LEN(groups[g]); k++)
            if (strcmp(fields[i].name, groups[g][k]) == 0)
                return (size_t)(user_field_find(str_of(groups[g][0])) - fields);
    return i;
}

/* What u has of a group, to be compared. */
static int group_text(const struct user_field *fields, size_t n, size_t group,
                      const struct store_user *u, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        if (group_of(fields, i) != group)
            continue;
        err = user_field_format(&fields[i], u, out);
        if (err == 0)
            err = buf_append_char(out, '\n');
    }
    return err;
}

struct merge {
    const struct store_user *base, *ours, *theirs;
    bool is_ours_later;
    struct buf *lost;
};

/* Whose group it is to be. */
static int merge_group(const struct merge *m, const struct user_field *fields, size_t n,
                       size_t group, const struct store_user **ret)
{
    AUTO_SECRET_BUF base = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT;
    int err = group_text(fields, n, group, m->base, &base);
    if (err == 0)
        err = group_text(fields, n, group, m->ours, &ours);
    if (err == 0)
        err = group_text(fields, n, group, m->theirs, &theirs);
    bool is_changed_here = !str_eq(buf_str(&base), buf_str(&ours));
    bool is_changed_there = !str_eq(buf_str(&base), buf_str(&theirs));
    bool is_lost = err == 0 && is_changed_here && is_changed_there &&
                   !str_eq(buf_str(&ours), buf_str(&theirs));
    *ret = is_changed_here && (!is_changed_there || m->is_ours_later) ? m->ours : m->theirs;
    if (is_lost)
        err = BUF_APPEND(m->lost, m->lost->len ? ", " : "", fields[group].name);
    return err;
}

static int merge_users(const struct merge *m, struct store_user *ret)
{
    size_t n;
    const struct user_field *fields = user_fields(&n);
    AUTO_BUF errors = BUF_INIT;
    struct user_reader r = {.errors = &errors};
    struct store_user *u = user_reader_begin(&r);
    int err = u ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < n && err == 0; i++) {
        const struct store_user *from = NULL;
        AUTO_SECRET_BUF text = BUF_INIT;
        size_t group = group_of(fields, i);
        struct buf unsaid = BUF_INIT, *lost = m->lost;
        struct merge quiet = *m;
        quiet.lost = group == i ? lost : &unsaid; /* each group is told once */
        err = merge_group(&quiet, fields, n, group, &from);
        buf_fini(&unsaid);
        if (err == 0)
            err = user_field_format(&fields[i], from, &text);
        if (err == 0)
            user_reader_set(&r, 1, &fields[i], buf_str(&text));
    }
    if (err == 0)
        user_reader_end(&r, 1);
    map_fini(&r.seen);
    if (err == 0 && r.is_out_of_memory)
        err = -ERR_NOMEM;
    else if (err == 0 && r.n_errors > 0)
        err = -ERR_SYNTAX; /* halves that do not go together: an account that the other took away */
    if (err == 0)
        *ret = r.users[0];
    else if (u)
        store_user_fini(&r.users[0]);
    free(r.users);
    return err;
}

/* As a whole. */
static int merge_whole(const struct user_record *from, bool is_lost, struct user_record *ret,
                       struct buf *out)
{
    ret->is_removed = from->is_removed;
    int err = from->is_removed ? 0 : store_user_copy(&ret->user, &from->user);
    return err == 0 && is_lost ? buf_append_c(out, "everything") : err;
}

int user_record_merge(const char *base, const struct user_record *ours,
                      const struct user_record *theirs, struct user_record *ret, struct buf *out)
{
    CLEANUP(store_user_fini) struct store_user before = {0};
    bool is_ours_later = user_record_is_later(ours, theirs);
    const struct user_record *later = is_ours_later ? ours : theirs;
    int err = 0;
    *ret = (struct user_record){.name = str_dup_c(theirs->name)};
    if (!ret->name)
        return -ERR_NOMEM;
    if (ours->is_removed || theirs->is_removed || !base) {
        err = merge_whole(later, !user_record_is_same(ours, theirs), ret, out);
    } else {
        if (strcmp(base, STORE_NOBODY) != 0)
            err = user_csv_read(str_of(base), &before);
        const struct merge m = {.base = &before,
                                .ours = &ours->user,
                                .theirs = &theirs->user,
                                .is_ours_later = is_ours_later,
                                .lost = out};
        if (err == 0)
            err = merge_users(&m, &ret->user);
        if (err == -ERR_SYNTAX) {
            buf_clear(out);
            err = merge_whole(later, true, ret, out);
        }
    }
    if (err < 0)
        user_record_fini(ret);
    return err;
}
