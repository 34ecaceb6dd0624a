/* SPDX-License-Identifier: ISC */
/* Peer credentials and roles. */
#include "rpc/peer.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>

#define PEER_GROUPS_MAX 1024
#define PEER_DB_BYTES 65536

int peer_credentials(int fd, struct peer *ret, uint32_t *ret_gid)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
        return err_from_errno(errno);
    *ret = (struct peer){.uid = cred.uid, .pid = (uint32_t)cred.pid, .role = ROLE_NONE};
    *ret_gid = cred.gid;
    return 0;
}

/* What the user database says; groups only when they are asked for. */
struct peer_facts {
    uint32_t gid;
    bool has_name;
    gid_t groups[PEER_GROUPS_MAX];
    int n_groups;
    char buffer[PEER_DB_BYTES];
};

static bool peer_is_in_group(const struct peer *p, struct peer_facts *f, const char *name)
{
    uint64_t number;
    struct group gr, *found = NULL;
    gid_t gid;
    if (f->n_groups == 0) { /* they are asked for once, and only where a group is listed */
        int n = PEER_GROUPS_MAX - 1;
        f->groups[0] = f->gid;
        f->n_groups = 1;
        if (f->has_name && getgrouplist(p->user, f->gid, f->groups + 1, &n) >= 0)
            f->n_groups += n;
    }
    if (str_to_u64(str_of(name), UINT32_MAX, &number) == 0)
        gid = (gid_t)number;
    else if (getgrnam_r(name, &gr, f->buffer, sizeof(f->buffer), &found) == 0 && found)
        gid = found->gr_gid;
    else
        return false;
    for (int i = 0; i < f->n_groups; i++)
        if (f->groups[i] == gid)
            return true;
    return false;
}

static bool peer_is_listed(const struct peer *p, struct peer_facts *f,
                           const struct config_strings *list)
{
    uint64_t number;
    for (size_t i = 0; i < list->n; i++) {
        const char *who = list->v[i];
        if (strcmp(who, "*") == 0)
            return true;
        if (who[0] == '@' ? peer_is_in_group(p, f, who + 1)
                          : f->has_name && strcmp(who, p->user) == 0)
            return true;
        if (str_to_u64(str_of(who), UINT32_MAX, &number) == 0 && number == p->uid)
            return true;
    }
    return false;
}

void peer_identify(struct peer *p, uint32_t gid, const struct config_control *section)
{
    struct peer_facts *f = calloc(1, sizeof(*f));
    p->role = p->uid == 0 || p->uid == geteuid() ? ROLE_ADMIN : ROLE_NONE;
    if (!f) {
        (void)snprintf(p->user, sizeof(p->user), "%u", p->uid);
        return;
    }
    f->gid = gid;
    struct passwd pw, *found = NULL;
    int rc = getpwuid_r(p->uid, &pw, f->buffer, sizeof(f->buffer), &found);
    f->has_name = rc == 0 && found && str_copy(p->user, sizeof(p->user), str_of(found->pw_name));
    if (!f->has_name)
        (void)snprintf(p->user, sizeof(p->user), "%u", p->uid);
    if (p->role == ROLE_NONE && section) {
        if (peer_is_listed(p, f, &section->admin))
            p->role = ROLE_ADMIN;
        else if (peer_is_listed(p, f, &section->operator_))
            p->role = ROLE_OPERATOR;
        else if (peer_is_listed(p, f, &section->viewer))
            p->role = ROLE_VIEWER;
    }
    free(f);
}
