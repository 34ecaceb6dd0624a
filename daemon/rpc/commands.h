/* SPDX-License-Identifier: ISC */
/* The table of commands, derived from rpc/commands.def: the daemon, mailproxyctl and the dashboard
 * have this one. All functions: any thread, static storage. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* What a peer may do; each includes those before it. */
enum role { ROLE_NONE = -1, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

/* Flags of a command (rpc/commands.def says what they mean). */
enum commands_flag {
    COMMANDS_LIST = 1 << 0,
    COMMANDS_ONE = 1 << 1,
    COMMANDS_STREAM = 1 << 2,
    COMMANDS_DESTRUCTIVE = 1 << 3,
    COMMANDS_CHANGES = 1 << 4,
    COMMANDS_ASYNC = 1 << 5,
    COMMANDS_OLD = 1 << 6,
    COMMANDS_ASKS = 1 << 7,
    COMMANDS_NEWEST = 1 << 8,
};

/* Where a command goes when more than one engine has sessions (rpc/commands.def). */
enum command_reach {
    COMMAND_REACH_UNSAID, /* the table does not say: a mistake */
    COMMAND_REACH_HERE,
    COMMAND_REACH_SESSIONS,
    COMMAND_REACH_COUNTS,
    COMMAND_REACH_USERS,
    COMMAND_REACH_RULES,
    COMMAND_REACH_BACKENDS,
    COMMAND_REACH_LEVEL,
    COMMAND_REACH_OPS,
};

/* Whether a command may be asked of other nodes of a fleet (rpc/commands_fleet.def). */
enum command_fleet {
    COMMAND_FLEET_NOW,      /* by those that are there */
    COMMAND_FLEET_LATER,    /* those that are away take it in when they are back */
    COMMAND_FLEET_TOGETHER, /* by all that are there, or by none (fleet/commands/fleet_gather.h) */
    COMMAND_FLEET_NOT,
};

/* Flags of an argument. */
enum commands_arg_flag {
    COMMANDS_NEEDED = 1 << 0,
    COMMANDS_POSITIONAL = 1 << 1,
    COMMANDS_MANY = 1 << 2,
};

/* Types of arguments and units of columns. */
enum commands_type {
    COMMANDS_TEXT,
    COMMANDS_NUMBER,
    COMMANDS_DURATION,
    COMMANDS_SIZE,
    COMMANDS_BOOL,
    COMMANDS_SECRET,
    COMMANDS_USER,
    COMMANDS_SESSION,
    COMMANDS_BACKEND,
    COMMANDS_POOL,
    COMMANDS_LISTENER,
    COMMANDS_FILTER,
    COMMANDS_FIELD,
    COMMANDS_FILE,
    COMMANDS_ADDRESS,
    COMMANDS_IP,
    COMMANDS_TIME,
    COMMANDS_PERCENT,
    COMMANDS_CLOCK,
    COMMANDS_LATENCY,
};

struct command {
    const char *noun;
    const char *verb;   /* as on the wire: log_level */
    const char *method; /* "session.list" */
    enum role role;
    unsigned flags;      /* enum commands_flag */
    const char *summary; /* lower case, no full stop */
    const char *detail;  /* sentences */
};

struct command_arg {
    int command; /* index into the commands */
    const char *name;
    enum commands_type type;
    unsigned flags; /* enum commands_arg_flag */
    const char *help;
};

struct command_column {
    int command;
    const char *name;
    enum commands_type unit;
    bool is_wide; /* shown only when asked for */
    bool is_some; /* shown in tables as soon as a row has it */
    const char *title;
    const char *help;
};

/* All commands in the order of the table. */
const struct command *commands_all(size_t *ret_n);
/* Position of a command in the table. */
size_t commands_index(const struct command *c);
enum command_reach commands_reach(const struct command *c);
enum command_fleet commands_fleet(const struct command *c);
/* Arguments and columns of a command. */
const struct command_arg *commands_args(const struct command *c, size_t *ret_n);
/* Words behind the verb, the table's i-th example; NULL behind the last: most have none. */
const char *commands_example(const struct command *c, size_t i);
const struct command_column *commands_columns(const struct command *c, size_t *ret_n);
/* The i-th of all texts that a column can have, empty behind the last; a column of any texts has
 * none. */
struct str commands_value(const struct command_column *col, size_t i);
/* Position of a column among those of all commands. */
size_t commands_column_index(const struct command_column *col);
/* The column at such a position. */
const struct command_column *commands_column_at(size_t i);
/* The command of a noun and a verb (dashes and aliases accepted), or NULL. */
const struct command *commands_find(const char *noun, const char *verb);
/* By its name on the wire; NULL when there is none. */
const struct command *commands_find_method(const char *method);
/* An argument or column by name; dashes stand for underscores. NULL when there is none. */
const struct command_arg *commands_arg(const struct command *c, const char *name);
/* The first argument of a type; NULL when there is none. */
const struct command_arg *commands_arg_of(const struct command *c, enum commands_type type);
const struct command_column *commands_column(const struct command *c, const char *name);
/* The first column of a unit; NULL when there is none. */
const struct command_column *commands_column_of(const struct command *c, enum commands_type unit);

/* Nouns in the order of the table; returns how many. max is the room in ret. */
size_t commands_nouns(const char **ret, size_t max);
/* The noun that a word means: itself, its plural ("sessions") or an alias. *ret_is_plural (may be
 * NULL) tells that the word was a plural. NULL when unknown. */
const char *commands_noun(const char *word, bool *ret_is_plural);
/* The plural of a noun, or NULL when it has none. */
const char *commands_plural(const char *noun);
/* What a plural alone does: list, else watch, else show, else the only verb. NULL when there is no
 * such. */
const struct command *commands_default(const char *noun);
/* A word that stands for a whole command: "status", "whoami", "reload"... NULL when it is none. */
const struct command *commands_shortcut(const char *word);
/* The i-th shortcut's word, NULL behind the last. */
const char *commands_shortcut_word(size_t i);
/* Nearest noun, plural or shortcut; nearest verb of a noun; nearest column. NULL when none is near.
 */
const char *commands_nearest_noun(const char *word);
const char *commands_nearest_verb(const char *noun, const char *word);
const char *commands_nearest_column(const struct command *c, const char *word);

/* A number, percentage, duration (to ms) or size (to bytes) as people write it; at most INT64_MAX.
 * -ERR_SYNTAX: it is not what commands_want says ("a duration such as 30s, 5m or 1h"; static). */
int commands_parse(enum commands_type type, struct str text, uint64_t *ret) NODISCARD;
const char *commands_want(enum commands_type type);

/* A filter in words: those without an operator are ids or names of rows, the others are terms.
 * Zeroed is empty. -ERR_NOMEM. */
struct commands_filter {
    struct buf terms, names;
};
void commands_filter_fini(struct commands_filter *f);
int commands_filter_add(const struct command *c, struct commands_filter *f,
                        const char *word) NODISCARD;
/* Joins all words to one text: terms. */
int commands_filter_join(const struct command *c, struct commands_filter *f) NODISCARD;

/* Names are the same when they differ in '-' and '_' only. */
bool commands_name_eq(const char *a, const char *b);
/* The name as people write it: log-level. */
void commands_dashed(char *dst, size_t size, const char *name);
/* "viewer", "operator", "admin", "none"; static. */
const char *role_name(enum role role);
/* What stands for a value of this type in usage lines: "USER", "DURATION". */
const char *commands_type_word(enum commands_type type);
/* Words that a TEXT argument takes when its help is nothing but a list of words ("csv (default),
 * passwd, libconfig"). *rest starts as arg->help; returns the next word, empty at the end or when
 * the help is no such list. */
bool commands_has_words(const struct command_arg *arg);
struct str commands_next_word(const char **rest);
