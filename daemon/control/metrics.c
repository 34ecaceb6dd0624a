/* SPDX-License-Identifier: ISC */
/* The metrics page: Prometheus' text format 0.0.4. */
#include "control/control.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "base/os/process.h"
#include "control/exposition.h"
#include "io/tls/tls_certs.h"
#include "ops/certificates.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "rpc/server.h"
#include "runtime/history/history.h"
#include "runtime/rules/limit_service.h"
#include "runtime/state.h"
#include "runtime/trouble.h"

/* ---- workers ---- */

static void exposition_counters(struct exposition *e, const struct engine_api *h)
{
    for (int which = 0; which < COUNTER_COUNT; which++) {
        const char *name = counter_name(which);
        bool is_gauge = counter_type(which) == COUNTER_IS_GAUGE;
        exposition_head(e, name, is_gauge ? "gauge" : "counter", counter_help(which));
        for (int p = 0; p < PROTO_COUNT; p++) {
            exposition_print(e, "%s{protocol=\"%s\"}", name, proto_get(p)->name);
            exposition_value(e, engine_api_counter(h, (unsigned)p, which), 1);
        }
    }
}

static void exposition_histogram(struct exposition *e, const struct engine_api *h,
                                 enum histogram which, enum proto_id p)
{
    const char *name = histogram_name(which), *proto = proto_get(p)->name;
    uint64_t n = 0, sum_us = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t bound = histogram_bound_us(bucket);
        for (size_t i = 0; i < h->n_workers; i++)
            n += histogram_bucket(&h->workers[i].counters->histograms[p][which], bucket);
        if (bound == UINT64_MAX)
            exposition_print(e, "%s_bucket{protocol=\"%s\",le=\"+Inf\"}", name, proto);
        else
            exposition_print(e, "%s_bucket{protocol=\"%s\",le=\"%g\"}", name, proto,
                             (double)bound / 1e6);
        exposition_value(e, n, 1);
    }
    for (size_t i = 0; i < h->n_workers; i++)
        sum_us += atomic_load_explicit(&h->workers[i].counters->histograms[p][which].sum_us,
                                       memory_order_relaxed);
    exposition_print(e, "%s_sum{protocol=\"%s\"}", name, proto);
    exposition_value(e, sum_us, 1000000);
    exposition_print(e, "%s_count{protocol=\"%s\"}", name, proto);
    exposition_value(e, n, 1);
}

static void exposition_histograms(struct exposition *e, const struct engine_api *h)
{
    for (int which = 0; which < HISTOGRAM_COUNT; which++) {
        exposition_head(e, histogram_name(which), "histogram", histogram_help(which));
        for (int p = 0; p < PROTO_COUNT; p++)
            exposition_histogram(e, h, which, p);
    }
}

/* ---- backends ---- */

#define BACKEND_VALUE(member)                                                                      \
    static uint64_t backend_value_##member(const struct backend *b)                                \
    {                                                                                              \
        return (uint64_t)atomic_load_explicit(&b->member, memory_order_relaxed);                   \
    }
BACKEND_VALUE(sessions)
BACKEND_VALUE(places)
BACKEND_VALUE(max_sessions)
BACKEND_VALUE(logins)
BACKEND_VALUE(login_failures)
BACKEND_VALUE(connect_failures)
BACKEND_VALUE(in_bytes)
BACKEND_VALUE(out_bytes)
BACKEND_VALUE(check_us)
BACKEND_VALUE(last_check_ms)

static uint64_t backend_value_cert_expires(const struct backend *b)
{
    return (uint64_t)backend_cert_expires(b);
}

static uint64_t backend_value_up(const struct backend *b)
{
    return atomic_load_explicit(&b->health, memory_order_relaxed) == BACKEND_UP;
}

static uint64_t backend_value_down(const struct backend *b)
{
    return atomic_load_explicit(&b->health, memory_order_relaxed) == BACKEND_DOWN;
}

static uint64_t backend_value_down_protocols(const struct backend *b)
{
    unsigned bits = atomic_load_explicit(&b->down_protocols, memory_order_relaxed);
    return (uint64_t)__builtin_popcount(bits);
}

static uint64_t backend_value_full(const struct backend *b)
{
    return backend_is_full(b);
}

static uint64_t backend_value_ready(const struct backend *b)
{
    return atomic_load_explicit(&b->admin, memory_order_relaxed) == BACKEND_READY;
}

static const struct backend_row {
    const char *name, *type, *help;
    uint64_t (*value)(const struct backend *b);
    uint64_t per;
    bool is_omitted_unknown; /* 0 means that nobody knows */
} backend_rows[] = {
    {"mailproxy_backend_up", "gauge", "Found up by checks and logins.", backend_value_up, 1, false},
    {"mailproxy_backend_down", "gauge", "Found down by checks and logins.", backend_value_down, 1,
     false},
    {"mailproxy_backend_down_protocols", "gauge",
     "How many protocols checks found down, also while others work.", backend_value_down_protocols,
     1, false},
    {"mailproxy_backend_ready", "gauge", "Not drained, disabled or held by an operator.",
     backend_value_ready, 1, false},
    {"mailproxy_backend_sessions", "gauge", "Sessions relayed now.", backend_value_sessions, 1,
     false},
    {"mailproxy_backend_places", "gauge", "Sessions and logins under way.", backend_value_places, 1,
     false},
    {"mailproxy_backend_max_sessions", "gauge", "Most of them; not there without a limit.",
     backend_value_max_sessions, 1, true},
    {"mailproxy_backend_full", "gauge", "Takes no more logins.", backend_value_full, 1, false},
    {"mailproxy_backend_logins_total", "counter", "Logins that succeeded.", backend_value_logins, 1,
     false},
    {"mailproxy_backend_login_failures_total", "counter", "Logins that failed after the connect.",
     backend_value_login_failures, 1, false},
    {"mailproxy_backend_connect_failures_total", "counter", "Connections that failed.",
     backend_value_connect_failures, 1, false},
    {"mailproxy_backend_client_received_bytes_total", "counter",
     "Bytes received from clients for the backend.", backend_value_in_bytes, 1, false},
    {"mailproxy_backend_client_sent_bytes_total", "counter",
     "Bytes of the backend sent to clients.", backend_value_out_bytes, 1, false},
    {"mailproxy_backend_check_duration_seconds", "gauge", "Duration of the last health check.",
     backend_value_check_us, 1000000, true},
    {"mailproxy_backend_check_timestamp_seconds", "gauge", "Time of the last health check.",
     backend_value_last_check_ms, 1000, true},
    {"mailproxy_backend_certificate_expiry_timestamp_seconds", "gauge",
     "End of the certificate that ends first, as checks saw it.", backend_value_cert_expires, 1,
     true},
};

static void exposition_backend_labels(struct exposition *e, const char *name,
                                      const struct backend *b)
{
    exposition_print(e, "%s{pool=\"", name);
    exposition_label(e, b->pool);
    exposition_put(e, STR("\",backend=\""));
    exposition_label(e, b->name);
    exposition_put(e, STR("\""));
}

static void exposition_admin(struct exposition *e, struct backend *const *v, size_t n)
{
    static const char name[] = "mailproxy_backend_admin_state";
    exposition_head(e, name, "gauge", "1 for the state that the operator set.");
    for (size_t i = 0; i < n; i++) {
        int now = atomic_load_explicit(&v[i]->admin, memory_order_relaxed);
        for (int state = 0; state < BACKEND_ADMIN_COUNT; state++) {
            exposition_backend_labels(e, name, v[i]);
            exposition_print(e, ",state=\"%s\"}", backend_admin_name(state));
            exposition_value(e, state == now, 1);
        }
    }
}

/* Durations of one backend's logins. */
static void exposition_backend_times(struct exposition *e, const char *name, const char *help,
                                     struct backend *const *v, size_t n,
                                     const struct latency *(*of)(const struct backend *b))
{
    AUTO_FREE char *bucket_name = str_printf("%s_bucket", name);
    AUTO_FREE char *sum_name = str_printf("%s_sum", name);
    AUTO_FREE char *count_name = str_printf("%s_count", name);
    if (!bucket_name || !sum_name || !count_name)
        e->err = -ERR_NOMEM;
    if (e->err < 0)
        return;
    exposition_head(e, name, "histogram", help);
    for (size_t i = 0; i < n; i++) {
        const struct latency *l = of(v[i]);
        uint64_t count = 0;
        for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
            uint64_t bound = histogram_bound_us(bucket);
            count += histogram_bucket(l, bucket);
            exposition_backend_labels(e, bucket_name, v[i]);
            if (bound == UINT64_MAX)
                exposition_put(e, STR(",le=\"+Inf\"}"));
            else
                exposition_print(e, ",le=\"%g\"}", (double)bound / 1e6);
            exposition_value(e, count, 1);
        }
        exposition_backend_labels(e, sum_name, v[i]);
        exposition_put(e, STR("}"));
        exposition_value(e, atomic_load_explicit(&l->sum_us, memory_order_relaxed), 1000000);
        exposition_backend_labels(e, count_name, v[i]);
        exposition_put(e, STR("}"));
        exposition_value(e, count, 1);
    }
}

static const struct latency *backend_login_times(const struct backend *b)
{
    return &b->login_times;
}

static const struct latency *backend_connect_times(const struct backend *b)
{
    return &b->connect_times;
}

/* All backends, each once; the array is owned, the backends are borrowed from snapshot and
 * dynamics.
 */
static struct backend **exposition_collect(const struct snapshot *snapshot,
                                           struct backend **dynamics, size_t n_dynamics,
                                           size_t *ret_n)
{
    size_t most = n_dynamics, n = 0;
    for (size_t i = 0; i < snapshot->pools->n; i++)
        most += snapshot->pools->v[i].n_members;
    struct backend **v = calloc(most + 1, sizeof(struct backend *));
    if (!v)
        return NULL;
    for (size_t i = 0; i < snapshot->pools->n; i++)
        for (size_t k = 0; k < snapshot->pools->v[i].n_members; k++)
            v[n++] = snapshot->pools->v[i].members[k].backend;
    for (size_t i = 0; i < n_dynamics; i++)
        v[n++] = dynamics[i];
    *ret_n = n;
    return v;
}

static void exposition_backends(struct exposition *e, struct control *c)
{
    struct backend **dynamics = NULL;
    size_t n_dynamics = 0, n = 0;
    if (e->err == 0)
        e->err = backend_registry_dynamics(c->host->registry, &dynamics, &n_dynamics);
    AUTO_FREE struct backend **v =
        exposition_collect(control_snapshot(c), dynamics, n_dynamics, &n);
    if (!v && e->err == 0)
        e->err = -ERR_NOMEM;
    for (size_t row = 0; row < ARRAY_LEN(backend_rows) && e->err == 0; row++) {
        const struct backend_row *r = &backend_rows[row];
        exposition_head(e, r->name, r->type, r->help);
        for (size_t i = 0; i < n; i++) {
            uint64_t value = r->value(v[i]);
            if (value == 0 && r->is_omitted_unknown)
                continue;
            exposition_backend_labels(e, r->name, v[i]);
            exposition_put(e, STR("}"));
            exposition_value(e, value, r->per);
        }
    }
    if (e->err == 0)
        exposition_admin(e, v, n);
    if (e->err == 0)
        exposition_backend_times(e, "mailproxy_server_login_duration_seconds",
                                 "From the connect to the answer, by backend.", v, n,
                                 backend_login_times);
    if (e->err == 0)
        exposition_backend_times(e, "mailproxy_server_connect_duration_seconds",
                                 "Until the connection stood, by backend.", v, n,
                                 backend_connect_times);
    for (size_t i = 0; i < n_dynamics; i++)
        backend_unref(dynamics[i]);
    free(dynamics);
}

/* ---- listeners ---- */

static void exposition_paused(struct exposition *e, const struct control *c)
{
    static const char name[] = "mailproxy_listener_paused";
    const struct snapshot *snapshot = control_snapshot(c);
    exposition_head(e, name, "gauge", "An operator stopped it from accepting.");
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        const char *listener = snapshot->listeners[i].config->name;
        exposition_print(e, "%s{listener=\"", name);
        exposition_label(e, listener);
        exposition_put(e, STR("\"}"));
        exposition_value(e, c->host->is_listener_paused(c->host->arg, listener), 1);
    }
}

static void exposition_listeners(struct exposition *e, const struct snapshot *snapshot)
{
    static const char name[] = "mailproxy_listener_certificate_expiry_timestamp_seconds";
    exposition_head(e, name, "gauge", "End of the certificate that ends first, as it was loaded.");
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        const struct snapshot_listener *l = &snapshot->listeners[i];
        const struct tls_cert_end *end = l->tls ? tls_server_first_end(l->tls) : NULL;
        if (!end)
            continue;
        exposition_print(e, "%s{listener=\"", name);
        exposition_label(e, l->config->name);
        exposition_put(e, STR("\"}"));
        exposition_value(e, (uint64_t)end->expires, 1);
    }
}

/* Only where there is a directory. */
static void exposition_directory(struct exposition *e, const struct control *c)
{
    if (!control_snapshot(c)->config->tls.directory)
        return;
    struct tls_certs_figures f = tls_certs_figures(c->host->certs);
    const struct {
        const char *name, *kind, *help;
        uint64_t value;
    } rows[] = {
        {"mailproxy_directory_certificates", "gauge", "Certificates in tls.directory.", f.names},
        {"mailproxy_directory_certificates_loaded", "gauge", "Those of them that are in memory.",
         f.loaded},
        {"mailproxy_directory_certificate_loads_total", "counter",
         "Times that one of them was loaded.", f.n_loads},
        {"mailproxy_directory_certificate_refusals_total", "counter",
         "Times that one of them could not be used.", f.n_refusals},
        {"mailproxy_directory_certificate_evictions_total", "counter",
         "Those that went for others: see tls.directory_cache.", f.n_evictions},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        exposition_single(e, rows[i].name, rows[i].kind, rows[i].help, rows[i].value, 1);
}

/* ---- limits ---- */

static void exposition_limits(struct exposition *e, const struct control *c)
{
    struct limit_service_figures f;
    limit_service_figures(c->limit_service, &f);
    exposition_single(e, "mailproxy_bans", "gauge", "Addresses, networks and users banned now.",
                      f.bans, 1);
    exposition_single(e, "mailproxy_automatic_bans_total", "counter",
                      "Bans for failed logins since the start.", f.bans_made, 1);
    exposition_single(e, "mailproxy_limit_overrides", "gauge", "Overrides of limits in force.",
                      f.overrides, 1);
    exposition_single(e, "mailproxy_limit_addresses", "gauge", "Addresses that are kept track of.",
                      f.sources, 1);
    exposition_single(e, "mailproxy_log_lines_left_out_total", "counter",
                      "Log lines about clients before their login that were left out.",
                      f.log_lines_left_out, 1);
    exposition_single(e, "mailproxy_limit_users", "gauge", "Users with sessions.", f.users, 1);
}

/* ---- the daemon ---- */

static void exposition_process(struct exposition *e, const struct control *c)
{
    struct process_figures f;
    process_measure(&f);
    exposition_single(e, "process_cpu_seconds_total", "counter",
                      "User and system CPU time of the engine.", f.cpu_us, 1000000);
    if (f.resident_bytes) {
        exposition_single(e, "process_resident_memory_bytes", "gauge", "Resident memory.",
                          f.resident_bytes, 1);
        exposition_single(e, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                          f.virtual_bytes, 1);
    }
    if (f.open_fds)
        exposition_single(e, "process_open_fds", "gauge", "Open file descriptors.", f.open_fds, 1);
    exposition_single(e, "process_max_fds", "gauge", "Most file descriptors.", f.max_fds, 1);
    exposition_single(e, "process_start_time_seconds", "gauge", "Start of the engine, Unix time.",
                      history_started_ms(c->history), 1000);
}

static void exposition_trouble(struct exposition *e, const struct control *c)
{
    static const char name[] = "mailproxy_trouble";
    const struct trouble_parts parts = trouble_parts(c->trouble);
    exposition_head(e, name, "gauge",
                    "What cannot be done at present although mail goes on, as system status says.");
    const struct {
        const char *name;
        bool is_there;
    } rows[] = {{"store", parts.store},
                {"log", parts.log},
                {"certificates", parts.certificates},
                {"fleet", parts.fleet}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        exposition_print(e, "%s{part=\"%s\"}", name, rows[i].name);
        exposition_value(e, rows[i].is_there, 1);
    }
}

static void exposition_daemon(struct exposition *e, const struct control *c)
{
    const struct engine_api *h = c->host;
    exposition_head(e, "mailproxy_build_info", "gauge", "1, with the version.");
    exposition_put(e, STR("mailproxy_build_info{version=\"" MAILPROXY_VERSION "\"} 1\n"));
    exposition_single(e, "mailproxy_engine_restarts_total", "counter",
                      "Engines that died before this one.", h->restarts, 1);
    exposition_single(e, "mailproxy_ready", "gauge", "New clients are welcome, as /readyz says.",
                      !control_unready(c), 1);
    exposition_trouble(e, c);
    metrics_fleet(e, c);
    exposition_single(e, "mailproxy_workers", "gauge", "Worker threads.", h->n_workers, 1);
    exposition_single(e, "mailproxy_config_generation", "gauge",
                      "How often the configuration was loaded.", control_snapshot(c)->generation,
                      1);
    struct certificates_figures certificates = certificates_figures(c->certificates);
    exposition_single(e, "mailproxy_certificate_loads_total", "counter",
                      "Times that certificates which changed on the disk were put in force.",
                      certificates.loaded, 1);
    exposition_single(e, "mailproxy_certificate_refusals_total", "counter",
                      "Times that some of them could not be used.", certificates.refused, 1);
    exposition_single(e, "mailproxy_control_clients", "gauge", "Clients of the control sockets.",
                      server_clients(c->server), 1);
    exposition_single(e, "mailproxy_jobs_pending", "gauge",
                      "Password hashes and store reads that wait or run.", jobs_pending(h->jobs),
                      1);
    exposition_single(e, "mailproxy_log_lines_dropped_total", "counter",
                      "Lines that a log did not take in time.", log_dropped(), 1);
}

int control_metrics(struct control *c, struct buf *out)
{
    struct exposition e = {.out = out};
    exposition_daemon(&e, c);
    exposition_process(&e, c);
    exposition_counters(&e, c->host);
    exposition_histograms(&e, c->host);
    exposition_limits(&e, c);
    exposition_paused(&e, c);
    exposition_listeners(&e, control_snapshot(c));
    exposition_directory(&e, c);
    exposition_backends(&e, c);
    return e.err;
}

void command_system_metrics(struct request *r)
{
    AUTO_BUF text = BUF_INIT;
    int err = control_metrics(request_control(r), &text);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
    else
        request_answer(r, json_pack("{s:o}", "text", request_json(buf_str(&text))));
}
