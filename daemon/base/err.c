/* SPDX-License-Identifier: ISC */
/* Names and sentences of the error codes, and their errno counterparts. */
#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
    const char *name, *text;
} errors[ERR_COUNT] = {
    [ERR_OK] = {"OK", "ok"},
#define E(name, text) [ERR_##name] = {"E_" #name, text},
#include "base/err.def"
#undef E
};

static unsigned err_index(int err)
{
    unsigned i = err < 0 ? 0u - (unsigned)err : (unsigned)err;
    return i < ERR_COUNT ? i : ERR_INTERNAL;
}

const char *err_name(int err)
{
    return errors[err_index(err)].name;
}

const char *err_text(int err)
{
    return errors[err_index(err)].text;
}

int err_from_name(const char *name)
{
    for (int i = 1; i < ERR_COUNT; i++)
        if (strcmp(errors[i].name, name) == 0)
            return i;
    return ERR_OK;
}

bool err_is_shortage(int err)
{
    unsigned i = err_index(err);
    return i == ERR_NOMEM || i == ERR_SHORTAGE;
}

int err_from_errno(int errnum)
{
    static const struct {
        int number, err;
    } table[] = {
        {0, ERR_OK},
        {ENOMEM, ERR_NOMEM},
        {EINVAL, ERR_INVAL},
        {ENOENT, ERR_NOT_FOUND},
        {EEXIST, ERR_EXISTS},
        {EAGAIN, ERR_AGAIN},
        {EINPROGRESS, ERR_AGAIN},
        {ETIMEDOUT, ERR_TIMEOUT},
        {ECONNRESET, ERR_CLOSED},
        {EPIPE, ERR_CLOSED},
        {ENOTCONN, ERR_CLOSED},
        {ECONNABORTED, ERR_CLOSED},
        {ECONNREFUSED, ERR_REFUSED},
        {EHOSTUNREACH, ERR_UNREACHABLE},
        {ENETUNREACH, ERR_UNREACHABLE},
        {EHOSTDOWN, ERR_UNREACHABLE},
        {ENETDOWN, ERR_UNREACHABLE},
        {EADDRNOTAVAIL, ERR_UNREACHABLE},
        {EACCES, ERR_PERM},
        {EPERM, ERR_PERM},
        {ENOSPC, ERR_STORE_FULL},
        {EDQUOT, ERR_STORE_FULL},
        {EROFS, ERR_STORE_READONLY},
        {EMFILE, ERR_SHORTAGE},
        {ENFILE, ERR_SHORTAGE},
        {ENOBUFS, ERR_SHORTAGE},
        {EBUSY, ERR_BUSY},
        {ECANCELED, ERR_CANCELLED},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].number == errnum)
            return -table[i].err;
    return -ERR_IO;
}
