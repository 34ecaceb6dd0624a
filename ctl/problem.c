/* SPDX-License-Identifier: ISC */
/* Failures and exit codes. */
#include "ctl/problem.h"

#include "base/buf.h"
#include "ctl/output_text.h"

void problem_fini(struct problem *p)
{
    free(p->name);
    free(p->text);
    free(p->hint);
    free(p->node);
    *p = (struct problem){0};
}

static int problem_vset(struct problem *p, enum problem_exit code, const char *name,
                        const char *hint, const char *fmt, va_list ap)
{
    AUTO_BUF text = BUF_INIT;
    problem_fini(p);
    p->exit = code;
    p->name = str_dup_c(name);
    p->hint = str_dup_c(hint);
    if (buf_vprintf(&text, fmt, ap) == 0)
        p->text = buf_steal(&text);
    return (int)code;
}

int problem_set(struct problem *p, enum problem_exit code, const char *name, const char *hint,
                const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    problem_vset(p, code, name, hint, fmt, ap);
    va_end(ap);
    return (int)code;
}

int problem_usage(struct problem *p, const char *hint, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    problem_vset(p, PROBLEM_USAGE, "E_USAGE", hint, fmt, ap);
    va_end(ap);
    return PROBLEM_USAGE;
}

static enum problem_exit problem_code(const struct control_client_error *e)
{
    static const struct {
        int err;
        enum problem_exit code;
    } table[] = {
        {ERR_NOT_FOUND, PROBLEM_NOT_FOUND},
        {ERR_NO_SESSION, PROBLEM_NOT_FOUND},
        {ERR_NO_USER, PROBLEM_NOT_FOUND},
        {ERR_NO_BACKEND, PROBLEM_NOT_FOUND},
        {ERR_NO_POOL, PROBLEM_NOT_FOUND},
        {ERR_NO_ROUTE, PROBLEM_NOT_FOUND},
        {ERR_NO_LISTENER, PROBLEM_NOT_FOUND},
        {ERR_NO_OP, PROBLEM_NOT_FOUND},
        {ERR_NO_MATCH, PROBLEM_NOT_FOUND},
        {ERR_PERM, PROBLEM_NOT_PERMITTED},
        {ERR_DENIED, PROBLEM_NOT_PERMITTED},
        {ERR_TIMEOUT, PROBLEM_TIMEOUT},
        {ERR_PARTIAL, PROBLEM_PARTLY},
        {ERR_VERSION, PROBLEM_VERSION},
        {ERR_BAD_PARAM, PROBLEM_USAGE},
        {ERR_MISSING_PARAM, PROBLEM_USAGE},
        /* Only known words are sent: the daemon is of another version. */
        {ERR_NO_COMMAND, PROBLEM_VERSION},
        {ERR_NO_PARAM, PROBLEM_VERSION},
    };
    static const struct {
        int err;
        enum problem_exit code;
    } own[] = {
        {ERR_CLOSED, PROBLEM_NOT_REACHABLE},      {ERR_REFUSED, PROBLEM_NOT_REACHABLE},
        {ERR_UNREACHABLE, PROBLEM_NOT_REACHABLE}, {ERR_IO, PROBLEM_NOT_REACHABLE},
        {ERR_PROTOCOL, PROBLEM_VERSION},          {ERR_SYNTAX, PROBLEM_USAGE},
        {ERR_NOT_FOUND, PROBLEM_NOT_REACHABLE},
    };
    for (size_t i = 0; e->is_own && i < ARRAY_LEN(own); i++)
        if (own[i].err == e->err)
            return own[i].code;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].err == e->err)
            return table[i].code;
    return PROBLEM_FAILED;
}

int problem_from_client(struct problem *p, const struct control_client_error *e)
{
    return problem_set(p, problem_code(e), e->name, e->hint, "%s", e->text ? e->text : "failed");
}

static void problem_print_json(const struct problem *p, FILE *out)
{
    json_t *o = json_pack("{s:{s:s?, s:i, s:s?}}", "error", "name", p->name, "exit", (int)p->exit,
                          "message", p->text);
    json_t *e = json_object_get(o, "error");
    if (p->hint)
        json_object_set_new(e, "hint", json_string(p->hint));
    if (p->node)
        json_object_set_new(e, "node", json_string(p->node));
    if (o)
        json_dumpf(o, out, JSON_ENSURE_ASCII);
    fputc('\n', out);
    json_decref(o);
}

/* The daemon's sentences may hold what clients sent: nothing may steer the terminal. */
static void problem_put(FILE *f, const char *s)
{
    struct str rest = str_of(s);
    for (bool is_first = true; rest.n > 0; is_first = false) {
        AUTO_BUF clean = BUF_INIT;
        if (output_text_clean(&clean, str_cut(&rest, '\n')) == 0)
            fprintf(f, "%s%.*s", is_first ? "" : "\n  ", STR_ARG(buf_str(&clean)));
    }
}

void problem_print(const struct problem *p, bool is_json, FILE *out, FILE *err)
{
    if (p->exit == PROBLEM_NONE)
        return;
    if (is_json) {
        problem_print_json(p, out);
        return;
    }
    fputs("mailproxyctl: ", err);
    if (p->node) {
        problem_put(err, p->node);
        fputs(": ", err);
    }
    problem_put(err, p->text ? p->text : "out of memory");
    if (p->hint) {
        fputs(" (", err);
        problem_put(err, p->hint);
        /* A single word is a name that may have been meant. */
        fputs(strpbrk(p->hint, " ?") ? ")" : "?)", err);
    }
    fputc('\n', err);
}

bool problem_is_no_match(const struct problem *p)
{
    return p->exit == PROBLEM_NOT_FOUND && p->name &&
           (strcmp(p->name, "E_NO_MATCH") == 0 || strcmp(p->name, "E_NO_SESSION") == 0);
}

int problem_combine(int before, int code, size_t n_before)
{
    if (n_before == 0 || before == code)
        return code;
    if (before == PROBLEM_NONE || code == PROBLEM_NONE)
        return PROBLEM_PARTLY;
    return before;
}
