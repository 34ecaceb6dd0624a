/* SPDX-License-Identifier: ISC */
/* Preloaded under valgrind, where /proc/self/exe is valgrind itself: the supervisor starts the
 * program that SELF_EXEC names instead. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SELF_EXEC_ARGS_MAX 32

extern char **environ;

int execl(const char *path, const char *arg, ...)
{
    const char *argv[SELF_EXEC_ARGS_MAX + 1] = {arg};
    const char *self = getenv("SELF_EXEC");
    va_list ap;
    va_start(ap, arg);
    for (size_t n = 1; n < SELF_EXEC_ARGS_MAX && argv[n - 1]; n++)
        argv[n] = va_arg(ap, const char *);
    va_end(ap);
    bool is_self = self && strcmp(path, "/proc/self/exe") == 0;
    return execve(is_self ? self : path, (char *const *)argv, environ);
}
