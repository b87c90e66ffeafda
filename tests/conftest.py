"""What all tests share."""

import pytest
from hypothesis import settings

# The first example of a test may compile a kernel.
settings.register_profile("codeckit", deadline=None)
settings.load_profile("codeckit")


@pytest.fixture(autouse=True)
def registered_as_before(monkeypatch):
    """Codecs and stages that a test or a docstring registers do not reach the next one."""
    from codeckit.codecs import registry
    from codeckit.primitives import stage

    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(stage, "_registered", {})
