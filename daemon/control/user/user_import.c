/* SPDX-License-Identifier: ISC */
/* user import and export: whole files of users, in parts that fit a line. */
#include <stdatomic.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "control/user/user_list.h"
#include "ops/ops.h"
#include "rpc/handlers.h"
#include "rpc/upload.h"
#include "store/user_file.h"

#define IMPORT_ERRORS_SHOWN 2000 /* bytes */
#define IMPORT_LOST_SHOWN 3      /* users */
#define EXPORT_PAGE 500          /* users */

struct user_import {
    struct work work;
    enum user_file_format format;
    enum store_write how;
    struct buf text;
    size_t n, n_added, n_changed;
    size_t n_lost;       /* pinned to what is not there */
    struct buf lost;     /* the first of them by name */
    struct pools *pools; /* one reference */
    struct op *op;
    atomic_size_t n_read, n_done; /* progress, told by the job */
    atomic_bool is_cancelled;
    bool is_posted; /* its job has it */
};

static void import_start(void *arg)
{
    struct user_import *m = arg;
    m->is_posted = true;
    work_post(&m->work, &work_control(&m->work)->user_queue);
}

static void import_cancel(void *arg)
{
    struct user_import *m = arg;
    atomic_store(&m->is_cancelled, true);
}

static void import_refresh(void *arg)
{
    struct user_import *m = arg;
    struct op *op = m->op;
    op->total = atomic_load(&m->n_read);
    op->done = atomic_load(&m->n_done);
    op->eta_ms = op_time_left(op, op->total - op->done);
}

/* Once posted it is freed by its job. */
static void import_drop(void *arg)
{
    struct user_import *m = arg;
    if (m->is_posted)
        return;
    request_abandon(m->work.request);
    work_free(&m->work);
}

static const struct op_kind import_kind = {.name = "import",
                                           .start = import_start,
                                           .cancel = import_cancel,
                                           .refresh = import_refresh,
                                           .drop = import_drop,
                                           .is_uninterruptible = true};

static bool import_progress(void *arg, size_t done)
{
    struct user_import *m = arg;
    atomic_store(&m->n_done, done);
    return !atomic_load(&m->is_cancelled);
}

static int import_refuse(struct user_import *m, struct buf *errors, int err)
{
    if (errors->len > IMPORT_ERRORS_SHOWN)
        errors->len = IMPORT_ERRORS_SHOWN;
    struct str text = str_trim(buf_str(errors));
    m->work.error = text.n ? str_dup(text) : NULL;
    return err;
}

static bool is_scram_known(const char *text)
{
    struct sasl_scram_keys keys;
    bool is_known = password_scram_parse(text, &keys) == 0;
    explicit_bzero(&keys, sizeof(keys));
    return is_known;
}

/* A hash that nobody can check would lock its user out, which is noticed much later. */
static int import_check_hashes(const struct store_user *users, size_t n, struct buf *errors)
{
    int err = 0;
    for (size_t i = 0; i < n; i++) {
        const struct store_user *u = &users[i];
        const char *bad = u->password_hash && !password_is_known(u->password_hash) ? "password_hash"
                          : u->scram && !is_scram_known(u->scram)                  ? "scram"
                                                                                   : NULL;
        if (!bad)
            continue;
        err = -ERR_SYNTAX;
        if (errors->len < IMPORT_ERRORS_SHOWN &&
            buf_printf(errors, "user %s: %s is of no known scheme\n", u->name, bad) < 0)
            return -ERR_NOMEM;
    }
    return err;
}

/* A pool may come later: it is no error, but it has to be said. */
static void import_check_pins(struct user_import *m, const struct store_user *users)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct store_user *u = &users[i];
        bool is_there = u->backend ? pools_member(m->pools, u->pool, u->backend, NULL) != NULL
                                   : !u->pool || pools_find(m->pools, u->pool);
        if (is_there)
            continue;
        if (m->n_lost++ < IMPORT_LOST_SHOWN)
            (void)!buf_printf(&m->lost, "%s%s (%s)", m->lost.len > 0 ? ", " : "", u->name,
                              u->backend ? u->backend : u->pool);
    }
}

static int user_import_run(struct work *w)
{
    struct user_import *m = CONTAINER_OF(w, struct user_import, work);
    struct store_user *users = NULL;
    AUTO_BUF errors = BUF_INIT;
    int err = user_file_parse(m->format, buf_str(&m->text), &users, &m->n, &errors);
    if (err < 0)
        return import_refuse(m, &errors, err);
    atomic_store(&m->n_read, m->n);
    err = import_check_hashes(users, m->n, &errors);
    if (err < 0)
        err = import_refuse(m, &errors, err);
    else
        err = store_user_import(work_control(w)->host->store, users, m->n, m->how, clock_wall_ms(),
                                import_progress, m, &m->n_added, &m->n_changed);
    if (err == 0) {
        atomic_store(&m->n_done, m->n);
        import_check_pins(m, users);
    }
    for (size_t i = 0; i < m->n; i++)
        store_user_fini(&users[i]);
    free(users);
    return err;
}

static void user_import_done(struct work *w)
{
    struct user_import *m = CONTAINER_OF(w, struct user_import, work);
    const struct engine_api *h = work_control(w)->host;
    AUTO_FREE char *lost = NULL;
    if (m->n_lost > 0)
        lost = str_printf("; %zu are pinned to what is in no pool: %s%s", m->n_lost,
                          buf_cstr(&m->lost), m->n_lost > IMPORT_LOST_SHOWN ? ", ..." : "");
    if (w->err == -ERR_CANCELLED)
        op_end(m->op, OP_CANCELLED, "nothing was written");
    else if (w->err < 0)
        op_end(m->op, OP_FAILED, "nothing was written: %s", w->error ? w->error : err_text(w->err));
    else
        op_end(m->op, OP_DONE, "%zu added, %zu changed%s", m->n_added, m->n_changed,
               lost ? lost : "");
    if (work_fail(w))
        return;
    h->forget_user(h->arg, NULL);
    request_done(w->request, m->n_added + m->n_changed, m->n_added + m->n_changed > 0,
                 "%zu users: %zu added, %zu changed%s", m->n, m->n_added, m->n_changed,
                 lost ? lost : "");
}

static void user_import_fini(struct work *w)
{
    struct user_import *m = CONTAINER_OF(w, struct user_import, work);
    buf_wipe(&m->text);
    buf_fini(&m->lost);
    pools_unref(m->pools);
}

static bool import_mode(const char *text, enum store_write *ret)
{
    static const struct {
        const char *name;
        enum store_write how;
    } modes[] = {{"upsert", STORE_UPSERT}, {"add", STORE_ADD}, {"replace", STORE_REPLACE}};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(text ? text : "upsert", modes[i].name) == 0) {
            *ret = modes[i].how;
            return true;
        }
    return false;
}

/* The format parameter; answers when it is unknown. */
static int import_format(struct request *r, enum user_file_format *ret)
{
    const char *format = request_text(r, "format");
    int err = user_file_format_find(format ? format : "csv", ret);
    if (err < 0)
        request_fail(r, -ERR_BAD_PARAM, NULL, "format is one of csv, passwd, libconfig");
    return err;
}

void command_user_import(struct request *r)
{
    enum user_file_format format;
    enum store_write how;
    if (import_format(r, &format) < 0)
        return;
    if (!import_mode(request_text(r, "mode"), &how)) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "mode is one of upsert, add, replace");
        return;
    }
    struct buf text = BUF_INIT;
    if (!upload_take(r, "data", &text))
        return;
    struct user_import *m =
        work_new(r->rpc, r, sizeof(*m), user_import_run, user_import_done, user_import_fini);
    if (!m) {
        buf_wipe(&text);
        return;
    }
    m->text = text;
    m->pools = pools_ref(control_snapshot(request_control(r))->pools);
    if (op_begin(request_control(r), &import_kind, "users", &r->peer, m, &m->op) < 0) {
        work_free(&m->work);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    m->format = format;
    m->how = how;
    op_start(m->op);
}

/* ---- user export ---- */

struct user_export {
    struct work work;
    enum user_file_format format;
    struct buf text;
    char *last;
    size_t n;
    int err;
};

static bool export_one(void *arg, const struct store_user *u)
{
    struct user_export *x = arg;
    free(x->last);
    x->last = str_dup_c(u->name);
    x->n++;
    bool is_first = x->n == 1 && !request_has(x->work.request, "cursor");
    x->err = x->last ? user_file_user(x->format, u, is_first, &x->text) : -ERR_NOMEM;
    return x->err == 0;
}

static int user_export_run(struct work *w)
{
    struct user_export *x = CONTAINER_OF(w, struct user_export, work);
    const char *after = request_text(w->request, "cursor");
    if (!after && user_file_begin(x->format, &x->text) < 0)
        return -ERR_NOMEM;
    int err = store_user_each(work_control(w)->host->store, after, EXPORT_PAGE, export_one, x);
    if (err == 0)
        err = x->err;
    if (err == 0 && x->n < EXPORT_PAGE)
        err = user_file_end(x->format, &x->text);
    return err;
}

static void user_export_done(struct work *w)
{
    struct user_export *x = CONTAINER_OF(w, struct user_export, work);
    if (work_fail(w))
        return;
    json_t *rows = json_pack("[{s:o}]", "text", request_json(buf_str(&x->text)));
    request_rows(w->request, rows, x->n == EXPORT_PAGE ? x->last : NULL);
}

static void user_export_fini(struct work *w)
{
    struct user_export *x = CONTAINER_OF(w, struct user_export, work);
    buf_wipe(&x->text);
    free(x->last);
}

void command_user_export(struct request *r)
{
    enum user_file_format format;
    if (import_format(r, &format) < 0)
        return;
    struct user_export *x =
        work_new(r->rpc, r, sizeof(*x), user_export_run, user_export_done, user_export_fini);
    if (!x)
        return;
    x->format = format;
    work_post(&x->work, NULL);
}
