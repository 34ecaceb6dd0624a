/* SPDX-License-Identifier: ISC */
/* What commands answer, as JSON Schema. */
#include "ctl/schema.h"

#include <jansson.h>

#include "base/err.h"

/* Beside its rows: what a command that changes something answers. */
static const struct schema_member {
    const char *name, *type, *help;
} outcome[] = {
    {"count", "integer", "what was hit, or would be with dry_run"},
    {"changed", "boolean", "false: it was already so"},
    {"message", "string", "for people"},
    {"op", "string", "id of the operation that it started"},
    {"clean", "integer", "sessions that ended with every command answered"},
    {"cut", "integer", "commands that had no answer"},
    {"failed", "integer", "how many could not be done"},
    {"sessions", "integer", "of those that were hit"},
    {"breakdown", "object", "a dry run: how many by protocol, backend and what they do"},
};

static json_t *schema_of_type(const char *type, const char *help)
{
    return json_pack("{ss ss}", "type", type, "description", help);
}

const char *schema_type(enum commands_type unit)
{
    static const char *const types[] = {
        [COMMANDS_NUMBER] = "integer",  [COMMANDS_PERCENT] = "integer",
        [COMMANDS_SIZE] = "integer",    [COMMANDS_DURATION] = "integer",
        [COMMANDS_LATENCY] = "integer", [COMMANDS_TIME] = "integer",
        [COMMANDS_CLOCK] = "integer",   [COMMANDS_BOOL] = "boolean",
    };
    return unit < ARRAY_LEN(types) && types[unit] ? types[unit] : "string";
}

static json_t *schema_column(const struct command_column *col)
{
    json_t *schema = schema_of_type(schema_type(col->unit), col->help);
    json_t *words = json_array();
    for (size_t i = 0; commands_value(col, i).n; i++) {
        struct str word = commands_value(col, i);
        json_array_append_new(words, json_stringn(word.p, word.n));
    }
    if (json_array_size(words))
        json_object_set(schema, "enum", words);
    json_decref(words);
    return schema;
}

/* An object whose members are the columns of a command. Members may be added by newer versions:
 * others are allowed. */
static json_t *schema_row(const struct command *c)
{
    size_t n;
    const struct command_column *col = commands_columns(c, &n);
    json_t *members = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(members, col[i].name, schema_column(&col[i]));
    if (!json_object_get(members, "node"))
        json_object_set_new(members, "node",
                            schema_of_type("string", "of several daemons, whose row it is"));
    return json_pack("{ss so}", "type", "object", "properties", members);
}

static json_t *schema_rows(const struct command *c)
{
    return json_pack("{ss so}", "type", "array", "items", schema_row(c));
}

static json_t *schema_outcome(const struct command *c)
{
    json_t *members = json_object();
    size_t n = 0;
    const struct command_column *waited =
        c->flags & COMMANDS_ASYNC ? commands_columns(commands_find("op", "show"), &n) : NULL;
    for (size_t i = 0; i < n; i++) /* with --wait the operation is shown */
        json_object_set_new(members, waited[i].name, schema_column(&waited[i]));
    for (size_t i = 0; i < ARRAY_LEN(outcome); i++)
        json_object_set_new(members, outcome[i].name,
                            schema_of_type(outcome[i].type, outcome[i].help));
    json_object_set_new(members, "rows", schema_rows(c));
    json_object_set_new(members, "ids",
                        json_pack("{ss ss s{s[ss]}}", "type", "array", "description",
                                  "ids of what was hit", "items", "type", "string", "integer"));
    return json_pack("{ss so}", "type", "object", "properties", members);
}

static json_t *schema_of(const struct command *c)
{
    AUTO_FREE char *title =
        str_printf("mailproxyctl -o %s %s %s", c->flags & COMMANDS_STREAM ? "jsonl" : "json",
                   c->noun, c->verb);
    json_t *schema = c->flags & COMMANDS_LIST                      ? schema_rows(c)
                     : c->flags & (COMMANDS_ONE | COMMANDS_STREAM) ? schema_row(c)
                                                                   : schema_outcome(c);
    json_object_set_new(schema, "title", json_string(title));
    json_object_set_new(schema, "description", json_string(c->detail));
    return schema;
}

int schema_print(FILE *f, const struct command *c)
{
    json_t *schema = c ? schema_of(c) : json_object();
    if (!c) {
        size_t n;
        const struct command *all = commands_all(&n);
        json_t *defs = json_object();
        for (size_t i = 0; i < n; i++)
            json_object_set_new(defs, all[i].method, schema_of(&all[i]));
        json_object_set_new(schema, "$defs", defs);
    }
    json_object_set_new(schema, "$schema",
                        json_string("https://json-schema.org/draft/2020-12/schema"));
    /* A full disk is told of at the end, as of everything that is printed. */
    int err = json_dumpf(schema, f, JSON_INDENT(2)) && !ferror(f) ? -ERR_NOMEM : 0;
    fputc('\n', f);
    json_decref(schema);
    return err;
}
