"""Editors and type checkers see the package: the façade's stub, the core, and every Python snippet of the pages.

basedpyright checks them in a folder of their own, where codeckit is found as it is installed, or as a checkout's parent
shows it. `files` are those that are held to zero errors; the list grows.
"""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import codeckit
import jedi
import pytest
from codeckit.bench.studies import stubs

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("basedpyright") is None, reason="basedpyright is not installed"
)


def complaints(folder: Path, *paths: Path, seen_in: Path = Path(codeckit.__file__).parent.parent) -> list[str]:
    """What basedpyright says of some files, as one line each.

    Args:
        folder: where the configuration is written.
        paths: the files; all of the folder where there are none.
        seen_in: the folder in which the package codeckit is found.
    """
    config = {
        "include": [str(path) for path in paths] or ["."],
        "extraPaths": [str(seen_in)],
        "typeCheckingMode": "standard",
        "reportMissingModuleSource": "none",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(folder), "--pythonpath", sys.executable]
    found = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert found["summary"]["filesAnalyzed"] >= 1
    return [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in found["generalDiagnostics"]
        if each["severity"] == "error"
    ]


#: The page whose blocks are the files of a package.
PACKAGE = "docs/extend.md"

#: Names that the reader brings along.
BROUGHT = {
    "docs/measures.md": ("find_faces", "match"),
    "docs/importance.md": ("mask",),
    "docs/mllm.md": ("image", "transformers"),
    "docs/tokens.md": ("image", "timm", "tokenizer"),
}


def snippets(page: str) -> str:
    """The Python of a page, its blocks one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    brought = [f"{name}: Any = ..." for name in BROUGHT.get(page, ())]
    return "\n".join(["from typing import Any", *brought, *blocks]) if blocks else ""


def test_snippets_of_the_documentation(tmp_path):
    """One file a page, since later blocks use the names of earlier ones."""
    for name, text in re.findall(r"`([\w./]+\.py)`:\n\n```python\n(.*?)```", (ROOT / PACKAGE).read_text(), re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert (tmp_path / "my_package" / "codecs.py").exists()
    for page in PAGES:
        if page != PACKAGE and (text := snippets(page)):
            (tmp_path / f"{page.replace('/', '_').removesuffix('.md')}.py").write_text(text)
    assert len(list(tmp_path.glob("*.py"))) >= 4
    assert complaints(tmp_path) == []


def test_a_checkout_is_seen_through_its_parent(tmp_path):
    """Contributors need no installation: a checkout called codeckit, and its parent among the paths."""
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / "codeckit").symlink_to(ROOT)
    (tmp_path / "page.py").write_text(snippets("README.md") + "\nreveal_type(codec.encode)\n")
    assert complaints(tmp_path, tmp_path / "page.py", seen_in=tmp_path / "parent") == []


def test_the_core_and_the_facade(tmp_path):
    package = Path(codeckit.__file__).parent
    core = [package / f"{name}.py" for name in CORE]
    stub_files = [path for path in package.rglob("*.pyi") if "tests" not in path.parts]
    assert len(stub_files) >= 14
    assert complaints(tmp_path, *core, *stub_files) == []


#: Files that are held to zero errors.
CORE = (
    "api",
    "bench/curves",
    "bench/datasets",
    "bench/records",
    "bench/report",
    "bench/sweep",
    "bench/tables",
    "cli/__init__",
    "cli/arguments",
    "cli/console",
    "cli/files",
    "cli/measuring",
    "codecs/base",
    "codecs/batches",
    "codecs/conversion",
    "codecs/encoder",
    "codecs/endings",
    "codecs/entry",
    "codecs/folders",
    "codecs/image_io",
    "codecs/info",
    "codecs/metadata",
    "codecs/opening",
    "codecs/options",
    "codecs/output",
    "codecs/profiles",
    "codecs/reading",
    "codecs/registry",
    "codecs/streams",
    "codecs/teaching",
    "codecs/trace",
    "codecs/video",
    "codecs/jpeg/__init__",
    "codecs/learned_video/__init__",
    "codecs/learned_video/codec",
    "codecs/learned_video/exact",
    "codecs/learned_video/exact_still",
    "codecs/learned_video/header",
    "codecs/learned_video/loop",
    "codecs/learned_video/motion",
    "codecs/learned_video/symbols",
    "codecs/peers/__init__",
    "codecs/peers/stills",
    "codecs/standards/__init__",
    "codecs/tokens/__init__",
    "metrics/__init__",
    "metrics/accuracy",
    "metrics/bjontegaard",
    "metrics/declared",
    "metrics/distortion",
    "metrics/features",
    "metrics/information",
    "metrics/lpips",
    "metrics/measure",
    "metrics/rate",
    "metrics/tasks/__init__",
    "metrics/tasks/base",
    "metrics/tasks/imagenet",
    "metrics/tasks/probe",
    "testing/codecs",
    "testing/metrics",
    "testing/networks",
    "testing/stages",
    "testing/support",
    "testing/tasks",
    "primitives/anatomy",
    "primitives/bitstream",
    "primitives/block_motion",
    "primitives/container",
    "primitives/errors",
    "primitives/pad",
    "primitives/picture",
    "primitives/plugins",
    "primitives/stage",
    "primitives/token_grid",
    "primitives/weights",
)


def test_mistakes_are_found(tmp_path):
    """The checks can fail: options, results and names of the public API have their types."""
    (tmp_path / "wrong.py").write_text(
        "import codeckit\n"
        "codeckit.codec('jpeg').encode_tokens(1)\n"
        "codeckit.codec('jpeg').stages.color\n"
        "codeckit.nothing\n"
        "codeckit.codec('jpeg').encode('x.png').shape\n"
        "codeckit.codec('token-indices').encode_tokens([1], (1, 1)).upper()\n"
    )
    found = complaints(tmp_path)
    assert [line.split(":")[1] for line in found] == ["2", "3", "4", "5"]


def test_the_stub_is_that_of_the_codecs():
    """`python -m codeckit.bench.studies.stubs` writes it anew."""
    written = (ROOT / "__init__.pyi").read_text()

    def plain(text):
        return re.sub(r"\s+|,(?=\s*\))", "", text)

    overloads = plain(stubs.stub()).split("@overload")[1:]
    assert overloads == plain(written).split("@overload")[1:]
    from_stub = set(re.findall(r" as (\w+)", "\n".join(re.findall(r"from \.(?:.|\n)*?import .*", written)))) | {"codec"}
    assert from_stub == set(codeckit.__all__)


@pytest.mark.parametrize("name, option", [("jpeg", "subsampling"), ("webp", "lossless"), ("cheng2020", "effort")])
def test_options_are_completed(name, option):
    """In an editor, inside the parentheses of `codec`."""
    code = f"import codeckit\ncodeckit.codec('{name}', {option[:4]}"
    project = jedi.Project(ROOT, added_sys_path=[str(Path(codeckit.__file__).parent.parent)], smart_sys_path=False)
    names = [found.name for found in jedi.Script(code, project=project).complete()]
    assert f"{option}=" in names
