# SPDX-License-Identifier: ISC
"""One measurement of one proxy: a function for each kind of row. Each returns a dict with the "value" and what explains it."""
import json
import os
import resource
import subprocess
import time

import proc

LISTED_SESSIONS = 100000
FILES_BESIDE = 1000  # descriptors that are not sessions
# How many of them there are depends on who is faster than whom.
TIMED_CALLS = {"epoll_wait", "poll", "futex", "accept4", "read", "write", "restart_syscall"}


class NotPossible(Exception):
    """This row cannot be had of this peer or on this machine."""


class Load:
    """The load generator: logged in when made, then one run."""

    def __init__(self, bench, peer, row, **more):
        options = {"to": peer.address(row.listener), "proto": row.listener.split("-")[0], "tls": row.tls, **row.load, **more}
        if "units" not in options:
            options.setdefault("run_ms", int(bench.seconds * 1000))
        argv = [os.path.join(bench.build, "bench", "load")] + [f"{k}={v}" for k, v in options.items()]
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.child.pid
        line = self.child.stdout.readline()
        if line != "ready\n":
            self.end()
            raise RuntimeError(f"{peer.name}, {row.name}: {line}")

    def start(self):
        self.child.stdin.write("go\n")
        self.child.stdin.flush()

    def result(self):
        result = json.loads(self.child.stdout.readline())
        if result["errors"]:
            raise RuntimeError(result["error"])
        return result

    def run(self):
        self.start()
        return self.result()

    def end(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def _measured_run(bench, peer, row):
    """A run, with the CPU time of the proxy and of what surrounds it."""
    with Load(bench, peer, row) as load:
        pids, around = peer.pids(), bench.site.pids() + [load.pid]
        before, around_before, ticks = proc.cpu_seconds(pids), proc.cpu_seconds(around), proc.user_share(pids)
        result = load.run()
        result["proxy_s"] = proc.cpu_seconds(pids) - before
        result["user_share"] = proc.user_share(pids, ticks)
        result["around_s"] = proc.cpu_seconds(around) - around_before
    if peer.pids() != pids:
        raise RuntimeError(f"{peer.name}: processes came or went, their CPU time is lost")
    wanted = result["handshakes"] if row.load.get("resumed") else 0
    if result["resumed"] != wanted:
        raise NotPossible(f"{result['resumed']} of {result['handshakes']} handshakes were resumed")
    return result


def cpu(bench, peer, row):
    """CPU time of the proxy per unit; of the ceiling, the CPU time of client and backend."""
    r = _measured_run(bench, peer, row)
    spent = r["proxy_s"] if peer.is_proxy else r["around_s"]
    value = spent / r["units"] * row.scale
    return {**r, "value": value, **({"user": value * r["user_share"]} if peer.is_proxy else {})}


def share(bench, peer, row):
    """CPU time of the proxy per second of a load that does not depend on its speed."""
    r = _measured_run(bench, peer, row)
    spent = r["proxy_s"] if peer.is_proxy else r["around_s"]
    return {**r, "value": spent / r["seconds"] * row.scale}


def storm(bench, peer, row):
    """All clients at once, each once: how much longer the last wait than the one in the middle."""
    with Load(bench, peer, row) as load:
        r = load.run()
    return {**r, "value": r["p99_us"] / r["p50_us"]}


def latency(bench, peer, row):
    """Everything on one CPU: waking another one would be measured otherwise."""
    pids = peer.pids() + bench.site.pids()
    proc.pin(pids, {0})
    try:
        with Load(bench, peer, row) as load:
            proc.pin([load.pid], {0})
            r = load.run()
    finally:
        proc.pin(pids, range(os.cpu_count()))
    return {**r, "value": r["p50_us"] / 1000}


def memory(bench, peer, row):
    """Growth of a fresh proxy by sessions that are logged in and silent, per session."""
    clients = row.load["clients"]
    with bench.fresh(peer) as fresh:
        with Load(bench, fresh, row, clients=64):
            pass
        before = proc.pss_kb(fresh.pids())
        with Load(bench, fresh, row) as load:
            load.run()
            after = proc.pss_kb(fresh.pids())
    if before is None or after is None:
        raise NotPossible("not allowed to read its smaps")
    return {"value": (after - before) / clients, "before_kb": before, "after_kb": after}


def calls(bench, peer, row, threads=None):
    """System calls of the proxy, or of these threads of it, per unit."""
    with Load(bench, peer, row) as load:
        try:
            strace = proc.Strace(threads or peer.pids(), os.path.join(peer.folder, "strace.txt"), is_whole=not threads)
        except (OSError, PermissionError) as e:
            raise NotPossible(str(e))
        try:
            r = load.run()
        finally:
            counts = strace.finish()
    per_unit = {name: round(n / r["units"], 2) for name, n in counts.items() if n >= r["units"] / 20}
    steady = sum(n for name, n in counts.items() if name not in TIMED_CALLS)
    # rounded: health checks and timers go on meanwhile
    return {**r, "value": round(sum(counts.values()) / r["units"], 1), "calls": per_unit, "steady": steady / r["units"]}


def instructions(bench, peer, row):
    """Instructions in user space per unit, one client: nearly the same again and again, whatever else the machine does."""
    if not hasattr(peer, "profile"):
        raise NotPossible("is not run under callgrind")
    with bench.instrumented(peer) as engine:
        return {"value": count_instructions(bench, engine, row)}


def count_instructions(bench, engine, row):
    """The same of an engine that is instrumented already."""
    with Load(bench, engine, row, clients=1) as load:
        engine.instructions()
        load.run()
        return engine.instructions() / row.load["units"]


def stall(bench, peer, row):
    """The longest wait of two relays in a proxy full of sessions, while all of them are listed again and again."""
    if not hasattr(peer, "list_sessions"):
        raise NotPossible("lists no sessions")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    sessions = min(bench.listed or LISTED_SESSIONS, (hard - FILES_BESIDE) // 2)
    with bench.fresh(peer) as fresh, Load(bench, fresh, row, work="idle", clients=sessions, sources=bench.site.HOSTS):
        with Load(bench, fresh, row) as load:
            quiet = load.run()
        with Load(bench, fresh, row) as load:
            load.start()
            end, lists, began = time.monotonic() + bench.seconds * 0.8, 0, time.monotonic()
            while time.monotonic() < end:
                if fresh.list_sessions() < sessions:
                    raise RuntimeError(f"{peer.name} did not list all sessions")
                lists += 1
            list_s = (time.monotonic() - began) / lists
            r = load.result()
    return {**r, "value": r["max_us"] / 1000, "quiet_ms": quiet["max_us"] / 1000, "quiet_p99_us": quiet["p99_us"],
            "sessions": sessions, "list_s": list_s}
