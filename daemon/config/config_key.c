/* SPDX-License-Identifier: ISC */
/* The key table, expanded from keys.def, and its documentation. */
#include "config/config_key.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/units.h"

static const struct config_word config_words_targets[] = {
    {"stderr", LOG_TARGET_STDERR}, {"file", LOG_TARGET_FILE}, {"syslog", LOG_TARGET_SYSLOG}, {0}};
static const struct config_word config_words_levels[] = {
    {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN},   {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG}, {0}};
static const struct config_word config_words_formats[] = {
    {"text", LOG_FORMAT_TEXT}, {"json", LOG_FORMAT_JSON}, {0}};
static const struct config_word config_words_client_auths[] = {
    {"off", TLS_CLIENT_AUTH_OFF},
    {"optional", TLS_CLIENT_AUTH_OPTIONAL},
    {"required", TLS_CLIENT_AUTH_REQUIRED},
    {"optional_no_ca", TLS_CLIENT_AUTH_OPTIONAL_NO_CA},
    {0}};
static const struct config_word config_words_auth_types[] = {
    {"users", AUTH_TYPE_USERS}, {"http", AUTH_TYPE_HTTP}, {"backend", AUTH_TYPE_BACKEND}, {0}};
static const struct config_word config_words_listener_tls[] = {{"off", LISTENER_TLS_OFF},
                                                               {"starttls", LISTENER_TLS_STARTTLS},
                                                               {"required", LISTENER_TLS_REQUIRED},
                                                               {"implicit", LISTENER_TLS_IMPLICIT},
                                                               {0}};
static const struct config_word config_words_listener_auth[] = {
    {"required", false}, {"none", true}, {"optional", true}, {0}};
static const struct config_word config_words_bare_newlines[] = {
    {"reject", BARE_NEWLINE_REJECT},
    {"normalise", BARE_NEWLINE_NORMALISE},
    {"pass", BARE_NEWLINE_PASS},
    {0}};
static const struct config_word config_words_externals[] = {
    {"certificate", false}, {"any", true}, {0}};
static const struct config_word config_words_smtp_auths[] = {{"off", CONFIG_SMTP_AUTH_OFF},
                                                             {"on", CONFIG_SMTP_AUTH_ON},
                                                             {"forced", CONFIG_SMTP_AUTH_FORCED},
                                                             {0}};
static const struct config_word config_words_balances[] = {
    {"user", BALANCE_USER}, {"least", BALANCE_LEAST}, {"round-robin", BALANCE_ROUND_ROBIN}, {0}};
static const struct config_word config_words_affinities[] = {
    {"off", AFFINITY_OFF}, {"prefer", AFFINITY_PREFER}, {"strict", AFFINITY_STRICT}, {0}};
static const struct config_word config_words_healths[] = {
    {"own", FLEET_HEALTH_OWN}, {"shared", FLEET_HEALTH_SHARED}, {0}};
static const struct config_word config_words_back_tls[] = {
    {"off", BACK_TLS_OFF}, {"starttls", BACK_TLS_STARTTLS}, {"implicit", BACK_TLS_IMPLICIT}, {0}};
static const struct config_word config_words_backend_tls[] = {{"pool", BACKEND_TLS_POOL},
                                                              {"off", BACKEND_TLS_OFF},
                                                              {"starttls", BACKEND_TLS_STARTTLS},
                                                              {"implicit", BACKEND_TLS_IMPLICIT},
                                                              {0}};
static const struct config_word config_words_forwards[] = {
    {"off", FORWARD_OFF},
    {"id", FORWARD_ID},
    {"xclient", FORWARD_XCLIENT},
    {"xclient-forced", FORWARD_XCLIENT_FORCED},
    {"proxy-v1", FORWARD_PROXY_V1},
    {"proxy-v2", FORWARD_PROXY_V2},
    {0}};

#define CONFIG_LIVE_ CONFIG_LIVE
#define CONFIG_NEW_ CONFIG_NEW_SESSIONS
#define CONFIG_RESTART_ CONFIG_RESTART
#define NEEDED CONFIG_KEY_NEEDED
#define SECRET CONFIG_KEY_SECRET
#define INPUT CONFIG_KEY_INPUT
#define INHERITED CONFIG_KEY_INHERITED
#define TYPE_TEXT CONFIG_TEXT
#define TYPE_NAME CONFIG_NAME
#define TYPE_PATH CONFIG_PATH
#define TYPE_BOOL CONFIG_BOOL
#define TYPE_NUMBER CONFIG_NUMBER
#define TYPE_DURATION CONFIG_DURATION
#define TYPE_SIZE CONFIG_SIZE
#define TYPE_MODE CONFIG_MODE
#define TYPE_TEXTS CONFIG_TEXTS
#define TYPE_NETS CONFIG_NETS
#define TYPE_PROTO CONFIG_PROTO
#define TYPE_MECHS CONFIG_MECHS
#define TYPE_PORTS CONFIG_PORTS
#define TYPE_WORD(table) CONFIG_WORD, .words = config_words_##table
#define TYPE_WORDS(table) CONFIG_WORDS, .words = config_words_##table

/* clang-format off */
/* GROUP ... END is one function, so that `row` can mean another struct in each. */
#define GROUP(id, struct_)                                                                         \
    const struct config_group *config_group_##id(void);                                            \
    const struct config_group *config_group_##id(void)                                             \
    {                                                                                              \
        typedef struct_ row;                                                                       \
        static const struct config_key keys[] = {
#define MEMBER(name_, member_)                                                                     \
    .name = #name_, .offset = offsetof(row, member_), .size = sizeof(((row *)NULL)->member_)
#define KEY(name_, type_, member_, fallback_, min_, max_, effect_, flags_, text_)                  \
            {MEMBER(name_, member_),                                                               \
             .fallback = fallback_,                                                                \
             .min = min_,                                                                          \
             .max = max_,                                                                          \
             .effect = CONFIG_##effect_##_,                                                        \
             .flags = flags_,                                                                      \
             .text = text_,                                                                        \
             .type = TYPE_##type_},
#define PART(name_, id_, member_, text_)                                                           \
            {MEMBER(name_, member_), .type = CONFIG_PART, .text = text_, .group = config_group_##id_},
#define PART_OF(name_, id_, member_, from_, text_)                                                 \
            {MEMBER(name_, member_),                                                               \
             .type = CONFIG_PART,                                                                  \
             .text = text_,                                                                        \
             .group = config_group_##id_,                                                          \
             .from = #from_},
#define LIST(name_, id_, member_, count_, text_)                                                   \
            {MEMBER(name_, member_),                                                               \
             .type = CONFIG_LIST,                                                                  \
             .count_offset = offsetof(row, count_),                                                \
             .text = text_,                                                                        \
             .group = config_group_##id_},
#define END                                                                                        \
        };                                                                                         \
        static const struct config_group group = {keys, ARRAY_LEN(keys), sizeof(row)};             \
        return &group;                                                                             \
    }
#include "config/keys.def"
/* clang-format on */

static const char *const config_effects[] = {
    [CONFIG_LIVE] = "live", [CONFIG_NEW_SESSIONS] = "new sessions", [CONFIG_RESTART] = "restart"};

static const char *const config_types[CONFIG_TYPE_COUNT] = {
    [CONFIG_TEXT] = "text",     [CONFIG_NAME] = "name",           [CONFIG_PATH] = "path",
    [CONFIG_BOOL] = "boolean",  [CONFIG_NUMBER] = "number",       [CONFIG_DURATION] = "duration",
    [CONFIG_SIZE] = "size",     [CONFIG_MODE] = "file mode",      [CONFIG_TEXTS] = "texts",
    [CONFIG_NETS] = "networks", [CONFIG_PROTO] = "protocol",      [CONFIG_MECHS] = "mechanisms",
    [CONFIG_PORTS] = "ports",   [CONFIG_WORD] = "word",           [CONFIG_WORDS] = "words",
    [CONFIG_PART] = "group",    [CONFIG_LIST] = "list of groups",
};

const struct config_key *config_key_find(const struct config_group *g, const char *name)
{
    for (size_t i = 0; i < g->n_keys; i++)
        if (strcmp(g->keys[i].name, name) == 0)
            return &g->keys[i];
    return NULL;
}

bool config_key_origin(const struct config_key *k, const struct config *top,
                       struct config_origin *ret)
{
    if (k->flags & CONFIG_KEY_INHERITED) {
        *ret = (struct config_origin){config_group_top(), top};
        return true;
    }
    if (!k->from)
        return false;
    const struct config_key *from = config_key_find(config_group_top(), k->from);
    *ret = (struct config_origin){from->group(), config_member_const(from, top)};
    return true;
}

const char *config_key_nearest(const struct config_group *g, const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (; n < g->n_keys && n < ARRAY_LEN(names); n++)
        names[n] = g->keys[n].name;
    return str_nearest(name, names, n);
}

/* Longest duration that is taken: sums with clock values stay far from overflow. */
#define KEY_DURATION_MAX (UINT64_C(36500) * 86400000)

uint64_t config_key_max(const struct config_key *k)
{
    uint64_t fits = k->size >= sizeof(uint64_t) ? INT64_MAX - 1
                    : k->size == sizeof(int)    ? INT32_MAX
                                                : (UINT64_C(1) << 8 * k->size) - 1;
    if (k->type == CONFIG_DURATION && fits > KEY_DURATION_MAX)
        fits = KEY_DURATION_MAX;
    return k->max && k->max < fits ? k->max : fits;
}

void config_key_format(const struct config_key *k, uint64_t v, char dst[32])
{
    if (k->type == CONFIG_DURATION)
        units_format_duration(dst, v);
    else if (k->type == CONFIG_SIZE)
        units_format_size(dst, v);
    else
        snprintf(dst, 32, k->type == CONFIG_MODE ? "%04" PRIo64 : "%" PRIu64, v);
}

bool config_list_has_names(const struct config_key *list)
{
    const struct config_key *first = &list->group()->keys[0];
    return first->type == CONFIG_NAME ||
           (first->type == CONFIG_PATH && first->flags & CONFIG_KEY_NEEDED);
}

/* ---- documentation ---- */

struct key_visit {
    void (*fn)(void *arg, const struct config_key_doc *doc);
    void *arg;
};

/* from: of the group that the key is in, NULL = it inherits nothing. */
static void key_tell(const struct key_visit *v, const struct config_key *k, const char *path,
                     const char *from)
{
    static const char *const units[CONFIG_TYPE_COUNT] = {
        [CONFIG_DURATION] = "ms s m h d", [CONFIG_SIZE] = "bytes, k m g", [CONFIG_MODE] = "octal"};
    char least[32], most[32], range[96] = "", as[64] = "";
    if (k->flags & CONFIG_KEY_INHERITED)
        (void)snprintf(as, sizeof(as), "as at the top level");
    else if (from && !(k->flags & CONFIG_KEY_NEEDED))
        (void)snprintf(as, sizeof(as), "as in %s", from);
    config_key_format(k, k->min, least);
    config_key_format(k, k->max, most);
    if (k->max)
        snprintf(range, sizeof(range), "%s to %s", least, most);
    else if (k->min)
        snprintf(range, sizeof(range), "at least %s", least);
    const struct config_key_doc doc = {
        .path = path,
        .type = config_types[k->type],
        .unit = units[k->type],
        .default_text = k->flags & CONFIG_KEY_NEEDED ? "none: it must be given"
                        : *as                        ? as
                                                     : k->fallback,
        .range = *range ? range : NULL,
        .effect = k->group ? "" : config_effects[k->effect],
        .text = k->text,
    };
    v->fn(v->arg, &doc);
}

static void key_visit_group(const struct key_visit *v, const struct config_group *g,
                            const char *path, const char *from)
{
    for (size_t i = 0; i < g->n_keys; i++) {
        const struct config_key *k = &g->keys[i];
        char at[256], within[264];
        (void)snprintf(at, sizeof(at), "%s%s", path, k->name);
        key_tell(v, k, at, from);
        if (!k->group)
            continue;
        (void)snprintf(within, sizeof(within), "%s%s.", at, k->type == CONFIG_LIST ? "[]" : "");
        key_visit_group(v, k->group(), within, k->from);
    }
}

void config_each_key(void (*fn)(void *arg, const struct config_key_doc *doc), void *arg)
{
    const struct key_visit v = {fn, arg};
    key_visit_group(&v, config_group_top(), "", NULL);
}

/* ---- words of values ---- */

static const char *config_word_of(const struct config_word *words, unsigned value)
{
    while (words->word && words->value != value)
        words++;
    return words->word ? words->word : "";
}

const char *config_balance_name(enum config_balance b)
{
    return config_word_of(config_words_balances, b);
}

const char *config_back_tls_name(enum back_tls t)
{
    return config_word_of(config_words_back_tls, t);
}

const char *config_backend_tls_name(enum config_backend_tls t)
{
    return config_word_of(config_words_backend_tls, t);
}

int config_backend_tls_find(const char *word, enum config_backend_tls *ret)
{
    for (const struct config_word *w = config_words_backend_tls; w->word; w++)
        if (strcmp(w->word, word) == 0) {
            *ret = (enum config_backend_tls)w->value;
            return 0;
        }
    return -ERR_INVAL;
}

const char *config_listener_tls_name(enum config_listener_tls t)
{
    return config_word_of(config_words_listener_tls, t);
}

const char *config_auth_type_name(enum config_auth_type t)
{
    return config_word_of(config_words_auth_types, t);
}

const char *config_effect_name(enum config_effect e)
{
    return config_effects[e];
}
