"""The order of the rooms: imports point one way, and no files import one another in a circle.

Imports inside functions count: they are arrows, too. Only what `primitives.plugins` loads by its declaration does not.
"""

import ast
import itertools
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Rooms from the lowest up. Those of one level do not import one another, but for `ALLOWED`.
LEVELS = (("primitives",), ("codecs",), ("metrics",), ("bench", "training", "pages"), ("testing", "api", "cli"))

#: Pages draw what a sweep measured; studies are scripts above everything.
ALLOWED = {("bench", "pages")}


def files() -> dict[str, Path]:
    """Module names without the package's, by file; folders that are no part of the package are left out."""
    found = {}
    for path in [*ROOT.glob("*.py"), *(p for level in LEVELS for room in level for p in (ROOT / room).rglob("*.py"))]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:2] == ("bench", "studies") or parts[:2] == ("pages", "lab"):
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a file imports, its functions included."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            elif node.module and node.module.split(".")[0] == "codeckit":
                base = node.module.split(".")[1:]
            else:
                continue
            module = ".".join(base)
            for alias in node.names:
                inner = f"{module}.{alias.name}" if module else alias.name
                found.add(inner if inner in known else module)
        elif isinstance(node, ast.Import):
            names = (alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "codeckit")
            found.update(names)
    return {each for each in found if each in known and each not in ("", name)}  # "" is the façade, for its version


def arrows() -> dict[str, set[str]]:
    known = files()
    return {name: imports(name, path, known) for name, path in known.items()}


def room(name: str) -> str:
    return name.split(".")[0]


def level(name: str) -> int:
    return next((n for n, rooms in enumerate(LEVELS) if room(name) in rooms), len(LEVELS))


def against_the_order(graph: dict[str, set[str]]) -> list[str]:
    """Arrows that point up, or sideways between rooms of one level."""
    wrong = []
    for name, targets in graph.items():
        for target in targets:
            sideways = level(name) == level(target) and room(name) != room(target) and level(name) < len(LEVELS) - 1
            if level(target) > level(name) or (sideways and (room(name), room(target)) not in ALLOWED):
                wrong.append(f"{name} -> {target}")
    return sorted(wrong)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one file (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []
    counter = itertools.count()

    def visit(name):
        index[name] = low[name] = next(counter)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            members = [stack.pop()]
            while members[-1] != name:
                members.append(stack.pop())
            if len(members) > 1:
                found.append(sorted(members))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def test_imports_point_one_way():
    assert against_the_order(arrows()) == []


def test_no_circles():
    assert circles(arrows()) == []


def test_the_checks_can_fail():
    graph = {
        "primitives.a": {"codecs.b"},
        "codecs.b": {"codecs.c"},
        "codecs.c": {"codecs.b"},
        "training.t": {"bench.d"},
    }
    graph["bench.d"] = set()
    assert against_the_order(graph) == ["primitives.a -> codecs.b", "training.t -> bench.d"]
    assert circles(graph) == [["codecs.b", "codecs.c"]]


def test_the_core_knows_no_wing():
    wings = ("jpeg", "learned", "tokens", "peers", "standards", "baselines", "jpeg2000_teaching", "video_teaching")
    core = ("base", "streams", "profiles", "trace", "batches", "video", "registry", "entry", "options", "info")
    graph = arrows()
    for name in core:
        assert not [target for target in graph[f"codecs.{name}"] if target.split(".")[1] in wings], name
    assert len((ROOT / "codecs" / "base.py").read_text().splitlines()) <= 250
