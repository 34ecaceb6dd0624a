# SPDX-License-Identifier: ISC
"""Many clients that come back whenever they are sent away, while their backend is drained or their user is moved.

MAILPROXY_LOAD_SESSIONS says how many are drained (200; `make check-full`: 2000)."""
import asyncio
import bisect
import json
import os
import re
import threading
import time

import pytest
from harness import wait
from harness.control import Control
from test_backends import rows
from test_operations import ended

N = int(os.environ.get("MAILPROXY_LOAD_SESSIONS", "200"))
RATE = max(20, N // 8)
DEADLINE_MS = 2000
PASSWORD = "pw"
USER = "u1@example.org"


class Client:
    """Logs in, does what its kind does, and comes back at once when it is told goodbye. Every answer is read as a whole:
    whatever ends within one is a fault."""

    KINDS = ("silent", "idle", "busy")

    def __init__(self, load, number):
        self.load, self.kind = load, self.KINDS[number % 3]
        self.user = load.users[number % len(load.users)]
        self.size = 2000 + number % 7 * 3000

    async def line(self):
        """A line, with its literals read and dropped. None at the end of the stream, which is right between two lines only."""
        text = b""
        while True:
            part = await self.reader.readline()
            if not part and not text:
                return None
            if not part.endswith(b"\r\n"):
                raise AssertionError(f"cut in a line: {text + part!r}")
            text += part
            literal = re.search(rb"{(\d+)}\r\n$", part)
            if not literal:
                return text.decode(errors="replace")
            await self.reader.readexactly(int(literal[1]))

    async def answer(self, tag, is_login=False):
        """Reads up to the tagged line: True, or False after a goodbye, which may stand only where no answer has begun."""
        n = 0
        while True:
            line = await self.line()
            if line is None:
                raise AssertionError(f"{self.user} {self.kind}: the stream ended without a goodbye")
            if line.startswith("* BYE"):
                # Where nothing was asked, each line of news stands for itself.
                if (n and tag != "?") or is_login or "Moving house" not in line:
                    raise AssertionError(f"{self.user} {self.kind}: after {n} lines of an answer: {line!r}")
                self.load.told(self)
                if await self.reader.read() != b"":
                    raise AssertionError("words after the goodbye")
                return False
            if line.startswith(tag + " "):
                if tag != "+" and not line.startswith(tag + " OK"):
                    raise AssertionError(f"{self.user}: {line!r}")
                return True
            n += 1

    def send(self, text):
        self.writer.write(text.encode() + b"\r\n")

    async def login(self):
        async with self.load.gate:
            self.reader, self.writer = await asyncio.open_connection(self.load.proxy.host, self.load.proxy.ports["imap"])
            if not (await self.line()).startswith("* OK"):
                raise AssertionError("no greeting")
            self.send(f"a LOGIN {self.user} {PASSWORD}")
            await self.answer("a", True)
        self.load.logged_in(self)
        # Reads only: what moves messages is raced by the others of the same user.
        self.send("b EXAMINE INBOX")
        if not await self.answer("b"):
            return False
        if self.kind == "idle":
            self.send("c IDLE")
            return await self.answer("+")
        return True

    async def stay(self):
        """Until the goodbye or the end of the test."""
        while not self.load.is_over:
            if self.kind == "busy":
                self.send("d FETCH 1 (FLAGS BODY.PEEK[])")
                if not await self.answer("d"):
                    return
                await self.load.pause(1)
            else:
                waiting = asyncio.ensure_future(self.answer("?"))
                await asyncio.wait({waiting, self.load.over}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    return await waiting
                waiting.cancel()

    async def run(self):
        try:
            while not self.load.is_over:
                if await self.login():
                    await self.stay()
                self.writer.close()
        except Exception as e:  # noqa: BLE001: any failure is the test's
            if not self.load.is_over:
                self.load.problems.append(repr(e))


class Load:
    """n clients in a thread of their own."""

    def __init__(self, proxy, users, n):
        self.proxy, self.users, self.n = proxy, users, n
        self.problems, self.byes, self.logins, self.gaps = [], [], [], []
        self.is_over = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.all()))
        self.thread.start()

    async def all(self):
        self.over = self.loop.create_future()
        # So many log in at once.
        self.gate = asyncio.Semaphore(100)
        await asyncio.gather(*(Client(self, i).run() for i in range(self.n)))

    async def pause(self, seconds):
        await asyncio.wait({self.over}, timeout=seconds)

    def told(self, client):
        client.left = time.monotonic()
        self.byes.append(client.left)

    def logged_in(self, client):
        now = time.monotonic()
        self.logins.append(now)
        if hasattr(client, "left"):
            self.gaps.append(now - client.left)

    def wait_for(self, count, what):
        wait.until(lambda: self.problems or len(self.logins) >= count, what, 300)
        assert not self.problems, self.problems[:3]

    def stop(self):
        self.is_over = True
        self.loop.call_soon_threadsafe(self.over.set_result, None)
        self.thread.join()
        assert not self.problems, self.problems[:3]


def most_in(times, seconds):
    """The most events within any span of this length."""
    times = sorted(times)
    return max(i + 1 - bisect.bisect_left(times, t - seconds) for i, t in enumerate(times))


@pytest.fixture
def make(make_proxy, settings):
    def made(users):
        # As fast as the machine can: what is judged once is remembered.
        p = make_proxy({**settings, "timeouts": {"connect": "20s", "login": "60s"}})
        for name in users:
            p.add_user(name, PASSWORD)
        return p
    return made


def logins_of(server, user=""):
    return server.logins("imap", f"user=<{user}")


def test_drain_of_many(make, dovecot1, dovecot2, record_property):
    users = ["u1@example.org", "u2@example.org"]
    p = make(users)
    servers = {"dc1": dovecot1, "dc2": dovecot2}
    # All of them at one backend.
    p.ctl("backend", "drain", "dc2", "--yes")
    load = Load(p, users, N)
    begin = time.monotonic()
    load.wait_for(N, "all clients")
    filled = time.monotonic() - begin
    wait.until(lambda: rows(p)["dc1"]["sessions"] == N, "all sessions")
    p.ctl("backend", "ready", "dc2")
    before = {name: logins_of(s) for name, s in servers.items()}

    asked = time.monotonic()
    ident = p.ctl("backend", "drain", "dc1", "--yes", "--deadline", f"{DEADLINE_MS}ms", "--rate", str(RATE), "--text", "Moving house")["op"]
    o = ended(p, ident, 300)
    load.wait_for(2 * N, "all clients again")
    load.stop()

    assert o["state"] == "done" and o["total"] == o["done"] == N and f"{N} ended, {N} clean" in o["text"], o
    assert len(load.byes) == N and len(load.gaps) == N
    # Nobody before the deadline, and never more than the rate allows up to then; a quarter of a second is one step of it.
    start = asked + DEADLINE_MS / 1000
    for i, t in enumerate(sorted(load.byes)):
        assert i < RATE * (t - start + 0.26), (i, t - start)
    comebacks = [t for t in load.logins if t > asked]
    report = {"sessions": N, "rate": RATE, "logins/s at the start": round(N / filled), "drained in s": round(max(load.byes) - start, 1),
              "goodbyes in any second": most_in(load.byes, 1), "logins in any second": most_in(comebacks, 1),
              "out at most ms": round(1000 * max(load.gaps)), "out on average ms": round(1000 * sum(load.gaps) / N)}
    record_property("drain", json.dumps(report))
    print(report)
    # What a pause of the machine has held back may come within half a second more, on the way there and back.
    assert report["goodbyes in any second"] <= RATE * 2 and report["logins in any second"] <= RATE * 2
    # Everybody is at the other one, with one login each.
    assert logins_of(servers["dc1"]) == before["dc1"]
    wait.until(lambda: logins_of(servers["dc2"]) == before["dc2"] + N, "the other server's log")


def test_move_of_a_busy_user(make, dovecot1, dovecot2):
    """The user's clients are out for less than a second more than when they are only sent away, and none of them gets to the
    backend before once it is another one."""
    n = 20
    p = make([USER])
    old = p.ctl("route", "explain", USER)["backend"]
    new = {"dc1": "dc2", "dc2": "dc1"}[old]
    servers = {"dc1": dovecot1, "dc2": dovecot2}
    before = {name: logins_of(s, USER) for name, s in servers.items()}
    r = Control(p.control)
    r.call("event.watch", filter=f"type=login user={USER}")
    load = Load(p, [USER], n)
    load.wait_for(n, "all clients")
    p.ctl("session", "kill", f"user={USER}", "--text", "Moving house", "--yes")
    load.wait_for(2 * n, "all clients again")
    # There and back: where the user was before, the mailbox is there already, as when they are only sent away.
    for i, to in enumerate((new, old)):
        o = ended(p, p.ctl("user", "move", USER, "--to", to, "--text", "Moving house")["op"])
        assert o["state"] == "done" and o["failed"] == 0
        load.wait_for((3 + i) * n, f"all clients at {to}")
    load.stop()
    assert len(load.byes) == len(load.gaps) == 3 * n
    usual, moving = max(load.gaps[:n]), max(load.gaps[2 * n:])
    print({"out when sent away ms": round(1000 * usual), "when moved ms": round(1000 * moving), "held ms": o["ended"] - o["started"]})
    assert moving < usual + 1 and o["ended"] - o["started"] < 1000
    order = [r.receive()["params"]["backend"] for _ in range(4 * n)]
    assert order == [old] * 2 * n + [new] * n + [old] * n
    for name, count in ((old, 3 * n), (new, n)):
        wait.until(lambda: logins_of(servers[name], USER) >= before[name] + count, "the server's log")
        assert logins_of(servers[name], USER) == before[name] + count
    r.close()
