/* SPDX-License-Identifier: ISC */
/* Calls to the nodes of a fleet, by way of the daemon that is connected. */
#include "ctl/fleet_link.h"

#include "base/buf.h"

/* What all nodes of a command share. */
struct fleet_link {
    struct control_client *client; /* of the daemon that is connected */
    bool is_all;                   /* they are all that there are */
    bool is_refused;               /* the last call of all, as a whole */
    char *asked;                   /* method and parameters of the last call of all; NULL */
    json_t *rows;                  /* its answers that nobody has taken yet */
};

struct fleet_link *fleet_link_new(struct control_client *client, bool is_all)
{
    struct fleet_link *link = calloc(1, sizeof(*link));
    if (link)
        *link = (struct fleet_link){.client = client, .is_all = is_all};
    return link;
}

void fleet_link_free(struct fleet_link *link)
{
    if (!link)
        return;
    free(link->asked);
    json_decref(link->rows);
    free(link);
}

static int fleet_fail(struct control_client_error *e, int err, const char *text)
{
    *e = (struct control_client_error){
        .err = -err, .name = str_dup_c(err_name(err)), .text = str_dup_c(text)};
    return err;
}

static int fleet_ask(struct fleet_link *link, const char *node, const char *method,
                     const json_t *params, uint64_t timeout_ms, json_t **ret_rows,
                     struct control_client_error *ret_error)
{
    AUTO_FREE char *text = json_dumps(params, JSON_COMPACT);
    json_t *ask = text ? json_pack("{s:s, s:s}", "method", method, "params", text) : NULL;
    json_t *result = NULL;
    if (!ask)
        return fleet_fail(ret_error, -ERR_NOMEM, err_text(ERR_NOMEM));
    if (node)
        json_object_set_new(ask, "node", json_string(node));
    int err = control_client_call(link->client, "fleet.run", ask, timeout_ms, &result, ret_error);
    if (err)
        return err;
    *ret_rows = json_incref(json_object_get(result, "rows"));
    json_decref(result);
    return 0;
}

/* What a node said, of the rows of an answer; taken out of them. NULL: it is not among them. */
static json_t *fleet_take(json_t *rows, const char *node)
{
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        const char *name = json_string_value(json_object_get(row, "node"));
        if (!name || strcmp(name, node) != 0)
            continue;
        json_incref(row);
        json_array_remove(rows, i);
        return row;
    }
    return NULL;
}

static int fleet_open_answer(const json_t *row, json_t **ret_result,
                             struct control_client_error *ret_error)
{
    const char *text = json_string_value(json_object_get(row, "answer"));
    const char *away = json_string_value(json_object_get(row, "away"));
    json_t *answer = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *result = json_object_get(answer, "result");
    int err = 0;
    if (!text)
        err = fleet_fail(ret_error, -ERR_UNREACHABLE, away ? away : "the node is not known");
    else if (result)
        *ret_result = json_incref(result);
    else
        err = control_client_error_read(json_object_get(answer, "error"), ret_error);
    json_decref(answer);
    return err;
}

int fleet_call(struct fleet_link *link, const char *node, const char *method, json_t *params,
               uint64_t timeout_ms, json_t **ret_result, struct control_client_error *ret_error)
{
    AUTO_FREE char *words = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);
    AUTO_FREE char *asked = words ? str_printf("%s %s", method, words) : NULL;
    /* Only the first of its answers goes on with a cursor or an operation of its own. */
    bool is_own = json_object_get(params, "cursor") || strcmp(method, "op.show") == 0;
    bool is_same = asked && link->asked && strcmp(asked, link->asked) == 0;
    json_t *row = is_same ? fleet_take(link->rows, node) : NULL;
    json_t *rows = NULL;
    int err = 0;
    if (!row) {
        bool is_all = link->is_all && !is_own;
        err = fleet_ask(link, is_all ? NULL : node, method, params, timeout_ms, &rows, ret_error);
        row = err ? NULL : fleet_take(rows, node);
        link->is_refused = err && is_all;
        if (!err && is_all) {
            json_decref(link->rows);
            link->rows = json_incref(rows);
            free(link->asked);
            link->asked = STEAL(asked);
        }
    }
    if (!err)
        err = fleet_open_answer(row, ret_result, ret_error);
    json_decref(rows);
    json_decref(row);
    json_decref(params);
    return err;
}

bool fleet_is_refused(const struct fleet_link *link)
{
    return link && link->is_refused;
}
