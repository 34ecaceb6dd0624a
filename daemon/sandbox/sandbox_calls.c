/* SPDX-License-Identifier: ISC */
/* seccomp: a list of the system calls that each kind of thread may make. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/sandbox_priv.h"

/* A test's request: what is not in the list is written to the error output, and then fails as it
 * would otherwise. */
#define CALLS_REPORT_ENV "MAILPROXY_SANDBOX_REPORT"

/* Older headers. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static const struct sandbox_call {
    int number;
    const char *kinds;
} calls_allowed[] = {
#define CALL(name, kinds) {SCMP_SYS(name), kinds},
#include "sandbox/calls.def"
#undef CALL
};

/* Allowed where (argument & mask) == value. */
static const struct sandbox_argument {
    int number;
    const char *kinds;
    unsigned index;
    scmp_datum_t mask, value;
} calls_by_argument[] = {
    {SCMP_SYS(socket), "CWL", 0, UINT32_MAX, AF_UNIX},
    {SCMP_SYS(socket), "CW", 0, UINT32_MAX, AF_INET},
    {SCMP_SYS(socket), "CW", 0, UINT32_MAX, AF_INET6},
    {SCMP_SYS(socketpair), "C", 0, UINT32_MAX, AF_UNIX},
    {SCMP_SYS(mmap), "CWALDK", 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), "CWALDK", 2, PROT_EXEC, 0},
    {SCMP_SYS(clone), "C", 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM},
    {SCMP_SYS(open), "W", 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(openat), "W", 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(prctl), "CWALD", 0, UINT32_MAX, PR_SET_NAME},
    {SCMP_SYS(prctl), "CWALDF", 0, UINT32_MAX, PR_GET_NAME},
    {SCMP_SYS(prctl), "CWALD", 0, UINT32_MAX, PR_SET_VMA},
    {SCMP_SYS(prctl), "CW", 0, UINT32_MAX, PR_GET_NO_NEW_PRIVS},
    {SCMP_SYS(prctl), "CW", 0, UINT32_MAX, PR_SET_NO_NEW_PRIVS},
    {SCMP_SYS(prctl), "CW", 0, UINT32_MAX, PR_SET_SECCOMP},
    {SCMP_SYS(prlimit64), "CWA", 2, UINT64_MAX, 0}, /* asking only */
};

/* Nothing of the engine or its libraries ever does these: who does has taken it over. The
 * supervisor starts programs as other users, which is all that it needs of them. */
static const struct sandbox_deadly {
    int number;
    bool is_starting; /* a program, or becoming its user */
} calls_deadly[] = {
    {SCMP_SYS(execve), true},
    {SCMP_SYS(execveat), true},
    {SCMP_SYS(fork), true},
    {SCMP_SYS(vfork), true},
    {SCMP_SYS(ptrace), false},
    {SCMP_SYS(process_vm_readv), false},
    {SCMP_SYS(process_vm_writev), false},
    {SCMP_SYS(kexec_load), false},
    {SCMP_SYS(kexec_file_load), false},
    {SCMP_SYS(init_module), false},
    {SCMP_SYS(finit_module), false},
    {SCMP_SYS(delete_module), false},
    {SCMP_SYS(mount), false},
    {SCMP_SYS(umount2), false},
    {SCMP_SYS(pivot_root), false},
    {SCMP_SYS(chroot), false},
    {SCMP_SYS(swapon), false},
    {SCMP_SYS(swapoff), false},
    {SCMP_SYS(reboot), false},
    {SCMP_SYS(bpf), false},
    {SCMP_SYS(perf_event_open), false},
    {SCMP_SYS(userfaultfd), false},
    {SCMP_SYS(add_key), false},
    {SCMP_SYS(request_key), false},
    {SCMP_SYS(keyctl), false},
    {SCMP_SYS(setns), false},
    {SCMP_SYS(unshare), false},
    {SCMP_SYS(settimeofday), false},
    {SCMP_SYS(clock_settime), false},
    {SCMP_SYS(acct), false},
    {SCMP_SYS(quotactl), false},
    {SCMP_SYS(open_by_handle_at), false},
    {SCMP_SYS(mknod), false},
    {SCMP_SYS(mknodat), false},
    {SCMP_SYS(ioperm), false},
    {SCMP_SYS(iopl), false},
    {SCMP_SYS(setuid), true},
    {SCMP_SYS(setgid), true},
    {SCMP_SYS(setreuid), true},
    {SCMP_SYS(setregid), true},
    {SCMP_SYS(setresuid), true},
    {SCMP_SYS(setresgid), true},
    {SCMP_SYS(setgroups), true},
};

/* ---- the report of tests ---- */

/* Async-signal-safe. The call fails as if the kernel did not know it. */
static void on_call(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    char text[] = "sandbox: unlisted system call 0000 of thread ????????????????\n";
    char name[16] = "";
    char *digit = strchr(text, '0') + 3;
    for (int n = info->si_syscall; n > 0 && *digit == '0'; n /= 10)
        *digit-- = (char)('0' + n % 10);
    (void)prctl(PR_GET_NAME, name);
    memcpy(strchr(text, '?'), name, strlen(name));
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
#ifdef __x86_64__
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
    ((ucontext_t *)context)->uc_mcontext.regs[0] = (unsigned long long)-ENOSYS;
#endif
}

static uint32_t calls_default(void)
{
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    sigset_t set;
    if (!getenv(CALLS_REPORT_ENV))
        return SCMP_ACT_ERRNO(ENOSYS);
    sigaction(SIGSYS, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return SCMP_ACT_TRAP;
}

/* ---- the filter ---- */

static int calls_add_allowed(scmp_filter_ctx filter, char kind, bool is_reported)
{
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(calls_allowed) && failed == 0; i++)
        if (strchr(calls_allowed[i].kinds, kind))
            failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls_allowed[i].number, 0);
    for (size_t i = 0; i < ARRAY_LEN(calls_by_argument) && failed == 0; i++) {
        const struct sandbox_argument *a = &calls_by_argument[i];
        if (strchr(a->kinds, kind))
            failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, a->number, 1,
                                      SCMP_CMP64(a->index, SCMP_CMP_MASKED_EQ, a->mask, a->value));
    }
    if (failed == 0) /* abort() of this process only */
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                  SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    /* Known to be asked for and done without: its arguments cannot be looked at, clone's can. */
    if (failed == 0 && is_reported)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return failed;
}

static void calls_load(scmp_filter_ctx filter, int failed)
{
    if (failed == 0) /* a tree instead of a chain; older libraries have none */
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (failed == 0)
        failed = seccomp_load(filter);
    if (failed)
        sandbox_missing("seccomp", strerror(-failed));
    seccomp_release(filter);
}

void sandbox_calls(char kind)
{
    uint32_t otherwise = SANDBOX_IS_SANITIZED ? SCMP_ACT_ALLOW : calls_default();
    scmp_filter_ctx filter = seccomp_init(otherwise);
    uint32_t deadly = SANDBOX_IS_SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
    int failed = filter ? 0 : -ENOMEM;
    if (failed == 0 && !SANDBOX_IS_SANITIZED)
        failed = calls_add_allowed(filter, kind, otherwise == SCMP_ACT_TRAP);
    for (size_t i = 0; i < ARRAY_LEN(calls_deadly) && failed == 0; i++)
        if (!SANDBOX_IS_SANITIZED || calls_deadly[i].number != SCMP_SYS(ptrace))
            failed = seccomp_rule_add(filter, deadly, calls_deadly[i].number, 0);
    calls_load(filter, failed);
}

void sandbox_calls_supervisor(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int failed = filter ? 0 : -ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(calls_deadly) && failed == 0; i++) {
        bool is_needed = calls_deadly[i].is_starting ||
                         (SANDBOX_IS_SANITIZED && calls_deadly[i].number == SCMP_SYS(ptrace));
        if (!is_needed)
            failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls_deadly[i].number, 0);
    }
    calls_load(filter, failed);
}
