/* SPDX-License-Identifier: ISC */
/* A server of Redis that says anything, to a client that greets it and calls: each call is answered
 * once, memory and work are bounded, nothing ends the program. Input: a byte of choices, then what
 * the server says to each connection, up to "==": what greets up to "--", the rest once it was
 * called. */
#include "fuzz.h"
#include "io/redis/redis.h"
#include "io/redis/redis_reader.h"

#include <event2/event.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Sockets and timers: a run takes some hundred microseconds. */
const unsigned fuzz_replay_runs = 2000;

#define CALLS 3
#define TURNS_MAX 200

struct run {
    struct loop_deferred again;
    struct loop *loop;
    struct redis_client *client;
    struct str in, rest; /* rest: of the connection at hand */
    unsigned how, turns_left, n_calls, n_answers;
    int listening, peer; /* peer -1 = none */
    bool is_freed;
};

static struct redis_script script = {.text = "return 1"};

static void on_result(void *arg, const struct redis_result *r)
{
    struct run *run = arg;
    run->n_answers++;
    FUZZ_CHECK(!run->is_freed);
    FUZZ_CHECK((r->err == 0) == (r->reply != NULL) && (r->err == 0) == (r->error == NULL));
    FUZZ_CHECK(r->err == 0 || r->err == -ERR_REFUSED || r->err == -ERR_CLOSED ||
               r->err == -ERR_TIMEOUT);
    FUZZ_CHECK(r->err < 0 || r->reply->type != REDIS_REPLY_ERROR);
    if (run->how & 1 && run->n_answers == 2) {
        redis_client_free(STEAL(run->client));
        run->is_freed = true;
    }
}

static void call(struct run *run)
{
    static const struct str words[] = {{"GET", 3}, {"x", 1}};
    int err = run->how & 2 ? redis_eval(run->client, &script, words, 2, 1, 0, on_result, run, NULL)
                           : redis_call(run->client, words, 2, 0, on_result, run, NULL);
    FUZZ_CHECK(err == 0 || err == -ERR_UNREACHABLE);
    run->n_calls += err == 0;
}

static void say(const struct run *run, struct str text)
{
    (void)!send(run->peer, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (run->how & 4)
        shutdown(run->peer, SHUT_WR);
}

/* The client's next connection gets its part of the input, and then the end or silence. */
static void serve(struct run *run)
{
    char drain[4096];
    int fd = accept(run->listening, NULL, NULL);
    if (fd >= 0) {
        run->rest = fuzz_cut(&run->in, STR("=="));
        struct str part = fuzz_cut(&run->rest, STR("--"));
        if (run->peer >= 0)
            close(run->peer);
        run->peer = fd;
        say(run, part);
    } else if (run->peer >= 0 && run->rest.n > 0 && run->n_calls > 0) {
        say(run, run->rest);
        run->rest = STR_NULL;
    }
    if (run->peer >= 0)
        (void)!recv(run->peer, drain, sizeof(drain), MSG_DONTWAIT);
}

static void on_turn(struct loop_deferred *d)
{
    struct run *run = CONTAINER_OF(d, struct run, again);
    serve(run);
    if (run->client && redis_is_up(run->client) && run->n_calls < CALLS)
        call(run);
    if (--run->turns_left == 0)
        loop_stop(run->loop);
    else
        loop_again(run->loop, &run->again);
}

static int server_open(char path[64])
{
    static unsigned n;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(path, 64, "/tmp/fuzz-redis-%d-%u", (int)getpid(), n++);
    memcpy(sun.sun_path, path, strlen(path) + 1);
    FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
    FUZZ_CHECK(listen(fd, 8) == 0);
    return fd;
}

static void read_server(struct str text)
{
    struct redis_server at;
    const char *why = NULL;
    if (redis_server_parse(text, 6379, &at, &why) < 0) {
        FUZZ_CHECK(why != NULL);
        return;
    }
    FUZZ_CHECK(at.unix_path.n > 0 ? at.unix_path.n < 108 : at.host.n > 0 && at.port > 0);
    FUZZ_CHECK(!str_has_crlf_nul(at.host) && !str_has_crlf_nul(at.unix_path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {
        .again = {.fn = on_turn}, .in = str_n(data, size), .turns_left = TURNS_MAX, .peer = -1};
    char path[64], server[80];
    const char *const servers[] = {server};
    read_server(run.in);
    run.how = fuzz_choice(&run.in);
    run.listening = server_open(path);
    snprintf(server, sizeof(server), "unix:%s", path);
    const struct redis_spec spec = {.servers = servers,
                                    .n_servers = 1,
                                    .sentinel = run.how & 8 ? "mail" : NULL,
                                    .password = run.how & 16 ? "secret" : NULL,
                                    .max_reply_bytes = run.how & 32 ? 500 : 0};
    redis_script_init(&script);
    list_init(&run.again.link);
    FUZZ_CHECK(loop_new(NULL, &run.loop) == 0);
    FUZZ_CHECK(redis_client_new(run.loop, &spec, &run.client) == 0);
    loop_again(run.loop, &run.again);
    FUZZ_CHECK(loop_run(run.loop) == 0);
    loop_undefer(&run.again);
    FUZZ_CHECK(run.n_answers <= run.n_calls);
    redis_client_free(run.client);
    loop_free(run.loop);
    if (run.peer >= 0)
        close(run.peer);
    close(run.listening);
    unlink(path);
    return 0;
}
