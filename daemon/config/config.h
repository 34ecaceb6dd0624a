/* SPDX-License-Identifier: ISC */
/* The configuration: one immutable, reference-counted snapshot of the file, with every default
 * filled in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log/log.h"
#include "base/os/files.h"
#include "io/redis/redis.h"
#include "io/resolver.h"
#include "io/tls/tls.h"
#include "proto/back.h"
#include "proto/proto.h"

/* Strings are NUL-terminated, never NULL unless the comment says so; owned by the config. Durations
 * are in ms, sizes in bytes; 0 = off where allowed. */

/* A NULL-terminated array of strings with its length. */
struct config_strings {
    const char **v;
    size_t n;
};

struct config_nets {
    struct addr_net *v;
    size_t n;
};

struct config_tls { /* a `tls` group: top level default, or of one listener */
    struct config_tls_cert {
        const char *cert, *key;
        const char *ocsp; /* NULL */
    } * certs;
    size_t n_certs;
    const char *directory;     /* NULL; of the whole daemon: only that of the top level counts */
    unsigned directory_cache;  /* certificates of it that are kept in memory; the same */
    const char *password_file; /* NULL */
    const char *priority;      /* NULL = built-in */
    bool is_key_process;       /* of the whole daemon: only that of the top level counts */
    bool is_watched;           /* the same: files are read again when they change */
    bool has_tickets;
    uint64_t session_timeout_ms;
    const char *ticket_key; /* NULL */
    enum tls_client_auth client_auth;
    const char *client_ca, *client_crl; /* NULL */
    unsigned verify_depth;
    const char *dh_params; /* NULL */
};

enum { CONFIG_AUTHS_MAX = 64 }; /* providers */

enum config_listener_tls {
    LISTENER_TLS_OFF,
    LISTENER_TLS_STARTTLS,
    LISTENER_TLS_REQUIRED,
    LISTENER_TLS_IMPLICIT
};

struct config_timeouts {
    uint64_t proxy_header_ms, tls_ms, preauth_ms, command_ms, auth_ms, connect_ms, login_ms,
        relay_idle_ms, hold_ms, failure_delay_ms, closing_ms;
};

struct config_resolver {
    struct config_strings name_servers;
    uint64_t timeout_ms, valid_ms;
    bool is_on, is_case_random, is_ipv4_off, is_ipv6_off;
};

/* What a listener inherits where it says nothing: members are never unset. */
struct config_listener_limits {
    uint64_t line_bytes, literal_bytes;
};

/* What is done with a false end of message data (enum watch_false_end). */
enum config_bare_newline {
    BARE_NEWLINE_UNSET, /* in the file */
    BARE_NEWLINE_PASS,
    BARE_NEWLINE_NORMALISE,
    BARE_NEWLINE_REJECT
};

struct config_listener {
    const char *name;
    const struct proto *proto;
    struct config_strings address; /* "0.0.0.0:143", "[::]:143", "unix:/run/x.sock" */
    int backlog;
    bool is_v6_only;
    enum config_listener_tls tls;
    struct config_tls tls_config;              /* own group or a copy of the default */
    struct config_nets proxy_protocol;         /* peers that must send a PROXY header; n 0 = none */
    struct config_nets proxy_protocol_trusted; /* those of them whose header is believed; v NULL =
                                                  all, else n 0 = none */
    unsigned mechanisms;        /* SASL_BIT mask, SASL_BIT_COMMAND, or SASL_BIT_NOTHING */
    unsigned hidden_mechanisms; /* the same: taken, though not announced */
    enum config_bare_newline bare_newline; /* never unset */
    bool is_external_any;  /* EXTERNAL without a certificate: the auth server decides */
    bool is_auth_optional; /* SMTP: auth = "none" or "optional" */
    bool allow_plaintext;
    struct config_strings capabilities; /* v NULL = built-in or learned; else n 0 = none */
    bool learn_capabilities;
    const char *greeting;       /* NULL */
    uint64_t greeting_delay_ms; /* SMTP */
    const char *pool;           /* NULL = by routes */
    struct config_strings providers;
    struct config_strings log; /* names of sinks; v NULL = those that are default */
    uint64_t provider_mask;    /* bit i: auths[i] is asked; derived */
    const char *server_name;
    unsigned max_errors, max_commands;
    struct config_timeouts timeouts;
    struct config_listener_limits limits;
    struct config_resolver resolver;
    size_t so_rcvbuf, so_sndbuf;
    bool so_keepalive;
    uint64_t keepalive_idle_ms, keepalive_interval_ms; /* whole seconds; 0 = the system's */
    unsigned keepalive_count;                          /* 0 = the system's */
    bool is_multipath;
};

/* How logins reach SMTP backends. */
enum config_smtp_auth {
    CONFIG_SMTP_AUTH_OFF, /* trust by XCLIENT LOGIN */
    CONFIG_SMTP_AUTH_ON,
    CONFIG_SMTP_AUTH_FORCED /* AUTH PLAIN even where the server announces no AUTH */
};

/* In a fleet: are all sessions of a user on one backend? */
enum config_affinity {
    AFFINITY_OFF,
    AFFINITY_PREFER, /* without the store as this node thinks best */
    AFFINITY_STRICT  /* without the store not at all */
};

enum config_balance { BALANCE_USER, BALANCE_LEAST, BALANCE_ROUND_ROBIN };
/* Bits: several may fit one pool. */
enum config_forward {
    FORWARD_OFF = 0,
    FORWARD_ID = 1,
    FORWARD_XCLIENT = 2,
    FORWARD_PROXY_V1 = 4,
    FORWARD_PROXY_V2 = 8,
    FORWARD_XCLIENT_FORCED = 16 /* although the server does not announce it */
};

/* Towards one backend: as its pool says, or as enum back_tls. */
enum config_backend_tls {
    BACKEND_TLS_POOL,
    BACKEND_TLS_OFF,
    BACKEND_TLS_STARTTLS,
    BACKEND_TLS_IMPLICIT
};

struct config_backend {
    const char *name;
    const char *host;            /* name, IP, or "unix:/path" */
    uint16_t ports[PROTO_COUNT]; /* 0 = the protocol's default for the TLS mode */
    enum config_backend_tls tls;
    unsigned weight;
    uint32_t max_sessions; /* 0 = no limit */
};

struct config_pool {
    const char *name;
    enum config_balance balance;
    enum back_tls tls;
    bool is_verified;
    const char *ca_file, *cert, *key, *priority; /* NULL */
    unsigned forward;                            /* FORWARD_ bits */
    enum config_smtp_auth smtp_auth;
    bool is_error_passed;             /* the backend's failure text reaches the client */
    const char *master_user;          /* NULL */
    const char *master_password_file; /* NULL */
    const char *source_address;       /* NULL */
    bool is_pipelining;
    unsigned max_tries;          /* backends tried for one login */
    unsigned warm;               /* connections kept ready: per worker, backend and protocol */
    bool are_pinned_users_moved; /* drained or full: pinned users go to another backend instead of
                                    waiting */
    enum config_affinity affinity;
    struct config_check {
        bool is_on;
        uint64_t interval_ms, timeout_ms;
        unsigned rise, fall;
        const char *user, *password_file; /* NULL = no test login */
    } check;
    uint64_t keepalive_ms; /* 0 = never */
    uint64_t slow_start_ms;
    uint64_t close_spread_ms; /* clients of a dead backend are closed over this time */
    struct config_backend *backends;
    size_t n_backends;
};

struct config_route {   /* all given conditions must match; NULL = any */
    const char *domain; /* of the user name, glob */
    const char *user;   /* glob */
    const char *listener;
    const struct proto *proto; /* NULL */
    const char *pool;
};

enum config_auth_type { AUTH_TYPE_USERS, AUTH_TYPE_HTTP, AUTH_TYPE_BACKEND };

struct config_auth {
    enum config_auth_type type;
    const char *name; /* NULL */
    uint64_t cache_ms;
    /* http */
    const char *url; /* NULL; "http://", "https://", with unix: "http://unix:/path:/uri" */
    uint64_t timeout_ms;
    struct config_strings headers; /* "Name: value" */
    bool is_client_cert_passed;
    const char *ca_file, *cert, *key; /* NULL */
    bool is_verified;
    unsigned connections; /* per worker */
};

struct config_control { /* one control socket */
    const char *path;
    unsigned mode;                                  /* file mode */
    const char *owner, *group;                      /* NULL */
    struct config_strings viewer, operator_, admin; /* "root", "1000", "@mailops", "*" */
    unsigned max_clients, admin_reserve;
};

struct config_log {
    const char *name; /* NULL = listeners cannot ask for it */
    bool is_default;  /* takes the lines of the daemon, and of listeners without log */
    enum log_target target;
    const char *path, *facility;
    const char *server; /* of syslog, NULL = the socket */
    const char *tag;
    bool has_hostname;
    enum log_level level;
    enum log_format format;
};

struct config_metrics {
    const char *address; /* NULL = off */
};

struct config_store {
    const char *type; /* "sqlite" */
    const char *path; /* file */
    uint64_t audit_age_ms;
};

struct config_limits {
    uint64_t sessions, sessions_per_user, sessions_per_ip, login_rate_per_minute, preauth_bytes;
    unsigned failures_before_delay, failures_before_ban, users_before_ban, passwords_before_delay;
    uint64_t ban_ms, failure_window_ms, spray_window_ms;
    uint64_t log_lines_per_minute, log_total_per_minute;
    struct config_nets trusted;
    uint64_t line_bytes, literal_bytes;
};

#define CONFIG_FLEET_SECRET_BYTES 32

/* Who checks backends. */
enum config_fleet_health { FLEET_HEALTH_OWN, FLEET_HEALTH_SHARED };

/* Several proxies over one Redis. */
struct config_fleet {
    const char *name; /* NULL = there is none, and nothing else here counts */
    struct config_strings servers;
    const char *sentinel;             /* NULL: servers are Redis itself */
    const char *user, *password_file; /* NULL */
    unsigned database;
    bool has_tls;
    const char *ca_file, *tls_name; /* NULL */
    const char *secret_file;
    uint64_t timeout_ms, retention_ms;
    uint64_t heartbeat_ms;
    bool ends_conflicts;
    bool has_users;   /* of the store, they are the same on all nodes */
    bool has_tickets; /* the secret of TLS tickets is one of all nodes */
    enum config_fleet_health health;
    /* derived from the files; wiped with the config */
    uint8_t secret[CONFIG_FLEET_SECRET_BYTES]; /* SHA-256 of secret_file */
    char *password;                            /* NULL = none */
};

struct config {
    unsigned refs;       /* atomic; use config_ref/config_unref */
    const char *path;    /* file it was read from */
    struct config *base; /* what it was derived from, one reference; NULL (config_pool.h) */
    struct files *files; /* contents of the files that it names, as they were then; NULL = none */
    const char *server_name;
    const char *node; /* name of this proxy in listings */
    unsigned workers; /* 0 in the file = CPUs: filled in here */
    unsigned auth_threads;
    const char *user, *group; /* NULL = stay */
    const char *state_dir, *run_dir;
    uint64_t shutdown_timeout_ms;       /* SIGTERM: each session gets this long to end */
    uint64_t shutdown_rate;             /* sessions ended a second; 0 = all at once */
    uint64_t reload_session_timeout_ms; /* 0 = sessions of an old config live on */
    unsigned max_errors, max_commands;
    struct config_log *logs;
    size_t n_logs;
    struct config_metrics metrics;
    struct config_control *controls;
    size_t n_controls;
    struct config_store store;
    struct config_tls tls;
    struct config_auth *auths;
    size_t n_auths;
    struct config_limits limits;
    struct config_timeouts timeouts;
    struct config_resolver resolver;
    struct config_listener *listeners;
    size_t n_listeners;
    struct config_pool *pools;
    size_t n_pools;
    const struct config_pool *no_pool; /* the defaults: for what is in no pool when there is none */
    struct config_route *routes;
    size_t n_routes;
    struct config_fleet fleet;
};

/* One problem of a file. */
struct config_problem {
    char *file;
    unsigned line; /* 0 = unknown */
    char *key;     /* path of the key, "listeners[0].tls" */
    char *text;    /* sentence, with the nearest known key where that helps */
    bool is_warning;
};
struct config_problems {
    struct config_problem *v;
    size_t n;
};
void config_problems_fini(struct config_problems *p);
/* "file:line: key: text\n" for each. */
int config_problems_format(const struct config_problems *p, struct buf *out) NODISCARD;
/* Writes them to standard error and frees them. */
void config_problems_say(struct config_problems *p);
/* Logs each warning among them as an event of its own ("config-warning"). Thread: any. */
void config_problems_log(const struct config_problems *p);

/* Reads and checks a file: syntax, unknown keys, types, ranges, and references between parts (pools
 * that routes name, duplicate names and addresses, missing certificates, unreadable files). ALL
 * problems are collected. 0 with *ret (one reference), or -ERR_CONFIG; problems may hold warnings
 * in both cases. Thread: any (blocking file access). */
int config_load(const char *path, struct config **ret,
                struct config_problems *ret_problems) NODISCARD;
/* The same for a text that was printed from a config (config_dump with secrets), which says that it
 * comes from the file `name`; `files` has the contents of what it names. The machine's own files
 * and users are not looked at: whoever read the file has done so. */
int config_load_text(const char *name, struct str text, struct files *files, struct config **ret,
                     struct config_problems *ret_problems) NODISCARD;
struct config *config_ref(struct config *c);
void config_unref(struct config *c);

/* Loads the credentials of a listener, or those towards the backends of a pool with TLS. Errors as
 * of tls_server_new and tls_client_new. files: of the config. */
int config_tls_server(const struct config_tls *c, struct files *files, struct tls_server **ret,
                      char **ret_error) NODISCARD;
int config_tls_client(const struct config_pool *c, struct files *files, struct tls_client **ret,
                      char **ret_error) NODISCARD;
/* The same for an auth server; *ret is NULL when it is reached without TLS. */
int config_tls_auth(const struct config_auth *c, struct files *files, struct tls_client **ret,
                    char **ret_error) NODISCARD;

/* What a client of the fleet's Redis is made from, borrowed from the config; resolver, limits and
 * callbacks are the caller's. Only with a fleet. */
struct redis_spec config_fleet_spec(const struct config_fleet *f, struct tls_client *tls);
/* The credentials towards it; *ret is NULL when it is reached without TLS. files: of the config. */
int config_tls_fleet(const struct config_fleet *f, struct files *files, struct tls_client **ret,
                     char **ret_error) NODISCARD;
/* Would clients of both be made alike? Files are compared by their contents. */
bool config_fleet_is_alike(const struct config *a, const struct config *b);
/* A node is gone when it has said nothing for so long. */
static inline uint64_t config_fleet_lease_ms(const struct config_fleet *f)
{
    return 3 * f->heartbeat_ms;
}

/* What a resolver is made from; its name servers are the config's. */
struct resolver_spec config_resolver_spec(const struct config_resolver *c);

/* What is wrong with the host of a backend, as the end of a sentence that begins with it; static,
 * NULL = nothing. */
const char *config_host_fault(const char *host);
/* What a backend's mode means in its pool. */
enum back_tls config_backend_tls(const struct config_pool *pool, enum config_backend_tls t);
/* Is any backend of the file reached with TLS? */
bool config_pool_has_tls(const struct config_pool *pool);
/* config_load for a daemon that is to start from the file: root has to say which user it becomes.
 */
int config_load_to_start(const char *path, struct config **ret,
                         struct config_problems *ret_problems) NODISCARD;
/* Is it an address of many people (webmail, a UNIX socket), for which no limit per address holds?
 */
bool config_limits_trust(const struct config_limits *l, const struct addr *a);

/* Borrowed; NULL when no pool has that name. */
const struct config_pool *config_pool_find(const struct config *c, const char *name);
/* pool may be NULL. */
const struct config_backend *config_backend_find(const struct config_pool *pool, const char *name);
/* Index of the provider of that name; n_auths when there is none. */
size_t config_auth_find(const struct config *c, const char *name);
const struct config_listener *config_listener_find(const struct config *c, const char *name);

/* Is it what a pool may be called? 1 to 64 letters, digits, dots, hyphens, underscores. */
bool config_name_is_good(const char *name);

/* The words of the file for values; static. */
const char *config_balance_name(enum config_balance b);
const char *config_back_tls_name(enum back_tls t);
const char *config_backend_tls_name(enum config_backend_tls t);
/* -ERR_INVAL for an unknown word. */
int config_backend_tls_find(const char *word, enum config_backend_tls *ret) NODISCARD;
const char *config_listener_tls_name(enum config_listener_tls t);
const char *config_auth_type_name(enum config_auth_type t);

enum {
    CONFIG_DUMP_ONLY_SET = 1, /* leave out what a file without the key would have */
    CONFIG_DUMP_SECRETS = 2,  /* else they are masked: "X-Token: ***" */
};
/* Prints a config as a file that loads again to the same config. flags: CONFIG_DUMP_ bits. The
 * config may be a shallow copy with other members. Thread: any. */
int config_dump(const struct config *c, unsigned flags, struct buf *out) NODISCARD;

/* When a changed key takes effect. */
enum config_effect { CONFIG_LIVE, CONFIG_NEW_SESSIONS, CONFIG_RESTART };

/* "live", "new sessions", "restart"; static. */
const char *config_effect_name(enum config_effect e);

/* One difference between two configs: paths name list members by their name
 * ("pools[main].backends[b1].weight"). */
struct config_change {
    char *path, *old_value, *new_value; /* owned; NULL value = absent; secrets masked */
    enum config_effect effect;
};
struct config_changes {
    struct config_change *v;
    size_t n;
};
void config_changes_fini(struct config_changes *c);
int config_diff(const struct config *a, const struct config *b,
                struct config_changes *ret) NODISCARD;

/* For documentation: calls fn for each key of the key table in file order, groups before what is in
 * them. unit, default_text and range may be NULL; the effect of a group is "". */
struct config_key_doc {
    const char *path, *type, *unit, *default_text, *range, *effect, *text;
};
void config_each_key(void (*fn)(void *arg, const struct config_key_doc *doc), void *arg);
