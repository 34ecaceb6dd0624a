/* SPDX-License-Identifier: ISC */
/* Where commands are run: the terminal, and the daemons with their connections. */
#include "ctl/nodes.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/units.h"
#include "ctl/fleet_link.h"

#define RUN_GRACE_MS 30000 /* of a command that ends sessions, unless it says otherwise */

void run_measure(struct run *r, FILE *f)
{
    struct winsize size;
    uint64_t columns;
    r->width = 0; /* unknown */
    if (str_to_u64(str_of(getenv("COLUMNS")), 10000, &columns) == 0 && columns)
        r->width = (int)columns;
    else if (isatty(fileno(f)) && ioctl(fileno(f), TIOCGWINSZ, &size) == 0)
        r->width = size.ws_col;
}

void run_init(struct run *r, FILE *out, FILE *err)
{
    *r = (struct run){.out = out, .err = err};
    r->is_terminal = isatty(fileno(out));
    r->is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    r->can_draw = isatty(fileno(err));
    r->can_prompt = isatty(STDIN_FILENO) && isatty(fileno(err));
    run_measure(r, out);
}

void run_node_fini(struct run_node *node)
{
    control_client_close(node->client);
    free(node->path);
    free(node->name);
    free(node->unreached);
    *node = (struct run_node){0};
}

void run_fini(struct run *r)
{
    while (r->n_nodes > 0)
        run_node_fini(&r->nodes[--r->n_nodes]);
}

/* ---- daemons ---- */

static struct run_node *run_find(struct run *r, const char *path, struct problem *problem)
{
    for (size_t i = 0; i < r->n_nodes; i++)
        if (strcmp(r->nodes[i].path, path) == 0)
            return &r->nodes[i];
    char *copy = r->n_nodes < ARGS_SOCKETS_MAX ? str_dup_c(path) : NULL;
    if (!copy) {
        problem_usage(problem, NULL, "too many sockets");
        return NULL;
    }
    r->nodes[r->n_nodes] = (struct run_node){.path = copy};
    return &r->nodes[r->n_nodes++];
}

struct run_node *run_node(struct run *r, const struct args *a, size_t i, struct problem *problem)
{
    struct control_client_error error = {0};
    struct run_node *node = run_find(r, a->options.sockets[i], problem);
    if (!node || run_node_is_open(node))
        return node;
    if (control_client_connect(node->path, a->options.timeout_ms, &node->client, &error)) {
        problem_from_client(problem, &error);
        control_client_error_fini(&error);
        return NULL;
    }
    return node;
}

bool run_node_is_open(const struct run_node *node)
{
    return node->client || node->fleet;
}

bool run_has_not_reached(const struct run *r, const struct problem *problem)
{
    return problem->exit == PROBLEM_NOT_REACHABLE ||
           (r->fleet && str_eq_c(problem->name, "E_UNREACHABLE"));
}

int run_node_call(struct run_node *node, const char *method, json_t *params, uint64_t timeout_ms,
                  json_t **ret_result, struct control_client_error *ret_error)
{
    return node->fleet ? fleet_call(node->fleet, node->name, method, params, timeout_ms, ret_result,
                                    ret_error)
                       : control_client_call(node->client, method, params, timeout_ms, ret_result,
                                             ret_error);
}

const char *run_node_name(const struct run_node *node)
{
    if (node->name)
        return node->name;
    const struct control_client_hello *h = node->client ? control_client_hello(node->client) : NULL;
    return h && *h->node ? h->node : node->path;
}

const char *run_path_name(const struct run *r, const char *path)
{
    for (size_t i = 0; i < r->n_nodes; i++)
        if (strcmp(r->nodes[i].path, path) == 0)
            return run_node_name(&r->nodes[i]);
    return path;
}

void run_clear_unreached(struct run_node *node)
{
    free(STEAL(node->unreached));
}

/* "engine 1234 (5 sessions): it does not answer; engine 1236: ..." */
static void run_note_unreached(struct run_node *node, const json_t *list)
{
    AUTO_BUF text = BUF_INIT;
    size_t i;
    json_t *v;
    json_array_foreach ((json_t *)list, i, v) {
        const char *name = json_string_value(json_object_get(v, "name"));
        const char *why = json_string_value(json_object_get(v, "text"));
        json_int_t n = json_integer_value(json_object_get(v, "sessions"));
        (void)!buf_printf(&text, "%s%s (%lld session%s): %s", i ? "; " : "", name ? name : "engine",
                          (long long)n, n == 1 ? "" : "s", why ? why : "it does not answer");
    }
    if (text.len == 0)
        return;
    run_clear_unreached(node);
    node->unreached = buf_steal(&text);
}

int run_call(struct run_node *node, const struct args *a, json_t *params, json_t **ret_result,
             struct problem *problem)
{
    return run_call_method(node, a, a->command->method, params, ret_result, problem);
}

int run_call_method(struct run_node *node, const struct args *a, const char *method, json_t *params,
                    json_t **ret_result, struct problem *problem)
{
    struct control_client_error error = {0};
    uint64_t timeout_ms = a->options.timeout_ms, grace_ms = RUN_GRACE_MS;
    if (timeout_ms > 0 && commands_arg(a->command, "grace")) {
        /* A command that ends sessions answers when they are over. */
        const char *grace = json_string_value(json_object_get(a->params, "grace"));
        if (grace)
            (void)!units_parse_duration(str_of(grace), &grace_ms);
        timeout_ms += grace_ms;
    }
    int err = run_node_call(node, method, params, timeout_ms, ret_result, &error);
    run_note_unreached(node, err ? error.unreached : json_object_get(*ret_result, "unreached"));
    if (!err)
        return 0;
    int code = problem_from_client(problem, &error);
    if (error.is_own) {
        control_client_close(node->client);
        node->client = NULL;
    }
    control_client_error_fini(&error);
    return code;
}
