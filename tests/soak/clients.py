# SPDX-License-Identifier: ISC
"""The clients of a soak: each logs in, works for a while, leaves, and comes again. What goes wrong is kept with its moment,
for the verdict."""
import asyncio
import base64
import collections
import ssl
import time

PASSWORD = "pw"
ANSWER_SECONDS = 60
# Between since and at: the last thing that went well, and the moment of the trouble.
Trouble = collections.namedtuple("Trouble", "since at kind listener user backend detail")


class Refused(Exception):
    pass


def plain(user):
    return base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()


class Talk:
    """Lines over one connection."""

    def __init__(self, r, w):
        self.r, self.w = r, w

    async def line(self):
        line = await asyncio.wait_for(self.r.readline(), ANSWER_SECONDS)
        if not line.endswith(b"\n"):
            raise ConnectionError("closed")
        return line.decode(errors="replace").rstrip("\r\n")

    async def say(self, text):
        self.w.write(text.encode() + b"\r\n")
        await asyncio.wait_for(self.w.drain(), ANSWER_SECONDS)

    async def until(self, is_last):
        while not is_last(line := await self.line()):
            if line.startswith(("* BYE", "421", "BYE", "-ERR [SYS/TEMP]")):
                raise ConnectionError(line)
        return line


def good(line, mark):
    if not line.startswith(mark):
        raise Refused(line)
    return line


class Imap:
    def __init__(self, talk):
        self.t, self.n = talk, 0

    async def ask(self, text):
        self.n += 1
        await self.t.say(f"t{self.n} {text}")
        return await self.t.until(lambda line: line.startswith(f"t{self.n} "))

    async def login(self, user):
        await self.t.until(lambda line: line.startswith("* OK"))
        good(await self.ask(f"LOGIN {user} {PASSWORD}"), f"t{self.n} OK")

    async def work(self, is_big):
        """The backend's name."""
        if is_big:
            await self.t.say("big BIG")
            await asyncio.sleep(1) # and does not read
            await self.t.until(lambda line: line.startswith("big "))
        return (await self.ask("NOOP")).split()[-1]

    async def leave(self):
        await self.t.say("bye LOGOUT")
        while not (await self.t.line()).startswith("bye "):
            pass


class Pop3:
    def __init__(self, talk):
        self.t = talk

    async def ask(self, text):
        await self.t.say(text)
        return await self.t.line()

    async def login(self, user):
        good(await self.t.line(), "+OK")
        good(await self.ask(f"USER {user}"), "+OK")
        good(await self.ask(f"PASS {PASSWORD}"), "+OK")

    async def work(self, is_big):
        line = await self.ask("NOOP")
        if not line.startswith("+OK"):
            raise ConnectionError(line)
        return line.split()[-1]

    async def leave(self):
        await self.ask("QUIT")


class Smtp(Pop3):
    async def answer(self):
        return await self.t.until(lambda line: line[3:4] == " ")

    async def ask(self, text):
        await self.t.say(text)
        return await self.answer()

    async def login(self, user):
        good(await self.answer(), "220")
        good(await self.ask("EHLO soak"), "250")
        good(await self.ask(f"AUTH PLAIN {plain(user)}"), "235")

    async def work(self, is_big):
        line = await self.ask("NOOP")
        if not line.startswith("250"):
            raise ConnectionError(line)
        return line.split()[-1]


class Sieve(Pop3):
    async def answer(self):
        return await self.t.until(lambda line: line.startswith(("OK", "NO", "BYE")))

    async def ask(self, text):
        await self.t.say(text)
        return await self.answer()

    async def login(self, user):
        good(await self.answer(), "OK")
        good(await self.ask(f'AUTHENTICATE "PLAIN" "{plain(user)}"'), "OK")

    async def work(self, is_big):
        line = await self.ask("NOOP")
        if not line.startswith("OK"):
            raise ConnectionError(line)
        return line.split()[-1].strip('"')

    async def leave(self):
        await self.ask("LOGOUT")


KINDS = {"imap": Imap, "imaps": Imap, "pop3": Pop3, "smtp": Smtp, "sieve": Sieve}


class Load:
    """Clients that go on until `stop` is set."""

    def __init__(self, host, ports, users, rng):
        self.host, self.ports, self.users, self.rng = host, ports, users, rng
        self.stop = asyncio.Event()
        self.troubles, self.logins, self.answers = [], 0, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def trouble(self, since, kind, listener, user, backend, error):
        self.troubles.append(Trouble(since, time.monotonic(), kind, listener, user, backend,
                                     f"{type(error).__name__}: {error}"))

    async def session(self, name, user):
        backend, is_in = None, False
        w, since = None, time.monotonic()
        try:
            context = self.context if name == "imaps" else None
            r, w = await asyncio.wait_for(asyncio.open_connection(self.host, self.ports[name], ssl=context,
                                                                  limit=1 << 20), ANSWER_SECONDS)
            client = KINDS[name](Talk(r, w))
            await client.login(user)
            is_in = True
            self.logins += 1
            since = time.monotonic()
            for _ in range(self.rng.randrange(1, 12)):
                if self.stop.is_set():
                    break
                backend = await client.work(self.rng.random() < 0.05)
                self.answers += 1
                since = time.monotonic()
                await asyncio.sleep(self.rng.random())
            await client.leave()
        except Refused as e:
            self.trouble(since, "refused", name, user, None, e)
        except (OSError, ssl.SSLError, asyncio.TimeoutError, asyncio.IncompleteReadError) as e:
            self.trouble(since, "lost" if is_in else "refused", name, user, backend, e)
        finally:
            if w:
                w.transport.abort()

    async def run_one(self):
        while not self.stop.is_set():
            await self.session(self.rng.choice(list(KINDS)), self.rng.choice(self.users))
            await asyncio.sleep(0.2 * self.rng.random())

    async def run(self, n):
        await asyncio.gather(*(self.run_one() for _ in range(n)))
