# SPDX-License-Identifier: ISC
"""Hours in minutes: many clients of all protocols, while sessions are killed, configurations reloaded, programs upgraded, servers
stopped, disks full and engines killed, at random from a seed. What went wrong and no operation explains is a failure.
usage: soak.py --build BUILD [--minutes N | --seconds N] [--seed N] [--clients N] [--keep]"""
import argparse
import asyncio
import collections
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
sys.dont_write_bytecode = True
RECOVERY = 8        # until checks see that a server is back, and logins that wait for it are over
KILL_SECONDS = 40   # a graceful end: the grace of 30 s and some
PROTOCOLS = ("imap", "pop3", "smtp", "sieve")
POOL_OF = {"imap": "clear", "pop3": "clear", "smtp": "clear", "sieve": "clear", "imaps": "tls"}
# In the store with a password, at the auth server alone, in the store without a password: the auth server judges the last two.
USERS = {"store": [f"s{n}@example.org" for n in range(8)], "http": [f"h{n}@example.org" for n in range(8)],
         "no password": [f"b{n}@example.org" for n in range(8)]}

# What an operation may do to others: end sessions, make logins fail; None = of anybody.
Event = collections.namedtuple("Event", "kind start end users backend pool loses refuses", defaults=(None,) * 3 + (False,) * 2)


def explains(event, trouble, listener):
    """Is the trouble within the operation's time and reach?"""
    if trouble.at < event.start or trouble.since > event.end:
        return False
    if not (event.loses if trouble.kind == "lost" else event.refuses):
        return False
    if event.users is not None and trouble.user not in event.users:
        return False
    if event.pool is not None and event.pool != POOL_OF[listener]:
        return False
    return not (event.backend and trouble.kind == "lost" and trouble.backend not in (None, event.backend))


class Servers:
    """Mail servers a, b (clear) and c, d (TLS), and the auth server."""

    def __init__(self, folder):
        from harness import certs, net
        self.folder, self.net = folder, net
        self.host = net.address()
        self.cert, self.key = certs.Authority(os.path.join(folder, "ca")).issue("backend", f"DNS:localhost,IP:{self.host}")
        self.argv, self.children, self.ports, self.pool = {}, {}, {}, {}
        for name, pool in zip("abcd", ("clear", "clear", "tls", "tls")):
            self.ports[name] = [net.port(self.host) for _ in PROTOCOLS]
            self.pool[name] = pool
            files = (self.cert, self.key) if pool == "tls" else ("-", "-")
            self.argv[name] = ["mail", name, self.host, *files, *map(str, self.ports[name])]
        self.auth_port = net.port(self.host)
        self.argv["auth"] = ["auth", self.host, str(self.auth_port)]
        for name in self.argv:
            self.start(name)

    def start(self, name):
        from harness import process
        child = process.Process([sys.executable, os.path.join(HERE, "servers.py"), *self.argv[name]],
                                os.path.join(self.folder, f"{name}.log"))
        port = self.auth_port if name == "auth" else self.ports[name][0]
        child.wait_for(lambda: process.can_connect(self.host, port), f"server {name}")
        self.children[name] = child

    def kill(self, name):
        self.children[name].child.kill()
        self.children[name].stop()

    def backends(self, pool):
        return [{"name": n, "host": self.host, "ports": dict(zip(PROTOCOLS, self.ports[n]))}
                for n in self.ports if self.pool[n] == pool]

    def close(self):
        for child in self.children.values():
            child.signal(signal.SIGCONT)
            child.stop()


def settings(servers, folder):
    from harness import certs
    cert, key = certs.Authority(os.path.join(folder, "own")).issue("proxy.test", "DNS:proxy.test")
    checks = {"interval": "1s", "timeout": "1s", "rise": 1, "fall": 1}
    listeners = [{"name": p, "protocol": p, "allow_plaintext": True, "pool": "clear"} for p in PROTOCOLS]
    return {
        "listeners": listeners + [{"name": "imaps", "protocol": "imap", "tls": "implicit", "pool": "tls"}],
        "tls": {"certificates": [{"cert": cert, "key": key}]},
        "auth": [{"type": "users"}, {"type": "http", "url": f"http://{servers.host}:{servers.auth_port}/auth",
                                     "timeout": "3s"}],
        "pools": [{"name": "clear", "tls": "off", "smtp_auth": True, "check": checks, "backends": servers.backends("clear")},
                  {"name": "tls", "tls": "implicit", "verify": False, "check": checks, "backends": servers.backends("tls")}],
        # A crowd whose cached passwords a reload forgot waits for its hashes: that takes its time on a busy machine.
        "timeouts": {"connect": "2s", "login": "3s", "auth": "60s", "failure_delay": "50ms"},
        "resolver": {"enabled": False},
        "log": [{"target": "stderr", "level": "info"}],
    }


class Soak:
    def __init__(self, options, folder):
        from harness.proxy import BUILD, Proxy
        from clients import Load
        self.options, self.folder = options, folder
        self.rng = random.Random(options.seed)
        self.servers = Servers(folder)
        self.proxy = Proxy(folder, settings(self.servers, folder))
        self.built = os.path.join(BUILD, "mailproxyd")
        self.proxy.program = os.path.join(folder, "mailproxyd")
        self.install()
        self.proxy.start()
        self.add_users()
        self.load = Load(self.proxy.host, self.proxy.ports, sum(USERS.values(), []), random.Random(options.seed + 1))
        self.events, self.failures, self.memory = [], [], []

    def install(self):
        shutil.copy(self.built, self.proxy.program + ".new")
        os.replace(self.proxy.program + ".new", self.proxy.program)

    def add_users(self):
        for user in USERS["store"]:
            self.proxy.add_user(user, "pw")
        for user in USERS["no password"]:
            self.proxy.add_user(user)

    # ---- operations: each returns what it may have done to others, or None when nobody may notice ----

    def kill_sessions(self):
        user = self.rng.choice(self.load.users)
        self.ctl("session", "kill", f"user={user}", "--yes", ok=(0, 3))
        return {"users": [user], "loses": True, "refuses": True, "after": KILL_SECONDS}

    def lock_user(self):
        user = self.rng.choice(self.load.users)
        self.ctl("user", "lock", user, "--yes", ok=(0, 3))
        self.pause(1, 3)
        self.ctl("user", "unlock", user, ok=(0, 3))
        return {"users": [user], "loses": True, "refuses": True, "after": KILL_SECONDS}

    def reload(self):
        self.proxy.configure({"timeouts": {"hold": f"{self.rng.randrange(30, 90)}s"}})
        self.ctl("config", "reload")

    def upgrade(self):
        self.install()
        self.ctl("system", "upgrade", ok=(0, 1))

    def drain(self):
        name = self.rng.choice("abcd")
        pool = self.servers.pool[name]
        self.ctl("backend", "drain", f"{pool}/{name}", "--yes")
        self.pause(1, 4)
        self.ctl("backend", "ready", f"{pool}/{name}")

    def engine_pid(self):
        """Of the engine that takes clients; an answer that others of its kind have not joined yet is partial (7). None: there is none."""
        done = self.proxy.ctl_run("-o", "json", "system", "status", check=False)
        return json.loads(done.stdout)["pid"] if done.returncode in (0, 7) and done.stdout.strip() else None

    def serving_pid(self):
        from harness import wait
        return wait.until(self.engine_pid, "an engine")

    def full_disk(self):
        """No file of the engine grows: as a full disk does it, an error that is no signal."""
        pid = self.serving_pid()
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        self.pause(2, 4)
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        except ProcessLookupError:
            self.failures.append("the engine ended while the disk was full")

    def kill_backend(self):
        name = self.rng.choice("abcd")
        self.servers.kill(name)
        self.pause(1, 4)
        self.servers.start(name)
        return {"backend": name, "pool": self.servers.pool[name], "loses": True, "refuses": True, "after": RECOVERY}

    def stop_backend(self):
        name = self.rng.choice("abcd")
        self.servers.children[name].signal(signal.SIGSTOP)
        self.pause(1, 6)
        self.servers.children[name].signal(signal.SIGCONT)
        return {"backend": name, "pool": self.servers.pool[name], "loses": True, "refuses": True, "after": RECOVERY}

    def kill_auth(self):
        self.servers.kill("auth")
        self.pause(1, 3)
        self.servers.start("auth")
        return {"users": USERS["http"] + USERS["no password"], "refuses": True, "after": 4}

    def stop_auth(self):
        self.servers.children["auth"].signal(signal.SIGSTOP)
        self.pause(1, 5)
        self.servers.children["auth"].signal(signal.SIGCONT)
        return {"users": USERS["http"] + USERS["no password"], "refuses": True, "after": 6}

    def kill_engine(self):
        from harness import wait
        pid = self.serving_pid()
        os.kill(pid, signal.SIGKILL)
        wait.until(lambda: self.engine_pid() not in (None, pid), "another engine")
        return {"loses": True, "refuses": True, "after": RECOVERY}

    OPERATIONS = {"kill_sessions": 4, "lock_user": 2, "reload": 4, "upgrade": 2, "drain": 2, "full_disk": 2, "kill_backend": 2,
                  "stop_backend": 2, "kill_auth": 2, "stop_auth": 2, "kill_engine": 1}

    def ctl(self, *args, ok=(0,)):
        done = self.proxy.ctl_run(*args, check=False)
        if done.returncode not in ok:
            self.failures.append(f"mailproxyctl {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()}")

    def pause(self, low, high):
        time.sleep(low + (high - low) * self.rng.random())

    def operate(self):
        """One operation, and what it explains."""
        names = self.options.only or list(self.OPERATIONS)
        name = self.rng.choices(names, [self.OPERATIONS[n] for n in names])[0]
        start = time.monotonic()
        reach = getattr(self, name)() or {}
        if self.options.explain_nothing:
            reach = {}
        end = time.monotonic() + reach.pop("after", 0)
        self.events.append(Event(name, start, end, **reach))

    def look(self):
        from harness.engine import descriptors, memory
        pid = self.engine_pid()
        if pid:
            # Only root sees the descriptors of a process that may not be dumped.
            self.memory.append((pid, memory(pid), descriptors(pid) if os.geteuid() == 0 else 0))

    async def run(self):
        seconds = self.options.seconds or self.options.minutes * 60
        end = time.monotonic() + seconds
        load = asyncio.create_task(self.load.run(self.options.clients))
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(min(2, seconds / 4))
            await loop.run_in_executor(None, self.look)
            while time.monotonic() < end:
                await loop.run_in_executor(None, self.operate)
                await loop.run_in_executor(None, self.look)
                await asyncio.sleep(min(self.rng.uniform(0.5, 4), max(end - time.monotonic(), 0)))
        finally:
            self.load.stop.set()
            await load

    # ---- the verdict ----

    def settle(self):
        """What is left when everybody has gone."""
        from harness import wait
        wait.until(lambda: self.proxy.sessions() in (None, []), "the end of all sessions", timeout=60)
        self.look()

    def unexplained(self):
        return [t for t in self.load.troubles if not any(explains(e, t, t.listener) for e in self.events)]

    def say(self, problems):
        kinds = collections.Counter(t.kind for t in self.load.troubles)
        bad = self.unexplained()
        lost = [t for t in bad if t.kind == "lost"]
        refused = [t for t in bad if t.kind == "refused"]
        done = collections.Counter(e.kind for e in self.events)
        print(f"seed {self.options.seed}: {self.load.logins} logins, {self.load.answers} answers")
        print("operations: " + ", ".join(f"{n} {k}" for k, n in sorted(done.items())))
        print(f"sessions lost: {kinds['lost']}, of these {len(lost)} that no operation explains")
        print(f"logins refused: {kinds['refused']}, of these {len(refused)} that should not have been")
        if self.memory:
            first, last = self.memory[0], self.memory[-1]
            print(f"engine's own memory: {first[1] >> 10} kB at first, {max(m[1] for m in self.memory) >> 10} at most, {last[1] >> 10} at last; "
                  f"descriptors {first[2]}, {max(m[2] for m in self.memory)}, {last[2]}")
        for t in bad[:20]:
            near = [e.kind for e in self.events if e.start - 5 < t.at < e.end + 5]
            print(f"  {t.kind} {t.listener} {t.user} at {t.backend}: {t.detail} (near: {', '.join(near) or 'nothing'})")
        for p in self.failures + problems:
            print(f"  {p}")
        is_good = not bad and not self.failures and not problems and self.load.logins > 0
        print("soak: " + ("passed" if is_good else "FAILED"))
        return 0 if is_good else 1

    def close(self):
        """Ends the daemon; what it says then of leaks and other faults is a problem."""
        problems = []
        try:
            self.settle()
        except Exception as e:  # pylint: disable=broad-except
            problems.append(f"not settled: {e}")
        text = self.proxy.log()
        try:
            self.proxy.stop()
        except AssertionError as e:
            problems.append(str(e)[:4000])
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer"):
            if word in text:
                problems.append(f"{word}: " + text[max(text.index(word) - 200, 0):][:3000])
        self.servers.close()
        return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--only", nargs="*", choices=Soak.OPERATIONS, help="these operations")
    parser.add_argument("--explain-nothing", action="store_true", help="every trouble counts: tries the verdict itself")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    options = parser.parse_args()
    os.environ["MAILPROXY_BUILD"] = os.path.abspath(options.build)
    folder = tempfile.mkdtemp(prefix="mailproxy-soak-", dir="/tmp")
    soak = None
    try:
        soak = Soak(options, folder)
        asyncio.run(soak.run())
        return soak.say(soak.close())
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
