/* SPDX-License-Identifier: ISC */
/* Which files have keys, and what the engine gets instead of them. */
#include "supervisor/content.h"

#include "base/cleanup.h"
#include "base/record.h"
#include "config/config_key.h"
#include "io/tls/key_server.h"
#include "io/tls/tls_key_file.h"

/* A key of the configuration, and where its file was found before. */
struct named_key {
    const char *key, *password_file;
    const char *where; /* of the configuration */
};

struct taking {
    const struct config *config;
    uint64_t service;
    struct buf *keys;
    struct files *files; /* what the engine gets */
    struct config_problems *problems;
    uint32_t n;
};

static int keys_fail(struct taking *t, const char *where, const char *text, const char *file)
{
    config_problem_add(t->problems, t->config->path, 0, where, false, "%s%s", text, file);
    return -ERR_CONFIG;
}

static bool keys_has(const struct files *files, const char *path)
{
    size_t pos = 0;
    struct str name, content;
    while (files_next(files, &pos, &name, &content))
        if (str_eq(name, str_of(path)))
            return true;
    return false;
}

static int keys_take_one(struct taking *t, const struct named_key *k)
{
    struct str pem, passwords = STR("");
    AUTO_SECRET_BUF der = BUF_INIT;
    AUTO_BUF text = BUF_INIT;
    struct tls_key_place place = {.service = t->service, .number = t->n};
    if (!k->key || keys_has(t->files, k->key))
        return 0;
    if (files_read(t->config->files, k->key, &pem) < 0 ||
        (k->password_file && files_read(t->config->files, k->password_file, &passwords) < 0))
        return 0; /* the check has said so */
    int err = tls_key_file_take(pem, passwords, &der, &place);
    if (err == -ERR_TLS)
        return keys_fail(t, k->where,
                         "the key process cannot have this key, which is not read: ", k->key);
    const struct record r = {KEY_SERVER_RECORD, 1, {buf_str(&der)}};
    AUTO_SECRET_BUF record = BUF_INIT;
    struct key_server *tried = NULL;
    if (err == 0)
        err = record_append(&record, &r);
    if (err == 0) /* can it sign there? */
        err = key_server_new(buf_str(&record), &tried);
    key_server_free(tried);
    if (err < 0 && err != -ERR_NOMEM)
        return keys_fail(t, k->where,
                         "the key process cannot sign with a key of this kind: ", k->key);
    if (err == 0)
        err = buf_append_str(t->keys, buf_str(&record));
    if (err == 0) /* the certificate may be in the same file */
        err = tls_key_file_strip(pem, &text);
    if (err == 0)
        err = tls_key_place_append(&place, &text);
    if (err == 0)
        err = files_put(t->files, str_of(k->key), buf_str(&text));
    t->n += err == 0;
    return err;
}

static int keys_take_tls(struct taking *t, const struct config_tls *tls, const char *where)
{
    int err = 0;
    if (tls->n_certs > 0 && tls_priority_decrypts(tls->priority))
        return keys_fail(t, where,
                         "the key process decrypts nothing: no key exchange by RSA in the priority",
                         "");
    for (size_t i = 0; i < tls->n_certs && err == 0; i++)
        err = keys_take_one(t, &(struct named_key){tls->certs[i].key, tls->password_file, where});
    /* The password is not needed any longer. */
    if (err == 0 && tls->password_file && !keys_has(t->files, tls->password_file))
        err = files_put(t->files, str_of(tls->password_file), STR(""));
    return err;
}

static int keys_take_all(struct taking *t)
{
    const struct config *c = t->config;
    int err = keys_take_tls(t, &c->tls, "tls");
    for (size_t i = 0; i < c->n_listeners && err == 0; i++)
        err = keys_take_tls(t, &c->listeners[i].tls_config, "listeners");
    for (size_t i = 0; i < c->n_pools && err == 0; i++)
        err = keys_take_one(t, &(struct named_key){c->pools[i].key, NULL, "pools"});
    for (size_t i = 0; i < c->n_auths && err == 0; i++)
        err = keys_take_one(t, &(struct named_key){c->auths[i].key, NULL, "auth"});
    return err;
}

/* A key may stand where none is looked for, beside a certificate. */
static int keys_copy_others(struct taking *t)
{
    size_t pos = 0;
    struct str path, content;
    int err = 0;
    while (err == 0 && files_next(t->config->files, &pos, &path, &content)) {
        AUTO_SECRET_BUF text = BUF_INIT;
        bool has_key = str_find(content, STR("PRIVATE KEY-----")) >= 0;
        AUTO_FREE char *name = str_dup(path);
        if (!name)
            return -ERR_NOMEM;
        if (keys_has(t->files, name))
            continue;
        if (has_key)
            err = tls_key_file_strip(content, &text);
        if (err == 0)
            err = files_put(t->files, path, has_key ? buf_str(&text) : content);
    }
    return err;
}

/* What the engine does not get as it is. */
static int keys_keep_files(struct taking *t)
{
    struct record r = {.kind = KEY_SERVER_FILE, .n = 2};
    struct str given;
    size_t pos = 0;
    int err = 0;
    while (err == 0 && files_next(t->config->files, &pos, &r.v[0], &r.v[1])) {
        AUTO_FREE char *name = str_dup(r.v[0]);
        err = name ? files_read(t->files, name, &given) : -ERR_NOMEM;
        if (err == 0 && !str_eq(given, r.v[1]))
            err = record_append(t->keys, &r);
    }
    return err;
}

int content_keys_take(const struct config *c, uint64_t service, struct buf *keys,
                      struct files **ret_files, struct config_problems *problems)
{
    struct taking t = {.config = c, .service = service, .keys = keys, .problems = problems};
    int err = files_new(&t.files);
    if (err == 0)
        err = keys_take_all(&t);
    if (err == 0)
        err = keys_copy_others(&t);
    if (err == 0)
        err = keys_keep_files(&t);
    if (err < 0) {
        files_unref(t.files);
        return err;
    }
    files_close(t.files);
    *ret_files = t.files;
    return 0;
}

/* ---- putting back ---- */

int content_keys_restore(const struct files *files, struct str records, struct files **ret)
{
    struct files *to = NULL;
    struct str path, content;
    struct record r;
    size_t pos = 0;
    int err = files_new(&to);
    while (err == 0 && (err = record_next(&records, &r)) == 0)
        if (r.kind == KEY_SERVER_FILE)
            err = r.n == 2 ? files_put(to, r.v[0], r.v[1]) : -ERR_SYNTAX;
    err = err == -ERR_EOF ? 0 : err;
    while (err == 0 && files_next(files, &pos, &path, &content)) {
        err = files_put(to, path, content);
        err = err == -ERR_EXISTS ? 0 : err; /* it is back */
    }
    if (err < 0) {
        files_unref(to);
        return err;
    }
    files_close(to);
    *ret = to;
    return 0;
}
