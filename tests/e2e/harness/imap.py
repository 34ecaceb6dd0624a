# SPDX-License-Identifier: ISC
"""IMAP clients: imaplib on TLS contexts that the tests choose, and a bare line client for what imaplib would not send."""
import imaplib
import socket
import ssl


def context(ca=None, cert=None, key=None):
    c = ssl.create_default_context(cafile=ca) if ca else ssl._create_unverified_context()
    if cert:
        c.load_cert_chain(cert, key)
    return c


def plain(host, port):
    return imaplib.IMAP4(host, port, timeout=30)


def starttls(host, port, ctx=None):
    m = imaplib.IMAP4(host, port, timeout=30)
    m.starttls(ctx or context())
    return m


def tls(host, port, ctx=None):
    return imaplib.IMAP4_SSL(host, port, ssl_context=ctx or context(), timeout=30)


class Lines:
    """A client that sends what it is told and reads lines."""

    def __init__(self, host, port, tls=None, timeout=30, source=None):
        self.sock = socket.create_connection((host, port), timeout=timeout, source_address=(source, 0) if source else None)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=host)
        self.file = self.sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        return self.file.readline().decode(errors="replace").rstrip("\r\n")

    def until(self, prefix):
        """Lines up to and with the first that starts with prefix."""
        lines = []
        while True:
            raw = self.file.readline()
            if not raw:
                raise AssertionError(f"closed before {prefix!r}: {lines}")
            lines.append(raw.decode(errors="replace").rstrip("\r\n"))
            if lines[-1].startswith(prefix):
                return lines

    def command(self, tag, text):
        self.send(f"{tag} {text}\r\n")
        return self.until(tag + " ")

    def rest(self):
        """Everything up to the end of the stream; nothing when it ends with a reset (of bytes that the proxy did not read)."""
        try:
            return self.file.read()
        except ConnectionResetError:
            return b""

    def close(self):
        self.file.close()
        self.sock.close()


def logged_in(p, user, password):
    """A client of the proxy's plain IMAP listener, in a session of its own."""
    c = Lines(p.host, p.ports["imap"])
    c.line()
    assert c.command("a", f"LOGIN {user} {password}")[-1].startswith("a OK")
    return c
