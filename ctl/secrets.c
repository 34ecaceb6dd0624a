/* SPDX-License-Identifier: ISC */
/* Asking for secrets. */
#include "ctl/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <termios.h>

#include "base/buf.h"

#define SECRETS_MAX 8192

static volatile sig_atomic_t secrets_signal;

static void secrets_on_signal(int sig)
{
    secrets_signal = sig;
}

/* Reads to the end of the line, byte by byte: what follows belongs to somebody else. */
static int secrets_read_line(int fd, struct buf *out)
{
    while (out->len < SECRETS_MAX) {
        char c;
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR && !secrets_signal)
            continue;
        if (n < 0)
            return -ERR_IO;
        if (n == 0 || c == '\n')
            break;
        if (buf_append_char(out, c))
            return -ERR_NOMEM;
    }
    if (out->len && buf_str(out).p[out->len - 1] == '\r')
        out->len--;
    return out->len < SECRETS_MAX ? 0 : -ERR_TOO_LONG;
}

/* One question on the terminal, without echo. */
static int secrets_ask(int tty, const char *question, struct buf *out)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction old[ARRAY_LEN(signals)];
    const struct sigaction action = {.sa_handler = secrets_on_signal};
    struct termios shown, hidden;
    if (tcgetattr(tty, &shown))
        return -ERR_IO;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
    hidden.c_lflag |= ECHONL | ICANON;
    secrets_signal = 0;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &action, &old[i]);
    dprintf(tty, "%s: ", question);
    tcsetattr(tty, TCSAFLUSH, &hidden);
    int err = secrets_read_line(tty, out);
    tcsetattr(tty, TCSAFLUSH, &shown);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &old[i], NULL);
    if (secrets_signal) {
        dprintf(tty, "\n");
        raise(secrets_signal);
        return -ERR_CANCELLED;
    }
    return err;
}

static int secrets_prompt(const struct command_arg *arg, struct buf *out, struct problem *problem)
{
    char name[64];
    AUTO_SECRET_BUF again = BUF_INIT;
    commands_dashed(name, sizeof(name), arg->name);
    AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    AUTO_FREE char *hint = str_printf("--%s-stdin, or --%s-file FILE", name, name);
    if (tty < 0 || !isatty(tty))
        return problem_usage(problem, hint, "there is no terminal to ask for the %s", name);
    AUTO_FREE char *question = str_printf("%s", name);
    AUTO_FREE char *repeat = str_printf("%s again", name);
    if (!question || !repeat || secrets_ask(tty, question, out) || secrets_ask(tty, repeat, &again))
        return problem_set(problem, PROBLEM_FAILED, "E_IO", hint, "cannot ask for the %s", name);
    if (!str_eq(buf_str(out), buf_str(&again)))
        return problem_set(problem, PROBLEM_FAILED, "E_INVAL", NULL,
                           "the two are not the same; nothing was done");
    return 0;
}

static int secrets_from_fd(int fd, const char *name, struct buf *out, struct problem *problem)
{
    secrets_signal = 0;
    int err = secrets_read_line(fd, out);
    if (err)
        return problem_set(problem, PROBLEM_FAILED, err_name(err), NULL, "cannot read %s: %s", name,
                           err == -ERR_IO ? strerror(errno) : err_text(err));
    return 0;
}

static int secrets_get(const struct args_secret *s, struct buf *out, struct problem *problem)
{
    if (s->source == ARGS_SECRET_PROMPT)
        return secrets_prompt(s->arg, out, problem);
    if (s->source == ARGS_SECRET_STDIN || strcmp(s->path, "-") == 0)
        return secrets_from_fd(STDIN_FILENO, "stdin", out, problem);
    AUTO_CLOSE int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return problem_set(problem, PROBLEM_FAILED, "E_IO", NULL, "cannot read %s: %s", s->path,
                           strerror(errno));
    return secrets_from_fd(fd, s->path, out, problem);
}

int secrets_fill(struct args *a, struct problem *problem)
{
    for (size_t i = 0; i < a->n_secrets; i++) {
        AUTO_SECRET_BUF secret = BUF_INIT;
        const struct args_secret *s = &a->secrets[i];
        int code = secrets_get(s, &secret, problem);
        if (code)
            return code;
        if (secret.len == 0)
            return problem_set(problem, PROBLEM_FAILED, "E_INVAL", NULL, "the %s is empty",
                               s->arg->name);
        struct str text = buf_str(&secret);
        if (json_object_set_new(a->params, s->arg->name, json_stringn(text.p, text.n)))
            return problem_set(problem, PROBLEM_FAILED, "E_INVAL", NULL, "the %s is not UTF-8 text",
                               s->arg->name);
    }
    a->n_secrets = 0;
    return 0;
}
