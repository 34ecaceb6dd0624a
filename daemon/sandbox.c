/* SPDX-License-Identifier: ISC */
/* The sandbox of the engine: user, capabilities, core dumps, Landlock, seccomp. */
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

/* The leak checker of a sanitizer's build looks at its own process as a debugger does. */
#ifdef __SANITIZE_ADDRESS__
#define SANDBOX_IS_TRACEABLE true
#else
#define SANDBOX_IS_TRACEABLE false
#endif

static void sandbox_missing(const char *what, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARN, "sandbox-not-in-force", KV_STR("part", what), KV_STR("reason", why));
}

/* Certificates and keys that only root may read are read again at each reload: that one capability
 * stays. */
static int sandbox_change_user(const struct config *c)
{
    const struct passwd *pw = c->user ? getpwnam(c->user) : NULL;
    const struct group *gr = c->group ? getgrnam(c->group) : NULL;
    if ((c->user && !pw) || (c->group && !gr)) {
        LOG_EVENT(LOG_LEVEL_ERROR, "no-such-user", KV_STR("user", c->user),
                  KV_STR("group", c->group));
        return -ERR_NOT_FOUND;
    }
    if (geteuid() != 0) {
        if (pw && pw->pw_uid != geteuid())
            sandbox_missing("user", "not started as root");
        return 0;
    }
    if (!pw || pw->pw_uid == 0)
        return 0;
    capng_clear(CAPNG_SELECT_BOTH);
    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);
    gid_t gid = gr ? gr->gr_gid : pw->pw_gid;
    if (initgroups(pw->pw_name, gid) < 0 ||
        capng_change_id((int)pw->pw_uid, (int)gid, CAPNG_CLEAR_BOUNDING) != 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "user-not-changed", KV_STR("user", c->user));
        return -ERR_PERM;
    }
    return 0;
}

static void sandbox_no_dumps(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (!SANDBOX_IS_TRACEABLE)
        (void)prctl(PR_SET_DUMPABLE, 0);
}

/* ---- Landlock: reading is free, writing only below the configured folders ---- */

#define SANDBOX_WRITES                                                                             \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static void sandbox_allow(int ruleset, const char *path)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = S_ISDIR(st.st_mode) ? SANDBOX_WRITES : LANDLOCK_ACCESS_FS_WRITE_FILE,
        .parent_fd = fd};
    (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* The folder of a file, so that it can be made anew after logrotate moved it. */
static void sandbox_allow_folder_of(int ruleset, const char *file)
{
    AUTO_FREE char *folder = str_dup_c(file);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (!slash)
        return;
    *(slash == folder ? slash + 1 : slash) = '\0';
    sandbox_allow(ruleset, folder);
}

static void sandbox_landlock(const struct config *c)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs = SANDBOX_WRITES};
    AUTO_CLOSE int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (ruleset < 0) {
        sandbox_missing("landlock", strerror(errno));
        return;
    }
    sandbox_allow(ruleset, c->state_dir);
    sandbox_allow(ruleset, c->run_dir);
    sandbox_allow(ruleset, "/dev");
    sandbox_allow_folder_of(ruleset, c->store.path);
    for (size_t i = 0; i < c->n_logs; i++)
        if (c->logs[i].path)
            sandbox_allow_folder_of(ruleset, c->logs[i].path);
    for (size_t i = 0; i < c->n_controls; i++)
        sandbox_allow_folder_of(ruleset, c->controls[i].path);
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        sandbox_missing("landlock", strerror(errno));
}

/* ---- seccomp: what no mail proxy ever does ---- */

static const int sandbox_forbidden[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(reboot),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(ioperm),
    SCMP_SYS(iopl),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),
};

static void sandbox_seccomp(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int failed = filter ? 0 : -ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(sandbox_forbidden) && failed == 0; i++) {
        if (SANDBOX_IS_TRACEABLE && sandbox_forbidden[i] == SCMP_SYS(ptrace))
            continue;
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), sandbox_forbidden[i], 0);
    }
    if (failed == 0)
        failed = seccomp_load(filter);
    if (failed)
        sandbox_missing("seccomp", strerror(-failed));
    seccomp_release(filter);
}

int sandbox_enter(const struct config *c)
{
    int err = sandbox_change_user(c);
    if (err < 0)
        return err;
    sandbox_no_dumps();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        sandbox_missing("no-new-privileges", strerror(errno));
        return 0;
    }
    sandbox_landlock(c);
    sandbox_seccomp();
    return 0;
}
