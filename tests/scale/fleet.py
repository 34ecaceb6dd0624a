# SPDX-License-Identifier: ISC
"""`make fleet-scale`: nodes and users of a fleet without proxies against one Redis, what each script costs; then one engine with many users
whose store loses everything while others log in."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "e2e")]


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", required=True, help="folder with the programs")
    p.add_argument("--nodes", type=int, default=50)
    p.add_argument("--users", type=int, default=1000000)
    p.add_argument("--sessions", type=int, default=100000, help="of the one engine; 0 = only the nodes without proxies")
    p.add_argument("--rate", type=int, default=200, help="logins a second while the store recovers")
    p.add_argument("--balance", choices=("user", "random"), default="user", help="do nodes agree on a backend by themselves?")
    p.add_argument("--json", help="file for everything that was measured; BUILD/scale/fleet.json without it")
    return p.parse_args()


HEAD = ("phase", "n", "seconds", "each second", "Redis µs each", "Redis CPU %", "node µs each", "login ms mean / longest", "failed open", "")


def cells(p):
    notes = [f"{p[key]} {text}" for key, text in (("bytes_each", "bytes a user"), ("logins", "logins"), ("told_s", "s until told"),
                                                 ("conflicts", "conflicts"), ("refused", "refused"), ("elsewhere", "elsewhere")) if p.get(key)]
    return (p["phase"], str(p["n"]), f"{p['seconds']:.1f}", f"{p['rate']:.0f}", f"{p['store_us']:.1f}", f"{100 * p['store_share']:.0f}",
            f"{p['own_us']:.1f}", f"{p['mean_ms']:.2f} / {p['longest_ms']:.1f}", str(p["open"]), ", ".join(notes))


def line(values):
    return "| " + " | ".join(values) + " |"


def nodes_without_proxies(args, folder):
    from harness import redis
    store = redis.RedisServer(os.path.join(folder, "redis")).start()
    argv = [os.path.join(args.build, "scale", "fleet"), f"server=unix:{store.socket}", f"nodes={args.nodes}", f"users={args.users}",
            f"rate={args.rate}", f"balance={args.balance}"]
    phases = []
    try:
        print(line(HEAD), line("-" * len(HEAD)), sep="\n")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
            for text in child.stdout:
                phases.append(json.loads(text))
                print(line(cells(phases[-1])), flush=True)
        if child.returncode != 0:
            sys.exit(f"fleet: ended with {child.returncode}")
    finally:
        store.close()
    return phases


def one_engine(args, folder):
    from harness.recovery import Site
    with Site(folder, args.sessions) as site:
        found = site.recover(args.rate)
    print(f"\n{args.sessions} sessions of one engine, the store flushed, {args.rate} logins a second: all told again after {found.told_s:.1f} s; "
          f"{found.logins} logins, {len(found.refused)} refused, the longest {found.longest_ms:.1f} ms, {found.failed_open} without the store; "
          f"longest turn of the control thread {found.control_ms:.2f} ms, of a worker {found.workers_ms:.2f} ms")
    return vars(found)


def main():
    args = arguments()
    os.environ["MAILPROXY_BUILD"] = os.path.abspath(args.build)
    folder = tempfile.mkdtemp(prefix="mailproxy-fleet-")
    os.chmod(folder, 0o755)
    try:
        measured = {"nodes": nodes_without_proxies(args, folder), "engine": one_engine(args, folder) if args.sessions else None}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with open(args.json or os.path.join(args.build, "scale", "fleet.json"), "w") as f:
        json.dump(measured, f, indent=1)


if __name__ == "__main__":
    main()
