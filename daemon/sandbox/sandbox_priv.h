/* SPDX-License-Identifier: ISC */
/* Private to sandbox/: its parts. Each logs what cannot be put in force. */
#pragma once

#include "base/log/log.h"
#include "sandbox/sandbox.h"

/* A sanitizer's runtime calls what no other program does: only what is dangerous is refused then,
 * and its leak checker looks at its own process as a debugger does. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_IS_SANITIZED true
#else
#define SANDBOX_IS_SANITIZED false
#endif

static inline void sandbox_missing(const char *what, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARN, "sandbox-not-in-force", KV_STR("part", what), KV_STR("reason", why));
}

/* sandbox_files.c: reading and writing, signals, abstract sockets (Landlock). */
void sandbox_files(const struct sandbox_spec *spec);

/* sandbox_calls.c: system calls (seccomp). kind: a letter of calls.def. */
void sandbox_calls(char kind);
/* Refuses what no program that it starts needs either: they inherit it. */
void sandbox_calls_supervisor(void);
