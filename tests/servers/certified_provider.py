"""npm's certified oidc-provider, in the shapes of providers that only a tenant of their own has.

It holds clients to PKCE and to their redirect URIs, and takes the whole sign-in back when a refresh token
that was rotated is used again.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx2

from tests.heavy import missing, needed_of_npm

Profile: TypeAlias = Literal["entra", "databricks", "huggingface"]

_SCRIPT = Path(__file__).with_suffix(".mjs")

CLIENT, SECRET = "chatlab-of-a-test", "a secret of a test that is long enough"
TENANT = "11111111-2222-3333-4444-555555555555"


@dataclass
class CertifiedProvider:
    """The provider of one page. A context manager; it skips the test where Node or the provider is missing.

    page: the address of that page. redirect_path: where people come back to, below it.
    """

    profile: Profile
    page: str
    redirect_path: str = "/auth/callback"
    url: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def __enter__(self) -> CertifiedProvider:
        needed_of_npm("oidc-provider")
        if shutil.which("node") is None:
            missing("node", "nodejs.org, or a package of the system")
        given = [self.profile, self.page, self.redirect_path, CLIENT, SECRET]
        # What it warns of is that this is no server for real people.
        self._process = subprocess.Popen(
            ["node", str(_SCRIPT), *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the provider did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        with self._process:
            pass  # which closes its standard input, and waits for its end

    @property
    def discovery(self) -> str:
        """The URL of what it says about itself, of a tenant of Entra ID."""
        return f"{self.url}/{TENANT}/v2.0/.well-known/openid-configuration"

    @property
    def seen(self) -> dict[str, Any]:
        """refreshed: how often tokens were renewed. refused: what was asked of it that it refused."""
        return dict(httpx2.get(f"{self.url}/seen").json())
