/* SPDX-License-Identifier: ISC */
/* ssh as the way to a control socket. */
#include "ctl/remote.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/words.h"

#define REMOTE_SCHEME "ssh://"
#define REMOTE_SAID_MAX 4096 /* bytes of ssh's words that are kept: the last ones */
#define REMOTE_READS 16      /* pieces of it that are taken at a time */
#define REMOTE_END_MS 2000   /* for ssh to end once it has closed */

struct remote {
    pid_t pid; /* 0 = it has ended */
    int status;
    int fd; /* of what it says */
    struct buf said;
    char *host; /* [user@]host, for sentences */
    char *program;
};

static bool is_asking_barred;

/* ---- the name of a place ---- */

/* Parts of ssh://[user@]host[:port][/socket]. */
struct place {
    struct str user, host, port, socket; /* empty = not given */
};

bool remote_is_named(const char *place)
{
    return strncmp(place, REMOTE_SCHEME, strlen(REMOTE_SCHEME)) == 0;
}

/* Nothing that ssh could take for an option, or a shell for more than a word. */
static bool place_is_word(struct str s, const char *others)
{
    if (s.n == 0 || s.n > 255 || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !strchr(others, s.p[i]))
            return false;
    return true;
}

static int place_cut_host(struct str rest, struct place *ret)
{
    if (rest.n > 0 && rest.p[0] == '[') {
        ptrdiff_t end = str_index(rest, ']');
        if (end < 0)
            return -ERR_SYNTAX;
        ret->host = str_n(rest.p + 1, (size_t)end - 1);
        rest = str_n(rest.p + end + 1, rest.n - (size_t)end - 1);
        if (rest.n > 0 && rest.p[0] != ':')
            return -ERR_SYNTAX;
        ret->port = rest.n > 0 ? str_n(rest.p + 1, rest.n - 1) : STR_NULL;
        return place_is_word(ret->host, ":.%") ? 0 : -ERR_SYNTAX;
    }
    ret->port = rest;
    ret->host = str_cut(&ret->port, ':');
    return place_is_word(ret->host, ".-_") ? 0 : -ERR_SYNTAX;
}

static int place_parse(const char *text, struct place *ret)
{
    struct str rest = str_of(text + strlen(REMOTE_SCHEME));
    ptrdiff_t slash = str_index(rest, '/');
    uint64_t port = 0;
    *ret = (struct place){0};
    if (slash >= 0) {
        ret->socket = str_n(rest.p + slash, rest.n - (size_t)slash);
        rest = str_head(rest, (size_t)slash);
    }
    if (ret->socket.n == 1) /* ssh://host/ */
        ret->socket = STR_NULL;
    ptrdiff_t at = str_index(rest, '@');
    if (at >= 0) {
        ret->user = str_head(rest, (size_t)at);
        rest = str_n(rest.p + at + 1, rest.n - (size_t)at - 1);
        if (!place_is_word(ret->user, ".-_+"))
            return -ERR_SYNTAX;
    }
    int err = place_cut_host(rest, ret);
    bool is_port_bad = ret->port.n > 0 && (str_to_u64(ret->port, 65535, &port) < 0 || port == 0);
    if (err < 0 || is_port_bad)
        return -ERR_SYNTAX;
    /* A path may have any character but those that no path of a socket has. */
    for (size_t i = 0; i < ret->socket.n; i++)
        if ((unsigned char)ret->socket.p[i] < 0x20 || ret->socket.p[i] == 0x7f)
            return -ERR_SYNTAX;
    return 0;
}

/* ---- what is run ---- */

struct words {
    char *v[REMOTE_WORDS_MAX + 1];
    size_t n;
    int err;
};

static void words_add(struct words *w, char *owned)
{
    if (!owned || w->n == REMOTE_WORDS_MAX) {
        free(owned);
        w->err = owned ? -ERR_TOO_LONG : -ERR_NOMEM;
        return;
    }
    w->v[w->n++] = owned;
}

/* The shell over there takes the path as it is. */
static char *words_quote(struct str path)
{
    AUTO_BUF out = BUF_INIT;
    int err = buf_append_c(&out, "mailproxyctl -s '");
    for (size_t i = 0; i < path.n && err == 0; i++)
        err = path.p[i] == '\'' ? buf_append_c(&out, "'\\''") : buf_append_char(&out, path.p[i]);
    if (err == 0)
        err = buf_append_c(&out, "' pipe");
    return err == 0 && buf_cstr(&out) ? buf_steal(&out) : NULL;
}

static void words_add_program(struct words *w)
{
    const char *program = getenv(REMOTE_PROGRAM);
    AUTO_FREE char *line = str_dup_c(program && *program ? program : "ssh");
    AUTO_FREE const char **cut = calloc(line ? strlen(line) + 1 : 1, sizeof(*cut));
    size_t n = 0;
    if (!line || !cut)
        w->err = -ERR_NOMEM;
    else if (words_split(line, cut, &n) < 0 || n == 0)
        w->err = -ERR_SYNTAX;
    for (size_t i = 0; i < n; i++)
        words_add(w, str_dup_c(cut[i]));
}

int remote_words(const char *place, bool may_ask, char ***ret)
{
    struct place p;
    struct words w = {.n = 0};
    int err = place_parse(place, &p);
    if (err < 0)
        return err;
    words_add_program(&w);
    words_add(&w, str_dup_c("-T"));
    words_add(&w, str_dup_c("-oClearAllForwardings=yes"));
    if (!may_ask)
        words_add(&w, str_dup_c("-oBatchMode=yes"));
    if (p.port.n > 0)
        words_add(&w, str_printf("-p%.*s", STR_ARG(p.port)));
    if (p.user.n > 0)
        words_add(&w, str_printf("-l%.*s", STR_ARG(p.user)));
    words_add(&w, str_dup_c("--"));
    words_add(&w, str_dup(p.host));
    words_add(&w, p.socket.n > 0 ? words_quote(p.socket) : str_dup_c("mailproxyctl pipe"));
    *ret = w.err == 0 ? calloc(w.n + 1, sizeof(char *)) : NULL;
    if (!*ret) {
        for (size_t i = 0; i < w.n; i++)
            free(w.v[i]);
        return w.err < 0 ? w.err : -ERR_NOMEM;
    }
    memcpy(*ret, w.v, w.n * sizeof(char *));
    return 0;
}

void remote_words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

/* ---- the process ---- */

void remote_never_ask(void)
{
    is_asking_barred = true;
}

/* In the child. exec_fd tells why there is no program, and closes when there is. */
static void remote_run(char **words, int fd, int said_fd, int exec_fd)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL}, ignored = {.sa_handler = SIG_IGN};
    /* Ctrl-C is for this program, which says what goes on over there. */
    (void)sigaction(SIGINT, &ignored, NULL);
    (void)sigaction(SIGPIPE, &usual, NULL);
    if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
        dup2(said_fd, STDERR_FILENO) >= 0)
        execvp(words[0], words);
    int errnum = errno;
    (void)!write(exec_fd, &errnum, sizeof(errnum));
    _exit(127);
}

static int remote_start(struct remote *r, char **words, int *ret_fd)
{
    int both[2] = {-1, -1}, said[2] = {-1, -1}, exec[2] = {-1, -1};
    int errnum = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) < 0 ||
        pipe2(said, O_CLOEXEC) < 0 || pipe2(exec, O_CLOEXEC) < 0) {
        errnum = errno;
    } else {
        r->pid = fork();
        if (r->pid == 0)
            remote_run(words, both[1], said[1], exec[1]);
        errnum = r->pid < 0 ? errno : 0;
        r->pid = r->pid < 0 ? 0 : r->pid;
    }
    int *const theirs[] = {&both[1], &said[1], &exec[1]};
    for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
        if (*theirs[i] >= 0)
            close(*theirs[i]);
    if (errnum == 0 && read(exec[0], &errnum, sizeof(errnum)) != sizeof(errnum))
        errnum = 0;
    if (exec[0] >= 0)
        close(exec[0]);
    r->fd = said[0];
    if (r->fd >= 0)
        (void)fcntl(r->fd, F_SETFL, O_NONBLOCK);
    if (errnum != 0) {
        if (both[0] >= 0)
            close(both[0]);
        return errnum == ENOENT || errnum == EACCES ? -ERR_NOT_FOUND : err_from_errno(errnum);
    }
    *ret_fd = both[0];
    return 0;
}

int remote_open(const char *place, struct remote **ret, int *ret_fd)
{
    char **words = NULL;
    struct place p;
    /* ssh asks on the terminal itself. */
    bool may_ask = !is_asking_barred && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    int err = remote_words(place, may_ask, &words);
    struct remote *r = err == 0 ? calloc(1, sizeof(*r)) : NULL;
    if (err == 0 && !r)
        err = -ERR_NOMEM;
    if (err == 0) {
        (void)!place_parse(place, &p);
        r->fd = -1;
        r->host = str_dup(p.host);
        r->program = str_dup_c(words[0]);
        err = r->host && r->program ? remote_start(r, words, ret_fd) : -ERR_NOMEM;
    }
    remote_words_free(words);
    if (err < 0)
        remote_close(r);
    else
        *ret = r;
    return err;
}

int remote_words_fd(const struct remote *r)
{
    return r ? r->fd : -1;
}

/* Not for ever: one who talks without an end must not keep us from its answers. */
void remote_listen(struct remote *r)
{
    char bytes[4096];
    ssize_t n = 1;
    for (int i = 0; r && r->fd >= 0 && n > 0 && i < REMOTE_READS; i++) {
        n = read(r->fd, bytes, sizeof(bytes));
        if (n > 0)
            (void)!buf_append(&r->said, bytes, (size_t)n);
        if (r->said.len > REMOTE_SAID_MAX)
            buf_consume(&r->said, r->said.len - REMOTE_SAID_MAX);
        if (n == 0) { /* its end, which a poll would tell for ever */
            close(r->fd);
            r->fd = -1;
        }
    }
}

static bool remote_has_ended(struct remote *r)
{
    int status;
    if (r->pid > 0 && waitpid(r->pid, &status, WNOHANG) == r->pid) {
        r->pid = 0;
        r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    }
    return r->pid == 0;
}

void remote_close(struct remote *r)
{
    if (!r)
        return;
    if (!remote_has_ended(r)) {
        (void)kill(r->pid, SIGTERM);
        (void)waitpid(r->pid, NULL, 0);
    }
    if (r->fd >= 0)
        close(r->fd);
    buf_fini(&r->said);
    free(r->host);
    free(r->program);
    free(r);
}

/* ---- words ---- */

/* The last line that is not empty, without the name of the program that said it. */
static struct str remote_last_line(const struct remote *r)
{
    static const char *const names[] = {"mailproxyctl: ", "ssh: "};
    struct str rest = buf_str(&r->said), last = STR_NULL;
    while (rest.n > 0) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        last = line.n > 0 ? line : last;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is_prefix(last, str_of(names[i])))
            return str_n(last.p + strlen(names[i]), last.n - strlen(names[i]));
    return last;
}

/* What ssh says, and what can be done. */
static const char *remote_hint(struct str line)
{
    static const struct {
        const char *part, *hint;
    } hints[] = {
        {"Host key verification failed", "run ssh once by hand, and compare the host key"},
        {"REMOTE HOST IDENTIFICATION", "the host key has changed: ask why before you accept it"},
        {"Permission denied", "ssh needs a key or an agent that logs in without a question here"},
        {"Could not resolve", "is the name of the host right?"},
        {"refused", "does sshd run there, on this port?"},
        {"timed out", "can the host be reached from here?"},
    };
    AUTO_FREE char *text = str_dup(line);
    for (size_t i = 0; text && i < ARRAY_LEN(hints); i++)
        if (strstr(text, hints[i].part))
            return hints[i].hint;
    return NULL;
}

int remote_explain(struct remote *r, char **ret_text, const char **ret_hint)
{
    for (int ms = 0; !remote_has_ended(r) && ms < REMOTE_END_MS; ms += 10) {
        struct pollfd p = {.fd = r->fd, .events = POLLIN};
        remote_listen(r);
        /* Its end closes the pipe; one that has closed only the connection gets a moment. */
        (void)poll(&p, 1, 10);
        const struct timespec pause = {.tv_nsec = 10 * 1000000L};
        if (p.revents & POLLHUP)
            (void)nanosleep(&pause, NULL);
    }
    remote_listen(r);
    struct str line = remote_last_line(r);
    *ret_hint = NULL;
    *ret_text = NULL;
    if (r->pid > 0) {
        *ret_text = str_printf("%s does not answer", r->host);
        return -ERR_TIMEOUT;
    }
    if (r->status == 127) {
        *ret_text = str_printf("there is no mailproxyctl on %s", r->host);
        *ret_hint = "it has to be in the PATH of commands that ssh runs there";
        return -ERR_UNREACHABLE;
    }
    if (line.n == 0)
        *ret_text = str_printf("%s: the connection was closed", r->host);
    else
        *ret_text = str_printf("%s: %.*s", r->host, STR_ARG(line));
    *ret_hint = remote_hint(line);
    /* The exit codes of mailproxyctl over there. */
    return r->status == 4 ? -ERR_PERM : r->status == 8 ? -ERR_VERSION : -ERR_UNREACHABLE;
}

char *remote_explain_open(const char *place, int err, const char **ret_hint)
{
    const char *program = getenv(REMOTE_PROGRAM);
    *ret_hint = NULL;
    if (err == -ERR_SYNTAX) {
        *ret_hint = "ssh://[user@]host[:port][/socket]";
        return str_printf("%s is not the name of a remote socket", place);
    }
    if (err == -ERR_NOT_FOUND) {
        *ret_hint = REMOTE_PROGRAM " names another program";
        return str_printf("there is no program %s", program && *program ? program : "ssh");
    }
    return str_printf("ssh cannot be started: %s", err_text(err));
}
