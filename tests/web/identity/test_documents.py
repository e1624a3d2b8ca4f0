"""The pages of signing in: every text is escaped, and said in the words of the configuration."""

from __future__ import annotations

import pytest

from chatlab.identity.errors import SignInRefused
from chatlab.web.identity.documents import Link, PasswordForm, SignInPages
from chatlab.words import ENGLISH, words_of

EVIL = "\"><script>'&\ud800"
ESCAPED = "&#34;&gt;&lt;script&gt;&#39;&amp;�"


@pytest.mark.parametrize("language", ["en", "de"])
def test_nothing_that_somebody_wrote_becomes_part_of_a_page(language: str) -> None:
    pages = SignInPages(words_of(language))
    refused = SignInRefused("refusal.provider-refused", error=EVIL)
    made = [
        pages.form(PasswordForm(EVIL, EVIL, EVIL), refused),
        pages.failed("sign-in.refused", refused, Link(EVIL, "sign-in.again")),
        pages.sentence(
            "sign-in.signed-in", "sign-in.signed-in-as", Link(EVIL, "sign-in.back"), EVIL, name=EVIL
        ),
    ]
    for page, times in zip(made, (4, 2, 3), strict=True):
        text = bytes(page.body).decode()
        assert "<script" not in text and text.count(ESCAPED) == times
        assert f'<html lang="{language}">' in text
        assert "script-src" not in (policy := page.headers["content-security-policy"])
        assert policy.startswith("default-src 'none'") and page.headers["cache-control"] == "no-store"


def test_the_form_says_why_it_is_there_again_and_waits_for_the_password() -> None:
    form = PasswordForm("/auth/callback", "state-1", "ann")
    first = SignInPages(ENGLISH).form(PasswordForm("/auth/callback", "state-1"))
    again = SignInPages(words_of("de")).form(form, SignInRefused("refusal.wrong-password"))
    assert (first.status_code, again.status_code) == (200, 403)
    said = bytes(again.body).decode()
    assert (
        '<p role="alert">Name oder Passwort ist falsch: Versuchen Sie es noch einmal</p>' in said
        and "<button>Anmelden</button>" in said
    )
    assert (
        said.index("autofocus") > said.index("Passwort")
        and "alert" not in bytes(first.body).decode().split("<main>")[1]
    )


def test_a_page_goes_on_by_itself_where_it_is_told_to() -> None:
    pages, link = SignInPages(ENGLISH), Link("/", "sign-in.again", new_tab=True)
    said = ("sign-in.signed-out", "sign-in.signed-out-here", link)
    assert (
        'content="0;url=https://provider/end?a=1&amp;b=2"'
        in bytes(pages.sentence(*said, "https://provider/end?a=1&b=2").body).decode()
    )
    stays = bytes(pages.sentence(*said).body).decode()
    assert "refresh" not in stays and 'href="/" target="_blank"' in stays
