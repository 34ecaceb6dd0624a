# SPDX-License-Identifier: ISC
"""The picture of the README: dashboard_svg.py FILE (needs what `make demo` needs, and tmux).

Starts two Dovecots with mailproxyd before them, lets clients come and go for a minute, and draws the dashboard's first screen as it
stands in a terminal.
"""
import html
import os
import random
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]

from harness import certs, dovecot, imap, wait  # noqa: E402
from harness.proxy import Proxy  # noqa: E402
from harness.screen import Screen  # noqa: E402
from terminal_cells import BRAILLE, Look, cells, colour  # noqa: E402

SIZE = (100, 32)
CELL_W, CELL_H, POINTS, EDGE = 8, 17, 13, 10
BACK, FRONT = (16, 16, 16), (208, 208, 208)
USERS = {f"{name}@example.org": "pw" for name in ("alice", "bob", "carol", "dave", "erin", "frank")}
SECONDS = 60


def hexadecimal(rgb):
    return "#%02x%02x%02x" % tuple(rgb)


def dots(c, x, y):
    """The path of a braille character: a square for each dot."""
    return "".join(f"M{x + 1 + 4 * dx} {y + 1 + 4 * dy}h2v2h-2z" for bit, (dx, dy) in enumerate(BRAILLE) if (ord(c) - 0x2800) >> bit & 1)


def runs(line, look):
    """Cells that look alike, together: (column, text, fore, ground, is bold)."""
    found = []
    for column, (c, fg, bg, flags) in enumerate(cells(line, look)):
        fore, ground = FRONT if fg is None else colour(fg), BACK if bg is None else colour(bg)
        if 7 in flags:
            fore, ground = ground, fore
        if 2 in flags:
            fore = tuple((a + b) // 2 for a, b in zip(fore, ground))
        key = (fore, ground, 1 in flags)
        if found and found[-1][2:] == key:
            found[-1] = (found[-1][0], found[-1][1] + c, *key)
        else:
            found.append((column, c, *key))
    return found


def svg(text):
    w, h = SIZE[0] * CELL_W + 2 * EDGE, SIZE[1] * CELL_H + 2 * EDGE
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">',
           "<!-- SPDX-License-Identifier: ISC. Made by tests/setup/dashboard_svg.py from a real screen. -->",
           "<title>mailproxy-tui, the overview</title>", f'<rect width="{w}" height="{h}" rx="6" fill="{hexadecimal(BACK)}"/>',
           f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{POINTS}" xml:space="preserve">']
    look = Look()
    for row, line in enumerate(text.split("\n")[:SIZE[1]]):
        y = EDGE + row * CELL_H
        for column, part, fore, ground, is_bold in runs(line, look):
            x, width = EDGE + column * CELL_W, len(part) * CELL_W
            if ground != BACK:
                out.append(f'<rect x="{x}" y="{y}" width="{width}" height="{CELL_H}" fill="{hexadecimal(ground)}"/>')
            path = "".join(dots(c, x + i * CELL_W, y) for i, c in enumerate(part) if "\u2800" < c <= "\u28ff")
            if path:
                out.append(f'<path d="{path}" fill="{hexadecimal(fore)}"/>')
            words = "".join(" " if "\u2800" <= c <= "\u28ff" else c for c in part)
            if words.strip():
                lead = len(words) - len(words.lstrip())
                words = words.strip()
                bold = ' font-weight="bold"' if is_bold else ""
                out.append(f'<text x="{x + lead * CELL_W}" y="{y + 13}" textLength="{len(words) * CELL_W}" fill="{hexadecimal(fore)}"{bold}>'
                           f"{html.escape(words)}</text>")
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"


def client(p, stop):
    """Logs in, reads, waits, leaves, comes again; now and then with a wrong password."""
    while not stop.is_set():
        user = random.choices(list(USERS), [6, 4, 3, 2, 2, 1])[0]
        try:
            m = imap.tls(p.host, p.ports["imaps"])
            m.login(user, "wrong" if random.random() < 0.05 else "pw")
            for _ in range(random.randint(1, 8)):
                m.select()
                m.fetch("1:*", "(RFC822)")
                if stop.wait(random.uniform(0.5, 3)):
                    break
            m.logout()
        except (OSError, imap.imaplib.IMAP4.error):
            stop.wait(0.5)


def start_server(folder, name):
    os.makedirs(os.path.join(folder, name))
    d = dovecot.Dovecot(os.path.join(folder, name), name, USERS)
    for user in USERS:
        for n in range(5):
            d.deliver(user, f"Mail {n}", "x" * 4000)
    return d.start()


def main():
    folder = tempfile.mkdtemp(prefix="mailproxy-picture-", dir="/tmp")
    os.chmod(folder, 0o755)
    servers = [start_server(folder, name) for name in ("dc1", "dc2")]
    cert, key = certs.Authority(os.path.join(folder, "ca")).issue("mail.example.org", "DNS:mail.example.org")
    p = Proxy(os.path.join(folder, "proxy"), {
        "server_name": "mail.example.org", "node": "mx1", "tls": {"certificates": [{"cert": cert, "key": key}]},
        "listeners": [{"name": "imaps", "protocol": "imap", "tls": "implicit"}], "auth": [{"type": "backend"}],
        "pools": [{"name": "main", "tls": "off", "backends": [{"name": d.name, "host": d.host, "ports": {"imap": d.ports["imap"]}} for d in servers]}]})
    p.start()
    stop = threading.Event()
    clients = [threading.Thread(target=client, args=(p, stop)) for _ in range(30)]
    try:
        for c in clients:
            c.start()
        time.sleep(SECONDS)
        screen = Screen(folder, "-s", p.control, "-i", "1s", size=SIZE)
        screen.until("busiest addresses")
        wait.until(lambda: screen.has("127"), "the lists")
        time.sleep(2)
        text = screen.tmux("capture-pane", "-e", "-p", "-N")
        screen.close()
        with open(sys.argv[1], "w", encoding="utf-8") as f:
            f.write(svg(text))
    finally:
        stop.set()
        for c in clients:
            c.join()
        p.stop()
        for d in servers:
            d.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
