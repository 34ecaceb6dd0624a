/* SPDX-License-Identifier: ISC */
/* Commands on the nodes of a fleet, by way of one of them. */
#include "ctl/fleet.h"

#include "base/buf.h"

/* What all nodes of a command share. */
struct fleet_link {
    struct run_node *by; /* the daemon that is connected */
    bool is_all;         /* they are all that there are */
    bool is_refused;     /* the last call of all, as a whole */
    char *asked;         /* method and parameters of the last call of all; NULL */
    json_t *rows;        /* its answers that nobody has taken yet */
};

/* ---- calls ---- */

static int fleet_fail(struct client_error *e, int err, const char *text)
{
    *e = (struct client_error){
        .err = -err, .name = str_dup_c(err_name(err)), .text = str_dup_c(text)};
    return err;
}

static int fleet_ask(struct fleet_link *link, const char *node, const char *method,
                     const json_t *params, uint64_t timeout_ms, json_t **ret_rows,
                     struct client_error *ret_error)
{
    AUTO_FREE char *text = json_dumps(params, JSON_COMPACT);
    json_t *ask = text ? json_pack("{s:s, s:s}", "method", method, "params", text) : NULL;
    json_t *result = NULL;
    if (!ask)
        return fleet_fail(ret_error, -ERR_NOMEM, err_text(ERR_NOMEM));
    if (node)
        json_object_set_new(ask, "node", json_string(node));
    int err = client_call(link->by->client, "fleet.run", ask, timeout_ms, &result, ret_error);
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

static int fleet_open_answer(const json_t *row, json_t **ret_result, struct client_error *ret_error)
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
        err = client_error_read(json_object_get(answer, "error"), ret_error);
    json_decref(answer);
    return err;
}

int fleet_call(struct fleet_link *link, const char *node, const char *method, json_t *params,
               uint64_t timeout_ms, json_t **ret_result, struct client_error *ret_error)
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

/* ---- nodes ---- */

static int fleet_refuse(const struct args *a, struct problem *problem)
{
    const struct command *c = a->command;
    if (a->options.n_sockets > 1)
        return problem_usage(problem, "one daemon leads to the others", "--fleet with several -s");
    if (c->flags & COMMANDS_STREAM)
        return problem_usage(problem, "-s ssh://HOST for each of them",
                             "%s %s is a stream: no node sends one for another", c->noun, c->verb);
    if (a->n_secrets || a->file_arg)
        return problem_usage(problem, "-s ssh://HOST for each of them",
                             "secrets and files do not go through the store of a fleet");
    if (commands_fleet(c) == COMMAND_FLEET_NOT)
        return problem_usage(problem, "-s ssh://HOST for each of them",
                             "%s %s is not for other nodes", c->noun, c->verb);
    return 0;
}

static int fleet_add(struct run *r, struct args *a, struct fleet_link *link, const char *name,
                     struct problem *problem)
{
    char *path = str_printf("node %s", name);
    char *copy = str_dup_c(name);
    if (!path || !copy || r->n_nodes == ARGS_SOCKETS_MAX) {
        free(path);
        free(copy);
        return problem_set(problem, PROBLEM_FAILED, "E_TOO_MANY", "--node NAME picks one",
                           "more than %d nodes", ARGS_SOCKETS_MAX - 1);
    }
    struct run_node *node = &r->nodes[r->n_nodes++];
    *node = (struct run_node){.path = path, .name = copy, .fleet = link};
    a->options.sockets[a->options.n_sockets++] = node->path;
    return 0;
}

int fleet_open(struct run *r, struct args *a, struct problem *problem)
{
    struct client_error error = {0};
    json_t *result = NULL, *row;
    size_t i;
    int code = fleet_refuse(a, problem);
    if (code)
        return code;
    struct run_node *by = run_node(r, a, 0, problem);
    if (!by)
        return problem->exit;
    if (client_call(by->client, "fleet.list", json_object(), a->options.timeout_ms, &result,
                    &error)) {
        code = problem_from_client(problem, &error);
        client_error_fini(&error);
        return code;
    }
    struct fleet_link *link = calloc(1, sizeof(*link));
    if (!link) {
        json_decref(result);
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    }
    *link = (struct fleet_link){.by = by, .is_all = a->options.node == NULL};
    r->fleet = link;
    a->options.n_sockets = 0;
    const char *last = "";
    json_array_foreach (json_object_get(result, "rows"), i, row) {
        const char *name = json_string_value(json_object_get(row, "node"));
        bool is_wanted = name && strcmp(name, last) != 0 && /* an engine that finishes follows */
                         (!a->options.node || strcmp(a->options.node, name) == 0);
        last = name ? name : "";
        if (is_wanted && !code)
            code = fleet_add(r, a, link, name, problem);
    }
    json_decref(result);
    if (!code && a->options.n_sockets == 0 && a->options.node)
        code = problem_set(problem, PROBLEM_NOT_FOUND, "E_NOT_FOUND", "fleet list",
                           "the fleet has no node %s", a->options.node);
    else if (!code && a->options.n_sockets == 0)
        code = problem_set(problem, PROBLEM_FAILED, "E_NOT_FOUND", NULL, "the fleet has no nodes");
    return code;
}

void fleet_close(struct run *r)
{
    struct fleet_link *link = STEAL(r->fleet);
    if (!link)
        return;
    while (r->n_nodes > 0 && r->nodes[r->n_nodes - 1].fleet)
        run_node_fini(&r->nodes[--r->n_nodes]);
    free(link->asked);
    json_decref(link->rows);
    free(link);
}
