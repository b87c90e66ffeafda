"""What all tests share."""

import pytest
from hypothesis import settings

# The first example of a test may compile a kernel.
settings.register_profile("codeckit", deadline=None)
settings.load_profile("codeckit")


@pytest.fixture(autouse=True)
def registry_as_it_was(monkeypatch):
    """Codecs that a test or a docstring registers do not reach the next one."""
    from codeckit.codecs import registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
