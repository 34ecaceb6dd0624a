/* SPDX-License-Identifier: ISC */
/* Preloaded into a supervisor that is not looked at: what it starts as itself (its engine) is
 * started behind the words of SELF_EXEC, one a line: valgrind, its options, the program. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SELF_EXEC_WORDS_MAX 64

extern char **environ;

int execl(const char *path, const char *arg, ...)
{
    const char *argv[SELF_EXEC_WORDS_MAX + 1] = {0};
    size_t n = 0;
    char *rest = strcmp(path, "/proc/self/exe") == 0 ? getenv("SELF_EXEC") : NULL;
    bool is_self = rest != NULL;
    unsetenv("LD_PRELOAD");
    if (!rest)
        argv[n++] = arg;
    while (rest && n < SELF_EXEC_WORDS_MAX)
        argv[n++] = strsep(&rest, "\n");
    va_list ap;
    va_start(ap, arg);
    for (const char *next; n < SELF_EXEC_WORDS_MAX && (next = va_arg(ap, const char *));)
        argv[n++] = next;
    va_end(ap);
    return execve(is_self ? argv[0] : path, (char *const *)argv, environ);
}
