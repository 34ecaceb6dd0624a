# SPDX-License-Identifier: ISC
"""Clients that come back after a goodbye and do again what had no answer, and a slow SMTP server: what a graceful end must not hurt.

Each attempt has a name of its own. Done without an answer is a hurt: the client does it again, and it is there twice."""
import base64
import collections
import random
import re
import threading
import time

from . import imap
from .control import Control
from .server import Server


class SlowSmtp:
    """Takes a mail `delay` seconds after its data, whether its client still waits or not; an attempt whose name is in `held` when it ends."""

    def __init__(self, delay, held=()):
        self.delay, self.held, self.end = delay, held, threading.Event()
        self.mails = collections.Counter()     # by attempt
        self.commands = collections.Counter()  # by sender; from the first MAIL on: replies that the client should have got
        self.lock = threading.Lock()
        self.server = Server(self._serve)
        self.host, self.port = self.server.host, self.server.port

    def close(self):
        self.end.set()
        self.server.close()

    def _take(self, text):
        name = re.search(rb"^Attempt: (\S+)", text, re.M).group(1).decode()
        self.end.wait(60 if name in self.held else self.delay)
        with self.lock:
            self.mails[name] += 1

    def _serve(self, sock):
        sock.settimeout(60)
        file = sock.makefile("rb")
        name, chunks = None, b""

        def say(text):
            if name:
                with self.lock:
                    self.commands[name] += 1
            sock.sendall(text.encode() + b"\r\n")
        sock.sendall(b"220 slow.test ESMTP\r\n")
        while line := file.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"MAIL":
                name = name or line.split(b"<")[1].split(b">")[0].decode()
                say("250 2.1.0 ok")
            elif word == b"EHLO":
                say("250-slow.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN")
            elif word == b"AUTH":
                say("235 2.7.0 ok")
            elif word == b"DATA":
                sock.sendall(b"354 go\r\n")
                lines = []
                while (text := file.readline()) != b".\r\n":
                    if not text:
                        return
                    lines.append(text)
                self._take(b"".join(lines))
                say("250 2.0.0 taken")
            elif word == b"BDAT":
                size = int(line.split()[1])
                chunk = file.read(size)
                if len(chunk) < size:
                    return
                chunks += chunk
                if line.split()[-1].upper() == b"LAST":
                    self._take(chunks)
                    chunks = b""
                say("250 2.0.0 taken")
            elif word == b"QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok")


class Goodbye(Exception):
    """The proxy said it, or the connection is over."""


class Client:
    """One mailbox user that works until told to stop. done: attempts that were answered well; unanswered: those that were not."""

    def __init__(self, proxy, user, password, number, stop):
        self.proxy, self.user, self.password, self.number, self.stop = proxy, user, password, number, stop
        self.random = random.Random(number)
        self.done, self.unanswered, self.wrong = [], [], []
        self.goodbyes = self.sessions = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stop.is_set():
            self.sessions += 1
            try:
                self.connect()
                for _ in range(self.random.randrange(3, 30)):
                    if self.stop.is_set():
                        break
                    self.work(f"{self.protocol}-{self.number}-{len(self.done) + len(self.unanswered)}")
                self.leave()
            except (Goodbye, OSError):
                self.goodbyes += 1
            except Exception as e:  # noqa: BLE001 - told at the end of the test
                self.wrong.append(repr(e))
            finally:
                self.close()

    def attempt(self, name):
        """Within it an exception leaves the attempt without an answer."""
        return Attempt(self, name)

    def open(self):
        self.lines = None
        self.lines = imap.Lines(self.proxy.host, self.proxy.ports[self.protocol], timeout=60)

    def line(self):
        raw = self.lines.file.readline()
        if not raw.endswith(b"\n"):
            raise Goodbye(raw)
        return raw.decode(errors="replace").rstrip("\r\n")

    def send(self, data):
        self.lines.send(data)

    def send_slowly(self, data):
        """In pieces, as over a slow line."""
        step = max(1, len(data) // 4)
        for i in range(0, len(data), step):
            self.send(data[i:i + step])
            time.sleep(self.random.random() / 100)

    def close(self):
        if self.lines:
            self.lines.close()
            self.lines = None

    lines = None

    def token(self):
        return base64.b64encode(f"\0{self.user}\0{self.password}".encode()).decode()


class Attempt:
    def __init__(self, client, name):
        self.client, self.name = client, name

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        (self.client.unanswered if kind else self.client.done).append(self.name)


class Smtp(Client):
    """Command by command, pipelined, or in chunks."""
    protocol = "smtp"
    said = 0

    def reply(self):
        while (line := self.line())[3:4] == "-":
            pass
        if line.startswith("421"):
            raise Goodbye(line)
        self.replies[self.name] += 1
        return line

    def connect(self):
        self.replies = getattr(self, "replies", collections.Counter())
        self.open()
        self.line()
        self.name = f"c{self.number}-{self.sessions}@client.test"
        self.send("EHLO client.test\r\n")
        while (line := self.line())[3:4] == "-":
            pass
        self.send(f"AUTH PLAIN {self.token()}\r\n")
        if not (line := self.line()).startswith("235"):
            raise Goodbye(line)

    def expect(self, code):
        line = self.reply()
        if not line.startswith(code):
            raise AssertionError(line)

    def work(self, name):
        text = f"Attempt: {name}\r\n\r\n" + "x" * 70 + "\r\n"
        head = [f"MAIL FROM:<{self.name}>\r\n", f"RCPT TO:<{self.user}>\r\n"]
        how = self.random.choice(["lines", "pipelined", "chunks"])
        with self.attempt(name):
            if how == "lines":
                for line in [*head, "DATA\r\n"]:
                    self.send(line)
                    if not line.startswith("DATA"):
                        self.expect("250")
            else:
                self.send("".join(head) + ("DATA\r\n" if how == "pipelined" else ""))
                self.expect("250")
                self.expect("250")
            if how == "chunks":
                self.send(f"BDAT {len(text)}\r\n{text}")
                self.send("BDAT 0 LAST\r\n")
                self.expect("250")
            else:
                line = self.line()
                if not line.startswith("354"):
                    raise Goodbye(line)
                self.send_slowly(text + ".\r\n")
            self.expect("250")

    def leave(self):
        self.send("QUIT\r\n")
        self.expect("221" if self.replies[self.name] else "2")


class Imap(Client):
    """Uploads, reads, and waits in IDLE."""
    protocol = "imap"

    def connect(self):
        self.open()
        self.line()
        self.command(f"LOGIN {self.user} {self.password}")
        self.command("SELECT INBOX")

    def until(self, tag):
        while True:
            line = self.line()
            if line.startswith("* BYE"):
                raise Goodbye(line)
            if size := re.search(r"\{(\d+)\}$", line):
                rest = int(size.group(1))
                if len(self.lines.file.read(rest)) < rest:
                    raise Goodbye("within a literal")
            if line.startswith(tag):
                if line.split()[1] != "OK":
                    raise AssertionError(line)
                return line
            if line.startswith("+"):
                return line

    def command(self, text):
        self.tags = getattr(self, "tags", 0) + 1
        self.send(f"t{self.tags} {text}\r\n")
        return self.until(f"t{self.tags} ")

    def work(self, name):
        how = self.random.randrange(6)
        if how == 0:
            self.command("FETCH 1:* BODY[]")
        elif how == 1:
            self.send("p1 NOOP\r\np2 STATUS INBOX (MESSAGES)\r\np3 NOOP\r\n")
            for _ in range(3):  # in the server's order
                self.until("p")
        elif how == 2:
            self.command("IDLE")
            time.sleep(self.random.random() / 20)
            self.send("DONE\r\n")
            self.until(f"t{self.tags} ")
        else:
            text = f"Subject: {name}\r\n\r\n" + ("x" * 70 + "\r\n") * self.random.randrange(1, 2000)
            with self.attempt(name):
                if how == 3:
                    self.tags += 1
                    self.send(f"t{self.tags} APPEND Sent {{{len(text)}+}}\r\n")
                else:
                    self.command(f"APPEND Sent {{{len(text)}}}")
                self.send_slowly(text + "\r\n")
                self.until(f"t{self.tags} ")

    def leave(self):
        self.tags += 1
        self.send(f"t{self.tags} LOGOUT\r\n")
        while not (line := self.line()).startswith(f"t{self.tags} "):
            pass

    def present(self):
        """How often each attempt is there."""
        m = imap.plain(self.proxy.host, self.proxy.ports["imap"])
        m.login(self.user, self.password)
        count = int(m.select("Sent")[1][0])
        found = collections.Counter()
        # Dovecot 2.4 has no "1:*" in an empty mailbox.
        for part in m.fetch("1:*", "(BODY[HEADER.FIELDS (SUBJECT)])")[1] if count else []:
            if isinstance(part, tuple):
                found[part[1].decode().split(":", 1)[1].strip()] += 1
        m.logout()
        return found


class Pop3(Client):
    """Reads everything, pipelined, and now and then deletes a mail. Deleted is what QUIT was answered for."""
    protocol = "pop3"

    def reply(self, is_multi=False):
        line = self.line()
        if line.startswith("-ERR [SYS/TEMP]"):
            raise Goodbye(line)
        if not line.startswith("+OK"):
            raise AssertionError(line)
        lines = []
        while is_multi and (text := self.line()) != ".":
            lines.append(text)
        return lines

    def connect(self):
        self.open()
        self.reply()
        self.send(f"USER {self.user}\r\n")
        self.reply()
        self.send(f"PASS {self.password}\r\n")
        self.reply()
        self.deleted = []

    def work(self, name):
        self.send("UIDL\r\n")
        uids = [line.split() for line in self.reply(True)]
        known = {uid for attempt in self.done for uid in attempt.split("+")}
        if twice := known & {uid for _, uid in uids}:
            raise AssertionError(f"deleted, and there: {twice}")
        some = [n for n, uid in uids if uid not in self.deleted][:5]
        self.send("".join(f"RETR {n}\r\n" for n in some) + "NOOP\r\nSTAT\r\n")
        for _ in some:
            if not [line for line in self.reply(True) if line.startswith("Subject: ")]:
                raise AssertionError("a mail without its subject")
        self.reply()
        self.reply()
        if some and self.random.randrange(4) == 0:
            self.send(f"DELE {some[0]}\r\n")
            self.reply()
            self.deleted.append(dict(uids)[some[0]])
            self.leave()
            raise Goodbye("own")

    def leave(self):
        with self.attempt("+".join(self.deleted) or "none"):
            self.send("QUIT\r\n")
            self.reply()

    def present(self):
        self.connect()
        self.send("UIDL\r\n")
        found = collections.Counter(line.split()[1] for line in self.reply(True))
        self.close()
        return found


class Sieve(Client):
    protocol = "sieve"

    def answer(self):
        while True:
            line = self.line()
            if size := re.search(r"\{(\d+)\}$", line):
                rest = int(size.group(1))
                if len(self.lines.file.read(rest)) < rest:
                    raise Goodbye("within a literal")
            if line.startswith("BYE"):
                raise Goodbye(line)
            if line.startswith("NO"):
                raise AssertionError(line)
            if line.startswith("OK"):
                return line

    def connect(self):
        self.open()
        self.answer()
        self.send(f'AUTHENTICATE "PLAIN" "{self.token()}"\r\n')
        self.answer()

    def work(self, name):
        script = "keep;\r\n" + "# a comment\r\n" * self.random.randrange(1, 300)
        with self.attempt(name):
            self.send(f'PUTSCRIPT "{name}" {{{len(script)}+}}\r\n')
            self.send_slowly(script + "\r\n")
            self.answer()
        self.send(f'GETSCRIPT "{name}"\r\nNOOP\r\nLISTSCRIPTS\r\n')
        for _ in range(3):
            self.answer()
        if len(self.done) > 5 and (old := self.done[-5]) not in self.gone:
            self.gone.add(old)
            self.send(f'DELETESCRIPT "{old}"\r\n')
            self.answer()

    def leave(self):
        self.send("LOGOUT\r\n")
        self.answer()

    @property
    def gone(self):
        return self.__dict__.setdefault("gone_", set())

    def present(self):
        self.connect()
        self.send("LISTSCRIPTS\r\n")
        found = collections.Counter()
        while not (line := self.line()).startswith("OK"):
            found[line.split('"')[1]] += 1
        self.close()
        return found


CLIENTS = {c.protocol: c for c in (Imap, Pop3, Smtp, Sieve)}


class Hurt:
    """What went wrong in a run."""

    def __init__(self):
        self.twice, self.lost, self.truncated, self.wrong = [], [], 0, []

    def __bool__(self):
        return bool(self.twice or self.lost or self.truncated or self.wrong)

    def __repr__(self):
        return f"twice {self.twice}, lost {self.lost}, unanswered {self.truncated}, else {self.wrong}"


def judge(clients, slow=None):
    """Compares what the clients were told with what is there, when all have stopped."""
    hurt = Hurt()
    for c in clients:
        hurt.wrong += c.wrong
        if c.protocol == "smtp":
            there = slow.mails
            hurt.truncated += sum(slow.commands[n] - c.replies[n] for n in c.replies if slow.commands[n] > c.replies[n])
        else:
            there = c.present()
        if c.protocol == "pop3":
            gone = {uid for a in c.done for uid in a.split("+")}
            hurt.twice += sorted(gone & set(there))
            hurt.lost += [uid for a in c.unanswered for uid in a.split("+") if uid not in there and uid not in gone and uid != "none"]
            continue
        hurt.twice += [a for a in c.unanswered if there[a]] + [a for a in c.done if there[a] > 1]
        hurt.lost += [a for a in c.done if not there[a] and a not in getattr(c, "gone", ())]
    return hurt


class Operator:
    """Ends sessions of a protocol, some at a time, and adds up what the answers say."""

    def __init__(self, proxy, protocol, **params):
        self.proxy, self.protocol, self.params = proxy, protocol, params
        self.ended = self.clean = self.cut = 0
        self.rows = []
        self.lock = threading.Lock()
        self.failed = []

    def _end(self, enough, seed):
        pick = random.Random(seed)
        control = Control(self.proxy.control)
        control.sock.settimeout(60)
        try:
            while self.ended < enough and not self.failed:
                rows = control.call("session.list", filter=f"proto={self.protocol} state=relay !phase=ending")["result"]["rows"]
                some = pick.sample(rows, min(len(rows), pick.randrange(1, 4)))
                if some:
                    answer = control.call("session.kill", filter="id=" + ",".join(r["id"] for r in some), **self.params)
                    self._add(answer)
                time.sleep(pick.random() / 4)
        except Exception as e:  # noqa: BLE001 - told by run
            self.failed.append(repr(e))
        finally:
            control.close()

    def _add(self, answer):
        result = answer.get("result")
        if not result:
            if answer["error"]["data"]["name"] != "E_NO_MATCH":
                self.failed.append(answer)
            return
        with self.lock:
            self.ended += result["count"]
            self.clean += result.get("clean", 0)
            self.cut += result.get("cut", 0)
            self.rows += [r for r in result["rows"] if r.get("cut")]

    def run(self, enough, threads=4):
        workers = [threading.Thread(target=self._end, args=(enough, n), daemon=True) for n in range(threads)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        if self.failed:
            raise AssertionError(self.failed)
