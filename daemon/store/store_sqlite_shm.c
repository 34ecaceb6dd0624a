/* SPDX-License-Identifier: ISC */
/* The index of SQLite's log is memory that is mapped from a file (-shm). A file system that takes
 * no writes any more (read-only after an error, immutable, no space behind a sparse file) answers
 * an access to it with SIGBUS, which would end the engine. Here the page becomes memory of this
 * process alone, with the same content: all its connections go on, and the store hears that the
 * files are not to be relied on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/store_sqlite.h"

#define SHM_REGIONS_MAX 1024 /* of 32 KB; a log with 4 million pages has as many */
#define SHM_CHUNK 4096

static struct {
    _Atomic uintptr_t regions[SHM_REGIONS_MAX]; /* where one begins, filled from the front */
    atomic_size_t region_bytes;
    atomic_uint refusals;
    atomic_flag is_busy;
    int pipe[2];
    size_t page_bytes;
    struct sigaction before;
    sqlite3_io_methods methods;      /* with ours among them */
    const sqlite3_io_methods *plain; /* of SQLite's own files, NULL before the first */
    pthread_mutex_t mutex;           /* of both */
} shm = {.is_busy = ATOMIC_FLAG_INIT, .pipe = {-1, -1}, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- in the signal handler: only what is safe there ---- */

static bool shm_has(uintptr_t at)
{
    size_t bytes = atomic_load(&shm.region_bytes);
    for (size_t i = 0; i < SHM_REGIONS_MAX; i++) {
        uintptr_t region = atomic_load(&shm.regions[i]);
        if (region == 0)
            return false;
        if (at - region < bytes)
            return true;
    }
    return false;
}

/* A write that changes nothing, made by the kernel, which says EFAULT where we would get a signal:
 * another thread may have mended the page. */
static bool shm_is_writable(uintptr_t page)
{
    const uint32_t or_with_0 = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
    uint32_t nobody_waits = 0;
    return syscall(SYS_futex, &nobody_waits, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, NULL, page,
                   or_with_0) >= 0;
}

/* The page changes at once: no thread sees it without its content. */
static bool shm_replace(uintptr_t page)
{
    char *copy =
        mmap(NULL, shm.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return false;
    /* What cannot be read (the file was cut) stays zero, which SQLite knows for an index to be made
     * anew. The pipe gets EFAULT instead of a signal. */
    for (size_t at = 0; at < shm.page_bytes; at += SHM_CHUNK) {
        ssize_t n = write(shm.pipe[1], (const char *)page + at, SHM_CHUNK);
        if (n > 0)
            (void)!read(shm.pipe[0], copy + at, (size_t)n);
    }
    if (mremap(copy, shm.page_bytes, shm.page_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)page) !=
        MAP_FAILED)
        return true;
    (void)munmap(copy, shm.page_bytes);
    return false;
}

/* Elsewhere, or when it cannot be mended: the access is tried again and ends as ever. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t at = (uintptr_t)info->si_addr, page = at & ~(uintptr_t)(shm.page_bytes - 1);
    (void)number;
    (void)context;
    bool is_mended = false;
    if (shm_has(at)) {
        while (atomic_flag_test_and_set(&shm.is_busy))
            sched_yield();
        is_mended = shm_is_writable(page) || shm_replace(page);
        atomic_flag_clear(&shm.is_busy);
    }
    if (is_mended)
        atomic_fetch_add(&shm.refusals, 1);
    else
        (void)sigaction(SIGBUS, &shm.before, NULL);
    errno = saved;
}

/* ---- what SQLite maps ---- */

static int on_shm_map(sqlite3_file *file, int region, int bytes, int is_extended,
                      void volatile **ret)
{
    int rc = shm.plain->xShmMap(file, region, bytes, is_extended, ret);
    if (rc != SQLITE_OK || !*ret)
        return rc;
    atomic_store(&shm.region_bytes, (size_t)bytes);
    for (size_t i = 0; i < SHM_REGIONS_MAX; i++) {
        uintptr_t at = (uintptr_t)*ret, other = 0;
        if (atomic_compare_exchange_strong(&shm.regions[i], &other, at) || other == at)
            break;
    }
    return rc;
}

void sqlite_shm_guard(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file ||
        !file->pMethods || file->pMethods->iVersion < 2)
        return;
    pthread_mutex_lock(&shm.mutex);
    if (!shm.plain && pipe2(shm.pipe, O_CLOEXEC | O_NONBLOCK) == 0) {
        shm.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
        shm.methods = *file->pMethods;
        shm.methods.xShmMap = on_shm_map;
        shm.plain = file->pMethods;
    }
    /* Each time: somebody else may have set a handler, which takes what is not ours. */
    const struct sigaction action = {.sa_sigaction = on_bus_error,
                                     .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigaction before;
    if (shm.plain && sigaction(SIGBUS, &action, &before) == 0 &&
        before.sa_sigaction != on_bus_error)
        shm.before = before;
    if (file->pMethods == shm.plain)
        file->pMethods = &shm.methods;
    pthread_mutex_unlock(&shm.mutex);
}

unsigned sqlite_shm_refusals(void)
{
    return atomic_load(&shm.refusals);
}
