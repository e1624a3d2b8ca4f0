"""The limits on the visitors of the pages: the `limits` of a configuration.

Every field's description is the text of `docs/configuration.md` and of the JSON Schema.
"""

from __future__ import annotations

from pydantic import Field

from chatlab.config.model import Model

_VISITOR = "By one visitor: a browser, known by its cookie. `null` sets no limit, here and below."
_ADDRESS = "By one network address (of IPv6, by one /64 network)."
_TOTAL = "By everybody together."


class RunningTurns(Model):
    """Answers that run at once, on the chat page and in comparisons."""

    visitor: int | None = Field(24, ge=1, description=_VISITOR)
    address: int | None = Field(150, ge=1, description=_ADDRESS)
    total: int | None = Field(None, ge=1, description=_TOTAL + " By default `server.concurrency` a server.")


class TurnsAMinute(Model):
    """Answers that begin within a minute."""

    visitor: int | None = Field(200, ge=1, description=_VISITOR)
    address: int | None = Field(3_000, ge=1, description=_ADDRESS)
    total: int | None = Field(None, ge=1, description=_TOTAL)


class SignInsAMinute(Model):
    """Steps of signing in: being sent to the provider, and coming back from it."""

    address: int | None = Field(120, ge=1, description=_ADDRESS)
    total: int | None = Field(3_000, ge=1, description=_TOTAL)


class PasswordsAMinute(Model):
    """Passwords that are tried, where people sign in with one."""

    person: int | None = Field(10, ge=1, description="For one name; null for no limit.")
    address: int | None = Field(30, ge=1, description=_ADDRESS)
    total: int | None = Field(200, ge=1, description=_TOTAL)


class Uploads(Model):
    """Files that were uploaded, by number: on the comparison page until they are sent, in the chat for a
    day."""

    visitor: int | None = Field(200, ge=1, description=_VISITOR)
    address: int | None = Field(1_000, ge=1, description=_ADDRESS)
    total: int | None = Field(10_000, ge=1, description=_TOTAL)


class UploadsMb(Model):
    """The same files, in megabytes."""

    visitor: float | None = Field(500, gt=0, description=_VISITOR)
    address: float | None = Field(2_000, gt=0, description=_ADDRESS)
    total: float | None = Field(10_000, gt=0, description=_TOTAL)


class PageLimits(Model):
    """Pages that are open; likewise comparison sessions."""

    visitor: int | None = Field(100, ge=1, description=_VISITOR)
    address: int | None = Field(2_000, ge=1, description=_ADDRESS)
    total: int | None = Field(10_000, ge=1, description=_TOTAL)


class StoredMb(Model):
    """Conversations and attachments that are stored, in megabytes."""

    visitor: float | None = Field(1_000, gt=0, description=_VISITOR)
    total: float | None = Field(20_000, gt=0, description=_TOTAL)


class ImportLimits(Model):
    """The most that one file may take which a visitor imports. It is read in a process of its own."""

    mb: float = Field(500, gt=0, description="Megabytes that the file has.")
    memory_mb: float = Field(
        1_000, ge=300, description="Megabytes of memory that reading it takes (not held to on Windows)."
    )
    seconds: float = Field(300, gt=0, description="Seconds that it takes to be read and stored.")


class ReportLimits(Model):
    """The most that one report, or one recording, of a long comparison session may take. It is written in a
    process of its own, one after the other."""

    memory_mb: float = Field(
        1_000, ge=300, description="Megabytes of memory that writing it takes (not held to on Windows)."
    )
    seconds: float = Field(300, gt=0, description="Seconds that it takes to be written.")
    waiting: int = Field(10, ge=1, description="How many may wait for the one that is written.")
    visitor: int | None = Field(
        2, ge=1, description="Reports and recordings that are written and wait at a time. " + _VISITOR
    )
    address: int | None = Field(8, ge=1, description=_ADDRESS)


class TokensADay(Model):
    """Tokens that answers take within 24 hours, input and output, as upstreams count them, where they are
    asked with configured credentials. With `storage`, all servers of a database count together, also over a
    restart; without it, or while it is away, each counts for itself."""

    visitor: int | None = Field(None, ge=1, description=_VISITOR)
    total: int | None = Field(None, ge=1, description=_TOTAL)


class CostADay(Model):
    """The same in money, in the currency of the prices; of a backend without `prices` nothing is counted."""

    visitor: float | None = Field(None, gt=0, description=_VISITOR)
    total: float | None = Field(None, gt=0, description=_TOTAL)


class Limits(Model):
    """Limits on the visitors of the pages: one of them, all of one network address, and everybody."""

    running_turns: RunningTurns = Field(default_factory=RunningTurns, description="Answers that run at once.")
    turns_a_minute: TurnsAMinute = Field(
        default_factory=TurnsAMinute, description="Answers that begin within a minute."
    )
    sign_ins_a_minute: SignInsAMinute = Field(
        default_factory=SignInsAMinute, description="Steps of signing in, with `auth`, within a minute."
    )
    passwords_a_minute: PasswordsAMinute = Field(
        default_factory=PasswordsAMinute,
        description="Passwords that are tried within a minute, with `auth: {type: basic}`.",
    )
    tokens_a_day: TokensADay = Field(
        default_factory=TokensADay,
        description="Tokens that answers take within a day. Where the backend does not count them, as of an "
        "answer that was stopped, four bytes of text are taken for one.",
    )
    cost_a_day: CostADay = Field(
        default_factory=CostADay,
        description="Money that answers cost within a day, by `prices`; estimated as the tokens are.",
    )
    uploads: Uploads = Field(default_factory=Uploads, description="Files that were uploaded, by number.")
    uploads_mb: UploadsMb = Field(
        default_factory=UploadsMb, description="Files that were uploaded, in megabytes."
    )
    sessions: PageLimits = Field(
        default_factory=PageLimits, description="Pages that are open; likewise comparison sessions."
    )
    imports: ImportLimits = Field(
        default_factory=ImportLimits, description="The most that one file may take which a visitor imports."
    )
    reports: ReportLimits = Field(
        default_factory=ReportLimits,
        description="The most that one report, or one recording, of a long comparison session may take.",
    )
    stored_mb: StoredMb = Field(
        default_factory=StoredMb, description="Conversations and attachments that are stored, in megabytes."
    )
