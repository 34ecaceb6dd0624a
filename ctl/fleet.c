/* SPDX-License-Identifier: ISC */
/* Commands on the nodes of a fleet, by way of one of them. */
#include "ctl/fleet.h"

#include "base/buf.h"
#include "ctl/fleet_link.h"

static int fleet_refuse(const struct args *a, struct problem *problem)
{
    const struct command *c = a->command;
    if (a->options.n_sockets > 1)
        return problem_usage(problem, "one daemon leads to the others", "--fleet with several -s");
    if (a->n_secrets || a->file_arg)
        return problem_usage(problem, "-s ssh://HOST for each of them",
                             "secrets and files do not go through the store of a fleet");
    if (commands_fleet(c) == COMMAND_FLEET_NOT && !(c->flags & COMMANDS_STREAM))
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
    struct control_client_error error = {0};
    json_t *result = NULL, *row;
    size_t i;
    int code = fleet_refuse(a, problem);
    if (code || a->command->flags & COMMANDS_STREAM) /* the daemon puts the streams together */
        return code;
    struct run_node *by = run_node(r, a, 0, problem);
    if (!by)
        return problem->exit;
    if (control_client_call(by->client, "fleet.list", json_object(), a->options.timeout_ms, &result,
                            &error)) {
        code = problem_from_client(problem, &error);
        control_client_error_fini(&error);
        return code;
    }
    struct fleet_link *link = fleet_link_new(by->client, a->options.node == NULL);
    if (!link) {
        json_decref(result);
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    }
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

json_t *fleet_stream_params(const struct args *a)
{
    AUTO_FREE char *text = json_dumps(a->params, JSON_COMPACT);
    json_t *params =
        text ? json_pack("{s:s, s:s}", "method", a->command->method, "params", text) : NULL;
    if (params && a->options.node)
        (void)json_object_set_new(params, "node", json_string(a->options.node));
    return params;
}

void fleet_close(struct run *r)
{
    struct fleet_link *link = STEAL(r->fleet);
    if (!link)
        return;
    while (r->n_nodes > 0 && r->nodes[r->n_nodes - 1].fleet)
        run_node_fini(&r->nodes[--r->n_nodes]);
    fleet_link_free(link);
}
