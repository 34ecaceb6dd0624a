/* SPDX-License-Identifier: ISC */
/* Landlock: which files may be opened, and how; no signals to others, no abstract sockets of
 * others.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/sandbox_priv.h"

/* What later kernels know, for older headers. Each is asked for only where the kernel has it. */
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_REFER (UINT64_C(1) << 13)             /* from version 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)          /* from version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15)         /* from version 5 */
#define NET_BIND_TCP (UINT64_C(1) << 0)          /* from version 4 */
#define SCOPE_ABSTRACT_SOCKET (UINT64_C(1) << 0) /* from version 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

struct sandbox_ruleset {
    uint64_t fs, net,
        scoped; /* as the kernel's struct landlock_ruleset_attr has them since version 6 */
};

#define FS_READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITES                                                                                  \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK)
/* Nobody may do these anywhere. */
#define FS_NEVER                                                                                   \
    (FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_FIFO |                    \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_OF_FILES                                                                                \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | FS_EXECUTE)

/* What libraries read: names of users, hosts and services, name servers, time zones, trusted
 * authorities. All of /etc, as far as its owner and mode let the user: a rule holds for a file that
 * is there, not for the one that an editor puts in its place. The other folders are those that
 * links in /etc lead to. */
static const char *const library_files[] = {
    "/etc",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/lib",
    "/usr/lib64",
    "/run/systemd/resolve",
    "/run/systemd/userdb",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/var/lib/sss/mc",
    "/run/nscd",
    "/dev/urandom",
    "/dev/null",
    "/proc/self",
    "/proc/stat",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
};

static void files_allow(int ruleset, const char *path, uint64_t access)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = S_ISDIR(st.st_mode) ? access : access & FS_OF_FILES, .parent_fd = fd};
    if (rule.allowed_access &&
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        sandbox_missing("landlock", strerror(errno));
}

/* Connecting is not restricted by ports: operators add backends while everything runs. Nothing is
 * bound by an engine: the supervisor hands it what it listens on. */
static struct sandbox_ruleset files_handled(int version)
{
    struct sandbox_ruleset r = {.fs = FS_READS | FS_WRITES | FS_NEVER};
    if (version >= 2)
        r.fs |= FS_REFER;
    if (version >= 3)
        r.fs |= FS_TRUNCATE;
    if (version >= 4)
        r.net |= NET_BIND_TCP;
    if (version >= 5)
        r.fs |= FS_IOCTL_DEV;
    if (version >= 6)
        r.scoped |= SCOPE_SIGNAL | SCOPE_ABSTRACT_SOCKET;
    return r;
}

void sandbox_files(const struct sandbox_spec *spec)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct sandbox_ruleset handled = files_handled(version);
    size_t bytes = version >= 6 ? 24 : version >= 4 ? 16 : 8; /* that the kernel knows of it */
    AUTO_CLOSE int ruleset =
        version < 1 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &handled, bytes, 0);
    if (ruleset < 0) {
        sandbox_missing("landlock", strerror(errno));
        return;
    }
    uint64_t reads = handled.fs & FS_READS;
    for (size_t i = 0; i < ARRAY_LEN(library_files); i++)
        files_allow(ruleset, library_files[i], reads);
    for (size_t i = 0; i < spec->readable.n; i++)
        files_allow(ruleset, spec->readable.v[i], reads);
    for (size_t i = 0; i < spec->writable.n; i++)
        files_allow(ruleset, spec->writable.v[i],
                    reads | (handled.fs & (FS_WRITES | FS_TRUNCATE | FS_REFER)));
    files_allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE);
    /* A rule holds for an inode. Those of /proc are made anew when the kernel is short of memory,
     * and no rule holds for the new one: unless somebody has the old one open, as this process has
     * its own from now on. */
    static int held = -1;
    if (held < 0)
        held = open("/proc/self", O_PATH | O_CLOEXEC);
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        sandbox_missing("landlock", strerror(errno));
}
