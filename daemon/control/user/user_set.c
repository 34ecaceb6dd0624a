/* SPDX-License-Identifier: ISC */
/* user add, set and passwd: every property of a user, checked. */
#include "auth/auth.h"
#include "base/secret.h"
#include "control/user/user_list.h"
#include "rpc/handlers.h"

static int user_edit_refuse(struct user_edit *e, char *text)
{
    e->work.error = text;
    return -ERR_BAD_PARAM;
}

/* A value that is sent to mail servers: never with line ends. */
static int edit_sent(struct user_edit *e, const char *param, char **field)
{
    const char *value = request_text(e->work.request, param);
    if (!value)
        return 0;
    if (str_has_crlf_nul(str_of(value)))
        return user_edit_refuse(e, str_printf("%s must not have line ends", param));
    return user_edit_text(e, field, value);
}

/* ---- passwords ---- */

static void edit_take_secret(char **field, char *value)
{
    secret_free(*field);
    *field = value;
}

static int edit_password(struct user_edit *e, const char *password)
{
    char *hash = NULL, *scram = NULL, *plain = NULL;
    struct str text = str_of(password);
    if (text.n == 0 || str_has_crlf_nul(text))
        return user_edit_refuse(e, str_dup_c("a password must not be empty or have line ends"));
    if (e->is_there) { /* the same command again changes nothing */
        const struct store_user *u = &e->user;
        bool is_kept = !request_bool(e->work.request, "keep_plain") || u->plain_password;
        bool is_same = is_kept && u->password_hash && password_verify(u->password_hash, text) == 0;
        e->is_changed = e->is_changed || !is_same;
        return 0;
    }
    int err = password_hash(text, &hash);
    if (err == 0)
        err = password_scram(text, &scram);
    if (err == 0 && request_bool(e->work.request, "keep_plain") && !(plain = str_dup_c(password)))
        err = -ERR_NOMEM;
    if (err < 0) {
        free(hash);
        free(scram);
        return err;
    }
    edit_take_secret(&e->user.password_hash, hash);
    edit_take_secret(&e->user.scram, scram);
    edit_take_secret(&e->user.plain_password, plain);
    e->is_changed = true;
    return 0;
}

static int edit_passwords(struct user_edit *e)
{
    const struct request *r = e->work.request;
    const char *password = request_text(r, "password"), *hash = request_text(r, "password_hash");
    bool is_none = request_bool(r, "no_password");
    if ((password != NULL) + (hash != NULL) + is_none > 1)
        return user_edit_refuse(e,
                                str_dup_c("only one of password, password_hash and no_password"));
    if (request_bool(r, "keep_plain") && !password)
        return user_edit_refuse(e, str_dup_c("keep_plain needs the password"));
    if (password)
        return edit_password(e, password);
    if (hash && (!*hash || str_has_crlf_nul(str_of(hash)) || !password_is_known(hash)))
        return user_edit_refuse(e, str_dup_c("password_hash is of no known scheme"));
    if (hash && e->user.password_hash && strcmp(e->user.password_hash, hash) == 0)
        return 0;
    if (hash || is_none) {
        struct store_user *u = &e->user;
        e->is_changed = e->is_changed || u->password_hash || u->scram || u->plain_password;
        edit_take_secret(&u->password_hash, NULL);
        edit_take_secret(&u->scram, NULL);
        edit_take_secret(&u->plain_password, NULL);
    }
    return hash ? user_edit_text(e, &e->user.password_hash, hash) : 0;
}

static int user_edit_passwd(struct user_edit *e)
{
    return edit_password(e, request_text(e->work.request, "password"));
}

/* ---- pins ---- */

static int edit_pins(struct user_edit *e)
{
    const struct request *r = e->work.request;
    const char *pool = request_text(r, "pool"), *backend = request_text(r, "backend");
    struct store_user *u = &e->user;
    int err = 0;
    if (pool)
        err = user_edit_text(e, &u->pool, pool);
    const char *slash = backend ? strchr(backend, '/') : NULL;
    if (err == 0 && slash) { /* "pool/name" says both */
        AUTO_FREE char *its_pool = str_dup(str_n(backend, (size_t)(slash - backend)));
        err = its_pool ? user_edit_text(e, &u->pool, its_pool) : -ERR_NOMEM;
    }
    if (err == 0 && backend)
        err = user_edit_text(e, &u->backend, slash ? slash + 1 : backend);
    if (err < 0 || (!pool && !backend))
        return err;
    if (u->pool && !pools_find(e->pools, u->pool)) {
        e->work.error = str_printf("there is no pool %s", u->pool);
        return -ERR_NO_POOL;
    }
    if (u->backend && !pools_member(e->pools, u->pool, u->backend, NULL)) {
        e->work.error = str_printf("there is no backend %s in %s%s", u->backend,
                                   u->pool ? "pool " : "any pool", u->pool ? u->pool : "");
        return -ERR_NO_BACKEND;
    }
    return 0;
}

/* ---- the rest ---- */

static int edit_protocols(struct user_edit *e)
{
    const char *text = request_text(e->work.request, "protocols");
    struct str unknown;
    unsigned mask;
    if (!text)
        return 0;
    if (store_protocols_parse(str_of(text), &mask, &unknown) < 0)
        return user_edit_refuse(e, str_printf("there is no protocol %.*s", STR_ARG(unknown)));
    e->is_changed = e->is_changed || e->user.protocols != mask;
    e->user.protocols = mask;
    return 0;
}

/* What only an account has; a change of it makes none. */
static int edit_check_account(struct user_edit *e)
{
    static const char *const params[] = {"password",    "password_hash", "no_password",
                                         "keep_plain",  "backend_user",  "backend_password",
                                         "master_user", "note"};
    for (size_t i = 0; i < ARRAY_LEN(params); i++)
        if (!e->user.is_stored && request_has(e->work.request, params[i])) {
            e->work.error =
                str_printf("%.255s has no account in the store, where %s would be kept: "
                           "user add makes one",
                           e->user.name, params[i]);
            return -ERR_NO_USER;
        }
    return 0;
}

/* Everything that user add and user set take. */
static int user_edit_apply(struct user_edit *e)
{
    int err = edit_check_account(e);
    if (err == 0)
        err = edit_passwords(e);
    if (err == 0)
        err = edit_pins(e);
    if (err == 0)
        err = edit_sent(e, "backend_user", &e->user.backend_user);
    if (err == 0)
        err = edit_sent(e, "backend_password", &e->user.backend_password);
    if (err == 0)
        err = edit_sent(e, "master_user", &e->user.master_user);
    if (err == 0)
        err = edit_protocols(e);
    uint64_t max = request_number(e->work.request, "max_sessions", e->user.max_sessions);
    const char *note = request_text(e->work.request, "note");
    if (err == 0 && max > INT32_MAX)
        err = user_edit_refuse(e, str_dup_c("max_sessions is too large"));
    if (err < 0)
        return err;
    e->is_changed = e->is_changed || e->user.max_sessions != max;
    e->user.max_sessions = (unsigned)max;
    return note ? user_edit_text(e, &e->user.note, note) : 0;
}

/* ---- commands ---- */

static void on_user_changed(struct work *w)
{
    struct user_edit *e = CONTAINER_OF(w, struct user_edit, work);
    const struct engine_api *h = work_control(w)->host;
    if (w->err == -ERR_EXISTS) {
        request_fail(w->request, w->err, NULL, "user %s exists already",
                     request_text(w->request, "name"));
        return;
    }
    if (work_fail(w))
        return;
    if (e->is_changed)
        h->forget_user(h->arg, e->user.name);
    request_done(w->request, e->is_changed, e->is_changed, NULL);
}

void command_user_add(struct request *r)
{
    user_edit_start(r, USER_EDIT_NEW, user_edit_apply, on_user_changed);
}

void command_user_set(struct request *r)
{
    user_edit_start(r, USER_EDIT_NAME, user_edit_apply, on_user_changed);
}

void command_user_passwd(struct request *r)
{
    user_edit_start(r, USER_EDIT_ACCOUNT, user_edit_passwd, on_user_changed);
}
