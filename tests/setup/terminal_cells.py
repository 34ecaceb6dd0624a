# SPDX-License-Identifier: ISC
"""What stands in the cells of a captured terminal: characters, colours, flags."""
import re

BASE = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205),
        (204, 204, 204), (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234), (214, 112, 214),
        (41, 184, 219), (255, 255, 255)]
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
