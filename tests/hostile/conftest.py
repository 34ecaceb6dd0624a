# SPDX-License-Identifier: ISC
"""Attacks on a proxy that honest clients use meanwhile; the servers and the proxy are those of the end-to-end tests."""
import pytest
from e2e.conftest import *  # noqa: F401,F403: its fixtures and hooks are ours, too
from e2e.conftest import backend
from harness import honest

USER, PASSWORD = "u1@example.org", "pw"
PROTOCOLS = ("imap", "pop3", "smtp", "sieve")


@pytest.fixture
def attacked(make_proxy, settings, dovecot1):
    """attacked(**settings) starts a proxy with a listener in clear and one in TLS ("imap", "imaps", ...) for each protocol, and
    one user. Its log is short: what is measured is the proxy, not the writing of its log."""
    def make(start=True, **more):
        settings["listeners"] = [
            {"name": name + ("s" if tls == "implicit" else ""), "protocol": name, "tls": tls, "allow_plaintext": True}
            for name in PROTOCOLS for tls in ("starttls", "implicit")]
        settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]
        settings["resolver"] = {"enabled": False}
        settings["log"] = [{"target": "stderr", "level": "info"}]
        settings["max_commands"] = 0  # an attack that ends by itself shows nothing
        p = make_proxy({**settings, **more}, start)
        if start:
            p.add_user(USER, PASSWORD, is_costly=True)  # as in real life: hashes are what some attacks are about
        return p
    return make


@pytest.fixture
def beside():
    """beside(proxy) starts honest clients, as many sessions as reach every worker; they end with the test."""
    made = []

    def make(p, **more):
        made.append(honest.Honest(p.host, p.ports["imap"], USER, PASSWORD, **more))
        return made[-1]

    yield make
    for h in made:
        h.close()
