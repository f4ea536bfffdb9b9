"""What a server does with models while it runs, and what it is told of that at its start."""

from __future__ import annotations

import ctypes
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from . import _ffi, operations
from ._library import functions
from .checks import choice, encode, iterator, json_of, mapping, whole
from .engine import Engine, nanoseconds
from .errors import InvalidArgument, check
from .operations import Operation
from .options import Contents, LentFiles, Options, address_of, paths
from .repositories import EXPECTED, Described, Repositories, Repository, listed

CONTROLS = {
    "none": _ffi.MODEL_CONTROL_NONE,
    "explicit": _ffi.MODEL_CONTROL_EXPLICIT,
    "poll": _ffi.MODEL_CONTROL_POLL,
}
CONFIG_FORMATS = {"yaml": _ffi.CONFIG_FORMAT_YAML, "pbtxt": _ffi.CONFIG_FORMAT_PBTXT}
SWAPS = {"overlap": _ffi.SWAP_OVERLAP, "replace": _ffi.SWAP_REPLACE}
# Of a server that polls.
TIMES = {
    "settle_time": functions.options_set_settle_time,
    "poll_period": functions.options_set_poll_period,
    "retry_after": functions.options_set_retry_after,
}


def set_control(said: Options, control: str, load: Optional[Sequence[str]], polling: Mapping[str, Any]) -> None:
    """Which models are loaded, and when."""
    number = choice("model_control", control, CONTROLS)
    if load is not None and control != "explicit":
        raise InvalidArgument(f"load: found it with model_control={control!r}, expected it with 'explicit'")
    for name, value in polling.items():
        if value is not None and control != "poll":
            raise InvalidArgument(f"{name}: found it with model_control={control!r}, expected it with 'poll'")
    check(functions.options_set_model_control(said.handle, number))
    for name in names("load", load):
        check(functions.options_add_load(said.handle, encode("load", name)))
    for name, function in TIMES.items():
        if polling[name] is not None:
            check(function(said.handle, nanoseconds(polling[name])))
    if polling["ready_marker"] is not None:
        check(functions.options_set_ready_marker(said.handle, encode("ready_marker", polling["ready_marker"])))


def set_memory(
    said: Options,
    budget: Optional[int],
    device_budgets: Optional[Mapping[int, int]],
    pinned: Optional[Sequence[str]],
) -> None:
    """How much memory models may use, and which stay in it."""
    if budget is not None:
        check(functions.options_set_memory_budget(said.handle, whole("memory_budget", budget, 64)))
    what = "device_memory_budgets"
    for device, size in ({} if device_budgets is None else mapping(what, device_budgets, "devices to bytes")).items():
        number, size = whole(what, device, 32), whole(what, size, 64)
        check(functions.options_set_device_memory_budget(said.handle, number, size))
    for name in names("pinned", pinned):
        check(functions.options_add_pinned(said.handle, encode("pinned", name)))


def names(what: str, found: Optional[Sequence[str]]) -> List[str]:
    """Names of models.

    >>> names("pinned", ["digits"]), names("pinned", None)
    (['digits'], [])
    """
    return [] if found is None else list(iterator(what, found, "a list of names"))


def add_repositories(said: Options, found: Optional[Repositories]) -> None:
    """Repositories of a server to come."""
    for one in listed("repository", found):
        if isinstance(one, Repository):
            described = Described(one)
            check(functions.options_add_repository_with(said.handle, ctypes.byref(described.raw)))
        else:
            said.add_repository(one)


def add_repository(owner: Engine, found: Any) -> None:
    """A repository of a server that runs."""
    for one in listed("repository", found):
        described = Described(one if isinstance(one, Repository) else Repository(one))
        check(functions.server_add_repository_with(owner.handle, ctypes.byref(described.raw)))


def remove_repository(owner: Engine, found: Any) -> None:
    """Takes a repository away, by its folders."""
    folders = paths("repository", found.folders if isinstance(found, Repository) else found, EXPECTED)
    encoded = [encode("repository", folder) for folder in folders]
    place = (ctypes.c_char_p * len(encoded))(*encoded)
    check(functions.server_remove_repository(owner.handle, place, len(encoded)))


def begin_load(
    owner: Engine,
    name: str,
    given: Tuple[Union[str, Mapping[str, Any], None], str],
    versions: Optional[Sequence[int]],
    files: Optional[Contents],
    swap: Optional[str],
) -> Operation:
    """Begins to load a model."""
    what, encoded = f"model {name!r}", encode("model", name)
    config, config_format = given
    # A mapping becomes JSON, whatever a text would be.
    number = choice("config_format", config_format, CONFIG_FORMATS)
    number = number if isinstance(config, str) else _ffi.CONFIG_FORMAT_YAML
    if config is not None and not isinstance(config, str):
        config = json_of("config", dict(mapping("config", config, KEYS)))
    text = None if config is None else encode("config", config)
    wanted = [] if versions is None else [whole("versions", one, 64) for one in iterator("versions", versions, NUMBERS)]
    if versions is not None and not wanted:
        raise InvalidArgument("versions: found none, expected one at least")
    numbers = (ctypes.c_uint64 * len(wanted))(*wanted)
    lent = None if files is None else LentFiles(what, mapping("files", files, "names of files to contents"))
    said = _ffi.LoadOptions(
        ctypes.sizeof(_ffi.LoadOptions),
        None if text is None else address_of(text),
        ctypes.addressof(numbers),
        len(wanted),
        None if lent is None else ctypes.addressof(lent.pointers),
        0 if lent is None else lent.count,
        number,
        _ffi.SWAP_AS_CONFIGURED if swap is None else choice("swap", swap, SWAPS),
    )
    return operations.begun(functions.server_load_model, owner.handle, encoded, ctypes.byref(said))


KEYS = "keys of a config to values"
NUMBERS = "a list of numbers"


def begin_unload(owner: Engine, name: str, dependents: bool) -> Operation:
    """Begins to unload a model."""
    said = _ffi.UnloadOptions(ctypes.sizeof(_ffi.UnloadOptions), bool(dependents))
    return operations.begun(functions.server_unload_model, owner.handle, encode("model", name), ctypes.byref(said))


def begin_poll(owner: Engine) -> Operation:
    """Begins to look at all repositories."""
    return operations.begun(functions.server_poll, owner.handle)
