/* SPDX-License-Identifier: ISC */
/* From a config to records and back. */
#include "config/config_bundle.h"

#include "base/cleanup.h"
#include "base/record.h"
#include "config/config_key.h"

/* ---- writing ---- */

static int bundle_append(struct buf *out, const struct record *r)
{
    int err = record_append(out, r);
    return err == 0 && out->len > CONFIG_BUNDLE_BYTES_MAX ? -ERR_TOO_LONG : err;
}

static struct str bundle_text(const char *text)
{
    return text ? str_of(text) : STR("");
}

int config_bundle_append(const struct config *c, const struct config_problems *problems,
                         struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < problems->n && err == 0; i++) {
        const struct config_problem *p = &problems->v[i];
        const uint64_t line = p->line, is_warning = p->is_warning;
        const struct record r = {BUNDLE_PROBLEM,
                                 5,
                                 {bundle_text(p->file), record_field(&line), bundle_text(p->key),
                                  bundle_text(p->text), record_field(&is_warning)}};
        err = bundle_append(out, &r);
    }
    if (!c || err < 0)
        return err;
    AUTO_SECRET_BUF text = BUF_INIT;
    err = config_dump(c, CONFIG_DUMP_ONLY_SET | CONFIG_DUMP_SECRETS, &text);
    if (err == 0) {
        const struct record r = {BUNDLE_CONFIG, 2, {str_of(c->path), buf_str(&text)}};
        err = bundle_append(out, &r);
    }
    size_t pos = 0;
    struct record file = {.kind = BUNDLE_FILE, .n = 2};
    while (c->files && err == 0 && files_next(c->files, &pos, &file.v[0], &file.v[1]))
        err = bundle_append(out, &file);
    return err;
}

/* ---- reading ---- */

struct bundle {
    struct files *files;
    struct record config; /* n 0 = none */
};

static int bundle_take_problem(const struct record *r, struct config_problems *problems)
{
    AUTO_FREE char *file = NULL;
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *text = NULL;
    uint64_t line, is_warning;
    int err = record_text(r, 0, &file);
    if (err == 0)
        err = record_number(r, 1, UINT32_MAX, &line);
    if (err == 0)
        err = record_text(r, 2, &key);
    if (err == 0)
        err = record_text(r, 3, &text);
    if (err == 0)
        err = record_number(r, 4, 1, &is_warning);
    if (err == 0)
        config_problem_add(problems, file, (unsigned)line, key ? key : "", is_warning, "%s",
                           text ? text : "");
    return err;
}

static int bundle_take(struct bundle *b, const struct record *r, struct config_problems *problems)
{
    switch (r->kind) {
    case BUNDLE_PROBLEM:
        return bundle_take_problem(r, problems);
    case BUNDLE_CONFIG:
        b->config = *r;
        return r->n == 2 ? 0 : -ERR_SYNTAX;
    case BUNDLE_FILE:
        return r->n == 2 ? files_put(b->files, r->v[0], r->v[1]) : -ERR_SYNTAX;
    default:
        return 0;
    }
}

/* What this program says of the text now was said by the one that read the file, unless it is an
 * error: then the two do not understand each other. */
static int bundle_load_config(struct bundle *b, struct config **ret,
                              struct config_problems *ret_problems)
{
    struct config_problems own = {0};
    AUTO_FREE char *name = NULL;
    int err = b->config.n ? record_text(&b->config, 0, &name) : -ERR_CONFIG;
    if (err == 0 && !name)
        err = -ERR_SYNTAX;
    if (err < 0)
        return err;
    err = config_load_text(name, b->config.v[1], b->files, ret, &own);
    for (size_t i = 0; err < 0 && i < own.n; i++)
        config_problem_add(ret_problems, own.v[i].file, own.v[i].line, own.v[i].key,
                           own.v[i].is_warning, "%s", own.v[i].text);
    config_problems_fini(&own);
    return err;
}

int config_bundle_load(struct str bundle, struct config **ret, struct config_problems *ret_problems)
{
    struct bundle b = {0};
    struct record r;
    int err = files_new(&b.files);
    while (err == 0 && (err = record_next(&bundle, &r)) == 0)
        err = bundle_take(&b, &r, ret_problems);
    if (b.files)
        files_close(b.files);
    if (err == -ERR_EOF)
        err = bundle_load_config(&b, ret, ret_problems);
    files_unref(b.files);
    return err;
}
