"""What a wheel holds beside the package, as ``cargo xtask dist`` made it.

    $INFERLAY_DIST, else dist/ of the checkout      in the wheel
      lib/libinferlay.so                              inferlay/_lib/libinferlay.so
      lib/inferlay/backends/*.so                      inferlay/_lib/inferlay/backends/, where the library looks for them
      include/*                                       inferlay/include/
      share/doc/inferlay/*                            among the licences

The wheel is for every CPython 3 on this kind of processor, as ctypes needs no code of Python's own: ``py3-none-...``.
An editable install brings no library, see ``INFERLAY_LIBRARY``. There is no sdist: it could build nothing, because the
library is made by cargo from the whole repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "INFERLAY_DIST"
# The architectures of Linux by the number in an ELF header, and where that number lies.
MACHINES = {62: "x86_64", 183: "aarch64"}
MACHINE_AT = slice(18, 20)
GLIBC = re.compile(rb"GLIBC_2\.(\d+)")
# No manylinux is older, see PEP 600 and 599.
GLIBC_MIN = 17


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Adds the libraries and names the platform."""

    def initialize(self, version: str, build_data: Dict[str, Any]) -> None:
        """Tells hatchling of the files, before it collects its own."""
        if self.target_name != "wheel":
            self.app.abort("inferlay has no sdist, only wheels: python -m build --wheel, or cargo xtask dist")
        if version == "editable":
            return
        said = os.environ.get(VARIABLE)
        dist = Path(said) if said else Path(self.root).parent / "dist"
        libraries = list(find_libraries(dist))
        if not libraries:
            self.app.abort(
                f"found no lib/libinferlay.so in {dist}: run cargo xtask dist first, or let {VARIABLE} name its folder"
            )
        try:
            build_data["tag"] = f"py3-none-{platform([path for path, _ in libraries])}"
        except ValueError as error:
            self.app.abort(str(error))
        build_data["pure_python"] = False
        licences = f"{self.build_config.builder.project_id}.dist-info/licenses"
        for path, place in [*libraries, *files(dist, "include", "inferlay/include"), *notices(dist, licences)]:
            build_data["force_include"][str(path)] = place


def find_libraries(dist: Path) -> Iterator[Tuple[Path, str]]:
    """The shared library and the backends, with their places in the wheel; none where the first is not there."""
    library = dist / "lib" / "libinferlay.so"
    if library.is_file():
        yield library.resolve(), "inferlay/_lib/libinferlay.so"
        yield from files(dist, "lib/inferlay/backends", "inferlay/_lib/inferlay/backends")


def notices(dist: Path, place: str) -> Iterator[Tuple[Path, str]]:
    """The licences of what is linked in; our own come with the metadata."""
    return ((path, name) for path, name in files(dist, "share/doc/inferlay", place) if "LICENSE-" not in path.name)


def files(dist: Path, folder: str, place: str) -> Iterator[Tuple[Path, str]]:
    """The files of a folder of ``dist``, with their places in the wheel."""
    return ((path, f"{place}/{path.name}") for path in sorted(dist.glob(f"{folder}/*")) if path.is_file())


def platform(libraries: List[Path]) -> str:
    """The tag of PEP 600 that is true of these libraries.

    What a library may need of a Linux beside glibc, these do not need. Of glibc they need the newest version that one
    of their symbols is bound to, which depends on the machine that linked them. Versions are looked for in all bytes of
    a file: what is no version but looks like one can only raise the number.
    """
    machines, newest = set(), GLIBC_MIN
    for path in libraries:
        content = path.read_bytes()
        machine = int.from_bytes(content[MACHINE_AT], "little")
        if content[:4] != b"\x7fELF" or machine not in MACHINES:
            raise ValueError(f"{path}: found no shared library for Linux on {' or '.join(MACHINES.values())}")
        machines.add(MACHINES[machine])
        newest = max([newest, *(int(number) for number in GLIBC.findall(content))])
    if len(machines) != 1:
        raise ValueError(f"found libraries for {' and '.join(sorted(machines))}, expected one architecture")
    return f"manylinux_2_{newest}_{machines.pop()}"
