/* SPDX-License-Identifier: ISC */
/* Names of files to DNS names and back. */
#include "io/tls/tls_directory.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/container/array.h"
#include "base/hash.h"
#include "base/os/files.h"

/* How each kind is called in the folder, and how in a listing. */
static const struct directory_kind {
    const char *cert, *key; /* behind the name */
    char letter;
} kinds[TLS_DIRECTORY_KINDS] = {
    [TLS_DIRECTORY_FOLDER] = {"/fullchain.pem", "/privkey.pem", 'd'},
    [TLS_DIRECTORY_COMBINED] = {".pem", ".pem", 'p'},
    [TLS_DIRECTORY_PAIR] = {".crt", ".key", 'c'},
};

/* ---- names ---- */

static bool directory_is_label(struct str label)
{
    if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
        return false;
    for (size_t i = 0; i < label.n; i++) {
        char c = label.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

bool tls_directory_is_name(struct str name)
{
    if (name.n > TLS_DIRECTORY_NAME_MAX)
        return false;
    if (str_is_prefix(name, STR("_.")) || str_is_prefix(name, STR("*.")))
        name = str_skip(name, 2);
    if (name.n == 0 || name.p[name.n - 1] == '.')
        return false;
    while (name.n > 0)
        if (!directory_is_label(str_cut(&name, '.')))
            return false;
    return true;
}

/* ---- one certificate ---- */

int tls_directory_paths(const char *path, const struct tls_directory_entry *e, char **ret_cert,
                        char **ret_key)
{
    const struct directory_kind *k = &kinds[e->kind];
    const char *star = e->is_star ? "*" : "";
    struct str name = str_skip(e->name, e->is_star ? 1 : 0);
    *ret_cert = str_printf("%s/%s%.*s%s", path, star, STR_ARG(name), k->cert);
    *ret_key = str_printf("%s/%s%.*s%s", path, star, STR_ARG(name), k->key);
    if (*ret_cert && *ret_key)
        return 0;
    free(STEAL(*ret_cert));
    free(STEAL(*ret_key));
    return -ERR_NOMEM;
}

uint64_t tls_directory_version(const char *path, const struct tls_directory_entry *e)
{
    static const struct file_stamp none;
    struct file_stamp stamps[2];
    AUTO_FREE char *cert = NULL;
    AUTO_FREE char *key = NULL;
    if (tls_directory_paths(path, e, &cert, &key) < 0)
        return 0;
    file_stamp_of(cert, &stamps[0]);
    file_stamp_of(key, &stamps[1]);
    if (file_stamp_eq(&stamps[0], &none) || file_stamp_eq(&stamps[1], &none))
        return 0;
    uint64_t version = hash_stable(str_n(stamps, sizeof(stamps)));
    return version ? version : 1;
}

/* ---- the folder ---- */

/* A name as it was found. */
struct directory_file {
    char *name; /* owned; lower case, "_." */
    struct tls_directory_entry entry;
};

struct directory_scan {
    const char *path;
    const struct tls_directory_report *report;
    struct directory_file *v;
    size_t n, cap;
};

static void scan_warn(const struct directory_scan *s, const char *file, const char *why)
{
    if (s->report)
        s->report->warn(s->report->arg, file, why);
}

static int scan_add(struct directory_scan *s, struct tls_directory_entry e)
{
    if (s->n >= TLS_DIRECTORY_NAMES_MAX)
        return -ERR_TOO_MANY;
    if (!ARRAY_ROOM(s->v, s->n, s->cap))
        return -ERR_NOMEM;
    char *name = str_dup(e.name);
    if (!name)
        return -ERR_NOMEM;
    if (e.is_star)
        name[0] = '_';
    e.name = str_of(name);
    s->v[s->n++] = (struct directory_file){name, e};
    return 0;
}

static bool scan_cut_suffix(struct str *name, const char *suffix)
{
    struct str end = str_of(suffix);
    if (name->n <= end.n || !str_eq(str_skip(*name, name->n - end.n), end))
        return false;
    *name = str_head(*name, name->n - end.n);
    return true;
}

/* Other files and folders may lie there, too: what is called neither like a certificate nor like a
 * DNS name is passed over without a word. */
static int scan_file(struct directory_scan *s, const char *file)
{
    struct tls_directory_entry e = {.name = str_of(file), .kind = TLS_DIRECTORY_FOLDER};
    AUTO_FREE char *folder = NULL;
    struct stat st;
    if (scan_cut_suffix(&e.name, kinds[TLS_DIRECTORY_COMBINED].cert))
        e.kind = TLS_DIRECTORY_COMBINED;
    else if (scan_cut_suffix(&e.name, kinds[TLS_DIRECTORY_PAIR].cert))
        e.kind = TLS_DIRECTORY_PAIR;
    else if (!(folder = str_printf("%s/%s", s->path, file)))
        return -ERR_NOMEM;
    else if (!tls_directory_is_name(e.name) || stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    if (!tls_directory_is_name(e.name)) {
        scan_warn(s, file, "is not called by a DNS name in lower case");
        return 0;
    }
    struct str real = e.name;
    e.is_star = real.p[0] == '*';
    e.version = tls_directory_version(s->path, &e);
    if (e.version)
        return scan_add(s, e);
    scan_warn(s, file,
              e.kind == TLS_DIRECTORY_FOLDER ? "has no fullchain.pem with a privkey.pem"
              : e.kind == TLS_DIRECTORY_PAIR ? "has no .key file beside it"
                                             : "cannot be looked at");
    return 0;
}

static int scan_folder(struct directory_scan *s)
{
    size_t n = 0;
    DIR *d = opendir(s->path);
    int err = d ? 0 : err_from_errno(errno);
    while (err == 0) {
        errno = 0;
        const struct dirent *file = readdir(d);
        if (!file) {
            err = errno ? err_from_errno(errno) : -ERR_EOF;
            break;
        }
        if (++n > TLS_DIRECTORY_LOOKED_AT_MAX)
            err = -ERR_TOO_MANY;
        else if (file->d_name[0] != '.')
            err = scan_file(s, file->d_name);
    }
    int failed = errno;
    if (d)
        closedir(d);
    errno = failed;
    return err == -ERR_EOF ? 0 : err;
}

static int compare_files(const void *a, const void *b)
{
    const struct tls_directory_entry *x = &((const struct directory_file *)a)->entry,
                                     *y = &((const struct directory_file *)b)->entry;
    int order = strcmp(x->name.p, y->name.p);
    return order               ? order
           : x->kind < y->kind ? -1
           : x->kind > y->kind ? 1
                               : (int)x->is_star - (int)y->is_star;
}

static int scan_print(struct directory_scan *s, struct buf *out)
{
    int err = 0;
    qsort(s->v, s->n, sizeof(s->v[0]), compare_files);
    for (size_t i = 0; i < s->n && err == 0; i++) {
        const struct tls_directory_entry *e = &s->v[i].entry;
        if (i > 0 && strcmp(s->v[i - 1].name, s->v[i].name) == 0) {
            AUTO_FREE char *file = str_printf("%s%s", s->v[i].name, kinds[e->kind].cert);
            scan_warn(s, file ? file : s->v[i].name, "is the second certificate of its name");
            continue;
        }
        err = buf_printf(out, "%.*s %016" PRIx64 " %c%s\n", STR_ARG(e->name), e->version,
                         kinds[e->kind].letter, e->is_star ? "*" : "");
    }
    return err;
}

int tls_directory_list(const char *path, const struct tls_directory_report *report, struct buf *out)
{
    struct directory_scan s = {.path = path, .report = report};
    int err = scan_folder(&s), failed = errno;
    if (err == 0)
        err = scan_print(&s, out);
    for (size_t i = 0; i < s.n; i++)
        free(s.v[i].name);
    free(s.v);
    errno = failed;
    return err;
}

/* ---- the listing ---- */

static bool directory_number(struct str digits, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < digits.n; i++) {
        const char *hex = "0123456789abcdef", *at = memchr(hex, digits.p[i], 16);
        if (!at)
            return false;
        *ret = *ret << 4 | (uint64_t)(at - hex);
    }
    return digits.n == 16 && *ret != 0;
}

bool tls_directory_next(struct str *listing, struct tls_directory_entry *ret)
{
    struct str rest = *listing;
    struct str line = str_cut(&rest, '\n');
    struct tls_directory_entry e = {.name = str_cut(&line, ' '), .kind = TLS_DIRECTORY_KINDS};
    if (!tls_directory_is_name(e.name) || e.name.p[0] == '*' ||
        !directory_number(str_cut(&line, ' '), &e.version))
        return false;
    for (size_t i = 0; i < TLS_DIRECTORY_KINDS; i++)
        if (line.n > 0 && line.p[0] == kinds[i].letter)
            e.kind = (enum tls_directory_kind)i;
    e.is_star = line.n == 2 && line.p[1] == '*' && e.name.p[0] == '_';
    if (e.kind == TLS_DIRECTORY_KINDS || line.n != (e.is_star ? 2u : 1u))
        return false;
    *listing = rest;
    *ret = e;
    return true;
}

int tls_directory_entry_at(struct str listing, uint32_t number, struct tls_directory_entry *ret)
{
    for (uint32_t i = 0; i < number; i++) {
        const char *end = listing.n ? memchr(listing.p, '\n', listing.n) : NULL;
        if (!end)
            return -ERR_NOT_FOUND;
        listing = str_skip(listing, (size_t)(end - listing.p) + 1);
    }
    return tls_directory_next(&listing, ret) ? 0 : -ERR_NOT_FOUND;
}

/* ---- looking up ---- */

struct tls_directory {
    size_t n;
    uint32_t *lines; /* where each begins */
    struct str text;
    char copy[];
};

int tls_directory_new(struct str listing, struct tls_directory **ret)
{
    struct tls_directory_entry e, before = {0};
    struct str rest;
    size_t n = 0;
    if (listing.n > UINT32_MAX)
        return -ERR_SYNTAX;
    struct tls_directory *d = malloc(sizeof(*d) + listing.n + 1);
    if (!d)
        return -ERR_NOMEM;
    if (listing.n)
        memcpy(d->copy, listing.p, listing.n);
    d->text = str_n(d->copy, listing.n);
    for (size_t i = 0; i < listing.n; i++)
        n += listing.p[i] == '\n';
    d->n = 0;
    d->lines = calloc(n + 1, sizeof(d->lines[0]));
    if (!d->lines) {
        free(d);
        return -ERR_NOMEM;
    }
    for (rest = d->text; d->n < n; before = e) {
        size_t at = listing.n - rest.n;
        if (!tls_directory_next(&rest, &e))
            break;
        size_t common = before.name.n < e.name.n ? before.name.n : e.name.n;
        int order = common ? memcmp(before.name.p, e.name.p, common) : -1;
        if (order > 0 || (order == 0 && before.name.n >= e.name.n))
            break;
        d->lines[d->n++] = (uint32_t)at;
    }
    if (rest.n > 0 || d->n < n) {
        tls_directory_free(d);
        return -ERR_SYNTAX;
    }
    *ret = d;
    return 0;
}

void tls_directory_free(struct tls_directory *d)
{
    if (d)
        free(d->lines);
    free(d);
}

size_t tls_directory_count(const struct tls_directory *d)
{
    return d->n;
}

bool tls_directory_at(const struct tls_directory *d, uint32_t number,
                      struct tls_directory_entry *ret)
{
    if (number >= d->n)
        return false;
    struct str line = str_skip(d->text, d->lines[number]);
    return tls_directory_next(&line, ret);
}

int tls_directory_get(const struct tls_directory *d, struct str name, uint32_t *ret_number,
                      struct tls_directory_entry *ret)
{
    size_t from = 0, to = d->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (!tls_directory_at(d, (uint32_t)middle, ret))
            return -ERR_NOT_FOUND;
        size_t common = name.n < ret->name.n ? name.n : ret->name.n;
        int order = memcmp(name.p, ret->name.p, common);
        if (order == 0 && name.n == ret->name.n) {
            *ret_number = (uint32_t)middle;
            return 0;
        }
        if (order < 0 || (order == 0 && name.n < ret->name.n))
            to = middle;
        else
            from = middle + 1;
    }
    return -ERR_NOT_FOUND;
}

/* A client cannot ask for "_.example.org" itself: that is no name of a host. */
int tls_directory_find(const struct tls_directory *d, struct str name, uint32_t *ret_number,
                       struct tls_directory_entry *ret)
{
    char wanted[TLS_DIRECTORY_NAME_MAX + 3];
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n > TLS_DIRECTORY_NAME_MAX || memchr(name.p ? name.p : "", '\0', name.n))
        return -ERR_NOT_FOUND;
    wanted[0] = '_';
    (void)str_copy(wanted + 1, sizeof(wanted) - 1, name);
    str_lower(wanted + 1);
    struct str exact = str_of(wanted + 1);
    if (!tls_directory_is_name(exact) || exact.p[0] == '_' || exact.p[0] == '*')
        return -ERR_NOT_FOUND;
    int err = tls_directory_get(d, exact, ret_number, ret);
    ptrdiff_t dot = str_index(exact, '.');
    if (err == 0 || dot < 0)
        return err;
    wanted[dot] = '_'; /* the byte before the dot */
    return tls_directory_get(d, str_of(wanted + dot), ret_number, ret);
}
