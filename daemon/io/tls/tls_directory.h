/* SPDX-License-Identifier: ISC */
/* A folder of certificates, of which each is called by the DNS name that it is for: what is in it,
 * as a text that needs no file to be opened, and where the files of a name are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define TLS_DIRECTORY_NAMES_MAX 100000
#define TLS_DIRECTORY_LOOKED_AT_MAX 400000 /* names of files in the folder */
#define TLS_DIRECTORY_NAME_MAX 253         /* RFC 1035 section 2.3.4, without the root */

/* Ways to keep a certificate NAME, the one that counts first: where there are several. */
enum tls_directory_kind {
    TLS_DIRECTORY_FOLDER,   /* NAME/fullchain.pem and NAME/privkey.pem, as certbot's live */
    TLS_DIRECTORY_COMBINED, /* NAME.pem: chain and key */
    TLS_DIRECTORY_PAIR,     /* NAME.crt and NAME.key */
    TLS_DIRECTORY_KINDS
};

/* A line of the listing: one certificate. */
struct tls_directory_entry {
    struct str name;  /* lower case; "_.example.org" is for all names one below example.org */
    uint64_t version; /* of the files: another one when any of them may say something else */
    enum tls_directory_kind kind;
    bool is_star; /* the file says "*." instead of "_." */
};

/* What is left out of a listing, and why; the texts are borrowed. */
struct tls_directory_report {
    void (*warn)(void *arg, const char *file, const char *why);
    void *arg;
};

/* Appends the listing of a folder, sorted by name: the number of an entry is that of its line. Only
 * stamps of the files are looked at. report NULL = nobody hears of what is left out. Blocking. 0;
 * -ERR_TOO_MANY; -ERR_NOMEM; else what opendir(3) said, also in errno. */
int tls_directory_list(const char *path, const struct tls_directory_report *report,
                       struct buf *out) NODISCARD;
/* Takes the first line off a listing. False at the end, and where it is no listing (then *listing
 * is not empty). */
bool tls_directory_next(struct str *listing, struct tls_directory_entry *ret);
/* The entry of a number. -ERR_NOT_FOUND. */
int tls_directory_entry_at(struct str listing, uint32_t number,
                           struct tls_directory_entry *ret) NODISCARD;
/* The paths of an entry's files, owned; both are the same for TLS_DIRECTORY_COMBINED. -ERR_NOMEM.
 */
int tls_directory_paths(const char *path, const struct tls_directory_entry *e, char **ret_cert,
                        char **ret_key) NODISCARD;
/* The version that the files have now, 0 when one is not there. Blocking, but opens nothing. */
uint64_t tls_directory_version(const char *path, const struct tls_directory_entry *e);
/* A DNS name in lower case, A-labels only; "_." or "*." may stand for its first label. */
bool tls_directory_is_name(struct str name);

/* A listing that names are looked up in. */
struct tls_directory;
/* Takes a copy of the listing. -ERR_SYNTAX, -ERR_NOMEM. */
int tls_directory_new(struct str listing, struct tls_directory **ret) NODISCARD;
void tls_directory_free(struct tls_directory *d); /* NULL is fine */
size_t tls_directory_count(const struct tls_directory *d);
/* The entry of a name as it stands in the listing; *ret is borrowed from d. -ERR_NOT_FOUND. */
int tls_directory_get(const struct tls_directory *d, struct str name, uint32_t *ret_number,
                      struct tls_directory_entry *ret) NODISCARD;
/* The entry for a name that a client asks for, in any case: its own, else the one for all names
 * beside it. -ERR_NOT_FOUND. */
int tls_directory_find(const struct tls_directory *d, struct str name, uint32_t *ret_number,
                       struct tls_directory_entry *ret) NODISCARD;
/* The entry of a number. False: there is none. */
bool tls_directory_at(const struct tls_directory *d, uint32_t number,
                      struct tls_directory_entry *ret);
