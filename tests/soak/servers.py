# SPDX-License-Identifier: ISC
"""The servers of a soak, one process each so that they can be stopped and killed: a mail server that speaks all protocols and
says its name in every answer, and an auth server.
usage: servers.py mail NAME HOST CERT KEY IMAP POP3 SMTP SIEVE   (ports; CERT "-" = no TLS)
       servers.py auth HOST PORT"""
import asyncio
import base64
import ssl
import sys

BIG_BYTES = 1 << 20
BIG_LINE = b"* OK " + b"x" * 1017 + b"\r\n"


class Mail:
    """Everybody may log in whose password is "pw"."""

    def __init__(self, name):
        self.name = name.encode()

    async def big(self, w):
        for _ in range(BIG_BYTES // len(BIG_LINE)):
            w.write(BIG_LINE)
            await w.drain()

    async def imap(self, r, w):
        w.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] ready\r\n")
        while line := await r.readline():
            tag, _, rest = line.strip().partition(b" ")
            verb = rest.split(b" ")[0].upper()
            is_good = True
            if verb == b"AUTHENTICATE":
                is_good = base64.b64decode(rest.split(b" ")[2]).endswith(b"\0pw")
            elif verb == b"LOGIN":
                is_good = rest.strip(b'"').endswith(b"pw")
            elif verb == b"BIG":
                await self.big(w)
            elif verb == b"LOGOUT":
                w.write(b"* BYE\r\n" + tag + b" OK bye\r\n")
                break
            w.write(tag + (b" OK " if is_good else b" NO ") + self.name + b"\r\n")
            await w.drain()

    async def pop3(self, r, w):
        w.write(b"+OK ready\r\n")
        while line := await r.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"CAPA":
                w.write(b"+OK\r\nUSER\r\nSASL PLAIN\r\nPIPELINING\r\n.\r\n")
            elif verb == b"AUTH" and len(line.split()) < 3:
                w.write(b"+ \r\n")
                await r.readline()
                w.write(b"+OK " + self.name + b"\r\n")
            else:
                w.write(b"+OK " + self.name + b"\r\n")
            await w.drain()
            if verb == b"QUIT":
                break

    async def smtp(self, r, w):
        w.write(b"220 ready ESMTP\r\n")
        while line := await r.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"EHLO":
                w.write(b"250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n")
            elif verb == b"AUTH":
                if len(line.split()) < 3:
                    w.write(b"334 \r\n")
                    await r.readline()
                w.write(b"235 2.7.0 ok\r\n")
            elif verb == b"QUIT":
                w.write(b"221 bye\r\n")
                break
            else:
                w.write(b"250 2.0.0 " + self.name + b"\r\n")
            await w.drain()

    async def sieve(self, r, w):
        w.write(b'"IMPLEMENTATION" "soak"\r\n"SASL" "PLAIN"\r\n"SIEVE" "keep"\r\nOK\r\n')
        while line := await r.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"AUTHENTICATE" and line.rstrip().endswith(b"}"):
                await r.readline()
            elif verb == b"AUTHENTICATE" and len(line.split()) < 3:
                w.write(b'""\r\n')
                await r.readline()
            w.write(b'OK "' + self.name + b'"\r\n')
            await w.drain()
            if verb == b"LOGOUT":
                break


async def auth(r, w):
    """Keep-alive; says OK to the password "pw"."""
    while True:
        head = await r.readuntil(b"\r\n\r\n")
        is_good = b"\r\nAuth-Pass: pw\r\n" in head
        w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAuth-Status: "
                + (b"OK" if is_good else b"Invalid login or password") + b"\r\n\r\n")
        await w.drain()


def serving(handle):
    async def one(r, w):
        try:
            await handle(r, w)
            await w.drain()
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError, IndexError):
            pass
        w.close()
    return one


async def main(kind, *args):
    if kind == "auth":
        host, port = args
        servers = [await asyncio.start_server(serving(auth), host, int(port))]
    else:
        name, host, cert, key, *ports = args
        context = None
        if cert != "-":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
        mail = Mail(name)
        handlers = [mail.imap, mail.pop3, mail.smtp, mail.sieve]
        servers = [await asyncio.start_server(serving(h), host, int(p), ssl=context)
                   for h, p in zip(handlers, ports)]
    print("ready", flush=True)
    await asyncio.gather(*(s.serve_forever() for s in servers))


asyncio.run(main(*sys.argv[1:]))
