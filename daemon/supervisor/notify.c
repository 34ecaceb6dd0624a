/* SPDX-License-Identifier: ISC */
/* sd_notify: a datagram, so no library is needed. */
#include "supervisor/notify.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (!path || !str_copy(un.sun_path, sizeof(un.sun_path), str_of(path)))
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (un.sun_path[0] == '@')
        un.sun_path[0] = '\0';
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un, len);
}

void notify_alive(uint64_t now_ms)
{
    static uint64_t told_ms;
    const char *text = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");
    uint64_t limit_us, pid;
    if (!text || str_to_u64(str_of(text), UINT64_MAX, &limit_us) < 0)
        return;
    if (whose && (str_to_u64(str_of(whose), INT32_MAX, &pid) < 0 || pid != (uint64_t)getpid()))
        return;
    if (told_ms && now_ms - told_ms < limit_us / 1000 / 4)
        return;
    notify("WATCHDOG=1");
    told_ms = now_ms;
}
