/* SPDX-License-Identifier: ISC */
/* Listing the folder of certificates, and trying some of them. */
#include "config/config_directory.h"

#include <errno.h>

#include "base/cleanup.h"
#include "config/config_key.h"
#include "io/tls/tls_pair.h"

int config_directory_read(struct files *files, const char *path,
                          const struct tls_directory_report *report, struct str *ret)
{
    AUTO_BUF listing = BUF_INIT;
    struct file_stamp stamp;
    int err = files_read(files, path, ret);
    if (err == 0 || errno != EISDIR)
        return err;
    file_stamp_of(path, &stamp); /* before it is looked into: what changes meanwhile is noticed */
    err = tls_directory_list(path, report, &listing);
    if (err == 0)
        err = files_put_stamped(files, str_of(path), buf_str(&listing), &stamp);
    return err < 0 ? err : files_read(files, path, ret);
}

struct str config_directory(const struct config *c)
{
    struct str listing;
    if (!c->tls.directory || !c->files || files_read(c->files, c->tls.directory, &listing) < 0)
        return STR_NULL;
    return listing;
}

static void try_fail(const struct config *c, struct str name, const char *file, const char *why,
                     struct config_problems *problems)
{
    config_problem_add(problems, c->path, 0, "tls.directory", true,
                       "%.*s gets the default certificate: %s: %s", STR_ARG(name), file, why);
}

static void try_entry(const struct config *c, const struct tls_directory_entry *e,
                      struct config_problems *problems)
{
    AUTO_FREE char *cert = NULL;
    AUTO_FREE char *key = NULL;
    AUTO_SECRET_BUF opened = BUF_INIT;
    struct str chain = STR_NULL, secret = STR_NULL, passwords = STR("");
    struct files *files = NULL;
    const char *why = NULL, *bad = NULL;
    int err = tls_directory_paths(c->tls.directory, e, &cert, &key);
    if (err == 0)
        err = files_new(&files);
    if (err < 0)
        return;
    if (files_read(files, cert, &chain) < 0)
        bad = cert;
    else if (files_read(files, key, &secret) < 0)
        bad = key;
    if (bad)
        try_fail(c, e->name, bad, strerrordesc_np(errno), problems);
    else if (c->tls.password_file && files_read(c->files, c->tls.password_file, &passwords) < 0)
        passwords = STR("");
    if (!bad && tls_pair_open(chain, secret, passwords, &opened, &why) < 0)
        try_fail(c, e->name, cert, why ? why : err_text(-ERR_NOMEM), problems);
    files_unref(files);
}

size_t config_directory_try(const struct config *c, size_t most, struct config_problems *problems)
{
    struct str listing = config_directory(c);
    struct tls_directory_entry e;
    size_t n = 0;
    for (; tls_directory_next(&listing, &e); n++)
        if (n < most)
            try_entry(c, &e, problems);
    return n;
}
