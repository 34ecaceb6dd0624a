/* SPDX-License-Identifier: ISC */
/* Runs a fuzz target without a fuzzer: every file of the corpus, then changed copies of them, the
 * same ones each time. usage: PROGRAM CORPUS [FILE...]; FUZZ_RUNS changed copies. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX 4096
#define RUNS 10000

struct seeds {
    struct buf *v;
    size_t n;
};

/* What runs now: told when it does not come back. */
static struct str running;
static const char *program;

/* Only reports: whatever came to an end goes on ending. */
static void say_input(void)
{
    static const char digits[] = "0123456789abcdef";
    fprintf(stderr, "%s: the input, %zu bytes in hexadecimal:\n", program, running.n);
    for (size_t i = 0; i < running.n; i++)
        fprintf(stderr, "%c%c", digits[(unsigned char)running.p[i] >> 4],
                digits[(unsigned char)running.p[i] & 15]);
    fputs("\n", stderr);
}

static void on_signal(int number)
{
    signal(number, SIG_DFL);
    say_input();
    raise(number);
}

/* The sanitizers end a program without a signal. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void run(struct str input)
{
    uint8_t *exact = malloc(input.n ? input.n : 1);
    FUZZ_CHECK(exact);
    memcpy(exact, input.p ? input.p : "", input.n);
    running = str_n(exact, input.n);
    (void)LLVMFuzzerTestOneInput(exact, input.n);
    running = STR_NULL;
    free(exact);
}

static bool add_file(struct seeds *seeds, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf content = BUF_INIT;
    if (!f || buf_reserve(&content, INPUT_MAX) < 0)
        return false;
    buf_commit(&content, fread(buf_tail(&content), 1, INPUT_MAX, f));
    fclose(f);
    struct buf *grown = realloc(seeds->v, (seeds->n + 1) * sizeof(*grown));
    FUZZ_CHECK(grown);
    seeds->v = grown;
    seeds->v[seeds->n++] = content;
    return true;
}

static bool add(struct seeds *seeds, const char *path)
{
    struct stat st;
    struct dirent **names;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return add_file(seeds, path);
    int n = scandir(path, &names, NULL, alphasort);
    bool is_good = n >= 0;
    for (int i = 0; i < n; i++) {
        char *full =
            names[i]->d_name[0] == '.' ? NULL : str_printf("%s/%s", path, names[i]->d_name);
        is_good = (!full || add_file(seeds, full)) && is_good;
        free(full);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return is_good;
}

/* ---- changed copies ---- */

struct mutator {
    const struct seeds *seeds;
    uint64_t state;
};

static size_t pick(struct mutator *m, size_t below)
{
    m->state++;
    return below ? (size_t)(hash_mix(m->state) % below) : 0;
}

/* A piece of some seed. */
static struct str pick_piece(struct mutator *m)
{
    struct str s = buf_str(&m->seeds->v[pick(m, m->seeds->n)]);
    size_t from = pick(m, s.n + 1);
    size_t n = pick(m, s.n - from + 1);
    return str_n(s.p ? s.p + from : "", n);
}

/* Puts `piece` in place of n bytes at `at`. */
static void replace(struct buf *b, size_t at, size_t n, struct str piece)
{
    struct buf out = BUF_INIT;
    struct str s = buf_str(b);
    fuzz_note_str(&out, str_n(s.p, at));
    fuzz_note_str(&out, piece);
    fuzz_note_str(&out, str_n(s.p + at + n, s.n - at - n));
    buf_fini(b);
    *b = out;
    if (b->len > INPUT_MAX)
        b->len = INPUT_MAX;
}

static void change(struct mutator *m, struct buf *b)
{
    static const struct str odd[] = {
        {"\0", 1},          {"\r\n", 2},     {"\n", 1}, {"\r", 1}, {"\xff", 1}, {" ", 1},
        {"{4}\r\n", 5},     {"{4+}\r\n", 6}, {"\"", 1}, {"\\", 1}, {"*", 1},    {"=", 1},
        {"4294967296", 10}, {"-1", 2},       {"(", 1},  {")", 1},
    };
    size_t at = pick(m, b->len + 1), left = b->len - at;
    switch (pick(m, 6)) {
    case 0:
        replace(b, at, pick(m, left + 1), STR_NULL);
        break;
    case 1:
        replace(b, at, 0, odd[pick(m, ARRAY_LEN(odd))]);
        break;
    case 2:
        replace(b, at, pick(m, left + 1), pick_piece(m));
        break;
    case 3:
        replace(b, at, 0, pick_piece(m));
        break;
    default:
        if (left > 0)
            b->data[b->start + at] ^= (char)(1u << pick(m, 8));
        break;
    }
}

static void run_changed(const struct seeds *seeds, size_t runs)
{
    struct mutator m = {.seeds = seeds, .state = 0};
    for (size_t i = 0; i < runs && seeds->n > 0; i++) {
        AUTO_BUF copy = BUF_INIT;
        fuzz_note_str(&copy, buf_str(&seeds->v[i % seeds->n]));
        for (size_t changes = 1 + pick(&m, 4); changes > 0; changes--)
            change(&m, &copy);
        run(buf_str(&copy));
    }
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("FUZZ_RUNS");
    uint64_t runs = &fuzz_replay_runs ? fuzz_replay_runs : RUNS;
    struct seeds seeds = {0};
    program = argv[0];
    if (argc < 2 || (wanted && str_to_u64(str_of(wanted), 1000000000, &runs) < 0)) {
        fprintf(stderr, "usage: [FUZZ_RUNS=N] %s CORPUS|FILE...\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(say_input);
    for (int i = 1; i < argc; i++)
        if (!add(&seeds, argv[i])) {
            fprintf(stderr, "%s: cannot read %s: %s\n", argv[0], argv[i], strerror(errno));
            return 2;
        }
    run(STR_NULL);
    for (size_t i = 0; i < seeds.n; i++)
        run(buf_str(&seeds.v[i]));
    run_changed(&seeds, runs);
    printf("%zu seeds, %llu changed copies\n", seeds.n, (unsigned long long)runs);
    for (size_t i = 0; i < seeds.n; i++)
        buf_fini(&seeds.v[i]);
    free(seeds.v);
    return 0;
}
