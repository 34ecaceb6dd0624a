/* SPDX-License-Identifier: ISC */
/* Reading certificates of a directory, in a process of its own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/record.h"
#include "io/tls/key_service.h"
#include "io/tls/tls_directory.h"
#include "io/tls/tls_key_file.h"
#include "io/tls/tls_pair.h"
#include "supervisor/supervisor_priv.h"

#define LOADING_BYTES_MAX (256 << 10) /* of a file: the longest chains have some 20 KB */

/* One entry on its way from the disk. */
struct load {
    uint32_t number;
    struct tls_directory_entry entry;
    uint64_t service; /* of the key process */
    int keys;         /* channel to it; -1 = none */
    struct files *files;
    struct str passwords;
    char *cert, *key; /* paths */
};

static int load_file(const struct load *l, const char *path, struct str *ret, const char **ret_why)
{
    int err = files_read(l->files, path, ret);
    if (err == 0 && ret->n > LOADING_BYTES_MAX)
        err = -ERR_TOO_LONG;
    *ret_why = err == -ERR_TOO_LONG ? "it is too large for a certificate"
               : err < 0            ? strerrordesc_np(errno)
                                    : NULL;
    return err;
}

/* The key goes to the key process, and its place stands for it. */
static int load_hand_over(const struct load *l, struct buf *pem)
{
    AUTO_SECRET_BUF der = BUF_INIT;
    struct tls_key_place place = {.service = l->service};
    int err = tls_key_file_take(buf_str(pem), STR(""), &der, &place);
    if (err == 0)
        err = key_channel_load(l->keys, KEY_DIRECTORY_FIRST + l->number, buf_str(&der));
    buf_wipe(pem);
    place.service = l->service;
    place.number = KEY_DIRECTORY_FIRST + l->number;
    return err < 0 ? err : tls_key_place_append(&place, pem);
}

static int load_pair(struct load *l, struct buf *out)
{
    AUTO_SECRET_BUF opened = BUF_INIT;
    struct str chain, key;
    const char *why = NULL, *file = l->cert;
    int err = load_file(l, l->cert, &chain, &why);
    if (err == 0) {
        file = l->key;
        err = load_file(l, l->key, &key, &why);
    }
    if (err == 0) {
        file = l->cert;
        err = tls_pair_open(chain, key, l->passwords, &opened, &why);
    }
    if (err == 0 && l->keys >= 0) {
        file = l->key;
        err = load_hand_over(l, &opened);
        why = err < 0 ? "the key process does not take it" : NULL;
    }
    if (err < 0) {
        const uint64_t number = (uint64_t)-err;
        const struct record r = {WIRE_LOADED_BAD,
                                 5,
                                 {l->entry.name, record_field(&l->entry.version),
                                  record_field(&number), str_of(file),
                                  str_of((why ? why : err_text(err)))}};
        return record_append(out, &r);
    }
    const struct record r = {
        WIRE_LOADED_PAIR,
        4,
        {l->entry.name, record_field(&l->entry.version), chain, buf_str(&opened)}};
    return record_append(out, &r);
}

static int load_entry(const struct content *c, uint32_t number, int keys, struct buf *out)
{
    const struct plan_directory *d = &c->plan.directory;
    struct load l = {.number = number, .service = c->plan.keys.service, .keys = keys};
    struct str passwords = STR("");
    int err = tls_directory_entry_at(str_n(d->listing, d->n_bytes), number, &l.entry);
    if (err == 0)
        err = files_new(&l.files);
    if (err == 0 && d->password_file && files_read(l.files, d->password_file, &passwords) == 0)
        l.passwords = passwords;
    if (err == 0)
        err = tls_directory_paths(d->path, &l.entry, &l.cert, &l.key);
    if (err == 0)
        err = load_pair(&l, out);
    free(l.cert);
    free(l.key);
    files_unref(l.files);
    return err;
}

/* Each is written as soon as it was read: of a child that ends early the others are of use. */
int loading_write(const struct content *c, const uint32_t *entries, size_t n, int fd, int keys)
{
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        AUTO_SECRET_BUF out = BUF_INIT;
        err = load_entry(c, entries[i], keys, &out);
        struct str bytes = buf_str(&out);
        while (err == 0 && bytes.n > 0) {
            ssize_t some = write(fd, bytes.p, bytes.n);
            if (some < 0 && errno != EINTR)
                err = err_from_errno(errno);
            bytes = str_skip(bytes, some > 0 ? (size_t)some : 0);
        }
    }
    return err;
}
