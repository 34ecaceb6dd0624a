/* SPDX-License-Identifier: ISC */
/* user remove. */
#include "control/user/user_kick.h"
#include "control/user/user_list.h"
#include "rpc/handlers.h"

struct user_remove {
    struct work work;
    json_t *hit; /* names that were there */
    size_t n;    /* names given */
};

static int user_remove_find(struct user_remove *m, struct store *store)
{
    const json_t *names = request_list(m->work.request, "name");
    m->n = json_array_size(names);
    for (size_t i = 0; i < m->n; i++) {
        struct store_user u = {0};
        const char *name = json_string_value(json_array_get(names, i));
        int err = store_user_get(store, name, &u);
        store_user_fini(&u);
        if (err < 0 && err != -ERR_NO_USER)
            return err;
        if (err == 0 && json_array_append_new(m->hit, json_string(name)) != 0)
            return -ERR_NOMEM;
    }
    if (json_array_size(m->hit) > 0)
        return 0;
    return user_missing(&m->work, json_string_value(json_array_get(names, 0)));
}

static int user_remove_run(struct work *w)
{
    struct user_remove *m = CONTAINER_OF(w, struct user_remove, work);
    struct store *store = work_control(w)->host->store;
    int err = user_remove_find(m, store);
    size_t n = json_array_size(m->hit);
    if (err < 0 || request_bool(w->request, "dry_run"))
        return err;
    if (n > request_number(w->request, "max", SIZE_MAX)) {
        w->error = str_printf("%zu users would be removed; nothing was done", n);
        return -ERR_TOO_MANY;
    }
    for (size_t i = 0; i < n && err == 0; i++) {
        err = store_user_remove(store, json_string_value(json_array_get(m->hit, i)));
        err = err == -ERR_NO_USER ? 0 : err;
    }
    return err;
}

static void user_remove_done(struct work *w)
{
    size_t i;
    json_t *name;
    struct user_remove *m = CONTAINER_OF(w, struct user_remove, work);
    const struct engine_api *h = work_control(w)->host;
    bool is_dry = request_bool(w->request, "dry_run");
    if (work_fail(w))
        return;
    if (!is_dry)
        json_array_foreach (m->hit, i, name)
            h->forget_user(h->arg, json_string_value(name));
    if (!is_dry && request_bool(w->request, "kick")) {
        /* max was about users: their sessions end whatever their number. */
        (void)json_object_del(w->request->params, "max");
        user_kick(w->request, &(struct user_kick_spec){.names = m->hit,
                                                       .n_changed = json_array_size(m->hit),
                                                       .kind = REPLY_KICKED});
        return;
    }
    json_t *rows = json_array();
    json_array_foreach (m->hit, i, name)
        (void)json_array_append_new(rows, json_pack("{s:O}", "name", name));
    request_hit(w->request, json_array_size(m->hit), !is_dry, rows);
}

static void user_remove_fini(struct work *w)
{
    json_decref(CONTAINER_OF(w, struct user_remove, work)->hit);
}

void command_user_remove(struct request *r)
{
    struct user_remove *m =
        work_new(r->rpc, r, sizeof(*m), user_remove_run, user_remove_done, user_remove_fini);
    if (!m)
        return;
    m->hit = json_array();
    work_post(&m->work, &request_control(r)->user_queue);
}
