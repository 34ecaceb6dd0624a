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
    struct buf text; /* "n1: 15 sessions would end: 12 imap, ..." */
};

/* Asks one, and adds what it says. */
static int guard_count_node(struct run *r, struct args *a, struct str file, size_t i,
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
    if (code)
        return code;
    const char *name = a->options.n_sockets > 1 ? run_node_name(node) : NULL;
    const char *message = json_string_value(json_object_get(result, "message"));
    AUTO_BUF clean = BUF_INIT;
    found->count += (uint64_t)json_integer_value(json_object_get(result, "count"));
    if (message && output_text_clean(&clean, str_of(message)) >= 0)
        (void)!buf_printf(&found->text, "%s%s%s%.*s", found->text.len ? "; " : "", name ? name : "",
                          name ? ": " : "", STR_ARG(buf_str(&clean)));
    json_decref(result);
    return 0;
}

static void guard_found_fini(struct guard_found *found)
{
    buf_fini(&found->text);
}

/* The question without its end; owned. */
int guard_check(struct run *r, struct args *a, struct str file, struct problem *problem)
{
    const struct command *c = a->command;
    CLEANUP(guard_found_fini) struct guard_found found = {.text = BUF_INIT};
    bool is_guarded =
        c->flags & COMMANDS_DESTRUCTIVE || (c->flags & COMMANDS_ASKS && r->can_prompt);
    if (!is_guarded || a->options.yes || json_is_true(json_object_get(a->params, "dry_run")))
        return 0;
    bool is_counted = commands_arg(c, "dry_run");
    for (size_t i = 0; is_counted && i < a->options.n_sockets; i++) {
        int code = guard_count_node(r, a, file, i, &found, problem);
        if (code)
            return code;
    }
    AUTO_FREE char *words =
        !is_counted ? str_printf("%s %s: %s", c->noun, c->verb, c->summary)
        : found.text.len > 0
            ? str_printf("%s %s: %s", c->noun, c->verb, buf_cstr(&found.text))
            : str_printf("%s %s would hit %" PRIu64, c->noun, c->verb, found.count);
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
