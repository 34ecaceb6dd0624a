# SPDX-License-Identifier: ISC
"""Pictures of the dashboard's screens, to be looked at: pictures.py SOCKET FOLDER [NAME...] (needs tmux and python3-pil).

Each screen at four sizes; the first one also on a light background, in 16 colours and in monochrome.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

from PIL import Image, ImageDraw, ImageFont

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TUI = os.path.join(TOP, "build", "mailproxy-tui")
NAMES = ["overview", "sessions", "backends", "users", "bans", "events", "operations", "failures", "groups"]
SIZES = [(80, 24), (100, 30), (160, 50), (200, 60)]
# name: TERM, environment, background, foreground
KINDS = {"dark": ("tmux-256color", {}, (16, 16, 16), (208, 208, 208)),
         "light": ("tmux-256color", {"COLORFGBG": "0;15"}, (250, 250, 250), (32, 32, 32)),
         "16": ("mailproxy-16color", {}, (0, 0, 0), (208, 208, 208)),
         "mono": ("tmux-256color", {"NO_COLOR": "1"}, (16, 16, 16), (208, 208, 208))}
BASE = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205),
        (204, 204, 204), (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234), (214, 112, 214),
        (41, 184, 219), (255, 255, 255)]
# Not every machine describes a terminal of 16 colours.
TERMINFO = r"""mailproxy-16color|16 colours within tmux,
	colors#16, pairs#256,
	setab=\E[%?%p1%{8}%<%t%p1%{40}%+%e%p1%{92}%+%;%dm,
	setaf=\E[%?%p1%{8}%<%t%p1%{30}%+%e%p1%{82}%+%;%dm,
	use=tmux-256color,
"""
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono%s.ttf"
CELL_W, CELL_H, POINTS = 8, 17, 13
BRAILLE = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]


def colour(n):
    if n < 16:
        return BASE[n]
    if n < 232:
        n -= 16
        return tuple(0 if v == 0 else 55 + 40 * v for v in (n // 36, n // 6 % 6, n % 6))
    return (8 + 10 * (n - 232),) * 3


class Look:
    """What SGR sequences said so far."""

    def __init__(self):
        self.fg = self.bg = None
        self.flags = set()

    def take(self, text):
        words = [int(w or 0) for w in text.split(";")]
        while words:
            w = words.pop(0)
            if w == 0:
                self.__init__()
            elif w in (1, 2, 4, 7):
                self.flags.add(w)
            elif w in (38, 48):
                words.pop(0)
                setattr(self, "fg" if w == 38 else "bg", words.pop(0))
            elif 30 <= w <= 37 or 90 <= w <= 97:
                self.fg = w - 30 if w < 40 else w - 82
            elif 40 <= w <= 47 or 100 <= w <= 107:
                self.bg = w - 40 if w < 50 else w - 92
            elif w in (39, 49):
                setattr(self, "fg" if w == 39 else "bg", None)


def cells(line, look):
    """What stands in a line; look: what the lines before it left switched on, which holds on."""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line.replace("\x0e", "").replace("\x0f", "")):
        if part.startswith("\x1b"):
            look.take(part[2:-1])
            continue
        for c in part:
            yield c, look.fg, look.bg, set(look.flags)


def draw_cell(draw, fonts, x, y, c, fg):
    if "\u2800" <= c <= "\u28ff":
        for bit, (dx, dy) in enumerate(BRAILLE):
            if (ord(c) - 0x2800) >> bit & 1:
                draw.rectangle((x + 1 + 4 * dx, y + 1 + 4 * dy, x + 2 + 4 * dx, y + 2 + 4 * dy), fill=fg)
    elif c != " ":
        draw.text((x, y), c, font=fonts, fill=fg)


def picture(text, size, kind, path):
    _, _, back, front = KINDS[kind]
    plain, bold = (ImageFont.truetype(FONT % end, POINTS) for end in ("", "-Bold"))
    image = Image.new("RGB", (size[0] * CELL_W, size[1] * CELL_H), back)
    draw = ImageDraw.Draw(image)
    look = Look()
    for row, line in enumerate(text.split("\n")[:size[1]]):
        for col, (c, fg, bg, flags) in enumerate(cells(line, look)):
            fore, ground = front if fg is None else colour(fg), back if bg is None else colour(bg)
            if 7 in flags:
                fore, ground = ground, fore
            if 2 in flags:
                fore = tuple((a + b) // 2 for a, b in zip(fore, ground))
            x, y = col * CELL_W, row * CELL_H
            draw.rectangle((x, y, x + CELL_W - 1, y + CELL_H - 1), fill=ground)
            draw_cell(draw, bold if 1 in flags else plain, x, y, c, fore)
            if 4 in flags:
                draw.line((x, y + CELL_H - 2, x + CELL_W - 1, y + CELL_H - 2), fill=fore)
    image.save(path)


def capture(socket, name, size, kind, keys, terminfo):
    term, env, _, _ = KINDS[kind]
    server = ["tmux", "-L", f"pictures-{os.getpid()}", "-f", "/dev/null"]
    env = {**os.environ, **env, "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": "/nonexistent", "TERMINFO_DIRS": terminfo + ":"}
    subprocess.run([*server, "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]),
                    f"TERM={term} exec {TUI} -s {socket.replace(',', ' -s ')} --screen {name}"], env=env, check=True)
    try:
        time.sleep(1.5)
        for key in keys:
            subprocess.run([*server, "send-keys", key], check=True)
            time.sleep(0.6)
        return subprocess.run([*server, "capture-pane", "-e", "-p", "-N"], capture_output=True, text=True, check=True).stdout
    finally:
        subprocess.run([*server, "kill-server"], check=False)


def main():
    """SOCKET may be several with commas between them. A name may have sizes and kinds behind it: overview:100x30:mono."""
    socket, folder, *names = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as terminfo:
        subprocess.run(["tic", "-x", "-o", terminfo, "-"], input=TERMINFO, text=True, check=True)
        take_all(socket, folder, names, terminfo)


def take_all(socket, folder, names, terminfo):
    for name in names or NAMES:
        name, *only = name.split(":")
        name, *keys = name.split(",")  # overview,Left,Left
        for size in SIZES:
            for kind in KINDS:
                wanted = [f"{size[0]}x{size[1]}", kind] if only else []
                if set(only) - set(wanted) if only else kind != "dark" and name != "overview" and size != SIZES[1]:
                    continue
                path = os.path.join(folder, f"{'-'.join([name, *keys])}-{size[0]}x{size[1]}-{kind}.png")
                picture(capture(socket, name, size, kind, keys, terminfo), size, kind, path)
                print(path)


if __name__ == "__main__":
    main()
