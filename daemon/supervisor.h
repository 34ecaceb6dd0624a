/* SPDX-License-Identifier: ISC */
/* The supervisor: keeps the listening sockets and an engine running. */
#pragma once

/* Runs until the daemon is told to stop; returns the exit status. config_path must be readable now.
 */
int supervisor_run(const char *config_path);
