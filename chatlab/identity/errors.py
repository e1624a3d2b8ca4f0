"""The errors of signing in: sentences that the person reads."""

from __future__ import annotations

from chatlab.words import WordedError


class SignInRefused(WordedError):
    """A sign-in that is not to be believed, or of somebody whom the pages are not for."""

    http_status = 403


class ProviderAway(WordedError):
    """The provider does not answer, or not as the protocol says."""

    http_status = 503
