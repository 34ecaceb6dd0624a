/* SPDX-License-Identifier: ISC */
/* Moves on all nodes: who is ready, and what was decided. */
#include "fleet/commands/fleet_gather.h"

#include "base/container/map.h"
#include "base/log/log.h"
#include "fleet/commands/fleet_run_priv.h"

/* A user, as the node that was asked knows it. */
struct gathered {
    json_t *ready; /* names of nodes, as those of an object: each counts once */
    bool is_decided;
    char *text; /* then: why it stays where it is; NULL = it is moved */
    char user[];
};

/* A move that this node has a part in. */
struct gather {
    struct list link; /* of runs.gathers */
    struct fleet_runs *runs;
    char *with, *at;    /* at NULL: this node decides */
    struct map waiting; /* struct user_move_step by user: ready here, and not decided */
    bool is_begun;      /* there is a move here */
    /* Of the node that decides. */
    char *pool, *backend; /* the new pin; NULL = none */
    struct peer peer;     /* who asked */
    json_t *nodes;        /* names of those that have a part in it */
    struct map users;     /* struct gathered, owned */
    char *failed;         /* one of them has none after all: nobody is moved; NULL */
};

static struct gather *gather_find(struct fleet_runs *f, const char *with)
{
    LIST_FOREACH (it, &f->gathers) {
        struct gather *g = LIST_ITEM(it, struct gather, link);
        if (with && strcmp(g->with, with) == 0)
            return g;
    }
    return NULL;
}

/* ---- what was decided ---- */

/* On this node. text NULL: the pin is changed. */
static void gather_carry_out(struct gather *g, const char *user, const char *text)
{
    struct user_move_step *step = map_del(&g->waiting, str_of(user));
    if (step)
        user_move_step_carried(step, text ? -ERR_REFUSED : 0, text);
}

void fleet_gather_decided(struct fleet_runs *f, const json_t *m)
{
    struct gather *g = gather_find(f, json_string_value(json_object_get(m, "gather")));
    const char *user = json_string_value(json_object_get(m, "user"));
    if (g && g->at && user)
        gather_carry_out(g, user, json_string_value(json_object_get(m, "text")));
}

static void gather_tell_all(struct fleet_runs *f, const char *with, const char *user,
                            const char *text)
{
    json_t *m = json_pack("{s:s, s:s}", "gather", with, "user", user);
    if (m && text)
        request_set_text(m, "text", text);
    fleet_run_send_all(f, m);
    json_decref(m);
}

static void gather_decide(struct gather *g, struct gathered *u, const char *text)
{
    if (u->is_decided)
        return;
    u->is_decided = true;
    u->text = str_dup_c(text);
    gather_tell_all(g->runs, g->with, u->user, text);
    if (!text) {
        /* Nodes that are away, and one that does not hear the decision in time, have the new pin
         * later. Empty: by the routes again. */
        json_t *params = json_pack("{s:s, s:s, s:s}", "name", u->user, "pool",
                                   g->pool ? g->pool : "", "backend", g->backend ? g->backend : "");
        struct peer peer = g->peer;
        peer.role = ROLE_ADMIN; /* a part of what an operator may do */
        if (params)
            fleet_run_tell(g->runs, &peer, "user.set", params);
        json_decref(params);
    }
    gather_carry_out(g, u->user, text);
}

/* ---- who is ready ---- */

static void gathered_free(struct gathered *u)
{
    json_decref(u->ready);
    free(u->text);
    free(u);
}

static struct gathered *gather_user(struct gather *g, const char *user)
{
    struct gathered *u = map_get(&g->users, str_of(user));
    if (u)
        return u;
    size_t n = strlen(user) + 1;
    u = calloc(1, sizeof(*u) + n);
    if (!u)
        return NULL;
    memcpy(u->user, user, n);
    u->ready = json_object();
    if (u->ready && map_put(&g->users, str_of(user), u, NULL) == 0)
        return u;
    gathered_free(u);
    return NULL;
}

/* text: why a node cannot; NULL = it is ready. It may say so more than once, or others again for
 * it. */
static void gather_hear(struct gather *g, const char *node, const char *user, const char *text)
{
    bool has_node = fleet_message_find(g->nodes, node) >= 0;
    struct gathered *u = has_node ? gather_user(g, user) : NULL;
    AUTO_FREE char *why = text ? str_printf("%s: %s", node, text) : NULL;
    if (!u)
        return;          /* it stays where it is when the time is over */
    if (u->is_decided) { /* it was not ready when that was said */
        if (!text)
            gather_tell_all(g->runs, g->with, user, u->text);
        return;
    }
    if (!text)
        (void)json_object_set_new(u->ready, node, json_true());
    if (g->failed || text)
        gather_decide(g, u, g->failed ? g->failed : why ? why : text);
    else if (json_object_size(u->ready) >= json_array_size(g->nodes))
        gather_decide(g, u, NULL);
}

void fleet_gather_heard(struct fleet_runs *f, const json_t *m)
{
    const char *with = json_string_value(json_object_get(m, "gather"));
    const char *user = json_string_value(json_object_get(m, "user"));
    const char *node = json_string_value(json_object_get(m, "from"));
    const char *text = json_string_value(json_object_get(m, "text"));
    struct gather *g = gather_find(f, with);
    if (!with || !user || !node || strlen(user) > USER_NAME_MAX)
        return;
    if (g && !g->at)
        gather_hear(g, node, user, text);
    else if (!text) /* one that is moved was decided when all were ready */
        gather_tell_all(f, with, user, "the move is over");
}

static void gather_fail(struct gather *g, const char *node, const char *why)
{
    size_t pos = 0;
    struct str key;
    void *user;
    if (g->failed)
        return;
    g->failed = str_printf("%s: %s", node, why);
    while (g->failed && map_next(&g->users, &pos, &key, &user))
        gather_decide(g, user, g->failed);
}

void fleet_gather_refused(struct fleet_runs *f, const char *with, const char *node, const char *why)
{
    struct gather *g = gather_find(f, with);
    if (g && !g->at)
        gather_fail(g, node, why);
}

void fleet_gather_check(struct fleet_runs *f)
{
    LIST_FOREACH (it, &f->gathers) {
        struct gather *g = LIST_ITEM(it, struct gather, link);
        size_t i;
        json_t *name;
        json_array_foreach (g->nodes, i, name)
            if (!fleet_run_is_alive(f, json_string_value(name)))
                gather_fail(g, json_string_value(name), "it went away");
    }
}

/* To the node that decides. */
static void gather_tell(struct gather *g, const char *user, const char *text)
{
    struct fleet_runs *f = g->runs;
    if (!g->at) {
        gather_hear(g, f->node, user, text);
        return;
    }
    json_t *m = json_pack("{s:s, s:s, s:s}", "gather", g->with, "from", f->node, "user", user);
    if (m && text)
        request_set_text(m, "text", text);
    int err = m ? fleet_stream_send(fleet_redis(f->fleet), f->secret, g->at, m, 0, NULL, NULL)
                : -ERR_NOMEM;
    if (err < 0) /* the user stays where it is when the time is over */
        LOG_EVENT(LOG_LEVEL_WARN, "fleet-move-not-told", KV_STR("user", user),
                  KV_ERR("error", err));
    json_decref(m);
}

/* ---- the move of this node ---- */

static void on_gather_ready(void *arg, struct user_move_step *step, const char *user)
{
    struct gather *g = arg;
    if (map_put(&g->waiting, str_of(user), step, NULL) < 0)
        user_move_step_carried(step, -ERR_NOMEM, err_text(ERR_NOMEM));
    else
        gather_tell(g, user, NULL);
}

static void on_ended(void *arg, const struct user_moved *u)
{
    struct gather *g = arg;
    (void)map_del(&g->waiting, str_of(u->user));
    if (u->err < 0)
        gather_tell(g, u->user, u->text ? u->text : err_text(u->err));
}

static void gather_free(struct gather *g)
{
    size_t pos = 0;
    struct str key;
    void *user;
    list_del(&g->link);
    while (map_next(&g->users, &pos, &key, &user))
        gathered_free(user);
    map_fini(&g->users);
    map_fini(&g->waiting);
    free(g->with);
    free(g->at);
    free(g->pool);
    free(g->backend);
    json_decref(g->nodes);
    free(g->failed);
    free(g);
}

void fleet_gather_close(struct fleet_runs *f, const char *with)
{
    struct gather *g = gather_find(f, with);
    if (g && !g->is_begun)
        gather_free(g);
}

static void on_over(void *arg)
{
    gather_free(arg);
}

static struct gather *gather_new(struct fleet_runs *f, const char *with, const char *at)
{
    struct gather *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    *g = (struct gather){.runs = f, .with = str_dup_c(with), .at = str_dup_c(at)};
    list_add_tail(&f->gathers, &g->link);
    if (g->with && (!at || g->at))
        return g;
    gather_free(g);
    return NULL;
}

int fleet_gather_open(struct fleet_runs *f, const char *with, const struct peer *peer,
                      const json_t *nodes)
{
    struct gather *g = gather_new(f, with, NULL);
    if (!g)
        return -ERR_NOMEM;
    g->peer = *peer;
    g->nodes = json_incref((json_t *)nodes);
    return 0;
}

int fleet_gather_begin(struct fleet_runs *f, const char *with, const char *at,
                       const struct user_move_plan *plan, struct move_gather *ret)
{
    struct gather *g = at ? gather_new(f, with, at) : gather_find(f, with);
    if (!g || g->is_begun)
        return at ? -ERR_NOMEM : -ERR_NOT_FOUND;
    g->is_begun = true;
    g->pool = str_dup_c(plan->pool);
    g->backend = str_dup_c(plan->backend);
    *ret = (struct move_gather){
        .ready = on_gather_ready, .ended = on_ended, .over = on_over, .arg = g};
    return (plan->pool && !g->pool) || (plan->backend && !g->backend) ? -ERR_NOMEM : 0;
}
