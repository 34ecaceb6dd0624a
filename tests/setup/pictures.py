# SPDX-License-Identifier: ISC
"""Pictures of the dashboard's screens, to be looked at: pictures.py SOCKET FOLDER [NAME...] (needs tmux and python3-pil).

Each screen at four sizes; the first one also on a light background, in 16 colours and in monochrome.
"""
import os
import subprocess
import sys
import tempfile
import time

from PIL import Image, ImageDraw, ImageFont

from terminal_cells import BRAILLE, Look, cells, colour

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TUI = os.path.join(TOP, "build", "mailproxy-tui")
NAMES = ["overview", "sessions", "backends", "users", "bans", "events", "operations", "failures", "groups"]
SIZES = [(80, 24), (100, 30), (160, 50), (200, 60)]
# name: TERM, environment, background, foreground
KINDS = {"dark": ("tmux-256color", {}, (16, 16, 16), (208, 208, 208)),
         "light": ("tmux-256color", {"COLORFGBG": "0;15"}, (250, 250, 250), (32, 32, 32)),
         "16": ("mailproxy-16color", {}, (0, 0, 0), (208, 208, 208)),
         "mono": ("tmux-256color", {"NO_COLOR": "1"}, (16, 16, 16), (208, 208, 208))}
# Not every machine describes a terminal of 16 colours.
TERMINFO = r"""mailproxy-16color|16 colours within tmux,
	colors#16, pairs#256,
	setab=\E[%?%p1%{8}%<%t%p1%{40}%+%e%p1%{92}%+%;%dm,
	setaf=\E[%?%p1%{8}%<%t%p1%{30}%+%e%p1%{82}%+%;%dm,
	use=tmux-256color,
"""
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono%s.ttf"
CELL_W, CELL_H, POINTS = 8, 17, 13


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
    server = ["tmux", "-S", os.path.join(terminfo, "tmux"), "-f", "/dev/null"]
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
