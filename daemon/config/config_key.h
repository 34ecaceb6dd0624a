/* SPDX-License-Identifier: ISC */
/* Inside of the config floor: the key table, and values on their way between file and struct. */
#pragma once

#include "config/config.h"

enum config_type {
    CONFIG_TEXT,
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
};

/* A word of the file and its value; tables end with a NULL word. */
struct config_word {
    const char *word;
    unsigned value;
};

enum { CONFIG_KEY_NEEDED = 1, CONFIG_KEY_SECRET = 2 };

struct config_group;

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset, size;  /* of the member */
    size_t count_offset;  /* CONFIG_LIST */
    const char *fallback; /* as in the file, NULL = none */
    uint64_t min, max;
    enum config_effect effect;
    unsigned flags;
    const char *text;
    const struct config_word *words;
    const struct config_group *group; /* PART and LIST */
};

struct config_group {
    const struct config_key *keys;
    size_t n_keys;
    size_t size; /* of the struct */
};

extern const struct config_group config_group_top, config_group_tls;
/* NULL when the group has no such key. */
const struct config_key *config_key_find(const struct config_group *g, const char *name);
/* Nearest key, NULL when none is near. */
const char *config_key_nearest(const struct config_group *g, const char *name);

/* Memory of one config: everything in it goes at once. */
struct config_memory;
void *config_alloc(struct config_memory *m, size_t n); /* zeroed; NULL without memory */
char *config_alloc_text(struct config_memory *m, struct str s);
struct config_memory *config_memory_of(struct config *c);
/* An empty config with one reference. */
struct config *config_new(void);

/* A value of the file, independent of the library that read it. */
struct config_value {
    enum config_value_kind { VALUE_BOOL, VALUE_INT, VALUE_TEXT, VALUE_ITEMS, VALUE_FIELDS, VALUE_OTHER } kind;
    int64_t number;
    const char *text;
    const struct config_value *items; /* ITEMS: texts; FIELDS: named numbers */
    size_t n_items;
    const char *name;                 /* within FIELDS */
};

/* Puts a value where the key's member is. folder: relative paths begin there. 0; -ERR_CONFIG with a sentence in error; -ERR_NOMEM. */
int config_value_set(const struct config_key *k, void *base, const struct config_value *v,
                     struct config_memory *m, const char *folder, struct buf *error) NODISCARD;
/* The key's default, where it has one. */
int config_value_default(const struct config_key *k, void *base, struct config_memory *m) NODISCARD;
/* The value as it would stand in a file; nothing is appended for what is not set. */
int config_value_print(const struct config_key *k, const void *base, struct buf *out) NODISCARD;
/* Is it what the default says? */
bool config_value_is_default(const struct config_key *k, const void *base);
/* Appends a text in quotes, escaped for the file. */
int config_print_text(struct buf *out, const char *text) NODISCARD;

/* Elements of a LIST. */
static inline size_t config_list_count(const struct config_key *k, const void *base)
{
    return *(const size_t *)((const char *)base + k->count_offset);
}
static inline const void *config_list_item(const struct config_key *k, const void *base, size_t i)
{
    const char *first = *(char *const *)((const char *)base + k->offset);
    return first + i * k->group->size;
}

/* Adds a problem; the text is formatted. Without memory the problem is lost, the failure is not. */
void config_problem_add(struct config_problems *p, const char *file, unsigned line, const char *key,
                        bool is_warning, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Where the parts of a config stand in its file, for checks that come later. */
struct config_places;
unsigned config_place_line(const struct config_places *p, const char *key, const char **ret_file);
/* Fills in what depends on other keys or on the machine (config_check.c). */
int config_complete(struct config *c) NODISCARD;
/* References between parts, and the files that are named. */
void config_check(const struct config *c, const struct config_places *places, struct config_problems *p);
