"""What a configuration may say about signing in."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatlab.config.load import load_config
from chatlab.errors import ConfigError

BEFORE = "backends: {echo: {kind: echo}}\n"
AUTH = "auth: {{type: oidc, discovery: '{discovery}', client_id: x{more}}}\n"
DISCOVERY = "https://a.example/.well-known/openid-configuration"


def load(tmp_path: Path, more: str = "", *, discovery: str = DISCOVERY, beside: str = "") -> None:
    file = tmp_path / "config.yaml"
    file.write_text(BEFORE + AUTH.format(discovery=discovery, more=more) + beside, "utf-8")
    config = load_config(file)
    assert config.auth is not None and config.auth.type == "oidc"


@pytest.mark.parametrize(
    ("more", "discovery", "beside"),
    [
        ("", DISCOVERY, ""),
        ("", "http://localhost:9/.well-known/openid-configuration", ""),
        (", redirect_path: /callback", DISCOVERY, ""),
        (", public_url: 'https://chat.example.org/lab/'", DISCOVERY, ""),
        (", client_secret: {env: SECRET}, keys: [{env: KEY}, {env: OLD}]", DISCOVERY, ""),
    ],
)
def test_what_is_right(tmp_path: Path, more: str, discovery: str, beside: str) -> None:
    load(tmp_path, more, discovery=discovery, beside=beside)


@pytest.mark.parametrize(
    ("more", "discovery", "beside", "sentence"),
    [
        ("", "http://a.example/.well-known/openid-configuration", "", "should begin with https://"),
        ("", "https://user@a.example/", "", "should be a URL"),
        ("", "https://a.example/?x=1", "", "should be a URL"),
        ("", "nonsense", "", "should be a URL"),
        (", client_secret: hunter2", DISCOVERY, "", "by reference"),
        (", keys: [hunter2]", DISCOVERY, "", "by reference"),
        (", scopes: [profile]", DISCOVERY, "", "openid is one of them"),
        (", redirect_path: /", DISCOVERY, "", "should be a path of its own"),
        (", redirect_path: /-/static/x", DISCOVERY, "", "should be a path of its own"),
        (", redirect_path: /gradio_api", DISCOVERY, "", "should be a path of its own"),
        (", redirect_path: /a/../b", DISCOVERY, "", "should be a path of its own"),
        (", redirect_path: //evil.example", DISCOVERY, "", "should be a path of its own"),
        (", allowed: {domains: ['@example.org']}", DISCOVERY, "", "domains are names"),
        (", idle_minutes: 0", DISCOVERY, "", "more than 0"),
        ("", DISCOVERY, "storage: none\n", "auth needs storage"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, more: str, discovery: str, beside: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, more, discovery=discovery, beside=beside)
    assert sentence in str(caught.value) and "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", ["entra", "forwarded"])
def test_a_way_that_is_not_offered_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"{BEFORE}auth: {{type: {kind}}}\n", "utf-8")
    with pytest.raises(ConfigError, match="oidc"):
        load_config(file)


def test_groups_that_databricks_apps_does_not_forward_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"{BEFORE}auth: {{type: databricks_apps, allowed: {{groups: [staff]}}}}\n", "utf-8")
    with pytest.raises(ConfigError, match="name people or domains"):
        load_config(file)


HASH = f"$scrypt$ln=15,r=8,p=3${'a' * 22}${'b' * 43}"


@pytest.mark.parametrize(
    ("users", "sentence"),
    [
        (f"{{ann: {{hash: '{HASH}', email: ann@example.org, groups: [staff]}}}}", None),
        ("{ann: {hash: {env: HASH}}}", None),
        ("{}", "at least 1"),
        ("{ann: {hash: hunter2}}", "never a password"),
        (
            f"{{ann: {{hash: '{HASH.replace('15', '10')}'}}}}",
            "never a password",
        ),  # one that is cheap to guess
        (f"{{ann: {{hash: '{HASH}', password: hunter2}}}}", "password"),
        (f"{{' ann': {{hash: '{HASH}'}}}}", "without space around them"),
    ],
)
def test_people_with_passwords_are_named_with_hashes_alone(
    tmp_path: Path, users: str, sentence: str | None
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"{BEFORE}auth: {{type: basic, users: {users}}}\n", "utf-8")
    if sentence is None:
        load_config(file)
        return
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert sentence in str(caught.value) and "hunter2" not in str(caught.value)


def test_nobody_signs_in_unless_it_is_said(tmp_path: Path) -> None:
    for text in (BEFORE, BEFORE + "auth: none\n"):
        file = tmp_path / "config.yaml"
        file.write_text(text, "utf-8")
        assert load_config(file).auth is None
