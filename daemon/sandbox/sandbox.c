/* SPDX-License-Identifier: ISC */
/* The order of giving up: user and capabilities, core dumps, then files and system calls. */
#include "sandbox/sandbox_priv.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"

void sandbox_add(struct sandbox_paths *p, const char *path)
{
    if (path && p->n < SANDBOX_PATHS_MAX)
        p->v[p->n++] = path;
}

static int sandbox_change_user(const struct sandbox_spec *spec)
{
    const struct passwd *pw = spec->user ? getpwnam(spec->user) : NULL;
    const struct group *gr = spec->group ? getgrnam(spec->group) : NULL;
    if ((spec->user && !pw) || (spec->group && !gr)) {
        LOG_EVENT(LOG_LEVEL_ERROR, "no-such-user", KV_STR("user", spec->user),
                  KV_STR("group", spec->group));
        return -ERR_NOT_FOUND;
    }
    if (geteuid() != 0) {
        if (pw && pw->pw_uid != geteuid())
            sandbox_missing("user", "not started as root");
        return 0;
    }
    if (!pw || pw->pw_uid == 0)
        return 0;
    gid_t gid = gr ? gr->gr_gid : pw->pw_gid;
    capng_clear(CAPNG_SELECT_BOTH);
    if (initgroups(pw->pw_name, gid) < 0 ||
        capng_change_id((int)pw->pw_uid, (int)gid, CAPNG_CLEAR_BOUNDING) != 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "user-not-changed", KV_STR("user", spec->user));
        return -ERR_PERM;
    }
    return 0;
}

static void sandbox_no_dumps(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (!SANDBOX_IS_SANITIZED)
        (void)prctl(PR_SET_DUMPABLE, 0);
}

int sandbox_enter(const struct sandbox_spec *spec)
{
    int err = sandbox_change_user(spec);
    if (err < 0)
        return err;
    /* Sources of names (NSS) may be libraries, which cannot be loaded later: a name that none has
     * makes all of them load. */
    gid_t groups[8];
    int n = 8;
    (void)getpwnam("no such user");
    (void)getgrnam("no such group");
    (void)getgrouplist("no such user", 0, groups, &n);
    sandbox_no_dumps();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        sandbox_missing("no-new-privileges", strerror(errno));
        return 0;
    }
    sandbox_files(spec);
    sandbox_calls('C');
    return 0;
}

void sandbox_enter_worker(void)
{
    sandbox_calls('W');
}

void sandbox_enter_auth_thread(void)
{
    sandbox_calls('A');
}

void sandbox_enter_log_thread(void)
{
    sandbox_calls('L');
}

void sandbox_enter_watchdog(void)
{
    sandbox_calls('D');
}

int sandbox_enter_keys(const char *user, const char *group)
{
    const struct sandbox_spec spec = {.user = user, .group = group};
    int err = sandbox_change_user(&spec);
    if (err < 0)
        return err;
    sandbox_no_dumps();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        sandbox_missing("no-new-privileges", strerror(errno));
    return 0;
}

void sandbox_enter_key_thread(void)
{
    sandbox_calls('K');
}

/* For low ports, for files and sockets that are handed to the engine's user, to become that user
 * and to end what runs as it. */
static const unsigned supervisor_capabilities[] = {
    CAP_NET_BIND_SERVICE, CAP_CHOWN,  CAP_FOWNER, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
    CAP_SETUID,           CAP_SETGID, CAP_KILL,   CAP_SETPCAP,
};

/* Of the given capabilities those that it has are all that it keeps. */
static void sandbox_keep(const unsigned *capabilities, size_t n)
{
    bool had[CAP_LAST_CAP + 1] = {false};
    if (capng_get_caps_process() != 0) { /* what it has is not known: it keeps that */
        sandbox_missing("capabilities", strerror(errno));
        return;
    }
    for (size_t i = 0; i < n; i++) /* a container may have taken some */
        had[i] = capng_have_capability(CAPNG_PERMITTED, capabilities[i]) &&
                 capng_have_capability(CAPNG_BOUNDING_SET, capabilities[i]);
    capng_clear(CAPNG_SELECT_BOTH);
    for (size_t i = 0; i < n; i++)
        if (had[i])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
                         capabilities[i]);
    if (capng_apply(CAPNG_SELECT_BOTH) != 0)
        sandbox_missing("capabilities", strerror(errno));
}

void sandbox_enter_supervisor(void)
{
    if (geteuid() == 0)
        sandbox_keep(supervisor_capabilities, ARRAY_LEN(supervisor_capabilities));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        sandbox_missing("no-new-privileges", strerror(errno));
    else
        sandbox_calls_supervisor();
}

/* It is a fork of the supervisor, of which the library remembers what it has: to ask the kernel
 * again takes longer than the rest of its life. The bounding set does not matter: it runs no
 * program. The supervisor's list of system calls stays in force. */
void sandbox_enter_loading(void)
{
    if (geteuid() != 0)
        return;
    bool can_read = capng_have_capability(CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);
    capng_setpid(gettid());
    capng_clear(CAPNG_SELECT_CAPS);
    if (can_read)
        capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);
    if (capng_apply(CAPNG_SELECT_CAPS) != 0)
        sandbox_missing("capabilities", strerror(errno));
}

void sandbox_enter_watch(void)
{
    static const unsigned looking[] = {CAP_DAC_READ_SEARCH};
    if (geteuid() == 0)
        sandbox_keep(looking, ARRAY_LEN(looking));
    sandbox_calls('F');
}
