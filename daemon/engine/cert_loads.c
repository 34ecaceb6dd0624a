/* SPDX-License-Identifier: ISC */
/* A few words a second to the supervisor, and job threads that parse what comes back. */
#include "engine/cert_loads.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cert_days.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "base/record.h"
#include "config/config_directory.h"

#define LOADS_A_TICK 100 /* the supervisor ends an engine that says too much: WORDS_A_WINDOW */
#define LOADS_TICK_MS 250

struct cert_loads {
    struct cert_loads_spec spec;
    struct tls_certs *certs;
    struct loop_timer timer;
    uint64_t number;     /* of the content in force */
    bool is_decrypting;  /* see tls_pair_new */
    unsigned n_waiting;  /* that the supervisor was asked for and has not answered */
    uint64_t waiting_ms; /* when it answered last, or was asked first */
    unsigned n_said;     /* since said_ms */
    uint64_t said_ms;
};

/* ---- asking ---- */

static void loads_run(struct cert_loads *l)
{
    uint64_t now = loop_now_ms(l->spec.loop);
    uint32_t entry;
    if (l->n_waiting > 0 && now - l->waiting_ms >= TLS_CERTS_LOST_MS)
        l->n_waiting = 0; /* another program is the supervisor now */
    if (now - l->said_ms >= LOADS_TICK_MS) {
        l->said_ms = now;
        l->n_said = 0;
    }
    while (l->spec.wire >= 0 && l->n_waiting < WIRE_LOADS_MAX && l->n_said < LOADS_A_TICK &&
           tls_certs_next(l->certs, now, &entry)) {
        l->n_said++;
        l->waiting_ms = l->n_waiting > 0 ? l->waiting_ms : now;
        l->n_waiting += wire_tell(l->spec.wire, WIRE_LOAD, WIRE_LOAD_OF(l->number, entry)) == 0;
    }
    if (tls_certs_figures(l->certs).pending > 0)
        loop_timer_set(l->spec.loop, &l->timer, LOADS_TICK_MS);
}

static void on_cert_loads_tick(struct loop_timer *t)
{
    loads_run(CONTAINER_OF(t, struct cert_loads, timer));
}

struct wanted_mail {
    struct mail mail;
    struct cert_loads *loads;
};

static void on_wanted_mail(struct mail *m, void *owner)
{
    struct wanted_mail *w = CONTAINER_OF(m, struct wanted_mail, mail);
    (void)owner;
    loads_run(w->loads);
    free(w);
}

/* Thread: a worker. Without memory those who wait get the default certificate, and whoever comes
 * next asks again. */
static void on_wanted(void *arg)
{
    struct cert_loads *l = arg;
    struct wanted_mail *w = calloc(1, sizeof(*w));
    if (!w)
        return;
    w->mail.fn = on_wanted_mail;
    w->loads = l;
    mailbox_post(loop_mailbox(l->spec.loop), &w->mail);
}

/* ---- what comes back ---- */

struct loaded_job {
    struct job job;
    struct cert_loads *loads;
    struct tls_certs *certs;
    bool is_decrypting;
    int fd;
    struct buf refused; /* sentences, one a line */
};

static void loaded_refuse(struct loaded_job *j, struct str name, const char *file, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARN, "certificate-refused", KV_STRN("name", name), KV_STR("file", file),
              KV_STR("detail", why));
    (void)!buf_printf(&j->refused, "the certificate of %.*s cannot be used: %s: %s\n",
                      STR_ARG(name), file, why);
}

static void loaded_pair(struct loaded_job *j, const struct record *r, uint64_t version)
{
    char at[25];
    struct tls_pair *p = NULL;
    int err = tls_pair_new(r->v[2], r->v[3], j->is_decrypting, &p);
    if (err == 0) {
        int64_t ends = tls_pair_expires(p),
                days = cert_days(ends, (int64_t)(clock_wall_ms() / 1000));
        bool is_for = tls_pair_is_for(p, r->v[0]);
        clock_format(at, (uint64_t)(ends > 0 ? ends : 0) * 1000);
        LOG_EVENT(LOG_LEVEL_INFO, "certificate-loaded", KV_STRN("name", r->v[0]),
                  KV_STR("ends", ends > 0 ? at : NULL));
        if (!is_for)
            LOG_EVENT(LOG_LEVEL_WARN, "certificate-of-another-name", KV_STRN("name", r->v[0]));
        if (ends > 0 && days < CERT_DAYS_WARN)
            LOG_EVENT(LOG_LEVEL_WARN, days < 0 ? "certificate-ended" : "certificate-ends",
                      KV_STRN("name", r->v[0]), KV_STR("at", at), KV_I64("days", days));
    }
    if (tls_certs_put(j->certs, r->v[0], version, p, err, clock_ms()) && err < 0)
        loaded_refuse(j, r->v[0], "it", err_text(err));
}

static void loaded_bad(struct loaded_job *j, const struct record *r, uint64_t version)
{
    uint64_t number = 0;
    AUTO_FREE char *file = NULL;
    AUTO_FREE char *why = NULL;
    if (record_number(r, 2, ERR_COUNT - 1, &number) < 0 || record_text(r, 3, &file) < 0 ||
        record_text(r, 4, &why) < 0)
        return;
    if (tls_certs_put(j->certs, r->v[0], version, NULL, number ? -(int)number : -ERR_IO,
                      clock_ms()))
        loaded_refuse(j, r->v[0], file ? file : "", why ? why : "");
}

/* The last record of a reader that died may be cut off: its entry is asked for again. */
static void loaded_records(struct loaded_job *j, struct str records)
{
    struct record r;
    uint64_t version;
    while (record_next(&records, &r) == 0) {
        if (r.n < 4 || record_number(&r, 1, UINT64_MAX, &version) < 0)
            continue;
        if (r.kind == WIRE_LOADED_PAIR)
            loaded_pair(j, &r, version);
        else if (r.kind == WIRE_LOADED_BAD && r.n == 5)
            loaded_bad(j, &r, version);
    }
}

static void loaded_run(struct job *job)
{
    struct loaded_job *j = CONTAINER_OF(job, struct loaded_job, job);
    struct stat st;
    if (fstat(j->fd, &st) == 0 && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, j->fd, 0);
        if (p != MAP_FAILED) {
            (void)madvise(p, (size_t)st.st_size, MADV_DONTDUMP);
            loaded_records(j, str_n(p, (size_t)st.st_size));
            munmap(p, (size_t)st.st_size);
        }
    }
    tls_certs_wake(j->certs);
}

static void loaded_free(struct job *job)
{
    struct loaded_job *j = CONTAINER_OF(job, struct loaded_job, job);
    close(j->fd);
    buf_fini(&j->refused);
    free(j);
}

static void loaded_done(struct job *job, void *owner)
{
    struct loaded_job *j = CONTAINER_OF(job, struct loaded_job, job);
    struct cert_loads *l = j->loads;
    struct str rest = buf_str(&j->refused);
    (void)owner;
    while (rest.n > 0) {
        AUTO_FREE char *text = str_dup(str_cut(&rest, '\n'));
        if (text)
            l->spec.refused(l->spec.arg, text);
    }
    loaded_free(job);
    loads_run(l);
}

/* What is not taken here is asked for again by whoever waits longest. */
void cert_loads_hear(struct cert_loads *l, const struct wire_packet *p, const int *fds, size_t n)
{
    struct wire_loaded head;
    struct loaded_job *j = n == 1 && p->size == sizeof(head) ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        for (size_t i = 0; i < n; i++)
            close(fds[i]);
        return;
    }
    memcpy(&head, p->body, sizeof(head));
    l->n_waiting -= head.n < l->n_waiting ? head.n : l->n_waiting;
    l->waiting_ms = loop_now_ms(l->spec.loop);
    *j = (struct loaded_job){.job = {.reply = loop_mailbox(l->spec.loop),
                                     .run = loaded_run,
                                     .done = loaded_done,
                                     .drop = loaded_free},
                             .loads = l,
                             .certs = l->certs,
                             .is_decrypting = l->is_decrypting,
                             .fd = fds[0]};
    if (jobs_post(l->spec.jobs, &j->job) < 0)
        loaded_free(&j->job);
    loads_run(l);
}

/* ---- the configuration ---- */

void cert_loads_configure(struct cert_loads *l, const struct config *c, uint64_t number)
{
    struct tls_directory *d = NULL;
    int err = c->tls.directory ? tls_directory_new(config_directory(c), &d) : 0;
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "directory-not-read", KV_ERR("error", err));
    if (c->tls.is_key_process && number != l->number) /* another process has the keys from now on */
        tls_certs_forget(l->certs);
    l->number = number;
    l->is_decrypting = d && tls_priority_decrypts(c->tls.priority);
    for (size_t i = 0; d && i < c->n_listeners && !l->is_decrypting; i++)
        l->is_decrypting = tls_priority_decrypts(c->listeners[i].tls_config.priority);
    tls_certs_configure(l->certs, d, c->tls.directory_cache);
}

/* ---- life ---- */

struct tls_certs *cert_loads_certs(struct cert_loads *l)
{
    return l->certs;
}

int cert_loads_new(const struct cert_loads_spec *spec, struct cert_loads **ret)
{
    struct cert_loads *l = calloc(1, sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    l->spec = *spec;
    loop_timer_init(&l->timer, on_cert_loads_tick);
    int err = tls_certs_new(on_wanted, l, &l->certs);
    if (err < 0) {
        free(l);
        return err;
    }
    *ret = l;
    return 0;
}

void cert_loads_free(struct cert_loads *l)
{
    if (!l)
        return;
    loop_timer_cancel(l->spec.loop, &l->timer);
    tls_certs_free(l->certs);
    free(l);
}
