# SPDX-License-Identifier: ISC
"""conf/mailproxy.conf from its template and the key table.

The template has the structure and the values; each key gets its words and, where the template gives no value, its
default from the table. A key that the table has not, or that the template lacks, is an error.
"""

import re
import textwrap

COLUMNS = 100
LINE = re.compile(r"^(#?)( *)(?:(\w+)(?: = (.*?))?;|(\w+) = ([{(])|([{(])|([})],?;?)|(,))$")
RAW_TYPES = ("boolean", "number")
# One group of keys in two places is explained in the first.
SAME = {"listeners[].tls_options.": "tls.", "listeners[].timeouts.": "timeouts.", "listeners[].limits.": "limits.",
        "listeners[].resolver.": "resolver."}


class TemplateError(Exception):
    pass


class Key:
    def __init__(self, line):
        self.path, self.type, self.unit, self.default, self.range, self.effect, self.text = line.split("\t")

    def words(self):
        facts = [self.range, self.effect if self.effect in ("live", "restart") else ""]
        facts = "; ".join(f for f in facts if f)
        return self.text + (f" [{facts}]" if facts else "")

    def value(self):
        if not self.default or self.default.startswith("none:"):
            raise TemplateError(f"{self.path} has no default: the template must give a value")
        return self.default if self.type in RAW_TYPES else f'"{self.default}"'


class Sample:
    def __init__(self, keys):
        self.keys = {k.path: k for k in keys}
        self.seen = set()
        self.stack = []  # what encloses the line: "pools[]." and the like
        self.out = []

    def explain(self, mark, indent, path):
        for ours, other in SAME.items():
            if path.startswith(ours):
                self.seen.add(path)
                return
        if path in self.seen:
            return
        self.seen.add(path)
        prefix = f"{mark}{indent}# " if indent else "# "
        self.out += textwrap.wrap(self.key(path).words(), COLUMNS, initial_indent=prefix, subsequent_indent=prefix,
                                  break_on_hyphens=False)

    def key(self, path):
        if path not in self.keys:
            raise TemplateError(f"{path} is no key")
        return self.keys[path]

    def path(self, name):
        return (self.stack[-1] if self.stack else "") + name

    def line(self, text):
        found = LINE.match(text)
        if not found:
            self.out.append(text)
            return
        mark, indent, name, value, group, opening, brace, closing, _ = found.groups()
        if name:
            path = self.path(name)
            self.explain(mark, indent, path)
            text = f"{mark}{indent}{name} = {value or self.key(path).value()};"
        elif group:
            path = self.path(group)
            self.explain(mark, indent, path)
            self.stack.append(path + ("[]." if opening == "(" else "."))
        elif brace:
            self.stack.append(self.stack[-1])
        elif closing:
            self.stack.pop()
        self.out.append(text)

    def finish(self):
        missing = [p for p in self.keys if p not in self.seen and not p.startswith(tuple(SAME))]
        if missing or self.stack:
            raise TemplateError("not in the template: " + ", ".join(missing or self.stack))
        return "\n".join(self.out) + "\n"


def generate(template, table):
    """The file's text; table: the lines of `mailproxyd --print-keys`."""
    sample = Sample(Key(line) for line in table.splitlines())
    for text in template.splitlines():
        sample.line(text)
    return sample.finish()
