/* SPDX-License-Identifier: ISC */
/* What a name server answers: any bytes behind the number of the question, to lookups of names and
 * of addresses. Each query is answered once, with addresses or names that are such. */
#include "fuzz.h"
#include "io/resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* Sockets and timers of evdns: a run takes some hundred microseconds. */
const unsigned fuzz_replay_runs = 2000;

#define QUERIES 4
#define TURNS_MAX 60 /* a reverse lookup asks three times */
#define TURNS_LAST 6
#define PACKET_MAX 600

struct answers {
    unsigned n;
    bool is_reverse;
};

static void on_addrs(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct answers *a = arg;
    a->n++;
    FUZZ_CHECK(err == 0 ? n >= 1 && n <= 128 : err == -ERR_DNS || err == -ERR_TIMEOUT);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK((addrs[i].family == AF_INET || addrs[i].family == AF_INET6) &&
                   addrs[i].port == 0);
}

static void on_name(void *arg, int err, const char *name)
{
    struct answers *a = arg;
    a->n++;
    FUZZ_CHECK((err == 0) == (name != NULL));
    FUZZ_CHECK(err == 0 || err == -ERR_NOT_FOUND || err == -ERR_DNS || err == -ERR_TIMEOUT);
    for (const char *p = name; p && *p; p++)
        FUZZ_CHECK((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                   (*p >= '0' && *p <= '9') || *p == '.' || *p == '-');
    FUZZ_CHECK(!name || (name[0] && strlen(name) <= 253));
}

/* The server's answer to one question: its number, what follows in the input up to "==" (the rest
 * of the head), the question when the choice says so, and what follows up to the next "==". */
static void answer(int fd, struct str *in)
{
    unsigned char packet[PACKET_MAX], question[PACKET_MAX];
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t asked =
        recvfrom(fd, question, sizeof(question), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    if (asked < 12 || in->n == 0)
        return;
    unsigned how = fuzz_choice(in);
    struct str parts[3] = {fuzz_cut(in, STR("==")),
                           how & 1 ? str_n(question + 12, (size_t)asked - 12) : STR(""), STR_NULL};
    parts[2] = fuzz_cut(in, STR("=="));
    size_t n = 2;
    memcpy(packet, question, 2);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        struct str part = str_head(parts[i], sizeof(packet) - n);
        if (part.n)
            memcpy(packet + n, part.p, part.n);
        n += part.n;
    }
    for (unsigned i = 0; i < 1 + (how >> 4 & 1); i++) /* perhaps twice */
        (void)!sendto(fd, packet, n, MSG_DONTWAIT, (struct sockaddr *)&from, len);
}

/* Turns of a loop that never waits. */
struct turner {
    struct loop_deferred again;
    struct loop *loop;
    struct str *in;
    int fd;
    unsigned left;
};

static void on_turn(struct loop_deferred *d)
{
    struct turner *t = CONTAINER_OF(d, struct turner, again);
    answer(t->fd, t->in);
    if (t->in->n == 0 && t->left > TURNS_LAST) /* what was sent last is taken, too */
        t->left = TURNS_LAST;
    if (--t->left == 0)
        loop_stop(t->loop);
    else
        loop_again(t->loop, &t->again);
}

static void turns(struct loop *l, int fd, struct str *in)
{
    struct turner t = {.again = {.fn = on_turn}, .loop = l, .in = in, .fd = fd, .left = TURNS_MAX};
    list_init(&t.again.link);
    loop_again(l, &t.again);
    FUZZ_CHECK(loop_run(l) == 0);
    loop_undefer(&t.again);
}

static int server_open(char address[32])
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&sin, len) == 0);
    FUZZ_CHECK(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
    snprintf(address, 32, "127.0.0.1:%u", ntohs(sin.sin_port));
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.test", "b.test", "mail.a.test", "a.test"};
    struct str in = str_n(data, size);
    char address[32];
    const char *servers[] = {address, NULL};
    const struct resolver_spec spec = {.name_servers = servers, .timeout_ms = 60000};
    struct resolver_query *queries[QUERIES];
    struct answers answers[QUERIES] = {{0}};
    struct addr ip;
    struct loop *loop;
    struct resolver *r;
    AUTO_CLOSE int fd = server_open(address);
    FUZZ_CHECK(addr_parse(STR("192.0.2.7"), &ip) == 0);
    FUZZ_CHECK(loop_new(NULL, &loop) == 0 && resolver_new(loop, &spec, &r) == 0);
    unsigned how = fuzz_choice(&in);
    for (size_t i = 0; i < QUERIES; i++) {
        answers[i].is_reverse = how >> i & 1;
        queries[i] = answers[i].is_reverse ? resolver_reverse(r, &ip, on_name, &answers[i])
                                           : resolver_lookup(r, names[i], on_addrs, &answers[i]);
        FUZZ_CHECK(queries[i]);
    }
    turns(loop, fd, &in);
    for (size_t i = 0; i < QUERIES; i++) {
        FUZZ_CHECK(answers[i].n <= 1);
        if (answers[i].n == 0 && how >> 4 & 1)
            resolver_cancel(queries[i]);
    }
    unsigned before = answers[0].n + answers[1].n + answers[2].n + answers[3].n;
    resolver_free(r);
    turns(loop, fd, &in);
    FUZZ_CHECK(before == answers[0].n + answers[1].n + answers[2].n + answers[3].n);
    loop_free(loop);
    return 0;
}
