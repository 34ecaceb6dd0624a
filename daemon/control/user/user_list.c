/* SPDX-License-Identifier: ISC */
/* Users: listing, showing, and the frame of every change. */
#include "control/user/user_list.h"

#include "base/clock.h"
#include "base/container/array.h"
#include "base/secret.h"
#include "control/user/user_names.h"
#include "ops/kill.h"
#include "rpc/handlers.h"
#include "rpc/json_text.h"
#include "rpc/page.h"
#include "rpc/table_json.h"

#define USERS_PAGE 500
#define USERS_PAGE_MAX 1000
#define USERS_SCAN_MAX 20000 /* users looked at for one answer */
#define USERS_SORTED_MAX 5000

/* ---- rows ---- */

const char *user_state_name(const struct store_user *u, uint64_t now_ms)
{
    return store_user_state_name(store_user_is(u, u->state, now_ms) ? u->state : USER_ACTIVE);
}

/* The scheme of the hash, or who judges without one. */
static const char *user_scheme(const struct store_user *u, const char *judge, char scratch[32])
{
    static const char *const schemes[][2] = {
        {"$y$", "yescrypt"},     {"$gy$", "gost-yescrypt"}, {"$7$", "scrypt"},
        {"$6$", "sha512-crypt"}, {"$5$", "sha256-crypt"},   {"$2", "bcrypt"},
        {"$1$", "md5-crypt"},
    };
    const char *hash = u->password_hash;
    const char *end = hash && hash[0] == '{' ? strchr(hash, '}') : NULL;
    if (!hash && store_user_has_password(u))
        return u->plain_password ? "plain" : "scram-sha-256";
    if (!hash)
        return judge || !u->is_stored ? judge : "backend";
    if (end) {
        (void)str_copy(scratch, 32, str_n(hash + 1, (size_t)(end - hash - 1)));
        str_lower(scratch);
        return scratch;
    }
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_is_prefix(str_of(hash), str_of(schemes[i][0])))
            return schemes[i][1];
    return "crypt";
}

json_t *user_row(const struct store_user *u, const char *judge, uint64_t now_ms)
{
    char scratch[32];
    json_t *row = json_object();
    const char *state = user_state_name(u, now_ms);
    request_set_text(row, "name", u->name);
    request_set_text(row, "state", state);
    request_set_text(row, "source", u->is_stored ? "store" : judge ? judge : "none");
    request_set_text(row, "password", user_scheme(u, judge, scratch));
    request_set_text(row, "pool", u->pool);
    request_set_text(row, "backend", u->backend);
    request_set_text(row, "backend_user", u->backend_user);
    request_set_text(row, "master_user", u->master_user);
    (void)json_object_set_new(row, "backend_password", json_boolean(u->backend_password != NULL));
    AUTO_BUF text = BUF_INIT;
    (void)!store_protocols_format(u->protocols, &text);
    request_set_text(row, "protocols", buf_cstr(&text));
    request_put_number(row, "max_sessions", u->max_sessions);
    if (!store_user_is(u, USER_ACTIVE, now_ms)) {
        request_set_text(row, "state_text", u->state_text);
        request_set_number(row, "state_until", u->state_until_ms);
    }
    request_set_text(row, "note", u->note);
    request_set_number(row, "created", u->created_ms);
    request_set_number(row, "changed", u->changed_ms);
    request_set_number(row, "last_login", u->last_login_ms);
    return row;
}

/* ---- user list ---- */

/* A user of a list that is sorted by something else than the name: thousands of whole rows would
 * not be worth their memory. */
struct user_key {
    struct table_key key; /* its value is a reference, its row is gone */
    char *name;
    uint64_t sessions;
};

struct user_list {
    struct work work;
    struct page page;
    struct user_names names;
    const char *judge;
    char *after, *sort; /* sort NULL = by name */
    json_t *rows;
    struct user_key *keys; /* with sort: of all that match, as far as they may be in the part */
    size_t n_keys, cap;
    struct buf text; /* of rows: written where nobody waits */
    char *last;      /* name of the last row, or of who was looked at last */
    bool is_cut;
    int err;
    uint64_t now_ms;
};

static void user_key_fini(struct user_key *k)
{
    json_decref((json_t *)k->key.value);
    free(k->name);
}

static int user_key_order(const void *a, const void *b)
{
    return table_key_order(&((const struct user_key *)a)->key, &((const struct user_key *)b)->key);
}

/* The keys in order, without those that come behind the part. */
static void user_list_sort_keys(struct user_list *l)
{
    size_t most = l->page.offset + l->page.limit;
    if (l->n_keys > 1)
        qsort(l->keys, l->n_keys, sizeof(*l->keys), user_key_order);
    while (l->n_keys > most)
        user_key_fini(&l->keys[--l->n_keys]);
}

static int user_list_add_key(struct user_list *l, const char *name, uint64_t sessions, json_t *row)
{
    if (l->n_keys == l->cap && l->n_keys >= 2 * (l->page.offset + l->page.limit))
        user_list_sort_keys(l);
    if (!ARRAY_ROOM(l->keys, l->n_keys, l->cap))
        return -ERR_NOMEM;
    struct user_key *k = &l->keys[l->n_keys];
    *k = (struct user_key){table_key_of(row, l->sort, l->page.matched), str_dup_c(name), sessions};
    k->key.row = NULL;
    if (!k->name)
        return -ERR_NOMEM;
    json_incref((json_t *)k->key.value);
    l->n_keys++;
    return 0;
}

static json_t *user_list_row(const struct user_list *l, const struct store_user *u,
                             uint64_t sessions)
{
    json_t *row = user_row(u, l->judge, l->now_ms);
    if (row)
        request_put_number(row, "sessions", sessions);
    return row;
}

static int user_list_look(struct user_list *l, const struct store_user *u, uint64_t sessions)
{
    int err = 0;
    bool is_wanted = l->sort || page_wants(&l->page);
    json_t *row = l->page.filter || is_wanted ? user_list_row(l, u, sessions) : NULL;
    bool is_match = page_match(&l->page, row);
    if (is_match && row && l->sort)
        err = user_list_add_key(l, u->name, sessions, row);
    else if (is_match && row && is_wanted)
        err = json_array_append(l->rows, row) == 0 ? 0 : -ERR_NOMEM;
    l->page.n = json_array_size(l->rows);
    json_decref(row);
    return err;
}

static bool user_list_one(void *arg, const struct store_user *u, uint64_t sessions)
{
    struct user_list *l = arg;
    const struct page *p = &l->page;
    l->err = user_list_look(l, u, sessions);
    /* Is the answer complete before the last user was looked at? Without a filter the names are
     * counted by themselves, and sorted all have to be known. */
    bool is_full = p->n >= p->limit;
    bool is_enough =
        !l->sort && (p->is_counted ? is_full && !p->filter : is_full || p->seen >= USERS_SCAN_MAX);
    /* The list goes on from here. */
    if (l->err == 0 && !l->sort && !l->last && (is_enough || is_full)) {
        l->last = str_dup_c(u->name);
        l->is_cut = !p->is_counted;
        l->err = l->last ? 0 : -ERR_NOMEM;
    }
    return l->err == 0 && !is_enough;
}

/* The rows of the sorted part. Who was removed meanwhile is not in it. */
static int user_list_take_part(struct user_list *l, struct store *store)
{
    int err = 0;
    user_list_sort_keys(l);
    for (size_t i = l->page.offset; i < l->n_keys && err == 0; i++) {
        const struct user_key *k = &l->keys[i];
        struct store_user u = {0};
        err = store_user_get(store, k->name, &u);
        const struct store_user with_sessions = {.name = k->name};
        const struct store_user *found = err == 0 ? &u : k->sessions ? &with_sessions : NULL;
        if (found && (err == 0 || err == -ERR_NO_USER))
            (void)json_array_append_new(l->rows, user_list_row(l, found, k->sessions));
        if (err == -ERR_NO_USER)
            err = 0;
        store_user_fini(&u);
    }
    return err;
}

static int user_list_run(struct work *w)
{
    struct user_list *l = CONTAINER_OF(w, struct user_list, work);
    struct store *store = work_control(w)->host->store;
    struct page *p = &l->page;
    bool is_part = p->is_counted && !p->filter && !l->sort;
    uint64_t n_names = 0;
    int err = user_names_take(work_control(w), &l->names);
    /* Of a part of all names: they are counted by themselves, and rows are made of it alone. */
    if (err == 0 && is_part) {
        err = user_names_count(store, &l->names, p->offset, &n_names, &l->after);
        p->matched = p->offset;
    }
    if (err == 0 && (!is_part || p->offset < n_names))
        err = user_names_each(store, &l->names, l->after, user_list_one, l);
    if (is_part)
        p->seen = p->matched = (size_t)n_names;
    err = err == 0 ? l->err : err;
    if (err == 0 && l->sort)
        err = user_list_take_part(l, store);
    if (p->is_counted && l->last)
        l->is_cut = page_has_more(p);
    if (err == 0)
        err = page_begin(&l->text);
    if (err == 0)
        err = json_text_members(&l->text, l->rows);
    json_decref(STEAL(l->rows));
    return err;
}

static void user_list_done(struct work *w)
{
    struct user_list *l = CONTAINER_OF(w, struct user_list, work);
    if (work_fail(w))
        return;
    if (page_end(&l->page, &l->text, l->is_cut ? l->last : NULL) < 0)
        request_fail(w->request, -ERR_NOMEM, NULL, NULL);
    else
        request_answer_text(w->request, buf_str(&l->text));
}

static void user_list_fini(struct work *w)
{
    struct user_list *l = CONTAINER_OF(w, struct user_list, work);
    page_fini(&l->page);
    user_names_fini(&l->names);
    free(l->after);
    free(l->sort);
    free(l->last);
    for (size_t i = 0; i < l->n_keys; i++)
        user_key_fini(&l->keys[i]);
    free(l->keys);
    json_decref(l->rows);
    buf_fini(&l->text);
}

void command_user_list(struct request *r)
{
    const char *sort = request_text(r, "sort");
    bool is_sorted = sort && strcmp(sort, "name") != 0;
    struct page page;
    int err = is_sorted ? page_init(&page, r, USERS_SORTED_MAX, USERS_SORTED_MAX)
                        : page_init(&page, r, USERS_PAGE, USERS_PAGE_MAX);
    if (err < 0)
        return;
    struct user_list *l =
        work_new(r->rpc, r, sizeof(*l), user_list_run, user_list_done, user_list_fini);
    if (!l) {
        page_fini(&page);
        return;
    }
    l->page = page;
    l->sort = is_sorted ? str_dup_c(sort) : NULL;
    l->after = str_dup_c(request_text(r, "cursor"));
    l->rows = json_array();
    l->now_ms = clock_wall_ms();
    l->judge = user_judge(request_control(r));
    work_post(&l->work, NULL);
}

/* ---- names that are not there ---- */

#define NEAREST_AT_ONCE 256

struct user_nearest {
    const char *word;
    char *names[NEAREST_AT_ONCE]; /* the first one is the best so far */
    size_t n;
};

static void nearest_judge(struct user_nearest *s)
{
    const char *best = str_nearest(s->word, (const char *const *)s->names, s->n);
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        char *name = STEAL(s->names[i]);
        if (name && name == best)
            s->names[kept++] = name;
        else
            free(name);
    }
    s->n = kept;
}

static bool nearest_add(void *arg, const struct store_user *u)
{
    struct user_nearest *s = arg;
    if (s->n == NEAREST_AT_ONCE)
        nearest_judge(s);
    s->names[s->n] = str_dup_c(u->name);
    return s->names[s->n++] != NULL;
}

int user_missing(struct work *w, const char *name)
{
    struct user_nearest s = {.word = name};
    if (store_user_each(work_control(w)->host->store, NULL, SIZE_MAX, nearest_add, &s) < 0)
        s.word = ""; /* near nobody */
    nearest_judge(&s);
    free(w->hint);
    free(w->error);
    w->hint = s.n > 0 ? s.names[0] : NULL;
    w->error = str_printf("there is no user %.255s", name);
    return -ERR_NO_USER;
}

/* ---- user show ---- */

struct user_show {
    struct work work;
    struct store_user user;
    const char *judge;
    bool is_absent; /* of the store */
};

/* Counts the sessions for the answer. */
struct user_count {
    struct request *request;
    json_t *row;
    bool is_absent;
    uint64_t n;
};

static bool user_count_chunk(void *arg, struct session_chunk *chunk)
{
    struct user_count *c = arg;
    struct str name = str_of(request_text(c->request, "name"));
    for (size_t i = 0; i < chunk->n; i++)
        c->n += str_ieq(chunk->rows[i].v[SESSION_FIELD_USER].text, name);
    session_chunk_free(chunk);
    return true;
}

static void user_count_done(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct user_count *c = arg;
    (void)seen;
    (void)matched;
    if (err == 0)
        request_put_number(c->row, "sessions", c->n);
    if (c->is_absent && c->n == 0) {
        json_decref(c->row);
        request_fail(c->request, -ERR_NO_USER, NULL,
                     "%.255s is not in the store and has no session",
                     request_text(c->request, "name"));
    } else {
        request_answer(c->request, c->row);
    }
    free(c);
}

static int user_count_start(struct request *r, json_t *row, bool is_absent)
{
    struct filter *filter = NULL;
    struct user_count *c = calloc(1, sizeof(*c));
    int err = c ? kill_filter_user(request_text(r, "name"), &filter) : -ERR_NOMEM;
    if (err == 0) {
        *c = (struct user_count){.request = r, .row = row, .is_absent = is_absent};
        const struct collect_spec spec = {.query.filter = filter,
                                          .query.fields = SESSION_FIELD_BIT(SESSION_FIELD_USER),
                                          .chunk = user_count_chunk,
                                          .done = user_count_done,
                                          .arg = c};
        err = collect_start(request_control(r), &spec);
    }
    filter_unref(filter);
    if (err < 0)
        free(c);
    return err;
}

static int user_show_run(struct work *w)
{
    struct user_show *s = CONTAINER_OF(w, struct user_show, work);
    const char *name = request_text(w->request, "name");
    int err = store_user_get(work_control(w)->host->store, name, &s->user);
    if (err != -ERR_NO_USER)
        return err;
    if (!s->judge)
        return user_missing(w, name);
    s->is_absent = true;
    s->user.name = str_dup_c(name);
    return s->user.name ? 0 : -ERR_NOMEM;
}

static void user_show_done(struct work *w)
{
    struct user_show *s = CONTAINER_OF(w, struct user_show, work);
    if (work_fail(w))
        return;
    json_t *row = user_row(&s->user, s->judge, clock_wall_ms());
    int err = user_count_start(w->request, row, s->is_absent);
    if (err < 0) {
        json_decref(row);
        request_fail(w->request, err, NULL, NULL);
    }
}

static void user_show_fini(struct work *w)
{
    store_user_fini(&CONTAINER_OF(w, struct user_show, work)->user);
}

void command_user_show(struct request *r)
{
    struct user_show *s =
        work_new(r->rpc, r, sizeof(*s), user_show_run, user_show_done, user_show_fini);
    if (!s)
        return;
    s->judge = user_judge(request_control(r));
    work_post(&s->work, NULL);
}

/* ---- changes ---- */

/* What is there of the user; a name that only others can know of begins with nothing. */
static int user_edit_read(struct user_edit *e, struct store *store)
{
    const char *name = request_text(e->work.request, "name");
    bool may_be_absent = e->kind == USER_EDIT_NEW || (e->kind == USER_EDIT_NAME && e->judge);
    int err = store_user_get(store, name, &e->user);
    bool is_missing =
        err == -ERR_NO_USER || (err == 0 && e->kind == USER_EDIT_ACCOUNT && !e->user.is_stored);
    if (!is_missing)
        return err;
    if (!may_be_absent)
        return user_missing(&e->work, name);
    e->user = (struct store_user){.name = str_dup_c(name)};
    return e->user.name ? 0 : -ERR_NOMEM;
}

static int user_edit_run(struct work *w)
{
    struct user_edit *e = CONTAINER_OF(w, struct user_edit, work);
    struct store *store = work_control(w)->host->store;
    int err = user_edit_read(e, store);
    if (err < 0)
        return err;
    bool is_made = e->kind == USER_EDIT_NEW && !e->user.is_stored;
    e->is_there = e->kind == USER_EDIT_NEW && !is_made;
    e->is_changed = is_made;
    e->user.is_stored = e->user.is_stored || is_made;
    err = e->apply(e);
    if (err < 0 || !e->is_changed)
        return err;
    if (e->is_there)
        return -ERR_EXISTS;
    enum store_write how = is_made ? STORE_ADD : e->user.is_stored ? STORE_REPLACE : STORE_UPSERT;
    return store_user_put(store, &e->user, how, clock_wall_ms());
}

static void user_edit_fini(struct work *w)
{
    struct user_edit *e = CONTAINER_OF(w, struct user_edit, work);
    store_user_fini(&e->user);
    pools_unref(e->pools);
}

void user_edit_start(struct request *r, enum user_edit_kind kind, int (*apply)(struct user_edit *e),
                     void (*then)(struct work *w))
{
    struct user_edit *e = work_new(r->rpc, r, sizeof(*e), user_edit_run, then, user_edit_fini);
    if (!e)
        return;
    e->kind = kind;
    e->judge = user_judge(request_control(r));
    e->apply = apply;
    e->pools = pools_ref(control_snapshot(request_control(r))->pools);
    work_post(&e->work, &request_control(r)->user_queue);
}

int user_edit_text(struct user_edit *e, char **field, const char *value)
{
    char *copy = NULL;
    if (value && !*value)
        value = NULL;
    if ((!value && !*field) || (value && *field && strcmp(value, *field) == 0))
        return 0;
    if (value && !(copy = str_dup_c(value)))
        return -ERR_NOMEM;
    secret_free(*field);
    *field = copy;
    e->is_changed = true;
    return 0;
}
