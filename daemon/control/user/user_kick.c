/* SPDX-License-Identifier: ISC */
/* user kick, and the ends of sessions that other commands bring. */
#include "control/user/user_kick.h"

#include "control/user/user_list.h"
#include "control/user/user_pick.h"
#include "ops/kill.h"
#include "rpc/handlers.h"

#define KICK_NAMES_MAX 20000 /* each has a row of one answer */

struct user_kick {
    struct request *request;
    struct user_kick_spec spec;
    size_t n_names;
    char *one;        /* the only name */
    struct map index; /* of several: name to its row, or to no_row */
};

static char no_row; /* a name that is wanted and has no row; the names themselves end with a work */

static void user_kick_free(struct user_kick *k)
{
    json_decref(k->spec.rows);
    map_fini(&k->index);
    free(k->one);
    free(k);
}

/* ---- nobody was hit ---- */

/* Is it because there is no such user? */
static int user_kick_look(struct work *w)
{
    const json_t *names = request_list(w->request, "name");
    for (size_t i = 0; i < json_array_size(names); i++) {
        CLEANUP(store_user_fini) struct store_user u = {0};
        const char *name = json_string_value(json_array_get(names, i));
        int err = store_user_get(work_control(w)->host->store, name, &u);
        if (err < 0)
            return err == -ERR_NO_USER ? user_missing(w, name) : err;
    }
    return 0;
}

static void user_kick_looked(struct work *w)
{
    if (!work_fail(w))
        request_hit(w->request, 0, false, json_array());
}

static void user_kick_nobody(struct request *r)
{
    if (user_judge(
            request_control(r))) { /* whom others know cannot be told from whom nobody does */
        request_hit(r, 0, false, json_array());
        return;
    }
    struct work *w = work_new(r->rpc, r, sizeof(*w), user_kick_look, user_kick_looked, NULL);
    if (w)
        work_post(w, NULL);
}

/* ---- answers ---- */

/* A row for each name. */
static void user_kick_answer_names(struct user_kick *k, const struct kill_tally *t)
{
    struct request *r = k->request;
    bool is_dry = request_bool(r, "dry_run");
    const char *would = k->spec.would;
    const struct breakdown none = {0};
    const struct breakdown *found = t && t->found ? t->found : &none;
    AUTO_FREE char *sessions = is_dry ? breakdown_text(found, "would end") : NULL;
    AUTO_FREE char *dry =
        is_dry && would ? str_printf("%zu user%s would be %s; %s", k->n_names,
                                     k->n_names == 1 ? "" : "s", would, sessions ? sessions : "")
                        : NULL;
    AUTO_FREE char *done = !is_dry && t ? kill_tally_text(t) : NULL;
    AUTO_FREE char *users = str_printf("%zu user%s%s%s", k->n_names, k->n_names == 1 ? "" : "s",
                                       would ? " " : "", would ? would : "");
    AUTO_FREE char *text =
        is_dry
            ? NULL
            : str_printf("%s%s%s%s", users ? users : "", done ? ": sessions " : "",
                         done ? done : "", k->spec.n_failed ? "; some failed, see the rows" : "");
    /* A kick is about sessions, the others are about users. */
    uint64_t n_sessions = is_dry ? found->n : t ? t->ended : 0;
    uint64_t count = would ? k->n_names : n_sessions;
    r->count = is_dry ? 0 : count;
    json_t *result = json_pack(
        "{s:o, s:I, s:b, s:I, s:I, s:I, s:I}", "rows", STEAL(k->spec.rows), "count",
        (json_int_t)count, "changed", !is_dry && (k->spec.n_changed > 0 || (t && t->ended > 0)),
        "failed", (json_int_t)(is_dry ? 0 : k->spec.n_failed), "sessions",
        (json_int_t)(is_dry ? found->n
                     : t    ? t->ended
                            : 0),
        "clean", (json_int_t)(t ? t->clean : 0), "cut", (json_int_t)(t ? t->cut : 0));
    if (is_dry)
        (void)json_object_set_new(result, "breakdown", breakdown_json(found));
    request_set_text(result, "message", dry ? dry : is_dry ? sessions : text);
    request_answer(r, result);
}

static void on_user_kicked(void *arg, const struct kill_result *result)
{
    struct user_kick *k = arg;
    struct request *r = k->request;
    const struct kill_tally *t = result->tally;
    bool is_dry = request_bool(r, "dry_run");
    if (result->err == -ERR_TOO_MANY)
        request_fail(r, result->err, NULL, "more than %llu sessions would end; nothing was done",
                     (unsigned long long)result->matched - 1);
    else if (result->err < 0)
        request_fail(r, result->err, NULL, NULL);
    else if (k->spec.rows)
        user_kick_answer_names(k, t);
    else if (!is_dry && t->ended == 0 && k->spec.n_changed == 0)
        user_kick_nobody(r);
    else if (is_dry && k->spec.would) {
        AUTO_FREE char *what = str_printf("1 user would be %s; ", k->spec.would);
        kill_answer_about(r, what, 1, t, result->rows);
    } else {
        kill_answer_changed(r, t, result->rows, k->spec.n_changed > 0);
    }
    user_kick_free(k);
}

/* ---- whose they are ---- */

static bool user_kick_is_wanted(void *arg, const struct session_row *row)
{
    struct user_kick *k = arg;
    struct str user = row->v[SESSION_FIELD_USER].text;
    if (k->one && !k->spec.rows)
        return str_eq(user, str_of(k->one));
    void *answer = user.n > 0 ? map_get(&k->index, user) : NULL;
    if (!answer)
        return false;
    if (answer != &no_row)
        request_put_number(answer, "sessions",
                           1 + (uint64_t)json_integer_value(json_object_get(answer, "sessions")));
    return true;
}

static int user_kick_index(struct user_kick *k)
{
    int err = 0;
    size_t i;
    json_t *item;
    k->n_names = json_array_size(k->spec.names);
    if (k->n_names == 1 &&
        !(k->one = str_dup_c(json_string_value(json_array_get(k->spec.names, 0)))))
        return -ERR_NOMEM;
    json_array_foreach ((json_t *)k->spec.names, i, item)
        if (err == 0)
            err = map_put(&k->index, str_of(json_string_value(item)), &no_row, NULL);
    if (err < 0 || !k->spec.rows)
        return err;
    json_array_foreach (k->spec.rows, i, item) {
        struct str name = str_of(json_string_value(json_object_get(item, "name")));
        if (err == 0 && map_get(&k->index, name))
            err = map_put(&k->index, name, item, NULL);
    }
    return err;
}

void user_kick(struct request *r, const struct user_kick_spec *spec)
{
    struct user_kick *k = calloc(1, sizeof(*k));
    struct filter *filter = NULL;
    if (!k) {
        json_decref(spec->rows);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *k = (struct user_kick){.request = r, .spec = *spec};
    int err = user_kick_index(k);
    if (err == 0 && k->one)
        err = kill_filter_user(k->one, &filter);
    const struct kill_spec kill = {.filter = filter,
                                   .is_wanted = user_kick_is_wanted,
                                   .has_max = !spec->would && request_has(r, "max"),
                                   .max = request_number(r, "max", 0),
                                   .is_dry = request_bool(r, "dry_run"),
                                   .has_rows = !spec->rows,
                                   .kind = spec->kind,
                                   .text = request_text(r, "text"),
                                   .grace_ms = kill_grace_ms(r),
                                   .done = on_user_kicked,
                                   .arg = k};
    k->spec.names = NULL;              /* they may end with a work */
    if (err == 0 && k->n_names == 0) { /* none of the names is known: the rows say so */
        user_kick_answer_names(k, NULL);
        user_kick_free(k);
        return;
    }
    if (err == 0)
        err = kill_start(request_control(r), &kill);
    filter_unref(filter);
    if (err == 0)
        return;
    user_kick_free(k);
    request_fail(r, err, NULL, NULL);
}

/* ---- user kick ---- */

struct kick_work {
    struct work work;
    struct user_pick pick;
};

static int kick_run(struct work *w)
{
    return user_pick_find(w, &CONTAINER_OF(w, struct kick_work, work)->pick, KICK_NAMES_MAX);
}

json_t *user_rows(const struct user_pick *p, const char *result, uint64_t *ret_failed)
{
    json_t *rows = json_array();
    size_t i;
    json_t *name;
    json_array_foreach (p->users, i, name)
        (void)json_array_append_new(
            rows, json_pack("{s:O, s:s*, s:i}", "name", name, "result", result, "sessions", 0));
    json_array_foreach (p->unknown, i, name)
        (void)json_array_append_new(rows, json_pack("{s:O, s:s, s:s}", "name", name, "result",
                                                    "there is no such user", "error", "E_NO_USER"));
    *ret_failed = json_array_size(p->unknown);
    return rows;
}

static void kick_done(struct work *w)
{
    struct kick_work *x = CONTAINER_OF(w, struct kick_work, work);
    struct user_kick_spec spec = {.names = x->pick.users, .kind = REPLY_KICKED};
    if (work_fail(w))
        return;
    spec.rows =
        user_rows(&x->pick, request_bool(w->request, "dry_run") ? NULL : "done", &spec.n_failed);
    user_kick(w->request, &spec);
}

static void kick_fini(struct work *w)
{
    user_pick_fini(&CONTAINER_OF(w, struct kick_work, work)->pick);
}

void command_user_kick(struct request *r)
{
    const struct user_kick_spec spec = {.names = request_list(r, "name"), .kind = REPLY_KICKED};
    if (spec.names && !user_pick_is_batch(r)) {
        user_kick(r, &spec);
        return;
    }
    struct kick_work *x = work_new(r->rpc, r, sizeof(*x), kick_run, kick_done, kick_fini);
    if (!x)
        return;
    if (user_pick_begin(r, &x->pick) && user_pick_take_file(r, &x->pick))
        work_post(&x->work, NULL);
    else
        work_free(&x->work);
}
