/* SPDX-License-Identifier: ISC */
/* The key table, expanded from keys.def, and its documentation. */
#include "config/config_key.h"

#include "base/cleanup.h"

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
static const struct config_word config_words_balances[] = {{"user", BALANCE_USER},
                                                          {"least", BALANCE_LEAST},
                                                          {"round-robin", BALANCE_ROUND_ROBIN},
                                                          {0}};
static const struct config_word config_words_back_tls[] = {{"off", BACK_TLS_OFF},
                                                          {"starttls", BACK_TLS_STARTTLS},
                                                          {"implicit", BACK_TLS_IMPLICIT},
                                                          {0}};
static const struct config_word config_words_forwards[] = {{"off", FORWARD_OFF},
                                                          {"id", FORWARD_ID},
                                                          {"xclient", FORWARD_XCLIENT},
                                                          {"xclient-forced", FORWARD_XCLIENT_FORCED},
                                                          {"proxy-v1", FORWARD_PROXY_V1},
                                                          {"proxy-v2", FORWARD_PROXY_V2},
                                                          {0}};

/* The struct of the group at hand has one name for the rows of KEY, LIST and PART. */
#define CONFIG_LIVE_ CONFIG_LIVE
#define CONFIG_NEW_ CONFIG_NEW_SESSIONS
#define CONFIG_RESTART_ CONFIG_RESTART
#define NEEDED CONFIG_KEY_NEEDED
#define SECRET CONFIG_KEY_SECRET
#define TYPE_TEXT CONFIG_TEXT
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

/* Inside of GROUP ... END the rows say `row` for the struct of their group: a function per group gives it that meaning and fills the table that is returned. */
#define GROUP(id, struct_)                                                                         \
    extern const struct config_group config_group_##id;                                            \
    static const struct config_key *config_rows_##id(size_t *ret_n)                                \
    {                                                                                              \
        typedef struct_ row;                                                                       \
        static const struct config_key rows[] = {
#define KEY(name_, type_, member, fallback_, min_, max_, effect_, flags_, text_)                   \
    {.name = #name_,                                                                               \
     .offset = offsetof(row, member),                                                              \
     .size = sizeof(((row *)0)->member),                                                           \
     .fallback = fallback_,                                                                        \
     .min = min_,                                                                                  \
     .max = max_,                                                                                  \
     .effect = CONFIG_##effect_##_,                                                                \
     .flags = flags_,                                                                              \
     .text = text_,                                                                                \
     .type = TYPE_##type_},
static const char *const config_effects[] = {
    [CONFIG_LIVE] = "live", [CONFIG_NEW_SESSIONS] = "new sessions", [CONFIG_RESTART] = "restart"};

static const char *const config_types[] = {
    [CONFIG_TEXT] = "text",         [CONFIG_PATH] = "path",   [CONFIG_BOOL] = "boolean",
    [CONFIG_NUMBER] = "number",     [CONFIG_DURATION] = "duration", [CONFIG_SIZE] = "size",
    [CONFIG_MODE] = "file mode",    [CONFIG_TEXTS] = "texts", [CONFIG_NETS] = "networks",
    [CONFIG_PROTO] = "protocol",    [CONFIG_MECHS] = "mechanisms", [CONFIG_PORTS] = "ports",
    [CONFIG_WORD] = "word",         [CONFIG_WORDS] = "words", [CONFIG_PART] = "group",
    [CONFIG_LIST] = "list of groups",
};

const struct config_key *config_key_find(const struct config_group *g, const char *name)
{
    for (size_t i = 0; i < g->n_keys; i++)
        if (strcmp(g->keys[i].name, name) == 0)
            return &g->keys[i];
    return NULL;
}

const char *config_key_nearest(const struct config_group *g, const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (; n < g->n_keys && n < ARRAY_LEN(names); n++)
        names[n] = g->keys[n].name;
    return str_nearest(name, names, n);
}
