# SPDX-License-Identifier: ISC
"""A name server that answers from a dict: PTR, A and AAAA records over UDP."""
import ipaddress
import socket
import struct
import threading

from . import net

TYPES = {1: "A", 12: "PTR", 28: "AAAA"}


def encode_name(name):
    """name: text, or a list of raw labels."""
    labels = [x.encode() for x in name.rstrip(".").split(".")] if isinstance(name, str) else name
    return b"".join(bytes([len(x)]) + x for x in labels) + b"\0"


class NameServer:
    """records: {("PTR" | "A" | "AAAA", name): [values]}; what is not there does not exist. Queries are counted."""

    def __init__(self, records, host=None):
        self.records = records
        self.queries = []
        self.host = host or net.address()
        self.socket = socket.socket(net.family(self.host), socket.SOCK_DGRAM)
        self.socket.bind((self.host, 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(2000)
                if not data:
                    return
                self.socket.sendto(self.answer(data), peer)
            except OSError:
                return

    def answer(self, data):
        labels, pos = [], 12
        while data[pos]:
            labels.append(data[pos + 1:pos + 1 + data[pos]].decode())
            pos += 1 + data[pos]
        kind = TYPES.get(struct.unpack("!H", data[pos + 1:pos + 3])[0], "?")
        name = ".".join(labels).lower()
        self.queries.append((kind, name))
        values = self.records.get((kind, name), [])
        is_known = any(n == name for _, n in self.records)
        answers = b""
        for value in values:
            rdata = encode_name(value) if kind == "PTR" else socket.inet_pton(net.family(value), value)
            answers += b"\xc0\x0c" + data[pos + 1:pos + 5] + struct.pack("!IH", 300, len(rdata)) + rdata
        head = data[:2] + struct.pack("!HHHHH", 0x8180 if is_known else 0x8183, 1, len(values), 0, 0)
        return head + data[12:pos + 5] + answers

    def close(self):
        """The thread ends before the descriptor is anybody else's: an empty datagram wakes it."""
        with socket.socket(net.family(self.host), socket.SOCK_DGRAM) as s:
            s.sendto(b"", (self.host, self.port))
        self.thread.join()
        self.socket.close()


def reverse(ip):
    return ipaddress.ip_address(ip).reverse_pointer
