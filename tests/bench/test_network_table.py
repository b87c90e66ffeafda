"""The table of learned architectures is what their classes declare."""

from pathlib import Path

import pytest
from codeckit.bench.studies import network_table

PAGE = Path(__file__).parents[2] / "docs" / "coding-tools.md"


def test_the_page_shows_the_table():
    page = PAGE.read_text(encoding="utf-8")
    written = page.partition(network_table.BEGIN)[2].partition(network_table.END)[0]
    assert written == network_table.table(), (
        "python -m codeckit.bench.studies.network_table --page docs/coding-tools.md"
    )


def test_the_command(tmp_path, capsys):
    network_table.main([])
    assert capsys.readouterr().out == network_table.table()
    page = tmp_path / "page.md"
    page.write_text(f"above\n{network_table.BEGIN}{network_table.END}below\n", encoding="utf-8")
    network_table.main(["--page", str(page)])
    assert page.read_text(encoding="utf-8") == network_table.between(
        page.read_text(encoding="utf-8"), network_table.table()
    )
    assert "`mbt2018`" in page.read_text(encoding="utf-8")
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(SystemExit):
        network_table.main(["--page", str(page)])
    assert "no place for the table" in capsys.readouterr().err
