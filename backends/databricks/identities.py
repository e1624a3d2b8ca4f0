"""The options that say as whom a Databricks workspace is called, and which workspace and endpoint it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from chatlab.credentials import ProtectedResource
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef

ENTRA_RESOURCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
"""Azure Databricks, as Entra ID knows it, in every tenant."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HostFromEnv(_Model):
    """The workspace's URL is in this variable."""

    env: str = Field(description="Name of the variable that holds the workspace's URL.")


class FromEnv(_Model):
    """The name is in this variable."""

    env: str = Field(description="Name of the variable that holds it.")


class PatAuth(_Model):
    """A personal access token."""

    type: Literal["pat"] = Field("pat", description="A personal access token.")
    token: SecretRef = Field(SecretRef(env="DATABRICKS_TOKEN"), description="Where the token is.")


class OAuthM2MAuth(_Model):
    """A service principal, by OAuth machine-to-machine. The SDK renews its tokens."""

    type: Literal["oauth-m2m"] = Field(description="A service principal.")
    client_id: SecretRef = Field(
        SecretRef(env="DATABRICKS_CLIENT_ID"), description="Where the service principal's application id is."
    )
    client_secret: SecretRef = Field(
        SecretRef(env="DATABRICKS_CLIENT_SECRET"), description="Where its OAuth secret is."
    )


class ProfileAuth(_Model):
    """A profile of a Databricks configuration file; it must say or show which kind of credential it has."""

    type: Literal["profile"] = Field(description="A profile of a Databricks configuration file.")
    profile: str = Field(description="Name of the profile, such as DEFAULT.")
    config_file: ConfigPath = Field(
        Path("~/.databrickscfg"), validate_default=True, description="The file it is in."
    )


class UserAuth(_Model):
    """The signed-in person's own token, from the call and from nowhere else."""

    type: Literal["user"] = Field(description="The signed-in person's own token; refused when there is none.")
    by: Literal["on_behalf_of", "federation"] | None = Field(
        None,
        description="How it comes from a sign-in elsewhere (`auth: {type: oidc}`): by Entra ID's "
        "on-behalf-of grant, or by the workspace's token federation. Without it, people sign in at the "
        "workspace, or the platform forwards a token for it.",
    )

    def resource(self, host: str) -> ProtectedResource:
        """Return what the person's token is to be for."""
        scope = f"{ENTRA_RESOURCE}/.default" if self.by == "on_behalf_of" else None
        return ProtectedResource(host, self.by or "own", scope)


Auth: TypeAlias = Annotated[PatAuth | OAuthM2MAuth | ProfileAuth | UserAuth, Field(discriminator="type")]
