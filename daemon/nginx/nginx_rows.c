/* SPDX-License-Identifier: ISC */
/* The table of directives, and its use. */
#include "nginx/nginx_rows.h"

#include "base/cleanup.h"
#include "nginx/nginx_how.h"

#define MAIN NGINX_IN_MAIN
#define MAIL NGINX_IN_MAIL
#define SERVER NGINX_IN_SERVER
#define PARAM NGINX_IN_PARAM
#define MANY NGINX_IN_MANY
#define ROW(name_, where_, least_, most_, proto_, standard_, fn_, group_, keys_, verdict_, words_) \
    {name_, where_,           least_, most_, proto_, standard_, how_##fn_, NGINX_OF_##group_,      \
     keys_, NGINX_##verdict_, words_},
const struct nginx_row nginx_rows[] = {
#include "nginx/nginx_rows.def"
};
const size_t nginx_n_rows = ARRAY_LEN(nginx_rows);

const struct nginx_row *nginx_row_find(const char *name)
{
    for (size_t i = 0; i < nginx_n_rows; i++)
        if (strcmp(nginx_rows[i].name, name) == 0)
            return &nginx_rows[i];
    return NULL;
}

int nginx_row_apply(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    size_t n = d->n_words - 1;
    if (d->file && (n < row->least || (row->most > 0 && n > row->most) ||
                    (row->where & NGINX_IN_PARAM && n != row->most)))
        return nginx_fail(job->import, d, "invalid number of arguments");
    int err = row->how(job, row, d);
    if (err >= 0)
        nginx_note(d, err == 1 ? NGINX_EXACT : row->verdict,
                   err == 0 && row->verdict != NGINX_EXACT ? row->words : NULL);
    return err < 0 ? err : 0;
}

int nginx_row_apply_param(const struct nginx_job *job, struct nginx_directive *d, const char *word)
{
    size_t n = strcspn(word, "=");
    AUTO_FREE char *name = str_printf("%s %.*s%s", d->words[0], (int)n, word, word[n] ? "=" : "");
    char *words[] = {name, (char *)word + n + 1};
    struct nginx_directive part = {
        .words = words, .n_words = word[n] ? 2 : 1, .file = d->file, .line = d->line};
    const struct nginx_row *row = name ? nginx_row_find(name) : NULL;
    if (!row)
        return name ? nginx_fail(job->import, d, "invalid parameter \"%s\"", word) : -ERR_NOMEM;
    int err = nginx_row_apply(job, row, &part);
    nginx_note(d, part.verdict, part.remark);
    free(part.remark);
    return err;
}
