/* SPDX-License-Identifier: ISC */
/* The supervisor: keeps the listening sockets and an engine running. */
#pragma once

/* Runs until the daemon is told to stop; returns the exit status. config_path must be readable now;
 * arg0 is the name that the program was called by. */
int supervisor_run(const char *config_path, const char *arg0);
/* The same for a program that takes the place of a running one, with its engines and sockets. */
int supervisor_take_over(const char *config_path, const char *arg0);
