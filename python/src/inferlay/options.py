"""What a server is started with, as the library takes it."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Union

from . import _ffi, onnxruntime
from ._library import functions
from .checks import encode, iterator, json_of, mapping, path
from .errors import InvalidArgument, NotFound, check
from .sources import Path as Path
from .sources import Source

Paths = Union[Path, Sequence[Path]]
# The files of a model by name; or one file.
Contents = Mapping[str, Union[bytes, str, Mapping[str, Any]]]
Files = Union[Path, Contents]


def paths(what: str, found: Optional[Paths], expected: str = "a path or a list of paths") -> List[str]:
    """One path or several.

    >>> paths("repository", "models"), paths("repository", ["a", "b"]), paths("repository", None)
    (['models'], ['a', 'b'], [])
    """
    if found is None:
        return []
    if isinstance(found, (str, os.PathLike)):
        return [path(what, found, expected)]
    return [path(what, one, expected) for one in iterator(what, found, expected)]


class Options:
    """The options of a server, which go when this goes."""

    __slots__ = ("handle",)

    def __init__(self) -> None:
        self.handle: int = functions.options_new() or 0
        if not self.handle:
            # The child of a fork is told what is the matter by the first call that can tell.
            place = ctypes.c_void_p()
            check(functions.server_new(_ffi.API_VERSION, None, ctypes.byref(place)))

    def __del__(self, free: Any = functions.options_free) -> None:
        if getattr(self, "handle", 0):
            free(self.handle)

    def add_text(self, said: Union[str, Mapping[str, Any], None]) -> None:
        """YAML or JSON, or what would be that."""
        if said is not None:
            if not isinstance(said, str):
                said = json_of("options", dict(mapping("options", said, "names to values, or a text of YAML or JSON")))
            check(functions.options_set_text(self.handle, encode("options", said)))

    def add_repository(self, folder: str) -> None:
        """A folder of models."""
        check(functions.options_add_repository(self.handle, encode("repository", folder)))

    def add_backend_directories(self, found: Optional[Paths]) -> None:
        """Folders of backends."""
        for folder in paths("backends", found):
            check(functions.options_add_backend_directory(self.handle, encode("backends", folder)))

    def add_models(self, found: Union[Paths, Mapping[str, Files], None]) -> None:
        """Files of models, or models by name with their files."""
        if isinstance(found, Mapping):
            for name, files in found.items():
                self._add_model(name, files)
        else:
            for file in paths("models", found, "a path, a list of paths, or a mapping from names to files"):
                check(functions.options_add_model_file(self.handle, encode("models", file)))

    def _add_model(self, name: str, files: Files) -> None:
        what = f"model {name!r}"
        if not isinstance(files, Mapping):
            place = path(what, files, "a path or files by name")
            files = {"model" + os.path.splitext(place)[1]: contents_of(what, place)}
        lent = LentFiles(what, files)
        check(functions.options_add_model_in_memory(self.handle, encode("models", name), lent.pointers, lent.count))

    def set_backend_options(self, found: Optional[Mapping[str, Mapping[str, Any]]]) -> None:
        """Options of backends, by backend and name."""
        expected = "backends to mappings from options to values"
        given = {} if found is None else mapping("backend_options", found, expected)
        said = {name: dict(mapping(f"backend_options: {name!r}", one, expected)) for name, one in given.items()}
        # A variable that names the library is read by the backend, which would prefer the option.
        library = None if any(map(os.environ.get, onnxruntime.VARIABLES)) else onnxruntime.library()
        if library is not None:
            said.setdefault("onnxruntime", {}).setdefault("library", library)
        for backend, options in said.items():
            for name, value in options.items():
                what = f"backend_options: {backend!r}: {name!r}"
                texts = [encode(what, text) for text in (backend, name, option(what, value))]
                check(functions.options_set_backend_option(self.handle, *texts))

    def set_config_name(self, name: Optional[str]) -> None:
        """Which of the configs of a model is read."""
        if name is not None:
            encode("config_name", name)
            self.add_text({"config_name": name})

    def add_sources(self, found: Union[Source, Iterable[Source], None]) -> None:
        """Repositories that lie elsewhere."""
        expected = "a Source, or a list of these"
        given = [found] if isinstance(found, Source) else iterator("sources", found or (), expected)
        for one in given:
            if not isinstance(one, Source):
                raise InvalidArgument(f"sources: found {type(one).__name__}, expected {expected}")
            said = mapping("sources: options", one.options, "names to values")
            options = {name: option(f"sources: options: {name!r}", value) for name, value in said.items()}
            cache = path("sources: cache", one.cache)
            self.add_text({"sources": [{**one._asdict(), "cache": cache, "options": options}]})

    def set_strict(self, strict: bool) -> None:
        """Whether a model that does not load fails the start."""
        if strict:
            check(functions.options_set_strict(self.handle, True))

    def set_trust(self, keys: Union[str, Iterable[str], None], require: Optional[str]) -> None:
        """Whom to trust, and whether a manifest or a signature is asked for."""
        given = [keys] if isinstance(keys, str) else iterator("trusted_keys", keys or (), "keys")
        for key in given:
            check(functions.options_add_trusted_key(self.handle, encode("trusted_keys", key)))
        if require == "manifest":
            check(functions.options_set_require_manifest(self.handle, True))
        elif require == "signature":
            check(functions.options_set_require_signature(self.handle, True))
        elif require is not None:
            raise InvalidArgument(f"require: found {require!r}, expected 'manifest' or 'signature'")


class LentFiles:
    """Files in memory as the library reads them, as long as this lives."""

    __slots__ = ("pointers", "count", "_kept")

    def __init__(self, what: str, files: Contents) -> None:
        held = [(encode(what, file), content(f"{what}: {file!r}", data)) for file, data in files.items()]
        made = [
            _ffi.File(ctypes.sizeof(_ffi.File), address_of(file), address_of(data), len(data)) for file, data in held
        ]
        self._kept: Any = (held, made)
        self.pointers = (ctypes.c_void_p * len(made))(*[ctypes.addressof(file) for file in made])
        self.count = len(made)


def address_of(data: bytes) -> Optional[int]:
    """Where bytes lie, for as long as they are kept."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value


def option(what: str, value: Any) -> str:
    """An option of a backend, all of which are texts.

    >>> option("threads", 2), option("spin", True)
    ('2', 'true')
    """
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    return path(what, value, "a text, a number, a bool or a path")


def contents_of(what: str, place: str) -> bytes:
    """What a file holds."""
    try:
        with open(place, "rb") as source:
            return source.read()
    except (OSError, ValueError) as error:
        kind = NotFound if isinstance(error, FileNotFoundError) else InvalidArgument
        raise kind(f"{what}: {place}: {getattr(error, 'strerror', None) or error}") from error


def content(what: str, data: Union[bytes, str, Mapping[str, Any]]) -> bytes:
    """A file's bytes: a text as UTF-8, and what is no text as JSON, which is YAML."""
    if isinstance(data, Mapping):
        return json_of(what, dict(data)).encode()
    if isinstance(data, str):
        return data.encode()
    try:
        return memoryview(data).tobytes()
    except TypeError:
        found = type(data).__name__
        raise InvalidArgument(f"{what}: found {found}, expected the bytes of a file, a text or a mapping") from None
