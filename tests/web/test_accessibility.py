"""What axe-core finds on the pages, in their main states: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.heavy import needed_of_npm
from tests.web.identity.gates.test_passwords import at as sign_in_at
from tests.web.pages import ChatPage, expect

pytestmark = pytest.mark.browser

# Of what is painted: names are given to what Gradio draws right before.
VIOLATIONS = """async () => {
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, nodes }) => nodes.map((one) => [id, one.html, one.failureSummary]));
}"""
TOO_SMALL = """() => {
  const made = "a[href], button, summary, select, input, textarea, [role=button], [role=option]";
  const inText = (one) => one.matches("a") && getComputedStyle(one).display === "inline"
    && one.parentElement.innerText.trim() !== one.innerText.trim();
  const seen = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("[inert]");
  return [...document.querySelectorAll(made)].filter((one) => seen(one) && !inText(one)).flatMap((one) => {
    const target = one.matches("[type=checkbox], [type=radio]") ? one.closest("label") ?? one : one;
    const { width, height } = target.getBoundingClientRect();
    const small = width > 1 && Math.min(width, height) < 23.9; // of 1 are Gradio's, for screen readers alone
    return small ? [`${Math.round(width)} x ${Math.round(height)}: ${one.outerHTML.slice(0, 200)}`] : [];
  });
}"""
CONFIG = """\
version: 1
default: agent
backends:
  agent:
    kind: echo
    label: Agent
    description: Thinks, calls a tool and cites.
    reasoning: hm let me see
    tools: [{name: look_up, arguments: {q: moon}, result: a rock}]
    citations: [{title: The moon, url: "https://moon.example/"}]
  locked: {kind: openai, model: gpt-5-mini, label: GPT-5 mini}
  slow: {kind: echo, label: Slow, rate: 5}
  away: {kind: openai, model: none, label: Away, base_url: "http://127.0.0.1:9/v1"}
storage: {sharing: true}
compare: {lanes: [agent, slow]}
ui:
  examples: [{text: Tell me a joke, label: A joke}, {text: Second}]
  presets: {Careful: {parameters: {max_tokens: 100}, system: Think first.}}
"""
TEXT = """\
| Parameter | Default |
| --- | --- |
| temperature | 1 |

```python
def f(x):
    return x * 2  # a comment
```

> quoted, with `code`
"""


@pytest.fixture(scope="module")
def axe() -> str:
    return (needed_of_npm("axe-core") / "axe.min.js").read_text("utf-8")


def check(tab: Any, axe: str) -> None:
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(axe)
    assert tab.evaluate(VIOLATIONS) == []
    assert tab.evaluate(TOO_SMALL) == [], "targets of less than 24 by 24 pixels"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chat_page(axe: str, open_page: Callable[..., ChatPage], scheme: str) -> None:
    page = open_page(CONFIG, color_scheme=scheme)
    tab = page.page
    expect(tab.get_by_role("button", name="A joke")).to_be_visible()
    check(tab, axe)
    page.ask(TEXT)
    check(tab, axe)
    tab.locator(".chatlab-backend").click()
    check(tab, axe)
    tab.keyboard.press("Escape")
    page.settings()
    tab.locator("#conversation .title").last.click()
    expect(tab.get_by_role("columnheader", name="Figure")).to_be_visible()
    tab.get_by_role("button", name="Edit").last.click()
    check(tab, axe)
    tab.locator("#conversation textarea").press("Escape")
    tab.get_by_role("button", name="Close the options").click()
    page.choose("Away")
    page.ask("hello")
    assert any("no connection" in title for title in page.titles)
    check(tab, axe)
    page.choose("Slow")
    page.ask("word " * 50, wait=False)
    tab.wait_for_selector("#message .stop-button")
    check(tab, axe)
    tab.keyboard.press("Escape")
    tab.locator(".chatlab-row summary").first.click()
    check(tab, axe)
    tab.get_by_role("button", name="Copy a link for others").click()
    told = tab.locator(".chatlab-told")
    expect(told).to_contain_text("/-/shared/")
    shared = tab.request.get(told.inner_text().split()[-1]).text()
    tab.goto("about:blank")
    tab.set_content(shared)  # where it is served, nothing may run: nor axe
    expect(tab.locator("h1")).to_be_visible()
    check(tab, axe)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_signing_in(axe: str, browser: Any, tmp_path: Path, scheme: str) -> None:
    served = sign_in_at(tmp_path / "config.yaml")
    tab = browser.new_context(color_scheme=scheme).new_page()
    tab.goto(served.url)
    tab.get_by_label("Name").fill("ann")
    tab.get_by_label("Password").fill("wrong")
    tab.get_by_label("Password").press("Enter")
    expect(tab.get_by_role("alert")).to_be_visible()
    check(tab, axe)
    tab.context.close()
    served.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_comparison_page(axe: str, open_page: Callable[..., ChatPage], scheme: str) -> None:
    page = open_page(CONFIG, color_scheme=scheme)
    tab = page.page
    tab.goto(f"{page.served.url}/compare")
    expect(tab.get_by_role("button", name="Start")).to_be_visible()
    check(tab, axe)
    tab.get_by_role("button", name="Start").click()
    box = tab.locator("#composer textarea")
    box.fill(TEXT)
    box.press("Enter")
    stop = tab.get_by_role("button", name="Stop all")
    expect(tab.locator(".answer .figures").first).to_be_visible()
    expect(stop).to_be_visible()
    check(tab, axe)
    stop.click()
    expect(stop).to_have_count(0)
    check(tab, axe)
    tab.locator(".vote button").first.click()
    expect(tab.locator(".vote button[aria-pressed=true]")).to_have_count(1)
    for name in ("Ranking", "Report", "Share"):
        tab.locator("#session-tools").get_by_role("button", name=name).click()
        expect(tab.locator("#dialog h2")).to_be_visible()
        check(tab, axe)
        tab.get_by_role("button", name="Close").click()
    tab.locator(".lane summary").first.click()
    check(tab, axe)
    tab.keyboard.press("Escape")
    expect(tab.locator(".lane summary").first).to_be_focused()
    report = tab.context.new_page()
    report.goto(tab.url.replace("/compare?s=", "/-/compare/sessions/") + "/report?format=html")
    expect(report.locator("h1")).to_be_visible()
    check(report, axe)
    report.close()
    # Blind, with eight lanes.
    tab.goto(f"{page.served.url}/compare")
    while tab.locator(".lane-form").count() < 8:
        tab.get_by_role("button", name="Add a lane").click()
    tab.get_by_label("Blind: names are hidden").check()
    check(tab, axe)
    tab.get_by_role("button", name="Start").click()
    box.fill("short")
    box.press("Enter")
    expect(tab.locator(".vote").first).to_be_visible()
    check(tab, axe)
    tab.locator("#session-tools").get_by_role("button", name="Reveal").click()
    check(tab, axe)
