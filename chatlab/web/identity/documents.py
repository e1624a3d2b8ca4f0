"""The pages for somebody who is not signed in: a sentence each, or the form by which they sign in."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import HTMLResponse

from chatlab import content_security
from chatlab.errors import ChatlabError
from chatlab.render.html_templates import environment
from chatlab.render.styles import tokens
from chatlab.words import Words


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page. key: of its words. new_tab: whether it opens one."""

    address: str
    key: str
    new_tab: bool = False


@dataclass(frozen=True, slots=True)
class PasswordForm:
    """The form of a name and a password. action: the address that takes it. state: of the sign-in that it is
    for. name: what was tried before."""

    action: str
    state: str
    name: str = ""


class SignInPages:
    """The pages, in the words of a configuration."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def sentence(
        self, title: str, key: str, link: Link, onward: str | None = None, **values: str
    ) -> HTMLResponse:
        """Return a page of one sentence. title, key: of its words. values: what the sentence has places for.
        onward: where the browser goes on to by itself."""
        said = self.words(key, **values)
        return self._page(title, said, content_security.SENTENCE, link=link, onward=onward)

    def failed(self, title: str, error: ChatlabError, link: Link) -> HTMLResponse:
        """Return the page that says why something was refused."""
        policy, status = content_security.SENTENCE, error.http_status
        return self._page(title, self.words.told(error), policy, status, link=link)

    def form(self, form: PasswordForm, failed: ChatlabError | None = None) -> HTMLResponse:
        """Return the page on which people sign in with a password. failed: what became of the last try."""
        said, status = ("", 200) if failed is None else (self.words.told(failed), failed.http_status)
        return self._page("sign-in.sign-in", said, content_security.SIGN_IN_PAGE, status, form=form)

    def _page(
        self,
        title: str,
        sentence: str,
        policy: str,
        status: int = 200,
        *,
        link: Link | None = None,
        form: PasswordForm | None = None,
        onward: str | None = None,
    ) -> HTMLResponse:
        template = environment("chatlab.web.identity").get_template("signing_in.html.j2")
        given = {"title": self.words(title), "sentence": sentence, "link": link, "form": form}
        text = template.render(given, onward=onward, words=self.words, tokens=tokens())
        headers = {content_security.HEADER: policy, "cache-control": "no-store"}
        return HTMLResponse(text, status_code=status, headers=headers)
