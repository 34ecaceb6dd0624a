# SPDX-License-Identifier: ISC
"""A strict reader of Prometheus' text format 0.0.4: what a lenient one would let pass is an error here."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? (\S+)$")
PAIR = re.compile(rf'({LABEL})="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
NUMBER = re.compile(r"^[+-]?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|Inf)$|^NaN$")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.text = name, kind, text
        self.samples = {}  # (name, labels) -> value

    def value(self, **labels):
        """The one value with exactly these labels."""
        return self.samples[(self.name, tuple(sorted(labels.items())))]

    def series(self, suffix, **labels):
        """label sets and values of name+suffix that have these labels."""
        want = set(labels.items())
        return [(dict(ls), v) for (n, ls), v in self.samples.items() if n == self.name + suffix and want <= set(ls)]


def _labels(text):
    labels, at = [], 0
    while at < len(text):
        m = PAIR.match(text, at)
        assert m, f"bad labels: {text!r}"
        labels.append((m[1], m[2].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")))
        at = m.end()
        assert m[3] or at == len(text)
    assert len({k for k, _ in labels}) == len(labels), f"a label twice: {text!r}"
    return tuple(sorted(labels))


def _belongs(name, family):
    if family.kind == "histogram":
        return name in (family.name + s for s in ("_bucket", "_sum", "_count"))
    return name == family.name


def _check_histogram(f):
    groups = {}
    for (name, labels), value in f.samples.items():
        rest = tuple(kv for kv in labels if kv[0] != "le")
        groups.setdefault(rest, {"_bucket": [], "_sum": [], "_count": []})
        suffix = name[len(f.name):]
        groups[rest][suffix].append((dict(labels).get("le"), value))
    for rest, g in groups.items():
        assert len(g["_sum"]) == len(g["_count"]) == 1, (f.name, rest)
        bounds = [float(le.replace("+Inf", "inf")) for le, _ in g["_bucket"]]
        counts = [v for _, v in g["_bucket"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), (f.name, bounds)
        assert counts == sorted(counts) and counts[-1] == g["_count"][0][1], (f.name, rest)


def parse(text):
    """All families by name."""
    families, current, text_of = {}, None, {}
    assert text.endswith("\n") and "\r" not in text
    for line in text[:-1].split("\n"):
        assert line and line == line.strip(), f"blank line or blanks: {line!r}"
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            assert re.fullmatch(NAME, name) and name not in text_of and words, line
            text_of[name], current = words, None
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert kind in TYPES and name in text_of and name not in families, line
            current = families[name] = Family(name, kind, text_of[name])
        else:
            m = SAMPLE.match(line)
            assert m and NUMBER.match(m[3]), f"no sample: {line!r}"
            assert current and _belongs(m[1], current), f"outside of its family: {line!r}"
            key = (m[1], _labels(m[2] or ""))
            assert key not in current.samples, f"twice: {line!r}"
            current.samples[key] = float(m[3].replace("Inf", "inf"))
    for f in families.values():
        assert (f.kind == "counter") == f.name.endswith("_total"), f.name
        assert f.kind != "counter" or all(v >= 0 for v in f.samples.values()), f.name
        if f.kind == "histogram":
            _check_histogram(f)
    return families
