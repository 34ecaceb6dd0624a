/* SPDX-License-Identifier: ISC */
/* Inside of the config floor: the key table, and values on their way between file and struct. */
#pragma once

#include "config/config.h"

enum config_type {
    CONFIG_TEXT,
    CONFIG_NAME, /* a text that commands and filters can name */
    CONFIG_PATH,
    CONFIG_BOOL,
    CONFIG_NUMBER,
    CONFIG_DURATION,
    CONFIG_SIZE,
    CONFIG_MODE,
    CONFIG_TEXTS,
    CONFIG_NETS,
    CONFIG_PROTO,
    CONFIG_MECHS,
    CONFIG_PORTS,
    CONFIG_WORD,  /* one of `words` */
    CONFIG_WORDS, /* several of them, ORed */
    CONFIG_PART,  /* a group within */
    CONFIG_LIST,  /* a list of groups */
    CONFIG_TYPE_COUNT
};

/* A word of the file and its value; tables end with a NULL word. */
struct config_word {
    const char *word;
    unsigned value;
};

enum {
    CONFIG_KEY_NEEDED = 1,
    CONFIG_KEY_SECRET = 2,
    CONFIG_KEY_INPUT = 4,    /* a path that must be readable */
    CONFIG_KEY_INHERITED = 8 /* not set: as the key of the same name at the top level */
};

struct config_group;

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset, size;  /* of the member */
    size_t count_offset;  /* CONFIG_LIST */
    const char *fallback; /* as in the file, NULL = none */
    uint64_t min, max;    /* max 0 = what the member holds */
    enum config_effect effect;
    unsigned flags;
    const char *text;
    const struct config_word *words;
    const struct config_group *(*group)(void); /* PART and LIST */
    const char *from; /* PART: group of the top level that it inherits; NULL = none */
};

struct config_group {
    const struct config_key *keys;
    size_t n_keys;
    size_t size; /* of the struct */
};

/* The whole file. */
const struct config_group *config_group_top(void);
/* Where a key of a list's element, or the keys of a part of it, have their values from when they
 * are not set. */
struct config_origin {
    const struct config_group *group;
    const void *base;
};
/* False: from nowhere but their defaults. top: the config that the element belongs to. */
bool config_key_origin(const struct config_key *k, const struct config *top,
                       struct config_origin *ret);
/* NULL when the group has no such key. */
const struct config_key *config_key_find(const struct config_group *g, const char *name);
/* Nearest key, NULL when none is near. */
const char *config_key_nearest(const struct config_group *g, const char *name);
/* Upper bound of a NUMBER, DURATION, SIZE or MODE: its own or what its member holds. */
uint64_t config_key_max(const struct config_key *k);
/* Prints a number in the key's unit, as the file would have it. */
void config_key_format(const struct config_key *k, uint64_t v, char dst[32]);

static inline void *config_member(const struct config_key *k, void *base)
{
    return (char *)base + k->offset;
}
static inline const void *config_member_const(const struct config_key *k, const void *base)
{
    return (const char *)base + k->offset;
}
/* Elements of a LIST. */
static inline size_t config_list_count(const struct config_key *k, const void *base)
{
    return *(const size_t *)((const char *)base + k->count_offset);
}
static inline const void *config_list_item(const struct config_key *k, const void *base, size_t i)
{
    return *(const char *const *)config_member_const(k, base) + i * k->group()->size;
}

/* Are the elements of a LIST told apart by their first key: a name, or a file that they need? */
bool config_list_has_names(const struct config_key *list);
/* That name; NULL when a broken file has none. */
static inline const char *config_element_name(const struct config_key *list, const void *element)
{
    return *(const char *const *)config_member_const(&list->group()->keys[0], element);
}

/* Memory of one config: everything in it goes at once. */
struct config_memory;
void *config_alloc(struct config_memory *m, size_t n); /* zeroed; NULL without memory */
char *config_alloc_text(struct config_memory *m, struct str s);
struct config_memory *config_memory_of(struct config *c);
/* An empty config with one reference; NULL without memory. */
struct config *config_new(void);

/* A value of the file, independent of the library that read it. */
struct config_value {
    enum config_value_kind {
        VALUE_BOOL,
        VALUE_INT,
        VALUE_TEXT,
        VALUE_ITEMS,  /* texts */
        VALUE_FIELDS, /* named numbers */
        VALUE_OTHER
    } kind;
    int64_t number;
    const char *text;
    const struct config_value *items;
    size_t n_items;
    const char *name; /* within FIELDS */
};

/* Where values come from and where they go. */
struct config_reading {
    struct config_memory *memory;
    const char *folder; /* relative paths begin there */
    struct buf *error;  /* takes the sentence of -ERR_CONFIG */
};

/* Puts a value where the key's member is. 0; -ERR_CONFIG with a sentence; -ERR_NOMEM. */
int config_value_set(const struct config_key *k, void *base, const struct config_value *v,
                     const struct config_reading *r) NODISCARD;
/* The key's default, where it has one. */
int config_value_default(const struct config_key *k, void *base,
                         const struct config_reading *r) NODISCARD;
/* The defaults of all keys of a group and of the groups within. top: what elements of lists inherit
 * from; NULL = nothing. */
int config_group_default(const struct config_group *g, void *base, const struct config *top,
                         const struct config_reading *r) NODISCARD;

/* The value as it would stand in a file; nothing is appended for what is not set. */
int config_value_print(const struct config_key *k, const void *base, struct buf *out) NODISCARD;
/* The same without what must not be shown. */
int config_value_print_masked(const struct config_key *k, const void *base,
                              struct buf *out) NODISCARD;
/* An element of a list in one line without what its defaults say; secrets are masked. c: the config
 * that it belongs to. */
int config_group_print_line(const struct config *c, const struct config_key *list,
                            const void *element, struct buf *out) NODISCARD;
/* Appends a text in quotes, escaped for the file. */
int config_print_text(struct buf *out, const char *text) NODISCARD;

/* The text of a file with everything that it includes in place, and where each line came from. */
struct config_source {
    struct buf text;
    struct config_segment { /* lines from `first` on stand in `file` from `line` on */
        unsigned first;     /* 1.. */
        const char *file;
        unsigned line;
    } * segments;
    size_t n_segments;
    char **files; /* [0] = the one that was asked for */
    size_t n_files;
    char *folder; /* of that file: relative paths begin there */
};
/* Reads a file and its @include lines; what cannot be read or would harm the parser is a problem.
 * 0; -ERR_CONFIG with problems; -ERR_NOMEM. */
int config_source_read(const char *path, struct config_source *ret,
                       struct config_problems *problems) NODISCARD;
/* The same of a text that is at hand; it says that it comes from `name`, and includes nothing that
 * is not absolute. */
int config_source_text(const char *name, struct str text, struct config_source *ret,
                       struct config_problems *problems) NODISCARD;
void config_source_fini(struct config_source *s);
/* File (of s) and line there of a line of the text. */
void config_source_place(const struct config_source *s, unsigned line, const char **ret_file,
                         unsigned *ret_line);
/* The habit behind what libconfig only calls a "syntax error": a sentence in English without a full
 * stop, static; NULL when the line has none that is known. text: the whole file; line: from 1,
 * where the reader stopped. Any thread. */
const char *config_syntax_reason(struct str text, unsigned line);

/* Adds a problem; the text is formatted. Without memory the problem is lost, the failure is not. */
void config_problem_add(struct config_problems *p, const char *file, unsigned line, const char *key,
                        bool is_warning, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

struct config_places;

/* Fills in what depends on other keys or on the machine. places may be NULL. */
int config_complete(struct config *c, const struct config_places *places) NODISCARD;
/* Secret and password of the fleet out of the files, which it has read. 0; -ERR_CONFIG with a
 * sentence that begins with *ret_key (owned, static): nothing in c is to be used; -ERR_NOMEM. */
int config_fleet_derive(struct config *c, const char **ret_key, char **ret_error) NODISCARD;
/* References between parts, and with is_here what is named of this machine: files, users. Bears
 * what a broken file left NULL. */
void config_check(const struct config *c, const struct config_places *places, bool is_here,
                  struct config_problems *problems);
