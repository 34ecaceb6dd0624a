/* SPDX-License-Identifier: ISC */
/* The control sockets: who comes in, as what, and for how long. */
#include "rpc/server.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "base/log/log.h"
#include "base/os/process.h"
#include "rpc/json_text.h"
#include "rpc/server_priv.h"
#include "rpc/work.h"

#define SERVER_PENDING_MAX 256
#define SERVER_CHECK_MS 1000
#define SERVER_RESUME_MS 250
#define SERVER_SPARE_FDS 32  /* left for sessions that were accepted, and for the store */
#define SERVER_SPARE_PART 8  /* of few: no more than this part, or no operator would get in */
#define SERVER_LEAVE_MS 2000 /* clients of a closed socket get this long to hear of outcomes */

/* Somebody whose name and role are being found out. */
struct pending_client {
    struct work work;
    int fd;
    uint32_t gid;
    struct peer peer;
    struct config *config;
    const struct config_control *section; /* of config; NULL = gone */
    struct server_socket *socket;
};

static int pending_client_run(struct work *w)
{
    struct pending_client *a = CONTAINER_OF(w, struct pending_client, work);
    peer_identify(&a->peer, a->gid, a->section);
    return 0;
}

static void pending_client_fini(struct work *w)
{
    struct pending_client *a = CONTAINER_OF(w, struct pending_client, work);
    if (a->fd >= 0)
        close(a->fd);
    config_unref(a->config);
}

/* One line for those who do not get in. */
static void pending_client_refuse(const struct pending_client *a, int err, const char *text)
{
    AUTO_BUF line = BUF_INIT;
    json_t *m = json_pack("{s:s, s:n, s:o}", "jsonrpc", "2.0", "id", "error",
                          request_error(-32000, err, NULL, str_of(text)));
    if (m && json_text_value(&line, m) == 0 && buf_append_char(&line, '\n') == 0)
        (void)!send(a->fd, line.data + line.start, line.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    json_decref(m);
    LOG_EVENT(LOG_LEVEL_WARN, "control-refused", KV_STR("operator", a->peer.user),
              KV_U64("uid", a->peer.uid), KV_U64("pid", a->peer.pid), KV_STR("reason", text));
}

uint64_t server_spare_fds(uint64_t limit)
{
    uint64_t part = limit / SERVER_SPARE_PART;
    return part < SERVER_SPARE_FDS ? part : SERVER_SPARE_FDS;
}

/* NULL: there is room; else what there is none of. The kernel gives the lowest number that is free:
 * all below are in use. */
static const char *pending_client_lacks(const struct pending_client *a)
{
    uint64_t max = process_max_fds();
    if ((uint64_t)a->fd + server_spare_fds(max) >= max)
        return "the daemon has no descriptors left for clients of this socket";
    if (!a->section)
        return NULL;
    size_t most = a->section->max_clients;
    size_t reserve = a->section->admin_reserve < most ? a->section->admin_reserve : most;
    bool has_room = a->socket->n_clients < (a->peer.role == ROLE_ADMIN ? most : most - reserve);
    return has_room ? NULL : "too many clients on this socket";
}

static void pending_client_done(struct work *w)
{
    struct pending_client *a = CONTAINER_OF(w, struct pending_client, work);
    a->socket->server->n_pending--;
    if (w->err < 0) {
        pending_client_refuse(a, w->err, "too much is going on");
        return;
    }
    if (a->peer.role == ROLE_NONE) {
        pending_client_refuse(a, -ERR_PERM, "you have no role on this socket");
        return;
    }
    const char *lack = pending_client_lacks(a);
    if (lack) {
        pending_client_refuse(a, -ERR_LIMIT, lack);
        return;
    }
    if (client_open(a->socket, a->fd, &a->peer) < 0)
        return;
    a->fd = -1;
    LOG_EVENT(LOG_LEVEL_DEBUG, "control-opened", KV_STR("operator", a->peer.user),
              KV_U64("uid", a->peer.uid), KV_U64("pid", a->peer.pid),
              KV_STR("role", role_name(a->peer.role)));
}

static void server_watch(struct server *s, bool is_wanted)
{
    LIST_FOREACH (it, &s->sockets) {
        struct server_socket *socket = LIST_ITEM(it, struct server_socket, link);
        if (socket->fd >= 0)
            (void)!(is_wanted ? event_add(socket->event, NULL) : event_del(socket->event));
    }
    s->is_paused = !is_wanted;
}

/* Those who cannot be accepted now would wake the loop again and again. */
static void server_pause(struct server *s)
{
    server_watch(s, false);
    loop_timer_set(s->rpc->loop, &s->resume, SERVER_RESUME_MS);
}

static void on_server_resume(struct loop_timer *t)
{
    server_watch(CONTAINER_OF(t, struct server, resume), true);
}

static void on_server_accept(evutil_socket_t listening, short what, void *arg)
{
    struct server_socket *s = arg;
    struct rpc *rpc = s->server->rpc;
    (void)what;
    if (s->server->n_pending >= SERVER_PENDING_MAX) {
        server_pause(s->server);
        return;
    }
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            server_pause(s->server);
        return;
    }
    struct pending_client *a = work_new(rpc, NULL, sizeof(*a), pending_client_run,
                                        pending_client_done, pending_client_fini);
    if (!a || peer_credentials(fd, &a->peer, &a->gid) < 0) {
        close(fd);
        if (a) {
            a->fd = -1;
            work_free(&a->work);
        }
        return;
    }
    a->fd = fd;
    a->socket = s;
    a->config = config_ref(rpc->config(rpc));
    for (size_t i = 0; i < a->config->n_controls; i++)
        if (strcmp(a->config->controls[i].path, s->path) == 0)
            a->section = &a->config->controls[i];
    s->server->n_pending++;
    work_post(&a->work, NULL);
}

/* ---- the sockets ---- */

static void on_check(struct loop_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, check);
    LIST_FOREACH_SAFE (it, &s->clients)
        client_check(LIST_ITEM(it, struct client, link));
    loop_timer_set(s->rpc->loop, t, SERVER_CHECK_MS);
}

static void on_leave(struct loop_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, leave);
    LIST_FOREACH_SAFE (it, &s->clients) {
        struct client *c = LIST_ITEM(it, struct client, link);
        if (c->socket->fd < 0 && !c->is_last)
            client_leave(c);
    }
    loop_timer_set(s->rpc->loop, t, SERVER_LEAVE_MS);
}

int server_new(struct rpc *rpc, struct server **ret)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->rpc = rpc;
    list_init(&s->sockets);
    list_init(&s->clients);
    loop_timer_init(&s->check, on_check);
    loop_timer_set(rpc->loop, &s->check, SERVER_CHECK_MS);
    loop_timer_init(&s->leave, on_leave);
    loop_timer_init(&s->resume, on_server_resume);
    *ret = s;
    return 0;
}

static void socket_free(struct server_socket *s)
{
    list_del(&s->link);
    if (s->event)
        event_free(s->event);
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s);
}

int server_listen(struct server *s, int fd, const char *path)
{
    struct server_socket *socket = calloc(1, sizeof(*socket));
    if (!socket)
        return -ERR_NOMEM;
    list_init(&socket->link);
    socket->server = s;
    socket->fd = -1;
    socket->path = str_dup_c(path);
    socket->event =
        event_new(loop_base(s->rpc->loop), fd, EV_READ | EV_PERSIST, on_server_accept, socket);
    bool is_ready = socket->path && socket->event;
    if (!is_ready || (!s->is_paused && event_add(socket->event, NULL) != 0)) {
        socket_free(socket);
        return -ERR_NOMEM;
    }
    socket->fd = fd;
    list_add_tail(&s->sockets, &socket->link);
    return 0;
}

int server_relisten(struct server *s, int fd, const char *path)
{
    struct server_socket *socket = NULL;
    LIST_FOREACH (it, &s->sockets) {
        struct server_socket *other = LIST_ITEM(it, struct server_socket, link);
        if (other->fd >= 0 && strcmp(other->path, path) == 0)
            socket = other;
    }
    if (!socket)
        return -ERR_NOT_FOUND;
    struct event *event =
        event_new(loop_base(s->rpc->loop), fd, EV_READ | EV_PERSIST, on_server_accept, socket);
    if (!event || (!s->is_paused && event_add(event, NULL) != 0)) {
        if (event)
            event_free(event);
        return -ERR_NOMEM;
    }
    event_free(socket->event);
    close(socket->fd);
    socket->event = event;
    socket->fd = fd;
    return 0;
}

/* Those who just came are asked for their names still, and go with the others. */
void server_retire(struct server *s)
{
    LIST_FOREACH (it, &s->sockets) {
        struct server_socket *socket = LIST_ITEM(it, struct server_socket, link);
        event_del(socket->event);
        close(socket->fd);
        socket->fd = -1;
    }
    loop_timer_set(s->rpc->loop, &s->leave, SERVER_LEAVE_MS);
}

bool server_has_no_clients(const struct server *s)
{
    LIST_FOREACH (it, &s->clients)
        if (LIST_ITEM(it, struct client, link)->socket->fd < 0)
            return false;
    return s->n_pending == 0;
}

size_t server_clients(const struct server *s)
{
    return s->n_clients;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    loop_timer_cancel(s->rpc->loop, &s->check);
    loop_timer_cancel(s->rpc->loop, &s->leave);
    loop_timer_cancel(s->rpc->loop, &s->resume);
    LIST_FOREACH_SAFE (it, &s->clients)
        client_end(LIST_ITEM(it, struct client, link));
    LIST_FOREACH_SAFE (it, &s->sockets)
        socket_free(LIST_ITEM(it, struct server_socket, link));
    free(s);
}
