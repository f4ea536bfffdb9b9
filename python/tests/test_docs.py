"""Every public item shows how it is used: its docstring has an example that the tests run.

Public is what a module names in `__all__`, and of its classes each method and property of their own that is not marked
as private; of methods whose names are Python's, those that say what they do. Fields are shown by their class.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import sys
import types
from typing import Any, Iterator, List, Set

import pytest

MODULES = ["inferlay", "inferlay.cli", "inferlay.onnx_backend"]


def missing_examples(module: types.ModuleType) -> List[str]:
    """Public items of a module without an example that runs."""
    items = [getattr(module, name) for name in module.__all__]
    # What a class is made of is shown where it is used: by its methods.
    parts = [(item, list(names(item))) for item in items] + [(one, list(names(one))[1:]) for one in bases(items)]
    public = {name for _, shown in parts for name in shown}
    homes = {item.__module__ for item, _ in parts}
    shown: Set[str] = set().union(*(examples(sys.modules[home]) for home in homes))
    return sorted(public - shown)


def bases(items: List[Any]) -> List[Any]:
    """The classes of this package that others of it are made of."""
    lines = [inspect.getmro(item)[1:] for item in items if inspect.isclass(item)]
    return [base for line in lines for base in line if base.__module__.startswith("inferlay.")]


def names(item: Any) -> Iterator[str]:
    """An item and what belongs to it, as the finder of doctests calls them."""
    item = getattr(item, "__func__", item)
    whole = f"{item.__module__}.{item.__qualname__}"
    yield whole
    if inspect.isclass(item):
        for name, member in vars(item).items():
            is_code = isinstance(member, (types.FunctionType, property, classmethod, staticmethod))
            # Those of a named tuple were written elsewhere, and how a thing is made is shown by its class.
            is_ours = getattr(member, "__module__", item.__module__) == item.__module__
            is_pythons = name.startswith("__") and name.endswith("__")
            is_public = member.__doc__ is not None if is_pythons else not name.startswith("_")
            if is_code and is_ours and is_public and name not in ("__new__", "__init__"):
                yield f"{whole}.{name}"


def examples(module: types.ModuleType) -> Set[str]:
    """What has an example in a module, of which one part is run at least."""
    found = doctest.DocTestFinder().find(module)
    return {test.name for test in found if any(not one.options.get(doctest.SKIP) for one in test.examples)}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_item_has_an_example_that_runs(name: str) -> None:
    if name.endswith("onnx_backend"):
        pytest.importorskip("onnx")
    assert missing_examples(importlib.import_module(name)) == []


BARE = '''
__all__ = ["Shown", "Bare", "bare", "skipped", "alias"]
class Shown:
    """
    >>> 1
    1
    """
    field = 5
    def shown(self):
        """
        >>> 2
        2
        """
    def method(self): "Says nothing."
    def _private(self): pass
    def __call__(self): "Says something."
    def __len__(self): return 0
    @property
    def value(self): "Says nothing."
    @classmethod
    def make(cls): "Says nothing."
class Bare: pass
def bare(): "Text >> 1"
def skipped():
    """
    >>> 3  # doctest: +SKIP
    """
alias = Shown.make
def _private(): pass
'''


def test_items_without_one_are_found(monkeypatch: Any) -> None:
    made = types.ModuleType("made")
    monkeypatch.setitem(sys.modules, "made", made)
    exec(BARE, vars(made))
    missing = ["Bare", "Shown.__call__", "Shown.make", "Shown.method", "Shown.value", "bare", "skipped"]
    assert missing_examples(made) == [f"made.{name}" for name in missing]
