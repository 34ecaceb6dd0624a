# SPDX-License-Identifier: ISC
"""`make bench-check`: what a login, a command in the relay and an idle session cost, in figures that no noise touches, beside those of tests/bench/figures.txt."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

import bench  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import proc  # noqa: E402
import rows  # noqa: E402

GROWTH = {"instructions": 0.07, "calls": 0.03, "idle": 0.15}  # what is too much, by the first word of a figure's name
AGAIN = 2     # what has grown is measured again so often: whatever disturbs only adds, so the least counts
SKIPPED = 77  # exit status
FIGURES = os.path.join(HERE, "figures.txt")


def row_of(name, **load):
    row = next(r for r in rows.ROWS if r.name == name)
    return types.SimpleNamespace(name=row.name, listener=row.listener, tls=row.tls, load={**row.load, **load})


def instructions(b, peer):
    with b.instrumented(peer) as engine:
        for name in ("instructions-login-imap", "instructions-login-pop3", "instructions-login-smtp"):
            yield name, measure.count_instructions(b, engine, row_of(name, units=200))
        yield "instructions-noop-imap", measure.count_instructions(b, engine, row_of("instructions-noop-imap"))


def calls(b, peer):
    """Of the workers: the other threads count time, too."""
    workers = proc.threads(peer.proxy.engine_pid(), "worker")
    for name in ("calls-login-plain", "calls-noop-plain"):
        yield name, measure.calls(b, peer, row_of(name, units=300), workers)["steady"]


def idle(b, peer):
    yield "idle-plain", measure.memory(b, peer, row_of("idle-plain"))["value"]


KINDS = {"instructions": instructions, "calls": calls, "idle": idle}


def toolchain(build):
    """What the figures depend on: compiler and its options, the libraries, and the instructions that libc picks its functions by."""
    def said(*argv):
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    with open(os.path.join(build, "flags")) as f:
        level = re.findall(r" -O(\w)", f.read())
    compiler = re.search(r"GCC: \(.*\) ([\d.]+)", said("readelf", "-p", ".comment", os.path.join(build, "mailproxyd")))
    with open("/proc/cpuinfo") as f:
        has_avx2 = " avx2 " in f.read()
    return "/".join([f"gcc-{compiler.group(1) if compiler else 'other'}", f"O{level[-1] if level else '0'}",
                     os.confstr("CS_GNU_LIBC_VERSION").replace(" ", "-"), f"gnutls-{said('pkg-config', '--modversion', 'gnutls')}",
                     f"libevent-{said('pkg-config', '--modversion', 'libevent')}", os.uname().machine + ("+avx2" if has_avx2 else "")])


def read_figures():
    """{(toolchain, name): figure}"""
    with open(FIGURES) as f:
        lines = [line.split() for line in f if not line.startswith("#")]
    return {(tools, name): float(figure) for tools, name, figure in lines}


def write_figures(figures):
    with open(FIGURES) as f:
        head = [line for line in f if line.startswith("#")]
    with open(FIGURES, "w") as f:
        f.writelines(head)
        f.writelines(f"{tools} {name} {figure:.2f}\n" for (tools, name), figure in sorted(figures.items()))


def has_grown(name, found, figure):
    return found > figure * (1 + GROWTH[name.partition("-")[0]])


def compare(b, peer, known, is_base):
    """{name: figure} of what could be measured; what has grown beside `known` was measured again, as is all that others will stand beside."""
    found = {}
    for kind in KINDS.values():
        for _ in range(1 + AGAIN):
            try:
                again = dict(kind(b, peer))
            except measure.NotPossible as e:
                print(f"not measured: {e}")
                break
            found.update({name: min(value, found.get(name, value)) for name, value in again.items()})
            if not is_base and not any(name in known and has_grown(name, found[name], known[name]) for name in again):
                break
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", required=True, help="folder with the programs")
    p.add_argument("--write-figures", action="store_true", help="writes the file of figures")
    a = p.parse_args()
    os.environ["MAILPROXY_BUILD"] = a.build
    if not shutil.which("valgrind"):
        print("valgrind is not here")
        sys.exit(SKIPPED)
    if os.path.basename(os.path.abspath(a.build)) != "build":
        print("sanitized programs have no figures")
        sys.exit(SKIPPED)
    tools, figures = toolchain(a.build), read_figures()
    known = {} if a.write_figures else {name: figure for (t, name), figure in figures.items() if t == tools}
    if not known and not a.write_figures:
        print(f"there are no figures of {tools}: make bench-check BENCH=--write-figures")
        sys.exit(SKIPPED)
    bench.raise_files()
    folder = tempfile.mkdtemp(prefix="mailproxy-bench-")
    os.chmod(folder, 0o755)
    try:
        b = bench.Bench(types.SimpleNamespace(build=a.build, seconds=0.3, quick=True, rounds=1, peers=peers.Mailproxy.name), folder, has_tls=False)
        try:
            found = compare(b, b.peers[0], known, a.write_figures)
        finally:
            b.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if a.write_figures:
        write_figures({**figures, **{(tools, name): v for name, v in found.items()}})
    grown = [name for name in found if name in known and has_grown(name, found[name], known[name])]
    for name, value in found.items():
        print(f"{name}: {value:.2f}" + (f", was {known[name]:.2f}{', HAS GROWN' if name in grown else ''}" if name in known else ""))
    missing = sorted(known.keys() - found.keys())
    for name in missing:
        print(f"{name}: not measured")
    sys.exit(1 if grown else SKIPPED if missing else 0)


if __name__ == "__main__":
    main()
