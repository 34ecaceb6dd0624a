/* SPDX-License-Identifier: ISC */
/* An operator's connection, from bytes to answers, on a real control plane whose commands only
 * look. Input: pieces that end in \x1e, sent one after another; \x01 alone makes the operator read
 * no more, or again; \x02 lets a second pass. Whatever is said, what comes back is whole lines of
 * JSON-RPC, as many as were asked for at most, and a bounded number of bytes waits for somebody who
 * does not read. */
#include <jansson.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "control/control.h"
#include "fuzz_libconfig.h"
#include "fuzz_world.h"
#include "rpc/server_priv.h"
#include "runtime/state.h"
#include "session/session.h"

const unsigned fuzz_replay_runs = 2000;

#define PIECE_END "\x1e"
#define UNREAD_MAX (5 * 1024 * 1024) /* as client.c: 4 MiB and one answer */
#define PATIENCE 20000               /* looks at a request that runs elsewhere, 50 us each */
#define SESSIONS 3
#define TURNS_MAX 100000

static struct plane {
    struct control *control; /* first: the owner of the loop begins with it */
    struct engine_api host;
    struct snapshot *snapshot;
    struct counters counters, worker_counters;
    struct session_env worker; /* its loop runs when it has mail */
    struct control_worker workers[1];
    int users[SESSIONS]; /* the clients' ends of its sessions */
    struct control_old old;
    struct server_socket socket;
    char folder[64], store[96];
} plane;

static struct script {
    struct str rest;
    int fd; /* the operator's; -1 = closed */
    bool is_deaf;
    unsigned patience, ends;
    size_t asked, answered;
    struct buf inbox;
} script;

/* ---- the plane ---- */

static struct snapshot *plane_snapshot(void *arg)
{
    return ((struct plane *)arg)->snapshot;
}

static bool plane_no(void *arg)
{
    (void)arg;
    return false;
}

static bool plane_is_paused(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return false;
}

static void plane_set(void *arg, bool is_on)
{
    (void)arg;
    (void)is_on;
}

/* The memory file of plane_config. */
static int plane_read_config(void *arg, enum control_read how, struct config **ret,
                             struct config_problems *problems, char **ret_error)
{
    (void)arg;
    (void)how;
    (void)ret_error;
    return config_load(plane.snapshot->config->path, ret, problems);
}

static const struct control_old *plane_olds(void *arg, size_t *ret_n)
{
    *ret_n = 1;
    return &((struct plane *)arg)->old;
}

static void plane_remove(void)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    char path[128];
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        snprintf(path, sizeof(path), "%s%s", plane.store, endings[i]);
        (void)unlink(path);
    }
    (void)rmdir(plane.folder);
}

static struct config *plane_config(void)
{
    static const char text[] = "auth = ( { type = \"backend\"; } );\n"
                               "control = ( { path = \"/run/c.sock\"; } );\n"
                               "listeners = ( { name = \"imap\"; protocol = \"imap\"; address = [ "
                               "\"127.0.0.1:1\" ]; } );\n"
                               "pools = ( { name = \"main\"; tls = \"off\"; backends = ("
                               " { name = \"a\"; host = \"127.0.0.1\"; }, { name = \"b\"; host = "
                               "\"127.0.0.2\"; }); } );\n";
    char path[64];
    struct config *c = NULL;
    struct config_problems problems = {0};
    int fd = memfd_create("config", 0);
    FUZZ_CHECK(fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FUZZ_CHECK(config_load(path, &c, &problems) == 0);
    config_problems_fini(&problems);
    return c; /* the file stays: commands read it */
}

static void plane_open_store(void)
{
    AUTO_FREE char *error = NULL;
    snprintf(plane.folder, sizeof(plane.folder), "/tmp/mailproxy-fuzz-XXXXXX");
    FUZZ_CHECK(mkdtemp(plane.folder));
    snprintf(plane.store, sizeof(plane.store), "%s/store.db", plane.folder);
    (void)atexit(plane_remove);
    const struct store_spec spec = {.type = "sqlite", .path = plane.store};
    FUZZ_CHECK(store_open(&spec, &plane.host.store, &error) == 0);
}

static void plane_make_worker(void)
{
    struct session_env *env = &plane.worker;
    session_env_init(env);
    env->counters = &plane.worker_counters;
    env->snapshot = snapshot_ref(plane.snapshot);
    env->registry = plane.host.registry;
    FUZZ_CHECK(loop_new(env, &env->loop) == 0);
    plane.workers[0] = (struct control_worker){.mailbox = loop_mailbox(env->loop),
                                               .counters = &plane.worker_counters};
}

static void prepare(void)
{
    struct pools *pools;
    AUTO_FREE char *error = NULL;
    if (plane.control)
        return;
    (void)!log_configure(NULL, 0, NULL);
    world.now_us = WORLD_START_US;
    plane.host = (struct engine_api){.counters = &plane.counters,
                                     .workers = plane.workers,
                                     .n_workers = 1,
                                     .arg = &plane,
                                     .snapshot = plane_snapshot,
                                     .read_config = plane_read_config,
                                     .is_listener_paused = plane_is_paused,
                                     .set_watched = plane_set,
                                     .is_stopping = plane_no,
                                     .is_retired = plane_no,
                                     .is_full = plane_no,
                                     .olds = plane_olds};
    struct engine_api *h = &plane.host;
    plane_open_store();
    FUZZ_CHECK(loop_new(&plane, &h->loop) == 0);
    FUZZ_CHECK(jobs_new(1, 100, NULL, &h->jobs) == 0);
    FUZZ_CHECK(backend_registry_new(&h->registry) == 0);
    struct config *c = plane_config();
    FUZZ_CHECK(pools_build(config_ref(c), NULL, 0, h->registry, &pools, &error) == 0);
    FUZZ_CHECK(snapshot_new(c, pools, NULL, &plane.snapshot, &error) == 0);
    plane_make_worker();
    h->started_ms = clock_ms();
    FUZZ_CHECK(control_new(h, &plane.control, &error) == 0);
    plane.socket = (struct server_socket){.server = plane.control->server, .fd = -1};
}

/* ---- the operator ---- */

static struct client *client(void)
{
    struct list *clients = &plane.control->server->clients;
    return list_is_empty(clients) ? NULL : LIST_ITEM(clients->next, struct client, link);
}

/* An answer has an id and one of result and error; all else is a notification. */
static void check_line(struct str line)
{
    json_error_t error;
    json_t *m = json_loadb(line.p, line.n, 0, &error);
    FUZZ_CHECK(json_is_object(m));
    FUZZ_CHECK(strcmp(json_string_value(json_object_get(m, "jsonrpc")), "2.0") == 0);
    bool has_result = json_object_get(m, "result"), has_error = json_object_get(m, "error");
    bool has_method = json_object_get(m, "method");
    FUZZ_CHECK(has_result + has_error + has_method == 1);
    FUZZ_CHECK(has_method != (json_object_get(m, "id") != NULL));
    script.answered += !has_method;
    json_decref(m);
}

static bool read_answers(void)
{
    struct buf *in = &script.inbox;
    FUZZ_CHECK(buf_reserve(in, 65536) == 0);
    ssize_t n =
        script.fd < 0 || script.is_deaf ? 0 : recv(script.fd, buf_tail(in), 65536, MSG_DONTWAIT);
    if (n <= 0)
        return false;
    buf_commit(in, (size_t)n);
    for (const char *lf; (lf = memchr(in->data + in->start, '\n', in->len));) {
        struct str line = str_n(in->data + in->start, (size_t)(lf - in->data) - in->start);
        check_line(line);
        buf_consume(in, line.n + 1);
        if (in->len == 0)
            break;
    }
    return true;
}

static void say(struct str piece)
{
    if (str_eq(piece, STR("\x01"))) {
        script.is_deaf = !script.is_deaf;
    } else if (str_eq(piece, STR("\x02"))) {
        world.now_us += 1000000;
    } else if (script.fd >= 0) {
        for (size_t i = 0; i < piece.n; i++)
            script.asked += piece.p[i] == '\n';
        (void)!send(script.fd, piece.p, piece.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void hang_up(void)
{
    if (script.fd >= 0)
        close(script.fd);
    script.fd = -1;
    FUZZ_CHECK(script.ends++ < 20);
    world.now_us += 3000000;
    if (!client())
        loop_stop(plane.host.loop);
}

static void on_worker_idle(void *arg)
{
    (void)arg;
    loop_stop(plane.worker.loop);
    world.now_us += 2 * LOOP_HEARTBEAT_MS * 1000; /* which ends the turn */
}

static void run_worker(void)
{
    void (*idle)(void *arg) = world.idle;
    world.idle = on_worker_idle;
    FUZZ_CHECK(loop_run(plane.worker.loop) == 0);
    world.idle = idle;
}

/* Somebody to be listed. */
static void start_sessions(void)
{
    static const char *const peers[SESSIONS] = {"192.0.2.1:1", "[2001:db8::1]:2", "198.51.100.3:3"};
    struct addr peer;
    for (size_t i = 0; i < SESSIONS; i++) {
        int pair[2];
        FUZZ_CHECK(addr_parse(str_of(peers[i]), &peer) == 0);
        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
        plane.users[i] = pair[1];
        FUZZ_CHECK(session_start(&plane.worker, plane.snapshot, 0, pair[0], &peer, false) == 0);
    }
}

static void end_sessions(void)
{
    LIST_FOREACH_SAFE (it, &plane.worker.sessions)
        (void)session_kill(session_of_link(it), REPLY_SHUTDOWN, NULL, 0, NULL);
    run_worker();
    FUZZ_CHECK(plane.worker.count == 0);
    for (size_t i = 0; i < SESSIONS; i++)
        close(plane.users[i]);
}

static void on_idle(void *arg)
{
    struct client *c = client();
    (void)arg;
    if (mailbox_has_mail(plane.workers[0].mailbox))
        run_worker();
    FUZZ_CHECK(!c || c->out.len <= UNREAD_MAX);
    world.turns = 0;
    if (read_answers())
        return;
    /* one too many: of a line that was too long to end */
    FUZZ_CHECK(script.answered <= script.asked + 1);
    if (c && c->running && script.patience++ < PATIENCE) {
        usleep(50);
        return;
    }
    script.patience = 0;
    if (script.rest.n > 0)
        say(fuzz_cut(&script.rest, STR(PIECE_END)));
    else
        hang_up();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    const struct peer peer = {.user = "fuzz", .role = ROLE_VIEWER};
    world.is_on = true;
    prepare();
    world.idle = on_idle;
    world.turns_max = TURNS_MAX;
    buf_fini(&script.inbox);
    script = (struct script){.rest = str_n(data, size)};
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    script.fd = pair[1];
    start_sessions();
    FUZZ_CHECK(client_open(&plane.socket, pair[0], &peer) == 0);
    FUZZ_CHECK(loop_run(plane.host.loop) == 0);
    FUZZ_CHECK(!client() && plane.control->server->n_clients == 0);
    end_sessions();
    buf_fini(&script.inbox);
    world.is_on = false;
    return 0;
}
