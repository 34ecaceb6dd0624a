# SPDX-License-Identifier: ISC
"""Mail servers that note who is where, and many clients at once: for what has to be one for several proxies. All in one thread."""
import asyncio
import base64
import collections
import dataclasses
import resource
import threading

from . import net


def _need_descriptors(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(n, hard) if hard != resource.RLIM_INFINITY else n, hard))


class MailServers:
    """n IMAP servers that let everybody in (but passwords "wrong"). users: who has sessions where, now."""

    def __init__(self, n):
        _need_descriptors(20000)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.host = net.address()
        self.names = [f"b{i + 1}" for i in range(n)]
        self.users = collections.defaultdict(collections.Counter)
        self.mistakes = []  # users that were on two servers at once
        self.clients = set()  # that are not closed
        self.servers = {}
        self.ports = {name: self.call(self._listen(name)) for name in self.names}

    def call(self, coroutine, timeout=120):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def backends(self, **more):
        return [{"name": name, "host": self.host, "ports": {"imap": self.ports[name]}, **more} for name in self.names]

    def where(self, user):
        return sorted(name for name, n in self.users[user].items() if n > 0)

    async def _listen(self, name, port=0):
        server = await asyncio.start_server(lambda r, w: self._serve(name, r, w), self.host, port, backlog=4096)
        self.servers[name] = server
        return server.sockets[0].getsockname()[1]

    def stop(self, name):
        """It accepts nobody any more."""
        async def stop():
            self.servers[name].close()
        self.call(stop())

    def start(self, name):
        if not self.servers[name].is_serving():
            self.call(self._listen(name, self.ports[name]))

    async def _serve(self, name, reader, writer):
        user = None
        try:
            writer.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
            while line := await reader.readline():
                tag, _, rest = line.decode().strip().partition(" ")
                words = rest.split(" ")
                if words[0] == "AUTHENTICATE":
                    _, claimed, password = base64.b64decode(words[2]).decode().split("\0")
                elif words[0] == "LOGIN":
                    claimed, password = words[1].strip('"'), words[2].strip('"')
                elif words[0] == "LOGOUT":
                    return
                else:
                    writer.write(f"{tag} OK done\r\n".encode())
                    continue
                if password == "wrong":
                    writer.write(f"{tag} NO [AUTHENTICATIONFAILED] no\r\n".encode())
                    continue
                user = claimed
                self.users[user][name] += 1
                if len(self.where(user)) > 1:
                    self.mistakes.append(user)
                writer.write(f"{tag} OK [CAPABILITY IMAP4rev1] welcome to {name}\r\n".encode())
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            if user:
                self.users[user][name] -= 1
            writer.close()

    # ---- clients ----

    async def _log_in(self, host, port, user, password):
        reader, writer = await asyncio.open_connection(host, port)
        await reader.readline()
        started = self.loop.time()
        writer.write(f"a LOGIN {user} {password}\r\n".encode())
        while not (line := await reader.readline()).startswith(b"a ") and line:
            pass
        return Client(self, reader, writer, line.decode().strip(), self.loop.time() - started)

    def log_in(self, *logins, password="pw"):
        """logins: (host, port, user). All at the same instant; the clients in their order."""
        async def all_of_them():
            return await asyncio.gather(*(self._log_in(*login, password) for login in logins))
        return self.call(all_of_them())

    def log_in_steadily(self, logins, per_second, is_over):
        """logins: an iterator of (host, port, user). One after the other at a rate, each left as soon as it was answered, until is_over(),
        which another thread calls, or there are no more. Returns a Steady."""
        refused, longest, under_way = [], 0, set()

        async def one(login):
            nonlocal longest
            client = await self._log_in(*login, "pw")
            longest = max(longest, client.seconds)
            if not client.is_in:
                refused.append(client)
            client.close()

        async def all_of_them():
            over = None
            began, n = self.loop.time(), 0
            for login in logins:
                if over is None or (over.done() and not over.result()):
                    over = self.loop.run_in_executor(None, is_over)
                elif over.done():
                    break
                task = asyncio.ensure_future(one(login))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                n += 1
                await asyncio.sleep(max(0, began + n / per_second - self.loop.time()))
            await asyncio.gather(*under_way)
            return n
        n = self.call(all_of_them(), 600)
        return Steady(n, refused, longest)

    def log_in_later(self, host, port, user, password="pw"):
        """A future of the client."""
        return asyncio.run_coroutine_threadsafe(self._log_in(host, port, user, password), self.loop)

    def hang_up(self):
        """All clients go: a proxy that stops would wait for them to hear its goodbye."""
        for client in list(self.clients):
            client.close()

    def close(self):
        self.hang_up()

        async def stop():
            for server in self.servers.values():
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        self.call(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)


@dataclasses.dataclass
class Steady:
    """What came of logins at a rate."""
    n: int
    refused: list  # clients
    longest: float  # seconds


class Client:
    def __init__(self, servers, reader, writer, answer, seconds):
        self.servers, self.reader, self.writer, self.answer, self.seconds = servers, reader, writer, answer, seconds
        servers.clients.add(self)

    @property
    def is_in(self):
        return self.answer.startswith("a OK")

    def is_over(self):
        """Has the proxy closed it? Reads what is there."""
        async def read():
            try:
                while await asyncio.wait_for(self.reader.read(4096), 0.01):
                    pass
                return True
            except asyncio.TimeoutError:
                return False
            except OSError:
                return True
        return self.servers.call(read())

    def close(self):
        self.servers.clients.discard(self)
        self.servers.loop.call_soon_threadsafe(self.writer.close)
