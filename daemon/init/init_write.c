/* SPDX-License-Identifier: ISC */
/* The text of the first configuration. */
#include "init/init_write.h"

#include "config/config_key.h"
#include "proto/registry/registry.h"

/* A file being written; the first error stays. */
struct draft {
    const struct init_answers *a;
    struct buf *out;
    int err;
};

__attribute__((format(printf, 2, 3))) static void put(struct draft *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (d->err == 0)
        d->err = buf_vprintf(d->out, fmt, ap);
    va_end(ap);
}

/* before "key = " value in quotes after */
static void init_put_text(struct draft *d, const char *before, const char *value, const char *after)
{
    put(d, "%s", before);
    if (d->err == 0)
        d->err = config_print_text(d->out, value);
    put(d, "%s", after);
}

static void put_head(struct draft *d)
{
    const char *user = d->a->v[INIT_USER], *folder = d->a->v[INIT_FOLDER];
    put(d,
        "# Configuration of mailproxyd, begun by mailproxyd --init. It says what matters here; "
        "all\n"
        "# keys and their defaults are in mailproxy.conf(5).\n"
        "# After a change: mailproxyd -t checks it, mailproxyctl config reload takes it over.\n\n");
    init_put_text(d, "server_name = ", d->a->v[INIT_SERVER_NAME], ";  # in greetings\n");
    if (user)
        init_put_text(d, "user = ", user,
                      ";  # what the daemon becomes once it has its ports and keys\n");
    if (folder) {
        init_put_text(d,
                      "\n# The store, and the socket for mailproxyctl and mailproxy-tui (-s "
                      "FILE).\nstate_dir = ",
                      folder, ";\n");
        init_put_text(d, "run_dir = ", folder, ";\n");
    }
}

static void put_tls(struct draft *d)
{
    init_put_text(d,
                  "\n# What clients see. A renewed certificate is taken over by itself.\n"
                  "tls = {\n  certificates = (\n    { cert = ",
                  d->a->v[INIT_CERT], "; ");
    init_put_text(d, "key = ", d->a->v[INIT_KEY], "; }\n  );\n};\n");
}

/* ---- listeners ---- */

/* [ "0.0.0.0:993", "[::]:993" ] */
static void put_addresses(struct draft *d, unsigned port)
{
    struct str list = init_text(d->a, INIT_LISTEN), word;
    const char *before = "[ ";
    while (init_list_next(&list, &word)) {
        bool is_v6 = str_index(word, ':') >= 0 && word.p[0] != '[';
        put(d, "%s\"%s%.*s%s:%u\"", before, is_v6 ? "[" : "", STR_ARG(word), is_v6 ? "]" : "",
            port);
        before = ", ";
    }
    put(d, " ]");
}

static void put_listener(struct draft *d, const struct proto *p, bool is_implicit, bool *is_first)
{
    uint64_t offset = 0;
    const char *tls = is_implicit ? "implicit" : p->can_skip_login ? "required" : "starttls";
    const char *name = p->can_skip_login ? "submission" : p->name;
    d->err =
        d->err < 0 ? d->err : str_to_u64(init_text(d->a, INIT_PORT_OFFSET), UINT16_MAX, &offset);
    put(d, "%s  { name = \"%s%s\"; protocol = \"%s\"; tls = \"%s\";\n    address = ",
        *is_first ? "" : ",\n", name, is_implicit ? "s" : "", p->name, tls);
    put_addresses(d, (unsigned)offset + (is_implicit ? p->default_tls_port : p->default_port));
    put(d, "; }");
    *is_first = false;
}

static void put_listeners(struct draft *d)
{
    bool is_first = true;
    put(d, "\n# Where clients connect: with TLS from the first byte, or with STARTTLS, before "
           "which no\n"
           "# password is taken.\nlisteners = (\n");
    for (int i = 0; i < PROTO_COUNT; i++) {
        const struct proto *p = proto_get(i);
        if (!init_serves(d->a, i))
            continue;
        if (p->default_tls_port != p->default_port)
            put_listener(d, p, true, &is_first);
        put_listener(d, p, false, &is_first);
    }
    put(d, "\n);\n");
}

/* ---- who and where ---- */

static void put_auth(struct draft *d)
{
    const char *who = d->a->v[INIT_AUTH];
    bool is_users = str_eq(str_of(who), STR("users")),
         is_backend = str_eq(str_of(who), STR("backend"));
    put(d, "\n# Who judges names and passwords.\n");
    if (is_users)
        put(d, "auth = ( { type = \"users\"; } );  # mailproxyctl user add alice@example.org\n");
    else if (is_backend)
        put(d, "auth = ( { type = \"backend\"; } );  # the mail servers, at the login there\n");
    else
        init_put_text(d, "auth = ( { type = \"http\"; url = ", who,
                      "; } );  # NGINX's auth_http protocol\n");
}

static void put_backend(struct draft *d, const struct init_backend *b, unsigned number)
{
    bool has_ports = false;
    put(d, "%s      { name = \"b%u\"; host = \"%.*s\";", number > 1 ? ",\n" : "", number,
        STR_ARG(b->host));
    for (int i = 0; i < PROTO_COUNT; i++) {
        if (b->ports[i])
            put(d, "%s%s = %u;", has_ports ? " " : " ports = { ", proto_get(i)->name, b->ports[i]);
        has_ports = has_ports || b->ports[i];
    }
    put(d, "%s }", has_ports ? " };" : "");
}

static void put_backends(struct draft *d)
{
    struct str list = init_text(d->a, INIT_BACKENDS);
    struct init_backend b;
    unsigned number = 0;
    if (str_eq(list, STR("none"))) {
        put(d,
            "    # The auth server names the mail servers; this pool says how they are reached.\n");
        return;
    }
    put(d, "    # A user always goes to the same one while it is up. Without ports a server has "
           "the usual\n"
           "    # ones; with ports it speaks only what stands there.\n    backends = (\n");
    while (init_backend_next(&list, &b, NULL))
        put_backend(d, &b, ++number);
    put(d, "\n    );\n");
}

static void put_pool(struct draft *d)
{
    struct str tls = init_text(d->a, INIT_BACKEND_TLS), ca = init_text(d->a, INIT_BACKEND_CA);
    put(d, "\n# The mail servers.\npools = (\n  { name = \"main\";\n");
    put(d, "    tls = \"%.*s\";%s\n", STR_ARG(tls),
        str_eq(tls, STR("off")) ? "  # passwords go to them in clear" : "");
    if (str_eq(ca, STR("none")))
        put(d, "    verify = false;  # whoever stands between could read passwords: better a "
               "ca_file\n");
    else if (ca.n > 0 && !str_eq(ca, STR("system")))
        init_put_text(d, "    ca_file = ", d->a->v[INIT_BACKEND_CA],
                      ";  # who signed their certificates\n");
    bool is_submission_served = false;
    for (int i = 0; i < PROTO_COUNT; i++)
        is_submission_served =
            is_submission_served || (proto_get(i)->can_skip_login && init_serves(d->a, i));
    if (is_submission_served)
        put(d, "    smtp_auth = true;  # users log in at the SMTP servers, too\n");
    put_backends(d);
    put(d, "  }\n);\n");
}

int init_write(const struct init_answers *a, struct buf *out)
{
    struct draft d = {.a = a, .out = out};
    put_head(&d);
    put_tls(&d);
    put_listeners(&d);
    put_auth(&d);
    put_pool(&d);
    put(&d, "\n# Figures for Prometheus at /metrics, and /healthz and /readyz for load balancers.\n"
            "#metrics = { address = \"127.0.0.1:9143\"; };\n");
    return d.err;
}
