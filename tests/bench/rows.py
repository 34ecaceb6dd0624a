# SPDX-License-Identifier: ISC
"""What is measured: one row of the table each, with the goal that mailproxyd has to meet."""
import dataclasses

MIB = 1048576


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    text: str
    kind: str                 # a function of measure.py
    unit: str
    listener: str = "imap"
    tls: str = "off"          # off, starttls, on
    load: dict = dataclasses.field(default_factory=dict)
    scale: float = 1.0        # from seconds of CPU per unit (or what the kind measures) to the unit shown
    ratio: float = None       # goal: at most so many times nginx
    most: float = None        # goal: at most this
    is_quick: bool = False    # also in the quick run


def _rows():
    us = dict(kind="cpu", unit="µs CPU", scale=1e6)
    login = dict(us, load={"work": "login", "clients": 256})
    resumed = dict(us, load={"work": "login", "clients": 64, "resumed": 1})
    yield Row("login-plain", "login, plain", ratio=0.85, is_quick=True, **login)
    yield Row("login-starttls", "login, STARTTLS", tls="starttls", ratio=0.78, **login)
    yield Row("login-ecdsa", "login, TLS 1.3 full, ECDSA", listener="imap-ecdsa", tls="on", ratio=0.72, is_quick=True, **login)
    yield Row("login-resumed", "login, TLS 1.3 resumed", listener="imap-ecdsa", tls="on", ratio=0.68, is_quick=True, **resumed)
    yield Row("login-rsa", "login, TLS 1.3 full, RSA-2048 only", listener="imap-rsa", tls="on", ratio=1.0, **login)
    yield Row("storm", "3,000 clients at once, TLS: the last but 1 % by the middle", kind="storm", unit="p99 / p50", listener="imap-ecdsa",
              tls="on", most=1.2, load={"work": "login", "clients": 3000, "units": 3000})
    yield Row("login-both", "login, TLS 1.3 full, ECDSA beside RSA", listener="imap-both", tls="on", ratio=0.75, **login)
    yield Row("login-pop3-plain", "login, POP3, plain", listener="pop3", ratio=0.85, **login)
    yield Row("login-pop3-tls", "login, POP3, TLS 1.3 full", listener="pop3-ecdsa", tls="on", ratio=0.76, **login)
    yield Row("login-smtp-plain", "login, SMTP, plain", listener="smtp", ratio=0.85, **login)
    yield Row("login-smtp-starttls", "login, SMTP, STARTTLS", listener="smtp", tls="starttls", ratio=0.80, **login)

    yield Row("login-backend-tls", "login, TLS 1.3 on both sides", listener="imap-tls-tls", tls="on", **login)
    yield Row("login-backend-tls-plain", "login, plain, TLS to the backend", listener="imap-to-tls", **login)

    latency = dict(kind="latency", unit="ms p50", load={"work": "login", "clients": 1}, is_quick=True)
    yield Row("latency-plain", "login latency, one client, plain", most=0.20, **latency)
    yield Row("latency-tls", "login latency, one client, TLS full", listener="imap-ecdsa", tls="on", most=0.95, **latency)

    memory = dict(kind="memory", unit="KiB PSS", load={"work": "idle", "clients": 2000}, is_quick=True)
    yield Row("idle-plain", "idle session, plain", most=2.0, **memory)
    yield Row("idle-tls", "idle session, TLS", listener="imap-ecdsa", tls="on", most=12.5, **memory)

    yield Row("idle-backend-tls", "idle session, TLS on both sides", listener="imap-tls-tls", tls="on", **memory)

    for name, text, work, most_tls in (("download", "download 1 MiB", "fetch", 1.2), ("upload", "upload 1 MiB", "append", 1.4)):
        bulk = dict(kind="cpu", unit="CPU s/GiB", scale=1024, load={"work": work, "bytes": MIB, "clients": 4}, is_quick=True)
        yield Row(f"{name}-plain", f"{text}, plain", most=0.6, **bulk)
        yield Row(f"{name}-tls", f"{text}, TLS", listener="imap-ecdsa", tls="on", most=most_tls, **bulk)

    fetch = dict(us, load={"work": "fetch", "bytes": 4096, "clients": 32})
    yield Row("fetch-plain", "fetch 4 KiB, plain", **fetch)
    yield Row("fetch-tls", "fetch 4 KiB, TLS", listener="imap-ecdsa", tls="on", **fetch)

    yield Row("fetch-backend-tls", "fetch 4 KiB, TLS on both sides", listener="imap-tls-tls", tls="on", **fetch)

    one, many = (dict(us, load={"work": "noop", "clients": n}) for n in (1, 32))
    yield Row("noop-1-plain", "NOOP, one session, plain", **one)
    yield Row("noop-1-tls", "NOOP, one session, TLS", listener="imap-ecdsa", tls="on", **one)
    yield Row("noop-32-plain", "NOOP, 32 sessions, plain", ratio=0.95, is_quick=True, **many)
    yield Row("noop-32-tls", "NOOP, 32 sessions, TLS", listener="imap-ecdsa", tls="on", ratio=0.9, is_quick=True, **many)

    day = dict(kind="share", unit="ms CPU/s", scale=1e3, load={"work": "day", "bytes": 4096, "clients": 1000, "think_ms": 100})
    yield Row("day-tls", "mixed day, 1000 sessions, TLS", listener="imap-ecdsa", tls="on", **day)

    counted = dict(kind="instructions", unit="instructions", is_quick=True)
    for proto in ("imap", "pop3", "smtp"):
        yield Row(f"instructions-login-{proto}", f"login, {proto.upper()}, plain", listener=proto,
                  load={"work": "login", "units": 400}, most=70000, **counted)
    yield Row("instructions-noop-imap", "NOOP, IMAP, plain", load={"work": "noop", "units": 4000}, **counted)
    calls = dict(kind="calls", unit="system calls", load={"work": "login", "clients": 32, "units": 600})
    yield Row("calls-login-plain", "login, plain", most=27, is_quick=True, **calls)
    yield Row("calls-login-tls", "login, TLS full", listener="imap-ecdsa", tls="on", most=45, **calls)
    noop = dict(calls, load={"work": "noop", "clients": 1, "units": 1000})
    yield Row("calls-noop-plain", "NOOP, plain", most=6, **noop)

    yield Row("list", "all sessions listed during relay", "stall", "ms, longest", load={"work": "noop", "clients": 2}, most=5)


ROWS = list(_rows())


def pick(words, is_quick):
    """Rows whose names begin with one of the words; all without words (the quick ones of a quick run)."""
    if words:
        return [r for r in ROWS if any(r.name.startswith(w) for w in words)]
    return [r for r in ROWS if r.is_quick or not is_quick]
