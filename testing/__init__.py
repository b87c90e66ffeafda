"""Contract checks for what can be added to codeckit: run them in the tests of a plug-in.

Each takes an object, runs codeckit's own contract on it, and raises `AssertionError` with a sentence that says what is
wrong and how to mend it::

    from codeckit.testing import check_metric

    def test_metric():
        check_metric(my_package.VIF)

codeckit's tests run the same checks on everything that it declares itself.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
