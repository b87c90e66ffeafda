"""The package itself: what it imports, what the wheel holds, and every docstring example."""

import ast
import doctest
import importlib
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import codeckit
import pytest

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parent.parent

FOLDERS = ("bench", "cli", "codecs", "metrics", "pages", "primitives", "testing", "training")


def modules():
    skip = {"codeckit.__main__"}
    return sorted(m.name for m in pkgutil.walk_packages(codeckit.__path__, "codeckit.") if m.name not in skip)


def own(name):
    """Not what else lies in a checkout's root, such as its tests or a virtual environment."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages.append("codeckit.bench.studies")
    return name in packages or name.rpartition(".")[0] in packages


@pytest.mark.parametrize("name", ["codeckit", *filter(own, modules())])
def test_docstring_examples(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_import_is_light():
    def loaded(line, heavy):
        code = f"import sys, codeckit; {line}\nprint(*(m for m in {heavy} if m in sys.modules))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert loaded("", ("torch", "numba", "av", "scipy", "PIL", "numpy")) == []
    assert loaded("import codeckit.codecs.registry as r; r.names()", ("torch", "numba", "av", "PIL")) == []
    assert loaded("codeckit.codec('webp'); codeckit.codecs.registry.sniff(b'RIFF0000WEBP')", ("torch", "numba")) == []
    encode = "codeckit.codec('jpeg').encode(__import__('numpy').zeros((8, 8), 'u1'))"
    assert loaded(encode, ("torch", "av", "matplotlib", "constriction")) == []


def test_public_names():
    for name in codeckit.__all__:
        assert getattr(codeckit, name).__doc__
    with pytest.raises(AttributeError):
        codeckit.nothing  # noqa: B018


def test_wheel_holds_every_module(tmp_path):
    """The list of packages in pyproject.toml is written by hand; nothing may be missing from it."""
    source = tmp_path / "source"  # a copy, because building leaves files behind and takes old ones in
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "results"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    weights = {f"codeckit/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("*/*/shipped/*.safetensors")}
    assert len(weights) >= 6 and weights <= set(names)
    assert {"codeckit/pages/style.css", "codeckit/pages/explain.js"} <= set(names)
    held = {name for name in names if name.endswith(".py")}
    wanted = {f"codeckit/{path.name}" for path in ROOT.glob("*.py")}
    for folder in FOLDERS:
        wanted |= {f"codeckit/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
    wanted = {name for name in wanted if not name.startswith("codeckit/bench/studies/")}  # they stay in the checkout
    assert held == wanted


def test_dependencies_are_declared():
    """Everything that a module imports at its top is in pyproject.toml."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {line.split(">")[0].split("=")[0].strip().replace("-", "_") for line in declared}
    names |= {"PIL", "skimage", "codeckit"}  # the modules of pillow and scikit-image; codeckit in files that runpy runs
    for path in ROOT.glob("[a-z]*/**/*.py"):
        if path.relative_to(ROOT).parts[0] not in FOLDERS:
            continue
        if path.parent.name == "lab":
            continue  # an app that marimo runs, which an extra brings
        if path.name == "jpegxl_files.py":
            continue  # what Pillow learns where the plug-in of the extra jpegxl is installed
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Import):
                imported = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                imported = [statement.module]
            else:
                continue
            for module in (name.split(".")[0] for name in imported):
                assert module in names or module in sys.stdlib_module_names, f"{path}: {module}"
