# SPDX-License-Identifier: ISC
"""`make scale`: an engine with 100,000 sessions is listed, watched and emptied while real clients work through it."""
import argparse
import dataclasses
import itertools
import json
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(TESTS, "bench"), os.path.join(TESTS, "e2e")]

import measure  # noqa: E402
import peers  # noqa: E402
import proc  # noqa: E402

PAGE = 50           # rows of a dashboard's page
CLIENTS = 200       # of the control socket at once
COLUMNS = ("id", "proto", "state", "phase", "user", "ip", "tls", "backend", "age", "idle", "in", "out", "in_rate", "client")
GOAL_MS = 5


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", required=True, help="folder with the programs")
    p.add_argument("--sessions", type=int, default=100000)
    p.add_argument("--seconds", type=float, default=5, help="length of one measurement")
    p.add_argument("--tests", default="", help="rows whose names begin so")
    p.add_argument("--json", help="file for everything that was measured; BUILD/scale/results.json without it")
    return p.parse_args()


@dataclasses.dataclass(frozen=True)
class NoopRow:
    """What measure.Load wants of a row: round trips of a few real clients."""
    name: str = "scale"
    listener: str = "imap"
    tls: str = "off"
    load: dict = dataclasses.field(default_factory=lambda: {"work": "noop", "clients": 4})


class Scale:
    """The site with its fake backend, the crowded engine, and what was measured."""

    def __init__(self, args, folder):
        # What they import reads the environment that main sets.
        from harness import wait
        from harness.control import Control
        from harness.crowd import Crowd
        self.connect = lambda: Control(self.crowd.control)
        self.build, self.seconds, self.sessions = args.build, args.seconds, args.sessions
        self.folder = folder
        self.site = peers.Site(folder, args.build)
        peer = peers.Mailproxy(self.site, os.path.join(folder, "crowd"))
        settings = {**peer.settings(), "log": [{"target": "file", "path": os.path.join(folder, "daemon.log"), "level": "warn"}]}
        self.crowd = Crowd(peer.folder, settings, args.sessions)
        self.crowd.configure({"control": [{"path": self.crowd.control, "admin": ["root", str(os.getuid())],
                                           "max_clients": CLIENTS + 50}]})
        began = time.monotonic()
        self.crowd.start()
        self.made_s = time.monotonic() - began
        # So many logins at once are no part of it.
        wait.until(lambda: self.crowd.turns()[0] < 0.5, "the control thread to have counted them", step=0.5)
        self.peer = peer
        self.rows = []

    def close(self):
        self.crowd.stop()
        self.site.stop()

    def measure(self, name, text, action):
        """Runs the action again and again while clients send NOOPs; action(control) returns a note or None."""
        pids = [self.crowd.process.pid]
        with measure.Load(self, self.peer, NoopRow()) as load:
            control = self.connect()
            before_kb = self.crowd.memory()
            self.crowd.turns()
            load.start()
            began, cpu, n, note = time.monotonic(), proc.cpu_seconds(pids), 0, None
            while time.monotonic() < began + self.seconds * 0.9:
                note = action(control) or note
                n += 1
            took = time.monotonic() - began
            spent = proc.cpu_seconds(pids) - cpu
            control_ms, workers_ms = self.crowd.turns()
            result = load.result()
            control.close()
        self.rows.append({"name": name, "text": text, "times": n, "each_ms": took / n * 1000, "cpu": spent / took * 100,
                          "worker_ms": workers_ms, "control_ms": control_ms, "noop_p50_ms": result["p50_us"] / 1000,
                          "noop_p99_ms": result["p99_us"] / 1000, "noop_max_ms": result["max_us"] / 1000,
                          "growth_kb": self.crowd.peak() - before_kb, "note": note or ""})
        print(line(self.rows[-1]), flush=True)


# ---- what is done ----

def call(control, method, **params):
    answer = control.call(method, **params)
    if "error" in answer:
        raise RuntimeError(f"{method} {params}: {answer['error']}")
    return answer["result"]


def quiet(scale):
    def action(_):
        time.sleep(0.1)
    return action


def listing(scale, least=None, **params):
    """A list to its end; least: so many rows it has to have."""
    def action(control):
        n = sum(len(page["rows"]) for page in control.pages("session.list", **params))
        if least is not None and n < least:
            raise RuntimeError(f"{n} sessions listed")
        return f"{n} rows"
    return action


def top(scale, **params):
    """All sessions, counted by what they have in common."""
    def action(control):
        result = call(control, "session.top", limit=PAGE, **params)
        if result["sessions"] < scale.sessions:
            raise RuntimeError(f"{result['sessions']} sessions counted")
        return f"{result['matched']} groups"
    return action


def each_column(scale, **params):
    orders = itertools.cycle([sign + c for c in COLUMNS for sign in ("", "-")])

    def action(control):
        result = call(control, "session.list", sort=next(orders), limit=PAGE, **params)
        if len(result["rows"]) != PAGE:
            raise RuntimeError("a page is not full")
        return f"{result['matched']} matched"
    return action


def poll(scale, **params):
    """As a dashboard does: a page, then a rest."""
    def action(control):
        began = time.monotonic()
        call(control, "session.list", sort="-idle", limit=PAGE, **params)
        took = time.monotonic() - began
        time.sleep(max(0, 1 - took))
        return f"{took * 1000:.0f} ms a page"
    return action


def many_clients(scale):
    """CLIENTS connections, each asks for a page as soon as a second has passed since it asked last."""
    controls = [scale.connect() for _ in range(CLIENTS)]
    request = (json.dumps({"jsonrpc": "2.0", "id": 1, "method": "session.list", "params": {"sort": "-out", "limit": PAGE}}) + "\n").encode()

    def action(_):
        began = time.monotonic()
        for c in controls:
            c.send(request)
        slowest = 0
        for c in controls:
            if "result" not in c.receive():
                raise RuntimeError("a client was not answered")
            slowest = time.monotonic() - began
        time.sleep(max(0, 1 - slowest))
        return f"all answered in {slowest * 1000:.0f} ms"
    action.controls = controls
    return action


def watch(scale):
    """Events of real logins, watched by one client; a login each time."""
    from harness import imap
    watcher = scale.connect()
    call(watcher, "event.watch")
    login_ports = scale.peer

    def action(_):
        c = imap.Lines(login_ports.host, login_ports.ports["imap"])
        c.line()
        c.command("a", "LOGIN watcher@mail.example pw")
        c.close()
        while watcher.receive()["params"]["type"] != "login":
            pass
    return action


def dry_kill(scale):
    def action(control):
        return f"{call(control, 'session.kill', filter='age>1s', dry_run=True)['count']} found"
    return action


def kill(scale):
    """A tenth of all, once; then there is nothing to do."""
    done = []

    def action(control):
        if done:
            time.sleep(0.1)
            return None
        began = time.monotonic()
        done.append(call(control, "session.kill", filter="user=user00*.example,user01*.example", grace="5s")["count"])
        return f"{done[0]} in {(time.monotonic() - began) * 1000:.0f} ms"
    return action


def dashboard(scale):
    """mailproxy-tui in a terminal; its own CPU time and memory."""
    from harness.screen import Screen
    screen = Screen(scale.folder, "-s", scale.crowd.control, "--screen", "sessions", "-i", "1", size=(160, 50))
    screen.until("user[0-9]")
    pid = screen.pid()

    def action(_):
        cpu, began = proc.cpu_seconds([pid]), time.monotonic()
        time.sleep(1)
        share = (proc.cpu_seconds([pid]) - cpu) / (time.monotonic() - began) * 100
        return f"TUI {share:.1f} % CPU, {proc.pss_kb([pid]) / 1024:.1f} MiB"
    action.screen = screen
    return action


def scrolling(scale):
    """Keys in a dashboard, and how long until the screen shows what they ask for."""
    action = dashboard(scale)
    screen = action.screen
    pid = screen.pid()
    slowest = {}

    def press(name, pattern, *keys):
        began, cpu = time.monotonic(), proc.cpu_seconds([pid])
        screen.keys(*keys)
        screen.until(pattern)
        slowest[name] = max(slowest.get(name, (0, 0)), (time.monotonic() - began, proc.cpu_seconds([pid]) - cpu))

    def act(_):
        press("PgDn", r"[4-9]\d-\d+ of", "PageDown", "PageDown")
        press("End", rf"-{scale.sessions // 1000}\d\d\d of", "End")
        press("Home", r"\b1-\d+ of", "Home")
        press("filter", r"filter: user=user01", "/", "user=user01*", "Enter")
        press("no filter", r"1-\d+ of \d{5}", "Escape")
        press("sort", r"USER[▲▼]", "s", "u")
        press("sort back", r"ID[▲▼]", "s", "i")
        return "ms (CPU of the dashboard): " + ", ".join(f"{name} {took * 1000:.0f} ({cpu * 1000:.0f})"
                                                         for name, (took, cpu) in slowest.items())
    act.screen = screen
    return act


def tests(scale):
    n = scale.sessions
    yield "quiet", "nothing", quiet(scale)
    yield "list", "list all", listing(scale, n, limit=1000)
    yield "filter-user", "list user=user0012*", listing(scale, 1, filter="user=user0012*")
    yield "filter-many", "list backend=b1 proto=imap idle>5m", listing(scale, 1, filter="backend=b1 proto=imap idle>5m")
    yield "sort", "first page by each column", each_column(scale)
    yield "sort-deep", "a page in the middle by each column", each_column(scale, offset=min(49900, n // 2))
    yield "sort-end", "last page by each column", each_column(scale, from_end=True)
    yield "sort-all", "list by user, to the end", listing(scale, None, sort="user")
    yield "top-user", "session top --by user", top(scale, by="user")
    yield "top-net", "session top --by net", top(scale, by="net")
    yield "poll", "a sorted page each second", poll(scale)
    yield "clients", f"the same for {CLIENTS} clients", many_clients(scale)
    yield "tui", "mailproxy-tui, refresh 1 s", dashboard(scale)
    yield "tui-keys", "mailproxy-tui, one key after another", scrolling(scale)
    yield "watch", "event watch, one login after another", watch(scale)
    yield "kill-dry", "kill of all, dry run", dry_kill(scale)
    yield "kill", "kill of a tenth by filter", kill(scale)


# ---- the table ----

HEAD = ("work", "times", "ms each", "daemon CPU %", "worker turn ms", "control turn ms", "NOOP p50 / p99 / max ms", "growth MiB", "")


def cells(r):
    return (r["text"], str(r["times"]), f"{r['each_ms']:.0f}", f"{r['cpu']:.0f}", f"{r['worker_ms']:.2f}", f"{r['control_ms']:.2f}",
            f"{r['noop_p50_ms']:.2f} / {r['noop_p99_ms']:.2f} / {r['noop_max_ms']:.1f}", f"{r['growth_kb'] / 1024:.1f}", r["note"])


def line(r):
    return "| " + " | ".join(cells(r)) + " |"


def table(rows):
    lines = [HEAD] + [cells(r) for r in rows]
    widths = [max(len(x[i]) for x in lines) for i in range(len(HEAD))]
    lines.insert(1, tuple("-" * w for w in widths))
    return ["| " + " | ".join(t.ljust(w) for t, w in zip(x, widths)) + " |" for x in lines]


def run(args, folder):
    scale = Scale(args, folder)
    try:
        pss = proc.pss_kb([scale.crowd.process.pid])
        for name, text, action in tests(scale):
            if not args.tests or any(name.startswith(w) for w in args.tests.split()):
                scale.measure(name, text, action)
            for control in getattr(action, "controls", ()):
                control.close()
            if hasattr(action, "screen"):
                action.screen.close()
    finally:
        scale.close()
    print(f"\n{args.sessions} sessions, made in {scale.made_s:.1f} s, {pss / args.sessions:.2f} KiB each\n", *table(scale.rows), sep="\n")
    with open(args.json or os.path.join(args.build, "scale", "results.json"), "w") as f:
        json.dump({"sessions": args.sessions, "rows": scale.rows}, f, indent=1)


def main():
    args = arguments()
    os.environ["MAILPROXY_BUILD"] = os.path.abspath(args.build)
    folder = tempfile.mkdtemp(prefix="mailproxy-scale-")
    os.chmod(folder, 0o755)
    try:
        run(args, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
