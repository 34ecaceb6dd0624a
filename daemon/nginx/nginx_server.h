/* SPDX-License-Identifier: ISC */
/* What a server of nginx becomes: settings of our file, each with the directive it comes from. */
#pragma once

#include "nginx/nginx_tree.h"
#include "proto/registry/registry.h"

/* Where a setting belongs. */
enum nginx_group {
    NGINX_OF_TOP, /* the whole daemon */
    NGINX_OF_ALL, /* at the top where all servers agree, else in each listener: "timeouts.tls" */
    NGINX_OF_LISTENER, /* each listener of the server */
    NGINX_OF_TLS,      /* tls, or tls_options of the listeners */
    NGINX_OF_POOL,
    NGINX_OF_AUTH, /* the auth server */
    NGINX_GROUP_COUNT
};

/* One line of our file. */
struct nginx_setting {
    char *key;   /* "timeouts.preauth" */
    char *value; /* as in the file: "\"60s\"" */
    char *from;  /* "timeout, nginx.conf:12"; NULL = nothing to say */
};
struct nginx_settings {
    struct nginx_setting *v;
    size_t n;
};
void nginx_settings_fini(struct nginx_settings *s);
/* Sets a key, or replaces its value and adds to where it comes from. -ERR_NOMEM. */
int nginx_settings_set(struct nginx_settings *s, const char *key, const char *value,
                       const char *from) NODISCARD;
/* NULL when it is not set. */
const struct nginx_setting *nginx_settings_find(const struct nginx_settings *s, const char *key);
void nginx_settings_drop(struct nginx_settings *s, const char *key);
/* Same keys with the same values? Where they come from may differ. */
bool nginx_settings_eq(const struct nginx_settings *a, const struct nginx_settings *b);

/* Addresses of a server whose sockets are alike: one listener of ours. */
struct nginx_listener {
    struct nginx_settings settings; /* of the sockets */
    char *addresses;                /* a list, as in the file */
    char *from;
    char *name;
    bool is_tls;  /* from the first byte */
    bool has_tls; /* or by STARTTLS */
    bool has_proxy_header;
    int v6_only; /* -1 = has no IPv6 address */
    unsigned port;
};

struct nginx_server {
    unsigned logs; /* bit i: logs[i] of the import is one of its own */
    struct nginx_directive *block;
    const struct proto *proto; /* NULL = unknown as yet */
    struct nginx_settings groups[NGINX_GROUP_COUNT];
    struct nginx_listener *listeners;
    size_t n_listeners;
    const char *pool, *auth;       /* names, borrowed from the import */
    struct nginx_directive **kept; /* borrowed: those that mean something together with others */
    size_t n_kept;
    char *networks; /* of set_real_ip_from, a list, or NULL */
    char *networks_from;
    bool is_old_ssl_on; /* "ssl on" */
    bool has_tls;       /* any of its listeners */
};

/* All that is known of an import. */
struct nginx_import {
    struct nginx_directive *root;
    const char *folder;             /* of the main file */
    struct nginx_settings top, tls; /* of the whole file */
    struct nginx_settings *logs;    /* each an element of log */
    size_t n_logs;
    unsigned outer_logs; /* bit i: logs[i] stands outside the servers */
    struct nginx_server *servers;
    size_t n_servers;
    struct nginx_named {
        char *name;
        struct nginx_settings settings;
    } * pools, *auths;
    size_t n_pools, n_auths;
    struct nginx_directive **defaults; /* nginx's, owned: servers borrow them */
    size_t n_defaults;
    size_t n_addresses; /* of all servers */
    struct buf *error;
};

/* A configuration error at a directive: -ERR_CONFIG, or -ERR_NOMEM. */
int nginx_fail(struct nginx_import *im, const struct nginx_directive *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "timeout, nginx.conf:12" (the file as seen from the folder of the main one), or "nginx's default:
 * timeout 60s". Owned; NULL without memory. */
char *nginx_origin(const struct nginx_import *im, const struct nginx_directive *d);
/* Where two directives come from: "listen, nginx.conf:3, 4; protocol, nginx.conf:5". Owned; NULL
 * without memory. */
char *nginx_origins(const char *a, const char *b);
/* The path of a file that nginx.conf names. Owned. */
char *nginx_path(const struct nginx_import *im, const char *name);
