# SPDX-License-Identifier: ISC
"""Servers that talk without end before the relay: backends and auth servers are not trusted with the proxy's memory either."""
import itertools
import time

import pytest
from conftest import PASSWORD, USER
from harness import engine, imap
from harness.server import Server

MEMORY_MAX = 8 << 20
CLIENTS = 4


def endless(client, data):
    while True:
        client.sendall(data)


def greeting(client):
    endless(client, b"* OK hello\r\n" * 5000)


def long_line(client):
    endless(client, b"* OK " + b"x" * 65000)


def untagged(client):
    client.sendall(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
    client.recv(1000)
    endless(client, b"* 1 EXISTS\r\n" * 5000)


def continuations(client):
    client.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n")
    client.recv(1000)
    endless(client, b"+ \r\n" * 5000)


def literal(client):
    client.sendall(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
    client.recv(1000)
    client.sendall(b"* 1 FETCH {4000000000}\r\n")
    endless(client, b"x" * 65536)


def deaf(client):
    """Says nothing at all."""
    time.sleep(30)


TALKS = (greeting, long_line, untagged, continuations, literal, deaf)


def test_backends_talk_without_end(attacked, beside):
    servers = {talk.__name__: Server(talk) for talk in TALKS}
    p = attacked(start=False, timeouts={"login": "2s", "connect": "2s"})
    bad = [{"name": name, "tls": "off", "backends": [{"name": name, "host": s.host, "ports": {"imap": s.port}}]}
           for name, s in servers.items()]
    routes = [{"user": f"{name}@*", "pool": name} for name in servers]
    p.configure({"pools": p.settings["pools"] + bad, "routes": routes})
    p.start()
    p.add_user(USER, PASSWORD)
    for name in servers:
        p.add_user(f"{name}@example.org")  # whom the backend judges: no hash needs its 16 MiB meanwhile
    honest = beside(p)
    growth = engine.Growth(p.engine_pid())
    begin = time.monotonic()
    clients = []
    for name in list(servers) * CLIENTS:
        clients.append(imap.Lines(p.host, p.ports["imap"]))
        clients[-1].line()
        clients[-1].send(f'a LOGIN "{name}@example.org" "pw"\r\n')
    for c in clients:
        assert c.until("a ")[-1].startswith("a NO [UNAVAILABLE]")
        c.close()
    took = time.monotonic() - begin
    noops, _ = honest.best(50, seconds=1)
    grown = growth.stop()
    print(f"{took:.1f} s, {grown >> 10} KiB, noops {noops}")
    assert took < 15 and grown < MEMORY_MAX, (took, grown)
    # They were cut off, not waited for.
    assert "the server says too much" in p.log()
    assert noops.p99 < honest.bound(50), noops
    for s in servers.values():
        s.close()


def headers(client):
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    for n in itertools.count():
        client.sendall(b"X-%d: %s\r\n" % (n, b"x" * 1000))


def header(client):
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\nAuth-Status: ")
    endless(client, b"x" * 65536)


def body(client):
    client.recv(4096)
    client.sendall(b"HTTP/1.1 500 no\r\n\r\n")
    endless(client, b"x" * 65536)


def interim(client):
    client.recv(4096)
    endless(client, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@pytest.mark.parametrize("talk", [headers, header, body, interim], ids=lambda f: f.__name__)
def test_auth_server_talks_without_end(attacked, talk):
    server = Server(talk)
    p = attacked(start=False, timeouts={"auth": "3s"},
                 auth=[{"type": "http", "url": f"http://{server.host}:{server.port}/auth", "timeout": "2s"}])
    p.start()
    growth = engine.Growth(p.engine_pid())
    clients = [imap.Lines(p.host, p.ports["imap"]) for _ in range(CLIENTS)]
    begin = time.monotonic()
    for c in clients:
        c.line()
        c.send('a LOGIN "x@example.org" "pw"\r\n')
    for c in clients:
        answer = c.until("a ")[-1]
        assert answer.startswith("a NO"), answer
        c.close()
    took = time.monotonic() - begin
    grown = growth.stop()
    print(f"{took:.1f} s, {grown >> 10} KiB")
    assert took < 15 and grown < MEMORY_MAX, (took, grown)
    server.close()
