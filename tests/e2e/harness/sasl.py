# SPDX-License-Identifier: ISC
"""The client's side of the SASL mechanisms, each a generator: yields responses, is sent challenges (bytes, not base64)."""
import base64
import hashlib
import hmac
import os


def plain(user, password, authzid=""):
    yield f"{authzid}\0{user}\0{password}".encode()


def login(user, password):
    yield None
    yield user.encode()
    yield password.encode()


def cram_md5(user, password):
    challenge = yield None
    yield f"{user} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode()


def external(authzid=""):
    yield authzid.encode()


def xoauth2(user, token):
    yield f"user={user}\1auth=Bearer {token}\1\1".encode()
    yield b""  # after an error challenge


def oauthbearer(user, token):
    yield f"n,a={user},\1auth=Bearer {token}\1\1".encode()
    yield b"\1"


def scram_sha_256(user, password, binding=None):
    """binding: (name, data) of the channel for -PLUS."""
    head = f"p={binding[0]},," if binding else "n,,"
    nonce = base64.b64encode(os.urandom(18)).decode()
    first = f"n={user},r={nonce}"
    server_first = (yield (head + first).encode()).decode()
    values = dict(x.split("=", 1) for x in server_first.split(","))
    assert values["r"].startswith(nonce)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(values["s"]), int(values["i"]))
    client_key = hmac.new(salted, b"Client Key", "sha256").digest()
    without_proof = "c=" + base64.b64encode(head.encode() + (binding[1] if binding else b"")).decode() + f",r={values['r']}"
    signed = f"{first},{server_first},{without_proof}".encode()
    signature = hmac.new(hashlib.sha256(client_key).digest(), signed, "sha256").digest()
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    server_final = yield f"{without_proof},p={base64.b64encode(proof).decode()}".encode()
    server_key = hmac.new(salted, b"Server Key", "sha256").digest()
    assert server_final == b"v=" + base64.b64encode(hmac.new(server_key, signed, "sha256").digest())
    yield b""


def _encode(response):
    return base64.b64encode(response).decode() or "="


class Dialogue:
    """How a protocol carries SASL: the command, what a challenge looks like, and the final line."""

    def __init__(self, connection, command, prefix, finals):
        self.c, self.command, self.prefix, self.finals = connection, command, prefix, finals

    def run(self, mechanism, exchange, initial=True):
        """Runs an exchange; returns the final line."""
        response = next(exchange)
        if response is not None and initial:
            self.c.send(f"{self.command} {mechanism} {_encode(response)}\r\n")
        else:
            self.c.send(f"{self.command} {mechanism}\r\n")
        is_pending = response is not None and not initial
        while True:
            line = self.c.line()
            if line.startswith(self.finals):
                return line
            if not line.startswith(self.prefix):
                assert line, "closed"
                continue
            challenge = base64.b64decode(line[len(self.prefix):] or "")
            if not is_pending:
                response = exchange.send(challenge)
            is_pending = False
            self.c.send(base64.b64encode(response).decode() + "\r\n")


def imap(c, tag="a"):
    return Dialogue(c, f"{tag} AUTHENTICATE", "+ ", (tag + " OK", tag + " NO", tag + " BAD"))


def pop3(c):
    return Dialogue(c, "AUTH", "+ ", ("+OK", "-ERR"))


def smtp(c):
    return Dialogue(c, "AUTH", "334 ", ("235", "4", "5"))
