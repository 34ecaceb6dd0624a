/* SPDX-License-Identifier: ISC */
/* From a config to the records of a plan, and back. */
#include "supervisor/plan.h"

#include "base/cleanup.h"
#include "base/container/map.h"
#include "base/record.h"
#include "config/config_bundle.h"
#include "config/config_directory.h"
#include "config/config_refresh.h"
#include "io/tls/key_service.h"

#define PLAN_ITEMS_MAX 65536
#define PLAN_KEY_CHANNELS_MORE 4

enum plan_kind {
    PLAN_LIMITS = BUNDLE_FIRST_OTHER, /* stop_limit_ms */
    PLAN_FOLDER,                      /* path, owner, group */
    PLAN_SOCKET,    /* use, index, address, backlog, flags, rcvbuf, sndbuf, mode, owner, group */
    PLAN_LOG,       /* index, path */
    PLAN_KEYS,      /* service, channels, user, group */
    PLAN_FILE,      /* path, device, inode, bytes, written_ns, changed_ns */
    PLAN_SAME,      /* nothing */
    PLAN_REFUSED,   /* nothing */
    PLAN_DIRECTORY, /* path, file of passwords, listing, is it watched? */
    PLAN_STORE      /* path */
};

#define PLAN_SESSIONS 100000      /* where the configuration knows no limit */
#define PLAN_PACE_MAX_MS 86400000 /* of a stop with shutdown_rate */

enum { PLAN_V6_ONLY = 1, PLAN_MULTIPATH = 2 };

/* ---- writing ---- */

static struct str plan_text(const char *text)
{
    return text ? str_of(text) : STR("");
}

static int plan_append_folder(struct buf *out, const char *path, const char *owner,
                              const char *group)
{
    const struct record r = {PLAN_FOLDER, 3, {str_of(path), plan_text(owner), plan_text(group)}};
    return record_append(out, &r);
}

static int plan_append_socket(struct buf *out, const struct listen_spec *s)
{
    const uint64_t use = s->use, index = s->index, backlog = (uint64_t)s->backlog,
                   flags = (s->is_v6_only ? PLAN_V6_ONLY : 0u) |
                           (s->is_multipath ? PLAN_MULTIPATH : 0u),
                   rcvbuf = s->so_rcvbuf, sndbuf = s->so_sndbuf, mode = s->mode;
    const struct record r = {PLAN_SOCKET,
                             10,
                             {record_field(&use), record_field(&index), str_of(s->address),
                              record_field(&backlog), record_field(&flags), record_field(&rcvbuf),
                              record_field(&sndbuf), record_field(&mode), plan_text(s->owner),
                              plan_text(s->group)}};
    return record_append(out, &r);
}

int plan_append(const struct config *c, struct buf *out)
{
    /* With a rate the end of as many sessions as there may be takes so much longer. */
    uint64_t sessions = c->limits.sessions ? c->limits.sessions : PLAN_SESSIONS;
    uint64_t pace_ms = c->shutdown_rate ? sessions * 1000 / c->shutdown_rate : 0;
    const uint64_t stop_limit_ms =
        c->shutdown_timeout_ms + (pace_ms < PLAN_PACE_MAX_MS ? pace_ms : PLAN_PACE_MAX_MS);
    const struct record limits = {PLAN_LIMITS, 1, {record_field(&stop_limit_ms)}};
    int err = record_append(out, &limits);
    if (err == 0)
        err = plan_append_folder(out, c->state_dir, c->user, c->group);
    if (err == 0) /* nobody but root has to write there: sockets are put in place by us */
        err = plan_append_folder(out, c->run_dir, NULL, NULL);
    if (err == 0)
        err = record_append(out, &(struct record){PLAN_STORE, 1, {str_of(c->store.path)}});
    struct listen_list want = {0};
    if (err == 0)
        err = listen_list_make(c, &want);
    for (size_t i = 0; i < want.n && err == 0; i++)
        err = plan_append_socket(out, &want.v[i]);
    listen_list_fini(&want);
    if (err == 0) {
        const uint64_t is_watched = c->tls.is_watched;
        const struct record r = {PLAN_DIRECTORY,
                                 4,
                                 {plan_text(c->tls.directory), plan_text(c->tls.password_file),
                                  config_directory(c), record_field(&is_watched)}};
        err = c->tls.directory ? record_append(out, &r) : 0;
    }
    for (uint64_t i = 0; i < c->n_logs && err == 0; i++)
        if (c->logs[i].target == LOG_TARGET_FILE)
            err = record_append(
                out, &(struct record){PLAN_LOG, 2, {record_field(&i), str_of(c->logs[i].path)}});
    return err;
}

/* Workers, the control thread and its helpers may all sign at once. */
int plan_append_keys(const struct config *c, uint64_t service, struct buf *out)
{
    const uint64_t n_loaded = c->tls.directory ? c->tls.directory_cache : 0;
    uint64_t n = (uint64_t)c->workers + PLAN_KEY_CHANNELS_MORE + (n_loaded > 0);
    if (n > KEY_CHANNELS_MAX)
        n = KEY_CHANNELS_MAX;
    const struct record r = {PLAN_KEYS,
                             5,
                             {record_field(&service), record_field(&n), plan_text(c->user),
                              plan_text(c->group), record_field(&n_loaded)}};
    return record_append(out, &r);
}

struct append_files {
    const struct files *read;
    struct map seen;
    struct buf *out;
};

static int on_tls_file(void *arg, const char *path)
{
    struct append_files *a = arg;
    struct file_stamp s;
    if (map_get(&a->seen, str_of(path)))
        return 0;
    files_stamp(a->read, path, &s);
    const struct record r = {PLAN_FILE,
                             6,
                             {str_of(path), record_field(&s.device), record_field(&s.inode),
                              record_field(&s.bytes), record_field(&s.written_ns),
                              record_field(&s.changed_ns)}};
    int err = record_append(a->out, &r);
    return err < 0 ? err : map_put(&a->seen, str_of(path), a, NULL);
}

int plan_append_files(const struct config *c, const struct files *read, struct buf *out)
{
    struct append_files a = {.read = read, .out = out};
    int err = c->tls.is_watched ? config_each_tls_file(c, on_tls_file, &a) : 0;
    map_fini(&a.seen);
    return err;
}

int plan_append_refresh(bool is_same, bool is_refused, struct buf *out)
{
    int err = is_same ? record_append(out, &(struct record){.kind = PLAN_SAME}) : 0;
    if (err == 0 && is_refused)
        err = record_append(out, &(struct record){.kind = PLAN_REFUSED});
    return err;
}

/* ---- reading ---- */

/* Room for one more element of a list; zeroed. NULL without memory or with too many. */
static void *plan_add(void *list, size_t *n, size_t size)
{
    char *v = *n < PLAN_ITEMS_MAX ? realloc(*(void **)list, (*n + 1) * size) : NULL;
    if (!v)
        return NULL;
    *(void **)list = v;
    return memset(v + (*n)++ * size, 0, size);
}

static int plan_needs(const char *text)
{
    return text ? 0 : -ERR_SYNTAX;
}

static int plan_read_folder(struct plan *p, const struct record *r)
{
    struct plan_folder *f = plan_add(&p->folders, &p->n_folders, sizeof(*f));
    int err = f ? record_text(r, 0, &f->path) : -ERR_NOMEM;
    if (err == 0)
        err = record_text(r, 1, &f->owner);
    if (err == 0)
        err = record_text(r, 2, &f->group);
    return err < 0 ? err : plan_needs(f->path);
}

static int plan_read_socket(struct plan *p, const struct record *r)
{
    static const struct {
        size_t field;
        uint64_t max;
    } numbers[] = {{0, LISTEN_CONTROL}, {1, PLAN_ITEMS_MAX}, {3, 65535}, {4, 3},
                   {5, INT32_MAX},      {6, INT32_MAX},      {7, 07777}};
    uint64_t v[ARRAY_LEN(numbers)];
    struct plan_socket *s = plan_add(&p->sockets, &p->n_sockets, sizeof(*s));
    int err = s ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < ARRAY_LEN(numbers) && err == 0; i++)
        err = record_number(r, numbers[i].field, numbers[i].max, &v[i]);
    if (err == 0)
        err = record_text(r, 2, &s->address);
    if (err == 0)
        err = record_text(r, 8, &s->owner);
    if (err == 0)
        err = record_text(r, 9, &s->group);
    if (err < 0)
        return err;
    s->spec = (struct listen_spec){.use = (enum listen_use)v[0],
                                   .index = v[1],
                                   .address = s->address,
                                   .backlog = (int)v[2],
                                   .is_v6_only = v[3] & PLAN_V6_ONLY,
                                   .is_multipath = v[3] & PLAN_MULTIPATH,
                                   .so_rcvbuf = v[4],
                                   .so_sndbuf = v[5],
                                   .mode = (unsigned)v[6],
                                   .owner = s->owner,
                                   .group = s->group};
    return plan_needs(s->address);
}

static int plan_read_log(struct plan *p, const struct record *r)
{
    uint64_t index;
    struct plan_log *l = plan_add(&p->logs, &p->n_logs, sizeof(*l));
    int err = l ? record_number(r, 0, PLAN_ITEMS_MAX, &index) : -ERR_NOMEM;
    if (err == 0)
        err = record_text(r, 1, &l->path);
    if (err < 0)
        return err;
    l->index = index;
    return plan_needs(l->path);
}

static int plan_read_keys(struct plan *p, const struct record *r)
{
    uint64_t n = 0, n_loaded = 0;
    int err = p->keys.n_channels ? -ERR_SYNTAX : record_number(r, 0, UINT64_MAX, &p->keys.service);
    if (err == 0)
        err = record_number(r, 1, KEY_CHANNELS_MAX, &n);
    if (err == 0)
        err = record_text(r, 2, &p->keys.user);
    if (err == 0)
        err = record_text(r, 3, &p->keys.group);
    if (err == 0 && r->n > 4)
        err = record_number(r, 4, UINT16_MAX, &n_loaded);
    if (err == 0 && n_loaded > 0 && n < 2)
        err = -ERR_SYNTAX;
    if (err == 0) {
        p->keys.n_channels = n;
        p->keys.n_loaded = n_loaded;
    }
    return err < 0 || n > 0 ? err : -ERR_SYNTAX;
}

static int plan_read_file(struct plan *p, const struct record *r)
{
    struct plan_file *f = plan_add(&p->files, &p->n_files, sizeof(*f));
    int err = f ? record_text(r, 0, &f->path) : -ERR_NOMEM;
    if (err < 0)
        return err;
    uint64_t *const numbers[] = {&f->stamp.device, &f->stamp.inode, &f->stamp.bytes,
                                 &f->stamp.written_ns, &f->stamp.changed_ns};
    for (size_t i = 0; i < ARRAY_LEN(numbers) && err == 0; i++)
        err = record_number(r, i + 1, UINT64_MAX, numbers[i]);
    return err < 0 ? err : plan_needs(f->path);
}

static int plan_read_directory(struct plan *p, const struct record *r)
{
    struct plan_directory *d = &p->directory;
    struct tls_directory_entry e;
    uint64_t is_watched = 0;
    int err = d->path || r->n != 4 ? -ERR_SYNTAX : record_text(r, 0, &d->path);
    if (err == 0)
        err = record_text(r, 1, &d->password_file);
    if (err == 0)
        err = record_number(r, 3, 1, &is_watched);
    if (err == 0 && !(d->listing = str_dup(r->v[2])))
        err = -ERR_NOMEM;
    if (err < 0)
        return err;
    d->is_watched = is_watched;
    d->n_bytes = r->v[2].n;
    struct str rest = r->v[2];
    while (tls_directory_next(&rest, &e))
        d->n++;
    return rest.n == 0 ? plan_needs(d->path) : -ERR_SYNTAX;
}

static int plan_read_store(struct plan *p, const struct record *r)
{
    int err = p->store ? -ERR_SYNTAX : record_text(r, 0, &p->store);
    return err < 0 ? err : plan_needs(p->store);
}

static int plan_read_record(struct plan *p, const struct record *r)
{
    switch (r->kind) {
    case PLAN_LIMITS:
        return record_number(r, 0, UINT64_MAX, &p->stop_limit_ms);
    case PLAN_FOLDER:
        return plan_read_folder(p, r);
    case PLAN_SOCKET:
        return plan_read_socket(p, r);
    case PLAN_LOG:
        return plan_read_log(p, r);
    case PLAN_KEYS:
        return plan_read_keys(p, r);
    case PLAN_FILE:
        return plan_read_file(p, r);
    case PLAN_SAME:
        p->is_same = true;
        return 0;
    case PLAN_REFUSED:
        p->is_refused = true;
        return 0;
    case PLAN_DIRECTORY:
        return plan_read_directory(p, r);
    case PLAN_STORE:
        return plan_read_store(p, r);
    default:
        return 0;
    }
}

int plan_read(struct str bundle, struct plan *ret)
{
    struct plan p = {0};
    struct record r;
    int err = 0;
    while (err == 0 && (err = record_next(&bundle, &r)) == 0)
        err = plan_read_record(&p, &r);
    if (err != -ERR_EOF) {
        plan_fini(&p);
        return err;
    }
    *ret = p;
    return 0;
}

void plan_fini(struct plan *p)
{
    for (size_t i = 0; i < p->n_folders; i++) {
        free(p->folders[i].path);
        free(p->folders[i].owner);
        free(p->folders[i].group);
    }
    for (size_t i = 0; i < p->n_sockets; i++) {
        free(p->sockets[i].address);
        free(p->sockets[i].owner);
        free(p->sockets[i].group);
    }
    for (size_t i = 0; i < p->n_logs; i++)
        free(p->logs[i].path);
    for (size_t i = 0; i < p->n_files; i++)
        free(p->files[i].path);
    free(p->files);
    free(p->directory.path);
    free(p->directory.password_file);
    free(p->directory.listing);
    free(p->keys.user);
    free(p->keys.group);
    free(p->store);
    free(p->folders);
    free(p->sockets);
    free(p->logs);
    *p = (struct plan){0};
}
