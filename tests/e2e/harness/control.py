# SPDX-License-Identifier: ISC
"""The control socket without mailproxyctl."""
import json
import socket


class Control:
    """One connection to it."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        self.hello = json.loads(self.file.readline())

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else (json.dumps(data) + "\n").encode())

    def receive(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def call(self, method, **params):
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return self.receive()

    def close(self):
        self.file.close()
        self.sock.close()

    def pages(self, method, **params):
        """The answers of a list, page by page to its end."""
        while True:
            result = self.call(method, **params)["result"]
            yield result
            if not result["more"]:
                return
            params["cursor"] = result["cursor"]
