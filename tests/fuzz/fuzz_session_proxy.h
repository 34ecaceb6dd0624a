/* SPDX-License-Identifier: ISC */
/* The proxy of the session target: its listeners, pools and ways to authenticate. */
#pragma once

#include "base/cleanup.h"
#include "base/clock.h"
#include "fuzz_peer.h"
#include "session/session.h"

enum auth_kind { AUTH_BY_HTTP, AUTH_BY_BACKEND, AUTH_KINDS };

static struct peer_identity identity;
static struct snapshot *snapshots[AUTH_KINDS];

static const char config_text[] =
    "server_name = \"mx.example.test\";\n"
    "resolver = { enabled = false; };\n"
    "tls = { certificates = ( { cert = \"%s\"; key = \"%s\"; } ); client_auth = \"optional\";"
    " client_ca = \"%s\"; };\n"
    "listeners = (\n"
    "{ name = \"imap\"; protocol = \"imap\"; address = [ \"127.0.0.1:1\" ]; allow_plaintext = true;"
    " pool = \"clear\"; },\n"
    "{ name = \"imap-starttls\"; protocol = \"imap\"; address = [ \"127.0.0.1:2\" ];"
    " tls = \"starttls\"; pool = \"starttls\"; },\n"
    "{ name = \"imaps\"; protocol = \"imap\"; address = [ \"127.0.0.1:3\" ]; tls = \"implicit\";"
    " pool = \"implicit\"; mechanisms = [ \"COMMAND\", \"PLAIN\", \"LOGIN\", \"EXTERNAL\","
    " \"XOAUTH2\", \"OAUTHBEARER\" ]; },\n"
    "{ name = \"pop3\"; protocol = \"pop3\"; address = [ \"127.0.0.1:4\" ]; allow_plaintext = true;"
    " pool = \"clear\"; mechanisms = [ \"COMMAND\", \"PLAIN\", \"LOGIN\", \"CRAM-MD5\", \"APOP\" "
    "]; },\n"
    "{ name = \"pop3-required\"; protocol = \"pop3\"; address = [ \"127.0.0.1:5\" ];"
    " tls = \"required\"; pool = \"starttls\"; },\n"
    "{ name = \"smtp\"; protocol = \"smtp\"; address = [ \"127.0.0.1:6\" ]; allow_plaintext = true;"
    " pool = \"clear\"; },\n"
    "{ name = \"smtp-mx\"; protocol = \"smtp\"; address = [ \"127.0.0.1:7\" ]; auth = \"none\";"
    " tls = \"starttls\"; pool = \"starttls\"; greeting_delay = \"1s\"; },\n"
    "{ name = \"sieve\"; protocol = \"sieve\"; address = [ \"127.0.0.1:8\" ]; allow_plaintext = "
    "true;"
    " pool = \"clear\"; },\n"
    "{ name = \"sieve-tls\"; protocol = \"sieve\"; address = [ \"127.0.0.1:9\" ];"
    " tls = \"required\"; pool = \"starttls\"; },\n"
    "{ name = \"imap-proxied\"; protocol = \"imap\"; address = [ \"127.0.0.1:10\" ];"
    " allow_plaintext = true; pool = \"clear\"; proxy_protocol = [ \"192.0.2.0/24\" ]; });\n"
    "pools = (\n"
    "{ name = \"clear\"; tls = \"off\"; pass_error = true; max_tries = 2;"
    " forward = [ \"id\", \"xclient\" ]; backends = ("
    " { name = \"a\"; host = \"127.0.0.1\"; },"
    " { name = \"b\"; host = \"127.0.0.2\"; }); },\n"
    "{ name = \"starttls\"; tls = \"starttls\"; verify = false; smtp_auth = true;"
    " backends = ( { name = \"c\"; host = \"127.0.1.1\"; }); },\n"
    "{ name = \"implicit\"; tls = \"implicit\"; verify = false; forward = [ \"proxy-v2\" ];"
    " backends = ( { name = \"d\"; host = \"127.0.1.2\"; }); });\n";

static const char *const auth_texts[AUTH_KINDS] = {
    "auth = ( { type = \"http\"; url = \"http://unix:/auth:/\"; cache = \"10s\"; } );\n",
    "auth = ( { type = \"backend\"; } );\n"};

static inline void config_say(const struct config_problems *problems)
{
    AUTO_BUF text = BUF_INIT;
    FUZZ_CHECK(config_problems_format(problems, &text) == 0);
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&text)));
}

static inline struct snapshot *make_snapshot(enum auth_kind kind)
{
    char path[64];
    struct config *c = NULL;
    struct config_problems problems = {0};
    struct backend_registry *registry;
    struct pools *pools;
    struct snapshot *snapshot;
    AUTO_FREE char *error = NULL;
    FILE *f = NULL;
    int fd = memfd_create("config", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && (f = fdopen(fd, "w")));
    fprintf(f, config_text, identity.cert_path, identity.key_path, identity.cert_path);
    fputs(auth_texts[kind], f);
    fflush(f);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (config_load(path, &c, &problems) < 0)
        config_say(&problems);
    FUZZ_CHECK(c);
    config_problems_fini(&problems);
    fclose(f);
    FUZZ_CHECK(backend_registry_new(&registry) == 0);
    FUZZ_CHECK(pools_build(config_ref(c), NULL, 0, registry, &pools, &error) == 0);
    FUZZ_CHECK(snapshot_new(c, pools, NULL, &snapshot, &error) == 0);
    backend_registry_free(registry);
    return snapshot;
}

static inline void prepare(void)
{
    if (snapshots[0])
        return;
    (void)!log_configure(NULL, 0, NULL);
    peer_identity_init(&identity);
    for (int i = 0; i < AUTH_KINDS; i++)
        snapshots[i] = make_snapshot((enum auth_kind)i);
}

/* Nothing of the run before: what it found out about servers is theirs no more. */
static inline void reset_backends(struct pools *pools)
{
    for (size_t i = 0; i < pools->n; i++)
        for (size_t j = 0; j < pools->v[i].n_members; j++) {
            struct backend *b = pools->v[i].members[j].backend;
            (void)backend_set_health(b, BACKEND_UNKNOWN, clock_ms(), clock_wall_ms(), NULL);
            b->failures_in_row = 0;
            b->failed_user = 0;
            FUZZ_CHECK(b->sessions == 0);
        }
}
