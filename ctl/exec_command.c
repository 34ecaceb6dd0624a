/* SPDX-License-Identifier: ISC */
/* Placeholders, and the processes. */
#include "ctl/exec_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ctl/words.h"

static const char *const placeholders[] = {"user",    "from",      "to",     "from_host",
                                           "to_host", "from_pool", "to_pool"};

/* The placeholder that a text begins with: its name and *ret_n, the bytes it takes. NULL: none.
 * *ret_is_bad: it looks like one that there is not. */
static const char *placeholder_at(const char *s, size_t *ret_n, bool *ret_is_bad)
{
    size_t n = s[0] == '{' ? strspn(s + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
    *ret_is_bad = false;
    if (n == 0 || s[n + 1] != '}')
        return NULL;
    *ret_n = n + 2;
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++)
        if (str_eq(str_n(s + 1, n), str_of(placeholders[i])))
            return placeholders[i];
    *ret_is_bad = true;
    return NULL;
}

static int exec_command_check(const struct exec_command *c, struct problem *problem)
{
    if (c->n == 0)
        return problem_usage(problem, NULL, "--exec is empty");
    for (size_t i = 0; i < c->n; i++)
        for (const char *s = c->words[i]; *s; s++) {
            size_t n = 0;
            bool is_bad = false;
            (void)placeholder_at(s, &n, &is_bad);
            if (is_bad)
                return problem_usage(
                    problem, "{user} {from} {to} {from_host} {to_host} {from_pool} {to_pool}",
                    "--exec: there is no placeholder %.*s", (int)n, s);
        }
    return 0;
}

int exec_command_parse(const char *text, struct exec_command *ret, struct problem *problem)
{
    *ret = (struct exec_command){.text = str_dup_c(text)};
    ret->words = calloc(strlen(text) + 1, sizeof(*ret->words));
    int code = !ret->text || !ret->words
                   ? problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory")
               : words_split(ret->text, ret->words, &ret->n) < 0
                   ? problem_usage(problem, NULL, "--exec: a quote is not closed")
                   : exec_command_check(ret, problem);
    if (code)
        exec_command_fini(ret);
    return code;
}

void exec_command_fini(struct exec_command *c)
{
    free(c->text);
    free(c->words);
    *c = (struct exec_command){0};
}

/* ---- words of one user ---- */

/* A name is what a user chose, and no option: "-rf". */
static char *word_fill(const char *word, const json_t *values, char **ret_why)
{
    AUTO_BUF out = BUF_INIT;
    int err = 0;
    for (const char *s = word; *s && err == 0;) {
        size_t n = 0;
        bool is_bad;
        const char *name = placeholder_at(s, &n, &is_bad);
        const char *value = name ? json_string_value(json_object_get(values, name)) : NULL;
        if (name && s == word && value && value[0] == '-') {
            *ret_why =
                str_printf("%s begins with -: the command would take it for an option", name);
            return NULL;
        }
        err = name ? buf_append_c(&out, value ? value : "") : buf_append_char(&out, *s);
        s += name ? n : 1;
    }
    char *filled = err == 0 ? str_dup(buf_str(&out)) : NULL;
    if (!filled)
        *ret_why = str_dup_c("out of memory");
    return filled ? filled : NULL;
}

char **exec_command_words(const struct exec_command *c, const json_t *values, char **ret_why)
{
    char **words = calloc(c->n + 1, sizeof(*words));
    for (size_t i = 0; words && i < c->n; i++) {
        words[i] = word_fill(c->words[i], values, ret_why);
        if (!words[i]) {
            exec_words_free(words);
            return NULL;
        }
    }
    return words;
}

void exec_words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

/* ---- processes ---- */

static void exec_child_run(int out, pid_t parent, char *const *words)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)setpgid(0, 0); /* Ctrl-C is for mailproxyctl, which decides */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(126);
    (void)sigaction(SIGINT, &usual, NULL);
    (void)sigaction(SIGPIPE, &usual, NULL);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(out, STDERR_FILENO) < 0)
        _exit(126);
    execvp(words[0], words);
    dprintf(STDERR_FILENO, "%s: %s\n", words[0], strerror(errno));
    _exit(127);
}

int exec_child_start(struct exec_child *c, char *const *words)
{
    int fds[2];
    *c = (struct exec_child){.fd = -1};
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_from_errno(errno);
    pid_t parent = getpid();
    c->pid = fork();
    if (c->pid == 0)
        exec_child_run(fds[1], parent, words);
    int saved = errno;
    close(fds[1]);
    if (c->pid < 0) {
        close(fds[0]);
        c->pid = 0;
        return err_from_errno(saved);
    }
    (void)setpgid(c->pid, c->pid); /* whoever of both comes first */
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    c->fd = fds[0];
    return 0;
}

void exec_child_read(struct exec_child *c)
{
    char bytes[4096];
    while (c->fd >= 0) {
        ssize_t n = read(c->fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close(c->fd);
            c->fd = -1;
            return;
        }
        (void)!buf_append(&c->output, bytes, (size_t)n);
        if (c->output.len > EXEC_OUTPUT_MAX)
            buf_consume(&c->output, c->output.len - EXEC_OUTPUT_MAX);
    }
}

bool exec_child_has_ended(struct exec_child *c)
{
    int status;
    if (c->pid == 0)
        return true;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        return false;
    c->pid = 0;
    c->status = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    exec_child_read(c);
    return true;
}

void exec_child_signal(const struct exec_child *c, int sig)
{
    if (c->pid > 0)
        (void)kill(-c->pid, sig);
}

void exec_child_fini(struct exec_child *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_fini(&c->output);
}
