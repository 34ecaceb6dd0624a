/* SPDX-License-Identifier: ISC */
/* The SQLite file: is it ours and whole, which version is it, and the steps from one to the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/store_sqlite.h"

#define APPLICATION_ID 0x4d505859 /* "MPXY" */
#define HEADER_BYTES 100          /* of an SQLite file */
#define HEADER_APPLICATION_ID 68  /* offset, big-endian */

/* Step i leads from version i to i + 1. Append only: files of every version are about. */
static const char *const steps[] = {
    "CREATE TABLE user (name TEXT NOT NULL PRIMARY KEY, password_hash TEXT, scram TEXT, pool TEXT, "
    "backend TEXT, backend_user TEXT, backend_password TEXT, master_user TEXT, "
    "plain_password TEXT, state INTEGER NOT NULL, state_text TEXT, "
    "state_until_ms INTEGER NOT NULL, protocols INTEGER NOT NULL, max_sessions INTEGER NOT NULL, "
    "note TEXT, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, "
    "last_login_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE runtime (kind TEXT NOT NULL, name TEXT NOT NULL, json TEXT NOT NULL, "
    "at_ms INTEGER NOT NULL, PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;",
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, "
    "uid INTEGER NOT NULL, pid INTEGER NOT NULL, user TEXT, command TEXT, args TEXT, reason TEXT, "
    "result TEXT, count INTEGER NOT NULL) STRICT;"
    "CREATE INDEX audit_at ON audit (at_ms);",
    /* What holds for a name whoever judges its password leaves the table of the passwords. */
    "CREATE TABLE name (name TEXT NOT NULL PRIMARY KEY, state INTEGER NOT NULL, state_text TEXT, "
    "state_until_ms INTEGER NOT NULL, pool TEXT, backend TEXT, protocols INTEGER NOT NULL, "
    "max_sessions INTEGER NOT NULL, changed_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO name SELECT name, state, state_text, state_until_ms, pool, backend, protocols, "
    "max_sessions, changed_ms FROM user WHERE state <> 0 OR state_text IS NOT NULL OR "
    "state_until_ms <> 0 OR pool IS NOT NULL OR backend IS NOT NULL OR protocols <> 0 OR "
    "max_sessions <> 0 ORDER BY name;"
    "CREATE TABLE user_new (name TEXT NOT NULL PRIMARY KEY, password_hash TEXT, scram TEXT, "
    "backend_user TEXT, backend_password TEXT, master_user TEXT, plain_password TEXT, note TEXT, "
    "created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, last_login_ms INTEGER NOT NULL) "
    "STRICT, WITHOUT ROWID;"
    "INSERT INTO user_new SELECT name, password_hash, scram, backend_user, backend_password, "
    "master_user, plain_password, note, created_ms, changed_ms, last_login_ms FROM user "
    "ORDER BY name;"
    "DROP TABLE user;"
    "ALTER TABLE user_new RENAME TO user;",
    /* Revisions of users that the nodes of a fleet have as one. */
    "CREATE TABLE sync (name TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, "
    "at_ms INTEGER NOT NULL, edit INTEGER NOT NULL, writer TEXT NOT NULL, "
    "state INTEGER NOT NULL, base TEXT) STRICT, WITHOUT ROWID;"
    "CREATE INDEX sync_state ON sync (state) WHERE state <> 0;",
};

#define SCHEMA_VERSION ((int)ARRAY_LEN(steps))

static bool has_journal(const char *path)
{
    AUTO_FREE char *journal = str_printf("%s-journal", path);
    struct stat st;
    return journal && stat(journal, &st) == 0 && st.st_size > 0;
}

/* Why the bytes at the start of a file that is not empty are not ours; NULL when they may be. A
 * file whose very first transaction was interrupted has no mark yet: its journal undoes that. */
static const char *find_fault(const char *path, const uint8_t *head, size_t n)
{
    static const char magic[16] = "SQLite format 3";
    if (n < HEADER_BYTES || memcmp(head, magic, sizeof(magic)) != 0)
        return has_journal(path) && n >= sizeof(magic) && head[0] == 0 ? NULL
                                                                       : "it is not an SQLite file";
    uint32_t id = (uint32_t)(head + HEADER_APPLICATION_ID)[0] << 24 |
                  (uint32_t)(head + HEADER_APPLICATION_ID)[1] << 16 |
                  (uint32_t)(head + HEADER_APPLICATION_ID)[2] << 8 |
                  (head + HEADER_APPLICATION_ID)[3];
    if (id == APPLICATION_ID || (id == 0 && has_journal(path)))
        return NULL;
    return "it is an SQLite file of another program";
}

int sqlite_check_file(const char *path, char **ret_error)
{
    uint8_t head[HEADER_BYTES];
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int saved = errno;
        *ret_error = str_printf("%s cannot be opened: %s", path, strerror(saved));
        return saved == EACCES || saved == EROFS || saved == EPERM ? -ERR_STORE_READONLY
               : saved == ENOSPC || saved == EDQUOT                ? -ERR_STORE_FULL
                                                                   : err_from_errno(saved);
    }
    if (!S_ISREG(st.st_mode)) {
        *ret_error = str_printf("%s is not a regular file", path);
        return -ERR_STORE_CORRUPT;
    }
    if (st.st_size == 0)
        return 0;
    ssize_t n = pread(fd, head, sizeof(head), 0);
    const char *fault = n < 0 ? strerror(errno) : find_fault(path, head, (size_t)n);
    if (!fault)
        return 0;
    *ret_error =
        str_printf("%s is not a store of mailproxy: %s; it was left as it is", path, fault);
    return n < 0 ? -ERR_IO : -ERR_STORE_CORRUPT;
}

static int read_number(struct sqlite_conn *c, const char *pragma, int *ret)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(c->db, pragma, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int(st, 0);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? -ERR_STORE : sqlite_err(c->db, rc);
}

static int check_integrity(struct sqlite_conn *c, const char *path, char **ret_error)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    const char *text = rc == SQLITE_ROW ? sqlite_text(st, 0) : sqlite3_errmsg(c->db);
    bool is_good = rc == SQLITE_ROW && text && str_eq(str_of(text), STR("ok"));
    int err = is_good ? 0 : rc == SQLITE_ROW ? -ERR_STORE_CORRUPT : sqlite_err(c->db, rc);
    if (err == -ERR_STORE_CORRUPT)
        *ret_error = str_printf("%s is damaged: %s; it was left as it is (restore a copy)", path,
                                text ? text : err_text(err));
    else if (err != 0)
        *ret_error = str_printf("%s cannot be opened: %s", path, err_text(err));
    (void)sqlite3_finalize(st);
    return err;
}

/* All steps in one transaction: afterwards the file is new, or what it was. */
static int migrate(struct sqlite_conn *c, int version)
{
    char pragmas[96];
    int err = sqlite_exec(c, "BEGIN IMMEDIATE");
    if (err != 0)
        return err;
    /* Another process may have done it while this one waited for the lock. */
    err = read_number(c, "PRAGMA user_version", &version);
    for (int i = version; err == 0 && i < SCHEMA_VERSION; i++)
        err = sqlite_exec(c, steps[i]);
    snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, SCHEMA_VERSION);
    if (err == 0)
        err = sqlite_exec(c, pragmas);
    return sqlite_end(c, err);
}

int sqlite_check_schema(struct sqlite_conn *c, const char *path, char **ret_error)
{
    int version = 0, id = 0, objects = 0;
    int err = check_integrity(c, path, ret_error);
    if (err != 0)
        return err;
    err = read_number(c, "PRAGMA user_version", &version);
    if (err == 0)
        err = read_number(c, "PRAGMA application_id", &id);
    if (err == 0)
        err = read_number(c, "SELECT count(*) FROM sqlite_schema", &objects);
    if (err == 0 && id != APPLICATION_ID && (id != 0 || objects != 0)) {
        *ret_error =
            str_printf("%s is an SQLite file of another program; it was left as it is", path);
        return -ERR_STORE_CORRUPT;
    }
    if (err == 0 && version > SCHEMA_VERSION) {
        *ret_error =
            str_printf("%s was written by a newer mailproxy (schema %d, this one knows %d)", path,
                       version, SCHEMA_VERSION);
        return -ERR_VERSION;
    }
    if (err == 0 && (version < SCHEMA_VERSION || id != APPLICATION_ID))
        err = migrate(c, version);
    if (err != 0)
        *ret_error = str_printf("%s cannot be brought to schema %d: %s", path, SCHEMA_VERSION,
                                sqlite3_errmsg(c->db));
    return err;
}
