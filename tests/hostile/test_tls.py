# SPDX-License-Identifier: ISC
"""TLS that carries nothing: alerts, empty records, key updates, single bytes, handshakes in crumbs. Other sessions must not wait for
it, and the sessions that send it end with a reason."""
import json
import os
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import PASSWORD, USER
from harness import engine
from harness.proxy import BUILD

FLOOD = os.path.join(BUILD, "hostile", "flood")
LOGIN = f'a LOGIN "{USER}" "{PASSWORD}"'
WAIT_MAX_MS = 50
MEMORY_MAX = 8 << 20


class Attackers:
    """Each calls attack() again and again until the end; what it returns is kept."""

    def __init__(self, attack, count):
        self.attack, self.is_over, self.results = attack, False, []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for t in self.threads:
            t.start()

    def _run(self):
        while not self.is_over:
            self.results.append(self.attack())

    def stop(self):
        self.is_over = True
        for t in self.threads:
            t.join()
        return self.results


def flood(p, kind, line=None, seconds=1):
    done = subprocess.run([FLOOD, p.host, str(p.ports["imaps"]), kind, str(seconds), *([line] if line else [])],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    return json.loads(done.stdout) if done.returncode == 0 else {"records": 0, "closed": True}


def held(p, honest, attack, count=2, wait_max_ms=WAIT_MAX_MS, name=""):
    """The attack beside honest clients: on both workers. Their waiting, and what the attackers got."""
    pid = p.engine_pid()
    growth = engine.Growth(pid)
    attackers = Attackers(attack, count)
    noops, logins = honest.best(wait_max_ms, seconds=1)
    results = attackers.stop()
    print(f"{name}: noops {noops}, logins {logins}, grown {growth.stop() >> 10} KiB, {len(results)} attacks")
    assert p.engine_pid() == pid, f"{name}: the engine died"
    assert noops.p99 < honest.bound(wait_max_ms) and len(logins) > 0, (name, noops, logins)
    assert growth.peak < MEMORY_MAX, f"{name}: {growth.peak >> 20} MiB"
    return results


@pytest.fixture
def target(attacked, beside):
    p = attacked()
    return p, beside(p)


@pytest.mark.parametrize("line", [None, LOGIN], ids=["before", "after"])
def test_records_without_data(target, line):
    """From clients before their login, or after it."""
    p, honest = target
    for kind in ("alerts", "alerts13", "empty", "bytes", "bytes13", "key-updates"):
        ends = p.log().count("tls-flood")
        results = held(p, honest, lambda kind=kind: flood(p, kind, line), name=kind)
        assert sum(r["records"] for r in results) > 1000, kind
        assert all(r["closed"] for r in results), (kind, results)
        # Others end for what comes first: GnuTLS's own bound, an alert that TLS 1.3 does not know, bad commands.
        if kind in ("alerts", "empty") or (line and kind.startswith("bytes")):
            p.wait_for_log("tls-flood", ends + 1)


def test_small_commands_are_no_flood(target):
    """Whoever sends each command in a record of its own stays, however fast it is."""
    p, _ = target
    result = flood(p, "lines", LOGIN)
    assert result["records"] > 1000 and not result["closed"], result
    assert "tls-flood" not in p.log()


# ---- handshakes ----

def client_hello():
    """The bytes of a ClientHello, from its first handshake header on."""
    out = ssl.MemoryBIO()
    s = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), out)
    with pytest.raises(ssl.SSLWantReadError):
        s.do_handshake()
    return out.read()[5:]


def record(kind, data):
    return bytes([kind, 3, 3]) + len(data).to_bytes(2, "big") + data


def crumbs(data):
    return b"".join(record(22, data[i:i + 1]) for i in range(len(data)))


CCS = record(20, b"\x01")
HELLO = client_hello()
# A hello of 16 MiB less one byte, by its own words: nobody has to keep that.
GIANT = record(22, b"\x01\xff\xff\xff" + bytes(16000)) + record(22, bytes(16384)) * 1000
RAW = {
    "crumbs": crumbs(b"\x01\x01\xff\x00" + bytes(0x1ff00)),
    "giant": GIANT,
    "ccs": record(22, HELLO) + CCS * 200000,
    "warnings": record(22, HELLO[:4]) + record(21, b"\x01\x00") * 200000,
    "empties": record(22, HELLO[:4]) + record(22, b"") * 200000,
}


def throw(p, data, seconds=1):
    """Sends it all, unless the proxy has had enough of it before."""
    with socket.create_connection((p.host, p.ports["imaps"]), timeout=5) as s:
        try:
            s.sendall(data)
            s.settimeout(seconds)
            while s.recv(65536):
                pass
        except TimeoutError:
            return {"closed": False}
        except OSError:
            pass
    return {"closed": True}


def test_handshakes_without_end(target):
    p, honest = target
    for kind, data in RAW.items():
        results = held(p, honest, lambda data=data: throw(p, data), count=4, name=kind)
        assert results and all(r["closed"] for r in results), (kind, results)


def test_hello_in_crumbs_is_a_hello(target):
    """One that comes byte by byte is slow, not hostile."""
    p, _ = target
    out, inp = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(inp, out)
    with socket.create_connection((p.host, p.ports["imaps"]), timeout=10) as s:
        is_first = True
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                data = out.read()
                s.sendall(crumbs(data[5:]) if is_first and data else data)
                is_first = is_first and not data
                inp.write(s.recv(65536))
        s.sendall(out.read())
        while True:
            try:
                greeting = tls.read(1000)
                break
            except ssl.SSLWantReadError:
                inp.write(s.recv(65536))
    assert greeting.startswith(b"* OK")


# ---- many at once ----

def test_handshake_crowd(target):
    """A crowd that connects and starts handshakes at once: established sessions do not wait for all the public-key operations. Here
    the CPUs are what everybody waits for."""
    p, honest = target
    data = record(22, HELLO)

    def crowd():
        made = []
        for _ in range(40):
            try:
                made.append(socket.create_connection((p.host, p.ports["imaps"]), timeout=5))
            except OSError:
                break
        for s in made:
            s.sendall(data)
        for s in made:
            s.settimeout(10)
            try:
                s.recv(1)
            except OSError:
                pass
            s.close()
        return len(made)

    results = held(p, honest, crowd, count=1, wait_max_ms=2 * WAIT_MAX_MS)
    assert sum(results) >= 40
