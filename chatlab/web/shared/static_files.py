"""The pages' own scripts and styles, at an address that changes whenever one of them does."""

from __future__ import annotations

import posixpath
import re

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from chatlab.paths import PACKAGE
from chatlab.web.shared.immutable_files import ImmutableFiles, digest

FOLDER = PACKAGE / "web" / "static"
_CONTENTS = {
    path.relative_to(FOLDER).as_posix(): path.read_bytes()
    for path in sorted(FOLDER.rglob("*"))
    if path.suffix in (".js", ".css")
}
_IMPORTED = re.compile(rb'^(?:import|\} from|export) [^"]*"(\.[^"]+)";', re.MULTILINE)
_VERSION = f"v{digest(_CONTENTS.values())}"

STATIC = f"-/static/{_VERSION}"
"""Where they are, below the page."""


class OwnStatic(StaticFiles):
    """Answers with them. At the address of another version, which a page of another server may have, they are
    what they are now."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)
        self._files = ImmutableFiles(_CONTENTS)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the answer for a path below `/-/static`."""
        version, _, name = path.partition("/")
        if not re.fullmatch("v[0-9a-f]{12}", version):
            return await super().get_response(path, scope)
        found = self._files.response(name, Headers(scope=scope)) if version == _VERSION else None
        return found or await super().get_response(name, scope)


def with_imported(*modules: str) -> list[str]:
    """Return modules, styles, and all that these modules import, each once, the first ones first."""
    found = dict.fromkeys(modules)
    waiting = [*modules]
    for module in waiting:
        folder = posixpath.dirname(module)
        for address in _IMPORTED.findall(_CONTENTS[module]):
            imported = posixpath.normpath(posixpath.join(folder, address.decode()))
            if imported not in found:
                found[imported] = None
                waiting.append(imported)
    return [*found]
