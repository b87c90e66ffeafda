"""What all tests share."""

from pathlib import Path

import codeckit.bench
import pytest
from hypothesis import settings

# The first example of a test may compile a kernel.
settings.register_profile("codeckit", deadline=None)
settings.load_profile("codeckit")

# An installed wheel holds no studies: those of the checkout are tested, on the package that is installed.
_BENCH = str(Path(__file__).parent.parent / "bench")
if _BENCH not in codeckit.bench.__path__:
    codeckit.bench.__path__.append(_BENCH)


@pytest.fixture(autouse=True)
def registered_as_before(monkeypatch):
    """Codecs and stages that a test or a docstring registers do not reach the next one."""
    from codeckit.codecs import registry
    from codeckit.primitives import stage

    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(stage, "_registered", {})
