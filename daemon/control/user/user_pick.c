/* SPDX-License-Identifier: ISC */
/* Users of a command out of names, a file and a filter. */
#include "control/user/user_pick.h"

#include "base/clock.h"
#include "control/user/user_list.h"
#include "rpc/upload.h"

#define PICK_BAD_SHOWN 5 /* lines of a file */

bool user_pick_is_batch(const struct request *r)
{
    return json_array_size(request_list(r, "name")) > 1 || request_has(r, "filter") ||
           request_has(r, "from");
}

bool user_pick_begin(struct request *r, struct user_pick *p)
{
    if (!request_has(r, "name") && !request_has(r, "filter") && !request_has(r, "from")) {
        request_fail(r, -ERR_MISSING_PARAM, NULL, "say which users: names, a filter or a file");
        return false;
    }
    p->users = json_array();
    p->unknown = json_array();
    p->now_ms = clock_wall_ms();
    p->judge = user_judge(request_control(r));
    if (!p->users || !p->unknown) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return false;
    }
    return request_filter_rows(r, "user.list", &p->filter) == 0;
}

bool user_pick_take_file(struct request *r, struct user_pick *p)
{
    return !request_has(r, "from") || upload_take(r, "from", &p->from);
}

/* The next line of a file that is about a user: not empty, and no remark. */
static bool pick_line(struct str *rest, size_t *number, struct str *ret)
{
    while (rest->n > 0) {
        *ret = str_trim(str_cut(rest, '\n'));
        ++*number;
        if (ret->n > 0 && ret->p[0] != '#')
            return true;
    }
    return false;
}

/* Whoever writes a file by mistake has nothing done by half of it. */
static int pick_check_lines(struct work *w, const struct user_pick *p)
{
    AUTO_BUF text = BUF_INIT;
    char name[256];
    size_t number = 0, n_bad = 0;
    int err = 0;
    struct str line;
    for (struct str rest = buf_str(&p->from); err == 0 && pick_line(&rest, &number, &line);)
        if (user_name_normalise(line, name) < 0 && ++n_bad <= PICK_BAD_SHOWN)
            err = buf_printf(&text, "%s%zu", n_bad > 1 ? ", " : "", number);
    if (err < 0 || n_bad == 0)
        return err;
    w->error = str_printf("line%s %s%s: no login name (1 to 255 bytes without control characters); "
                          "nothing was done",
                          n_bad > 1 ? "s" : "", buf_cstr(&text),
                          n_bad > PICK_BAD_SHOWN ? " and more" : "");
    return -ERR_SYNTAX;
}

static int pick_add(struct user_pick *p, json_t *list, const char *name)
{
    static char here;
    if (map_get(&p->seen, str_of(name)))
        return 0;
    int err = map_put(&p->seen, str_of(name), &here, NULL);
    return err == 0 && json_array_append_new(list, json_string(name)) != 0 ? -ERR_NOMEM : err;
}

static int pick_name(struct store *store, struct user_pick *p, const char *name)
{
    CLEANUP(store_user_fini) struct store_user u = {0};
    if (p->judge) /* knows names that the store does not */
        return pick_add(p, p->users, name);
    int err = store_user_get(store, name, &u);
    if (err < 0 && err != -ERR_NO_USER)
        return err;
    return pick_add(p, err == 0 ? p->users : p->unknown, name);
}

static bool pick_match(void *arg, const struct store_user *u, uint64_t sessions)
{
    struct user_pick *p = arg;
    json_t *row = user_row(u, p->judge, p->now_ms);
    if (row)
        request_put_number(row, "sessions", sessions);
    if (row && filter_match(p->filter, command_row_get, row))
        p->err = pick_add(p, p->users, u->name);
    json_decref(row);
    return p->err == 0;
}

int user_pick_find(struct work *w, struct user_pick *p, size_t most)
{
    struct store *store = work_control(w)->host->store;
    const json_t *names = request_list(w->request, "name");
    char name[256];
    size_t number = 0;
    struct str line;
    int err = pick_check_lines(w, p);
    for (size_t i = 0; i < json_array_size(names) && err == 0; i++)
        err = pick_name(store, p, json_string_value(json_array_get(names, i)));
    for (struct str rest = buf_str(&p->from); err == 0 && pick_line(&rest, &number, &line);) {
        err = user_name_normalise(line, name);
        if (err == 0)
            err = pick_name(store, p, name);
    }
    if (err == 0 && p->filter)
        err = user_names_take(work_control(w), &p->names);
    if (err == 0 && p->filter)
        err = user_names_each(store, &p->names, NULL, pick_match, p);
    if (err == 0)
        err = p->err;
    size_t n = json_array_size(p->users) + json_array_size(p->unknown);
    if (err == 0 && n == 0)
        return -ERR_NO_MATCH;
    if (err == 0 && n > most) {
        w->error = str_printf("%zu users: no more than %zu at once; nothing was done", n, most);
        return -ERR_TOO_MANY;
    }
    return err;
}

void user_pick_fini(struct user_pick *p)
{
    filter_unref(p->filter);
    user_names_fini(&p->names);
    buf_fini(&p->from);
    map_fini(&p->seen);
    json_decref(p->users);
    json_decref(p->unknown);
}
