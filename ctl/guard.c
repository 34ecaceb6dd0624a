/* SPDX-License-Identifier: ISC */
/* Questions before destructive commands. */
#include "ctl/guard.h"

#include <inttypes.h>

#include "base/buf.h"
#include "ctl/output_text.h"
#include "ctl/transfer.h"

/* What the daemons would hit. */
struct guard_found {
    uint64_t count;
    size_t n_without;     /* that have nothing of it */
    size_t n_nodes;       /* that said so */
    struct buf said;      /* "n1: 15 sessions would end: 12 imap, ..." */
    struct buf unreached; /* "n3: it is away" */
};

static void guard_say(struct buf *out, const char *name, const char *text)
{
    AUTO_BUF clean = BUF_INIT;
    if (output_text_clean(&clean, str_of(text)) < 0)
        return;
    (void)!buf_printf(out, "%s%s%s%.*s", out->len ? "; " : "", name ? name : "", name ? ": " : "",
                      STR_ARG(buf_str(&clean)));
}

/* Others are asked, and the command goes to all, where one of several cannot be reached: what is
 * asked for says so. */
static bool guard_pass_over(const struct run *r, const struct args *a, size_t i,
                            struct guard_found *found, struct problem *problem)
{
    if (!run_has_not_reached(r, problem) || a->options.n_sockets < 2)
        return false;
    guard_say(&found->unreached, run_path_name(r, a->options.sockets[i]), problem->text);
    if (found->n_nodes > 0 || i + 1 < a->options.n_sockets)
        problem_fini(problem);
    return true;
}

/* Asks one, and adds what it says. */
static int guard_count(struct run *r, struct args *a, struct str file, size_t i,
                       struct guard_found *found, struct problem *problem)
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
    if (problem_is_no_match(problem) && ++found->n_without < a->options.n_sockets) {
        problem_fini(problem);
        return 0;
    }
    if (code)
        return code;
    const char *name = a->options.n_sockets > 1 ? run_node_name(node) : NULL;
    const char *message = json_string_value(json_object_get(result, "message"));
    found->count += (uint64_t)json_integer_value(json_object_get(result, "count"));
    found->n_nodes++;
    if (message)
        guard_say(&found->said, name, message);
    json_decref(result);
    return 0;
}

/* --max is of all together; each daemon knows of its own only. */
static int guard_max(const struct args *a, const struct guard_found *found, struct problem *problem)
{
    const json_t *max = json_object_get(a->params, "max");
    if (a->options.n_sockets < 2 || !json_is_integer(max) ||
        found->count <= (uint64_t)json_integer_value(max))
        return 0;
    AUTO_FREE char *words =
        str_printf("%" PRIu64 " would be hit, more than %" JSON_INTEGER_FORMAT "; nothing was done",
                   found->count, json_integer_value(max));
    return problem_set(problem, PROBLEM_FAILED, "E_TOO_MANY", NULL, "%s",
                       words ? words : "out of memory");
}

static void guard_found_fini(struct guard_found *found)
{
    buf_fini(&found->said);
    buf_fini(&found->unreached);
}

int guard_check(struct run *r, struct args *a, struct str file, struct problem *problem)
{
    const struct command *c = a->command;
    CLEANUP(guard_found_fini) struct guard_found found = {.said = BUF_INIT, .unreached = BUF_INIT};
    bool is_guarded =
        c->flags & COMMANDS_DESTRUCTIVE || (c->flags & COMMANDS_ASKS && r->can_prompt);
    bool is_counted = commands_arg(c, "dry_run");
    bool has_max =
        is_counted && a->options.n_sockets > 1 && json_object_get(a->params, "max") != NULL;
    is_guarded = is_guarded && !a->options.yes;
    if ((!is_guarded && !has_max) || json_is_true(json_object_get(a->params, "dry_run")))
        return 0;
    for (size_t i = 0; is_counted && i < a->options.n_sockets; i++) {
        int code = guard_count(r, a, file, i, &found, problem);
        if (code && !guard_pass_over(r, a, i, &found, problem))
            return code;
    }
    int code = problem->exit ? (int)problem->exit : guard_max(a, &found, problem);
    if (code || !is_guarded)
        return code;
    AUTO_FREE char *words =
        !is_counted ? str_printf("%s %s: %s", c->noun, c->verb, c->summary)
        : found.said.len > 0
            ? str_printf("%s %s: %s%s%s", c->noun, c->verb, buf_cstr(&found.said),
                         found.unreached.len ? "; " : "", buf_cstr(&found.unreached))
            : str_printf("%s %s would hit %" PRIu64 "%s%s", c->noun, c->verb, found.count,
                         found.unreached.len ? "; " : "", buf_cstr(&found.unreached));
    if (!words)
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    /* Without anything to lose the command itself says what is to be said, but for those that do
     * more than what is counted: where new logins go. */
    const unsigned always = COMMANDS_DESTRUCTIVE | COMMANDS_ASKS;
    bool is_asked = !is_counted || found.count > 0 || (c->flags & always) == always;
    if (r->can_prompt && is_asked) {
        char answer[16] = "";
        fprintf(r->err, "%s. Go on? [y/N] ", words);
        fflush(r->err);
        if (!fgets(answer, sizeof(answer), stdin))
            fputc('\n', r->err);
        if (answer[0] == 'y' || answer[0] == 'Y')
            return 0;
        return problem_set(problem, PROBLEM_FAILED, "E_CANCELLED", NULL, "nothing was done");
    }
    if (found.count > 1)
        return problem_set(problem, PROBLEM_FAILED, "E_CONFIRM",
                           "--yes does it, --dry-run lists them", "%s", words);
    /* It counted one at most: let it be no more when it is done. */
    if (is_counted && commands_arg(c, "max") && !json_object_get(a->params, "max"))
        json_object_set_new(a->params, "max", json_integer(1));
    return 0;
}
