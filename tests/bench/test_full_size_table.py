"""The table of full-size video networks is what their layers are."""

from pathlib import Path

import pytest
from codeckit.bench.studies import full_size_table as study

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_page_shows_the_table():
    written = PAGE.read_text(encoding="utf-8").partition(study.BEGIN)[2].partition(study.END)[0]
    assert written == study.table(), "python -m codeckit.bench.studies.full_size_table --page docs/training.md"


def test_every_part_is_in_a_row():
    for kind, parts in study.PARTS.items():
        shown = {child for children in parts.values() for child in children}
        assert {name for name, (parameters, _) in study.counts(kind).items() if parameters} == shown


def test_the_command(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{study.BEGIN}{study.END}below\n", encoding="utf-8")
    study.main(["--page", str(page)])
    study.main([])
    assert page.read_text(encoding="utf-8") == f"above\n{study.BEGIN}{capsys.readouterr().out}{study.END}below\n"
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(SystemExit):
        study.main(["--page", str(page)])
    assert "no place for the table" in capsys.readouterr().err
