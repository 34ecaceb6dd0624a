# SPDX-License-Identifier: ISC
"""`make bench`: the same work through mailproxyd and its peers in turn, and what it costs each of them."""
import argparse
import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

import measure  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

FRESH_ROUNDS = 2  # rows that hardly vary and start a proxy each time


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", required=True, help="folder with the programs")
    p.add_argument("--quick", action="store_true", help="fewer rows and shorter runs: two minutes")
    p.add_argument("--peers", default=" ".join(peers.USUAL), help="of: " + " ".join(peers.PEERS))
    p.add_argument("--tests", default="", help="rows whose names begin so; of: " + " ".join(r.name for r in rows.ROWS))
    p.add_argument("--rounds", type=int, help="how often each is measured")
    p.add_argument("--seconds", type=float, help="length of one measurement")
    p.add_argument("--json", help="file for everything that was measured; BUILD/bench/results.json without it")
    p.add_argument("--results", help="file whose part between the marks BEGIN and END of the table is replaced by what was measured")
    a = p.parse_args()
    a.rounds = a.rounds or (2 if a.quick else 5)
    a.seconds = a.seconds or (0.3 if a.quick else 0.5)
    unknown = set(a.peers.split()) - set(peers.PEERS)
    if unknown:
        p.error("no such peer: " + " ".join(unknown))
    if not rows.pick(a.tests.split(), a.quick):
        p.error("no such test")
    return a


class Bench:
    """The site, the proxies that run for the whole time, and what was measured."""

    def __init__(self, args, folder, has_tls=True):
        self.build, self.seconds = args.build, args.seconds
        self.listed = 5000 if args.quick else None
        self.folder = folder
        self.rounds = args.rounds
        self.results = {}
        self.site = peers.Site(folder, args.build, has_tls)
        self.peers = []
        self.n_fresh = 0
        for name in args.peers.split():
            self.peers.append(peers.PEERS[name](self.site, folder).start())

    def close(self):
        for peer in self.peers:
            peer.stop()
        self.site.stop()

    @contextlib.contextmanager
    def fresh(self, peer):
        """Another one of its kind, for what must not depend on what came before."""
        self.n_fresh += 1
        other = type(peer)(self.site, os.path.join(self.folder, f"fresh{self.n_fresh}")).start()
        try:
            yield other
        finally:
            other.stop()

    @contextlib.contextmanager
    def instrumented(self, peer):
        """One under callgrind, which has written its profile when this is left."""
        self.n_fresh += 1
        other = type(peer)(self.site, os.path.join(self.folder, f"fresh{self.n_fresh}"))
        other.is_instrumented = True
        other.start()
        try:
            yield other
        finally:
            other.stop()

    def measure(self, peer, row):
        if not peer.supports(row.listener, row.tls) or (not peer.is_proxy and row.kind not in ("cpu", "share", "latency")):
            return
        cell = self.results.setdefault(row.name, {}).setdefault(peer.name, [])
        try:
            cell.append(getattr(measure, row.kind)(self, peer, row))
        except (measure.NotPossible, RuntimeError) as e:  # one cell that failed is told below the table
            cell.append({"why": str(e)})

    def run(self, row):
        """Rounds are interleaved, and who comes first changes: what disturbs the machine disturbs all of them."""
        rounds = {"memory": min(self.rounds, FRESH_ROUNDS), "stall": min(self.rounds, FRESH_ROUNDS), "calls": 1}.get(row.kind, self.rounds)
        for i in range(rounds):
            k = i % len(self.peers)
            for peer in self.peers[k:] + self.peers[:k]:
                self.measure(peer, row)


def raise_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with open("/proc/sys/fs/nr_open") as f:
        wanted = int(f.read())
    for limit in (wanted, hard):  # only a privileged user may raise the hard limit
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return


def run(args, folder):
    chosen = rows.pick(args.tests.split(), args.quick)
    names = args.peers.split()
    bench = Bench(args, folder)
    began = time.monotonic()
    try:
        for row in chosen:
            print(f"  {row.name} ...", file=sys.stderr, flush=True)
            bench.run(row)
    finally:
        bench.close()
    machine = {**report.machine(args.build), "rounds": args.rounds, "seconds": args.seconds,
               "took_s": round(time.monotonic() - began)}
    lines = report.table(chosen, bench.results, names)
    notes = list(report.notes(chosen, bench.results))
    print(*(f"{k}: {v}" for k, v in machine.items()), "", *lines, "", *notes, sep="\n")
    with open(args.json or os.path.join(args.build, "bench", "results.json"), "w") as f:
        json.dump({"machine": machine, "results": bench.results, "table": lines + notes}, f, indent=1, ensure_ascii=False)
    if args.results:
        write_results(args.results, machine, lines + notes)


def write_results(path, machine, lines):
    with open(path) as f:
        head, begin, rest = f.read().partition("<!-- BEGIN of the table -->\n")
        _, end, tail = rest.partition("<!-- END of the table -->\n")
    if not end:
        raise SystemExit(f"{path} has no marks of the table")
    said = "; ".join(f"{k} {v}" for k, v in machine.items())
    with open(path, "w") as f:
        f.write("\n".join([head + begin + said, "", *lines, end + tail]))


def main():
    args = arguments()
    os.environ["MAILPROXY_BUILD"] = args.build
    raise_files()
    folder = tempfile.mkdtemp(prefix="mailproxy-bench-")
    os.chmod(folder, 0o755)
    try:
        run(args, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
