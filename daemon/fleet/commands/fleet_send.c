/* SPDX-License-Identifier: ISC */
/* What this node says to the others: commands, decisions, answers. */
#include "base/clock.h"
#include "base/log/log.h"
#include "fleet/commands/fleet_run_priv.h"
#include "rpc/json_text.h"

#define ANSWER_MAX                                                                                 \
    (FLEET_MESSAGE_MAX / 2) /* it is a text within a text, so that quotes count twice */

/* ---- the other nodes ---- */

bool fleet_run_other(const struct fleet_runs *f, size_t i, const char **ret_name,
                     bool *ret_is_alive)
{
    const struct fleet_nodes *nodes = fleet_nodes(f->fleet);
    for (size_t k = 0; k < nodes->n; k++) {
        const struct fleet_node *n = &nodes->v[k];
        if (!fleet_nodes_is_first(nodes, k) || strcmp(n->name, f->node) == 0 || i-- > 0)
            continue;
        *ret_name = n->name;
        *ret_is_alive = fleet_is_alive(f->fleet, n);
        return true;
    }
    return false;
}

bool fleet_run_is_alive(const struct fleet_runs *f, const char *node)
{
    const char *name;
    bool is_alive;
    for (size_t i = 0; fleet_run_other(f, i, &name, &is_alive); i++)
        if (strcmp(name, node) == 0)
            return is_alive;
    return strcmp(node, f->node) == 0;
}

bool fleet_run_has_engine(const struct fleet_runs *f, const char *holder)
{
    const struct fleet_nodes *nodes = fleet_nodes(f->fleet);
    for (size_t i = 0; i < nodes->n; i++)
        if (strcmp(nodes->v[i].holder, holder) == 0)
            return fleet_is_alive(f->fleet, &nodes->v[i]);
    return false;
}

/* ---- commands ---- */

/* What every message to all says. */
static void message_sign(struct fleet_runs *f, json_t *m)
{
    (void)json_object_set_new(m, "schema", json_integer(FLEET_MESSAGE_SCHEMA));
    request_set_text(m, "from", f->node);
    request_put_number(m, "number", fleet_number(f));
}

/* A command. id: whose answers are waited for, "" = nobody's. */
json_t *fleet_command_message(struct fleet_runs *f, const char *id, const struct peer *peer,
                              const char *method, json_t *params, bool is_later)
{
    json_t *m = json_pack("{s:s, s:s, s:s, s:s, s:i, s:O, s:b}", "id", id, "reply", f->inbox,
                          "method", method, "user", peer->user, "role", (int)peer->role, "params",
                          params, "later", (int)is_later);
    if (m)
        message_sign(f, m);
    return m;
}

int fleet_send_command(struct fleet_runs *f, json_t *m, bool is_later, redis_fn *cb, void *arg)
{
    if (!m)
        return -ERR_NOMEM;
    if (!is_later) {
        fleet_runs_flush(f);
        return fleet_stream_send(fleet_redis(f->fleet), f->secret, f->commands, m, 0, cb, arg);
    }
    /* The nodes that are to take it: that it names, or all others that are known. */
    const char *name = json_string_value(json_object_get(m, "node")), *other;
    bool is_alive;
    json_t *nodes = json_array();
    for (size_t i = 0; nodes && fleet_run_other(f, i, &other, &is_alive); i++)
        if (!name || strcmp(name, other) == 0)
            (void)json_array_append_new(nodes, json_string(other));
    if (!nodes || json_object_set_new(m, "for", nodes) < 0)
        return -ERR_NOMEM;
    return fleet_queue_add(f, m, cb, arg);
}

void fleet_run_send_all(struct fleet_runs *f, json_t *m)
{
    if (!m)
        return;
    message_sign(f, m);
    int err = fleet_send_command(f, m, false, NULL, NULL);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_WARN, "fleet-message-lost", KV_ERR("error", err));
}

void fleet_run_tell(struct fleet_runs *f, const struct peer *peer, const char *method,
                    json_t *params)
{
    json_t *m = fleet_command_message(f, "", peer, method, params, true);
    (void)!fleet_send_command(f, m, true, NULL, NULL);
    json_decref(m);
}

/* ---- answers ---- */

char *fleet_answer_error(int err, const char *text)
{
    return json_text_take(
        json_pack("{s:o}", "error",
                  request_error(-32000, err, NULL, text ? str_of(text) : str_of(err_text(err)))));
}

char *fleet_answer_text(const struct request_outcome *o)
{
    AUTO_BUF text = BUF_INIT;
    int err = buf_append_char(&text, '{');
    if (err == 0)
        err = json_text_key(&text, o->error ? "error" : "result", true);
    if (err == 0)
        err = o->body ? json_text_value(&text, o->body) : buf_append_str(&text, o->text);
    if (err == 0)
        err = buf_append_char(&text, '}');
    if (err == 0 && text.len > ANSWER_MAX)
        return fleet_answer_error(-ERR_TOO_LONG,
                                  "the answer is too long for the fleet: use a filter or --limit");
    return err == 0 ? buf_steal(&text) : NULL;
}
