/* SPDX-License-Identifier: ISC */
/* What an engine says to its supervisor: packets of any size and words at any time, from any of the
 * three engines that there may be. None but the file's contents may come of it. */
#include "config/config.h"
#include "config/config_bundle.h"
#include "fuzz.h"
#include "supervisor/supervisor_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log/log.h"

/* No process has such a number: signals go nowhere, and nobody is waited for. */
#define NO_PID(i) (INT_MAX - (i))

enum { NOW, OLD, NEXT, ENGINES };

struct world {
    struct supervisor s;
    int ends[ENGINES]; /* the engines' */
};

static struct content *content_of(uint64_t number)
{
    static int bundle = -1;
    struct content *c = NULL;
    if (bundle < 0) {
        struct config *config = NULL;
        struct config_problems problems = {0};
        AUTO_BUF out = BUF_INIT;
        struct str text = STR("auth = ( { type = \"users\"; } ); control = ();");
        FUZZ_CHECK(config_load_text("fuzz", text, NULL, &config, &problems) == 0);
        FUZZ_CHECK(plan_append(config, &out) == 0 && content_memory(&bundle) == 0);
        FUZZ_CHECK(write(bundle, out.data + out.start, out.len) == (ssize_t)out.len);
        FUZZ_CHECK(content_new(fcntl(bundle, F_DUPFD_CLOEXEC, 0), -1, &c) == 0); /* seals it */
        content_unref(c);
        config_problems_fini(&problems);
        config_unref(config);
    }
    int fd = fcntl(bundle, F_DUPFD_CLOEXEC, 0);
    FUZZ_CHECK(fd >= 0 && content_adopt(fd, NULL, &c) == 0);
    c->number = number;
    c->plan.directory =
        (struct plan_directory){.path = str_dup(STR("/nonexistent")),
                                .listing = str_dup(STR("a.test 0000000000000001 p\n")),
                                .n_bytes = 26,
                                .n = 1};
    return c;
}

static void engine_init(struct world *w, int i, struct engine_process *p, bool is_ready)
{
    int ends[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    *p = (struct engine_process){
        .pid = NO_PID(i), .wire = ends[0], .number = (uint64_t)i + 1, .is_ready = is_ready};
    w->ends[i] = ends[1];
}

/* How far everything is before the first word: bits of the choice. */
static void world_init(struct world *w, unsigned how)
{
    struct supervisor *s = &w->s;
    *w = (struct world){.s = {.config_path = "/nonexistent",
                              .signal_fd = -1,
                              .last_number = 9,
                              .was_ready = true,
                              .now = {.wire = -1},
                              .reading = {.memory = {-1, -1}},
                              .loading = {.pid = NO_PID(ENGINES), .memory = -1},
                              .upgrade = {.output = -1, .memory = {-1, -1}, .next = {.wire = -1}}},
                        .ends = {-1, -1, -1}};
    s->running = content_of(1);
    engine_init(w, NOW, &s->now, !(how & 1));
    if (how & 2) {
        s->olds[0].content = content_of(2);
        engine_init(w, OLD, &s->olds[0].process, true);
        s->n_olds = 1;
    } else if (how & 4) {
        s->upgrade.content = content_of(3);
        engine_init(w, NEXT, &s->upgrade.next, false);
    }
    if (how & 8)
        s->kept = content_ref(s->running);
    if (how & 16)
        s->pending = content_of(9);
}

static void world_fini(struct world *w)
{
    struct supervisor *s = &w->s;
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX];
    size_t n = supervisor_engines(s, engines);
    for (size_t i = 0; i < n; i++)
        process_forget(engines[i]);
    for (int i = 0; i < ENGINES; i++)
        if (w->ends[i] >= 0)
            close(w->ends[i]);
    for (size_t i = 0; i < s->n_olds; i++)
        content_unref(s->olds[i].content);
    socket_store_fini(&s->sockets);
    buf_fini(&s->upgrade.text);
    content_unref(s->upgrade.content);
    content_unref(s->running);
    content_unref(s->pending);
    content_unref(s->kept);
}

static void check(const struct supervisor *s)
{
    const struct content *const all[] = {s->running, s->pending, s->kept,
                                         s->n_olds > 0 ? s->olds[0].content : NULL};
    FUZZ_CHECK(s->running && s->n_olds <= 2);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        FUZZ_CHECK(!all[i] || (all[i]->number > 0 && all[i]->number <= s->last_number));
    FUZZ_CHECK(!s->for_start && !s->program && s->starts == 0);
    FUZZ_CHECK(s->upgrade.check == 0 && !s->upgrade.is_checked);
    FUZZ_CHECK(s->sockets.n == 0); /* the file names none */
    FUZZ_CHECK(s->loading.n_queue <= (size_t)ENGINES * WIRE_LOADS_MAX);
}

/* Five choices: sender (not here), kind of packet, word, number. */
static void say(int fd, struct str *in)
{
    unsigned kind = fuzz_choice(in);
    struct wire_message m[2] = {{WIRE_MAGIC, fuzz_choice(in), 0}, {0}};
    unsigned low = fuzz_choice(in), high = fuzz_choice(in);
    m[0].number = kind & 8 ? UINT64_MAX - low : low | (uint64_t)high << 8;
    struct iovec iov = {.iov_base = m, .iov_len = sizeof(m[0])};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    switch (kind & 7) {
    case 5:
        m[0].magic = high;
        break;
    case 6: /* of any other size */
        iov.iov_len = (low + high) % sizeof(m);
        break;
    case 7: /* with a descriptor */
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        *CMSG_FIRSTHDR(&msg) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
        break;
    default:
        break;
    }
    (void)!sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    struct supervisor *s = &w.s;
    struct str in = str_n(data, size);
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX];
    unsetenv("NOTIFY_SOCKET");
    (void)!log_configure(NULL, 0, NULL);
    world_init(&w, fuzz_choice(&in));
    for (unsigned said = 0; in.n > 0 && said < 2000; said++) {
        size_t n = supervisor_engines(s, engines);
        struct engine_process *from = engines[fuzz_choice(&in) % n];
        if (from->wire < 0) {
            (void)fuzz_choice(&in);
            continue;
        }
        /* which engine is which may have changed with an upgrade */
        say(w.ends[NO_PID(0) - from->pid], &in);
        s->reading.pid = NO_PID(ENGINES); /* a file is being read: no child is begun for it */
        words_hear(s, from);
        s->reading.pid = NO_PID(ENGINES);
        check(s);
    }
    world_fini(&w);
    return 0;
}
