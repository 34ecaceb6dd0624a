/* SPDX-License-Identifier: ISC */
/* Questions before destructive commands. */
#include "ctl/guard.h"

#include <inttypes.h>

#include "ctl/transfer.h"

/* What one daemon would hit. */
static int guard_count_node(struct run *r, struct args *a, struct str file, size_t i,
                            uint64_t *ret_count, struct problem *problem)
{
    json_t *result = NULL;
    struct run_node *node = run_node(r, a, i, problem);
    json_t *params = node ? json_copy(a->params) : NULL;
    if (!params)
        return problem->exit
                   ? (int)problem->exit
                   : problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    json_object_set_new(params, "dry_run", json_true());
    int code;
    if (a->file_arg) {
        code = transfer_send(node, a, params, file, &result, problem);
        json_decref(params);
    } else {
        code = run_call(node, a, params, &result, problem);
    }
    if (code)
        return code;
    *ret_count += (uint64_t)json_integer_value(json_object_get(result, "count"));
    json_decref(result);
    return 0;
}

static int guard_ask(struct run *r, const struct command *c, bool is_counted, uint64_t count,
                     struct problem *problem)
{
    char answer[16] = "";
    if (is_counted)
        fprintf(r->err, "%s %s would hit %" PRIu64 ". Go on? [y/N] ", c->noun, c->verb, count);
    else
        fprintf(r->err, "%s %s: %s. Go on? [y/N] ", c->noun, c->verb, c->summary);
    fflush(r->err);
    if (!fgets(answer, sizeof(answer), stdin))
        fputc('\n', r->err);
    if (answer[0] == 'y' || answer[0] == 'Y')
        return 0;
    return problem_set(problem, PROBLEM_FAILED, "E_CANCELLED", NULL, "nothing was done");
}

int guard_check(struct run *r, struct args *a, struct str file, struct problem *problem)
{
    const struct command *c = a->command;
    uint64_t count = 0;
    if (!(c->flags & COMMANDS_DESTRUCTIVE) || a->options.yes ||
        json_is_true(json_object_get(a->params, "dry_run")))
        return 0;
    bool is_counted = commands_arg(c, "dry_run");
    for (size_t i = 0; is_counted && i < a->options.n_sockets; i++) {
        int code = guard_count_node(r, a, file, i, &count, problem);
        if (code)
            return code;
    }
    if (is_counted && count == 0) /* nothing to lose: the command itself says what is to be said */
        return 0;
    if (r->can_prompt)
        return guard_ask(r, c, is_counted, count, problem);
    if (count > 1)
        return problem_set(problem, PROBLEM_FAILED, "E_CONFIRM",
                           "--yes does it, --dry-run lists them", "%s %s would hit %" PRIu64,
                           c->noun, c->verb, count);
    /* It counted one at most: let it be no more when it is done. */
    if (is_counted && commands_arg(c, "max") && !json_object_get(a->params, "max"))
        json_object_set_new(a->params, "max", json_integer(1));
    return 0;
}
