/* SPDX-License-Identifier: ISC */
/* A TLS client that sends records which carry nothing, as fast as it can: what no TLS library of a
 * scripting language offers. Prints {"records": N, "seconds": S, "closed": true or false}.
 * usage: flood HOST PORT KIND SECONDS [LINE]   (LINE goes first, and its answer is waited for) */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define GATHER_BYTES                                                                               \
    65536 /* one send(2) has many records: the proxy must be slower than we are                    \
           */

struct flood {
    gnutls_session_t session;
    int fd;
    bool is_gathering, is_closed;
    char out[2 * GATHER_BYTES];
    size_t n_out;
    uint64_t records;
};

static const char LINE[] = "x NOOP\r\n";

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, int rc)
{
    fprintf(stderr, "flood: %s: %s\n", what, rc ? gnutls_strerror(rc) : strerror(errno));
    exit(1);
}

/* What the proxy says is thrown away as it is: a client that reads nothing would be held up. */
static void flush_out(struct flood *f)
{
    char trash[65536];
    for (size_t done = 0; done < f->n_out && !f->is_closed;) {
        ssize_t got = recv(f->fd, trash, sizeof(trash), MSG_DONTWAIT);
        ssize_t n = got == 0 ? -1 : send(f->fd, f->out + done, f->n_out - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            f->is_closed = true;
    }
    f->n_out = 0;
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t n)
{
    struct flood *f = ptr;
    if (!f->is_gathering)
        return send(f->fd, data, n, MSG_NOSIGNAL);
    if (n > sizeof(f->out) - f->n_out)
        flush_out(f);
    memcpy(f->out + f->n_out, data, n);
    f->n_out += n;
    if (f->n_out >= GATHER_BYTES)
        flush_out(f);
    return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t n)
{
    struct flood *f = ptr;
    return recv(f->fd, data, n, 0);
}

/* ---- the kinds ---- */

static int send_alert(struct flood *f)
{
    return gnutls_alert_send(f->session, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED);
}

static int send_empty(struct flood *f)
{
    return (int)gnutls_record_send2(f->session, "", 0, 1, 0);
}

static int send_byte(struct flood *f)
{
    return (int)gnutls_record_send(f->session, LINE + f->records % (sizeof(LINE) - 1), 1);
}

static int send_line(struct flood *f)
{
    return (int)gnutls_record_send(f->session, LINE, sizeof(LINE) - 1);
}

static int send_key_update(struct flood *f)
{
    return gnutls_session_key_update(f->session, GNUTLS_KU_PEER);
}

static const struct kind {
    const char *name, *priority;
    int (*send)(struct flood *f);
} kinds[] = {
    {"alerts", "NORMAL:-VERS-ALL:+VERS-TLS1.2", send_alert},
    {"alerts13", "NORMAL:-VERS-ALL:+VERS-TLS1.3", send_alert},
    {"empty", "NORMAL:-VERS-ALL:+VERS-TLS1.3", send_empty},
    {"bytes", "NORMAL:-VERS-ALL:+VERS-TLS1.2", send_byte},
    {"bytes13", "NORMAL:-VERS-ALL:+VERS-TLS1.3", send_byte},
    {"lines", "NORMAL:-VERS-ALL:+VERS-TLS1.3", send_line},
    {"key-updates", "NORMAL:-VERS-ALL:+VERS-TLS1.3", send_key_update},
};

static const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    fprintf(stderr, "flood: no such kind: %s\n", name);
    exit(2);
}

/* ---- the client ---- */

static int connect_to(const char *host, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        die("connect", 0);
    return fd;
}

static void secure(struct flood *f, const char *priority)
{
    static gnutls_certificate_credentials_t cred; /* none: nobody is verified */
    int rc = gnutls_certificate_allocate_credentials(&cred);
    if (rc == 0)
        rc = gnutls_init(&f->session, GNUTLS_CLIENT);
    if (rc == 0)
        rc = gnutls_priority_set_direct(f->session, priority, NULL);
    if (rc == 0)
        rc = gnutls_credentials_set(f->session, GNUTLS_CRD_CERTIFICATE, cred);
    if (rc != 0)
        die("set up TLS", rc);
    gnutls_transport_set_ptr(f->session, f);
    gnutls_transport_set_push_function(f->session, push);
    gnutls_transport_set_pull_function(f->session, pull);
    do
        rc = gnutls_handshake(f->session);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    if (rc < 0)
        die("handshake", rc);
}

/* Greeting, then the answer to the line. */
static void say(struct flood *f, const char *line)
{
    char text[4096];
    for (int i = 0; i < 2; i++) {
        ssize_t n;
        do
            n = gnutls_record_recv(f->session, text, sizeof(text));
        while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
        if (n <= 0)
            die("read", (int)n);
        if (i == 0 && (gnutls_record_send(f->session, line, strlen(line)) < 0 ||
                       gnutls_record_send(f->session, "\r\n", 2) < 0))
            die("write", GNUTLS_E_PUSH_ERROR);
        if (i == 1 && !strstr(text, "OK"))
            die("login", GNUTLS_E_INTERNAL_ERROR);
    }
}

int main(int argc, char **argv)
{
    static struct flood f;
    if (argc < 5) {
        fprintf(stderr, "usage: flood HOST PORT KIND SECONDS [LINE]\n");
        return 2;
    }
    const struct kind *kind = kind_find(argv[3]);
    signal(SIGPIPE, SIG_IGN);
    f.fd = connect_to(argv[1], argv[2]);
    secure(&f, kind->priority);
    if (argc > 5)
        say(&f, argv[5]);
    f.is_gathering = true;
    double start = now_s(), end = start + strtod(argv[4], NULL);
    while (!f.is_closed && now_s() < end)
        for (int i = 0; i < 256 && !f.is_closed; i++, f.records++) {
            int rc = kind->send(&f);
            if (rc < 0 && rc != GNUTLS_E_AGAIN && rc != GNUTLS_E_INTERRUPTED)
                die("send", rc);
        }
    printf("{\"records\": %llu, \"seconds\": %.3f, \"closed\": %s}\n",
           (unsigned long long)f.records, now_s() - start, f.is_closed ? "true" : "false");
    return 0;
}
