"""What callers say, checked at the door: each function takes a value of any kind and gives it as the library reads it,
or raises :class:`InvalidArgument`, which names the place, what was found and what was expected.
"""

from __future__ import annotations

import json
import operator
import os
from collections import abc
from typing import Any, Iterator, Mapping

from .errors import Error, InvalidArgument


def encode(what: str, value: Any) -> bytes:
    """A text as the library reads it.

    >>> encode("model", "digits")
    b'digits'
    """
    if not isinstance(value, str):
        raise InvalidArgument(f"{what}: found {value!r}, expected a str")
    if "\0" in value:
        raise InvalidArgument(f"{what}: found {value!r}, expected a text without NUL")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what}: found {value!r}, expected a text that UTF-8 can hold") from error


def whole(what: str, value: Any, bits: int) -> int:
    """A number without a sign, as the library takes it: ctypes would let it wrap around.

    >>> whole("priority", 7, 32)
    7
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 2**bits:
        raise InvalidArgument(f"{what}: found {value!r}, expected a whole number from 0 to 2^{bits} - 1")
    return number


def path(what: str, value: Any, expected: str = "a path") -> str:
    """A path, which may be an object that stands for one.

    >>> path("repository", "models")
    'models'
    """
    try:
        found: Any = os.fspath(value)
    except TypeError:
        found = None
    if not isinstance(found, str):
        raise InvalidArgument(f"{what}: found {type(value).__name__}, expected {expected}")
    return found


def mapping(what: str, value: Any, expected: str) -> Mapping[Any, Any]:
    """A mapping, from and to what it is expected.

    >>> mapping("config", {"max_batch_size": 8}, "keys of a config")
    {'max_batch_size': 8}
    """
    if not isinstance(value, abc.Mapping):
        raise InvalidArgument(f"{what}: found {type(value).__name__}, expected a mapping from {expected}")
    return value


def iterator(what: str, value: Any, expected: str) -> Iterator[Any]:
    """The elements of a list or of anything else that has some, but for texts and mappings, whose are others.

    >>> list(iterator("outputs", ("x", "y"), "a list of names"))
    ['x', 'y']
    """
    if not isinstance(value, (str, bytes, bytearray, abc.Mapping)):
        try:
            return iter(value)
        except TypeError:
            pass
    raise InvalidArgument(f"{what}: found {type(value).__name__}, expected {expected}")


def choice(what: str, value: Any, known: Mapping[str, int]) -> int:
    """What a word stands for."""
    if not isinstance(value, str) or value not in known:
        raise InvalidArgument(f"{what}: found {value!r}, expected one of {', '.join(map(repr, known))}")
    return known[value]


def json_of(what: str, value: Any) -> str:
    """A value as JSON; paths and the numbers of numpy are what they stand for.

    >>> json_of("config", {"max_batch_size": 8})
    '{"max_batch_size": 8}'
    """

    def plain(part: Any) -> Any:
        for stand in (os.fspath, operator.index):
            try:
                return stand(part)
            except TypeError:
                pass
        raise InvalidArgument(f"{what}: found {type(part).__name__}, expected what JSON can hold")

    try:
        return json.dumps(value, default=plain)
    except Error:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what}: {error}, expected what JSON can hold") from error


def stem(place: str) -> str:
    """The name of the model that a file is.

    >>> stem("models/digits.onnx")
    'digits'
    """
    return os.path.splitext(os.path.basename(place))[0]
