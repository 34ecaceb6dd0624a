# SPDX-License-Identifier: ISC
"""The control socket without mailproxyctl."""
import json
import os
import socket
import subprocess


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


NOBODY = """
import json, os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
print(f.readline().strip())
for request in sys.argv[2:]:
    f.write(request + "\\n")
    f.flush()
    print(f.readline().strip())
"""


def proxy_for_nobody(make_proxy, settings, role):
    """A proxy whose control socket anybody may open: root is its admin, the user nobody has the role. For root only."""
    p = make_proxy({**settings, "control": []}, start=False)
    p.settings["control"] = [{"path": p.control, "mode": "0666", "admin": ["root"], role: ["nobody"]}]
    p.configure({})
    os.chmod(p.run, 0o755)
    p.start()
    return p


def ask_as_nobody(p, *requests):
    """The greeting, and the answer to each request: a method, or a method and its parameters."""
    texts = [json.dumps({"jsonrpc": "2.0", "id": 1, "method": r} if isinstance(r, str) else
                        {"jsonrpc": "2.0", "id": 1, "method": r[0], "params": r[1]}) for r in requests]
    out = subprocess.run(["/usr/bin/python3", "-c", NOBODY, p.control, *texts], capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]
