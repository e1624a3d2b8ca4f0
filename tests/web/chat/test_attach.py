"""What is pasted and dropped reaches the upstream; what a backend does not take is said before it is sent."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.front import Front
from tests.web.chat.test_page import CHAT, PNG, roles
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(8000)
        made.writeframes(bytes(800))
    return file.getvalue()


PICTURE = ("dot.png", "image/png", PNG)
PDF = ("report.pdf", "application/pdf", b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF")
SOUND = ("said.wav", "audio/wav", sound())
ARCHIVE = ("all.zip", "application/zip", b"PK")
TEXT = ("notes.txt", "text/plain", b"some notes")
MARKDOWN = ("notes.md", "", b"# notes")  # browsers know no type for it

GIVE = """([how, name, media_type, content]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  data.items.add(new File([bytes], name, { type: media_type }));
  const box = document.querySelector("#message textarea"), how_ = { bubbles: true, cancelable: true };
  if (how === "paste") box.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...how_ }));
  else for (const kind of ["dragenter", "dragover", "drop"])
    box.dispatchEvent(new DragEvent(kind, { dataTransfer: data, ...how_ }));
}"""


def give(page: ChatPage, how: str, file: tuple[str, str, bytes]) -> None:
    name, media_type, content = file
    page.page.evaluate(GIVE, [how, name, media_type, base64.b64encode(content).decode()])


def attach(page: ChatPage, how: str, *files: tuple[str, str, bytes]) -> None:
    for n, file in enumerate(files, 1):
        give(page, how, file)
        expect(page.page.locator("#message .thumbnail-item")).to_have_count(n, timeout=20_000)


def parts_sent(upstream: Front) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = roles(upstream.last.json)[-1][1]
    return content


def test_files_are_pasted_and_dropped_and_what_is_not_taken_is_said_at_once(
    open_page: Callable[..., ChatPage],
) -> None:
    with Front() as upstream:
        upstream.on("POST", CHAT, says(chunks(["ok"])))
        model = f'kind: openai, model: tiny, base_url: "{upstream.url}/v1"'
        page = open_page(
            f"""\
backends:
  all: {{{model}, label: Everything, images: true, files: true, audio: true}}
  none: {{{model}, label: Words}}
  echo: {{kind: echo, label: Echo}}
"""
        )
        for how in ("paste", "drop"):
            attach(page, how, PICTURE, PDF, SOUND)
            page.ask(how)
            picture, pdf, audio, text = parts_sent(upstream)
            assert picture["image_url"]["url"].endswith(base64.b64encode(PNG).decode())
            assert pdf["file"]["filename"] == "report.pdf"
            assert pdf["file"]["file_data"].endswith(base64.b64encode(PDF[2]).decode())
            assert audio["input_audio"] == {"data": base64.b64encode(SOUND[2]).decode(), "format": "wav"}
            assert text["text"] == how
            give(page, how, ARCHIVE)
            told = page.page.locator(".chatlab-refused")
            expect(told).to_have_text("Everything does not take all.zip: nothing was attached.")
            page.page.click("#message textarea")
            expect(told).to_have_count(0)
        assert len(upstream.requests) == 2

        page.choose("Echo")
        page.page.wait_for_function(
            "!document.querySelector('#message input[type=file]').accept.includes('.png')"
        )
        for how in ("paste", "drop"):
            attach(page, how, TEXT, MARKDOWN)
            page.ask(how)
            assert "notes.txt (text/plain), notes.md (text/markdown)" in page.answers[-1]

        attach(page, "drop", PDF)
        page.choose("Words")
        status = page.page.locator(".prose.chatlab-status")
        expect(status).to_contain_text("Words does not take report.pdf: it will not be sent")
        page.choose("Everything")
        expect(status).not_to_contain_text("report.pdf")
        page.choose("Words")
        expect(status).to_contain_text("Words does not take")
        page.ask("look")
        assert any("report.pdf was not sent" in title for title in page.titles)
        assert roles(upstream.last.json)[-1] == ("user", "look")
        for how in ("paste", "drop"):
            give(page, how, PICTURE)
            expect(told).to_have_text("Words does not take dot.png: nothing was attached.")
            page.page.fill("#message textarea", how)
            expect(told).to_have_count(0)
        assert page.page.locator("#message .thumbnail-item").count() == 0
        page.choose("Echo")
        attach(page, "drop", TEXT)
        page.choose("Words")
        expect(status).to_contain_text("Words does not take notes.txt as a file: it will be sent as text")
        page.ask("read this")
        assert "notes.txt was sent as text in the message" in " ".join(page.titles)
        assert roles(upstream.last.json)[-1] == ("user", "notes.txt\n```\nsome notes\n```\n\nread this")


def test_what_cannot_be_attached_or_sent_is_said_in_the_pages_words(
    open_page: Callable[..., ChatPage],
) -> None:
    page = open_page(
        """\
ui: {language: de, max_file_mb: 0.5}
backends:
  echo: {kind: echo, label: Echo}
  words: {kind: openai, model: tiny, base_url: "http://127.0.0.1:9/v1", label: Words}
"""
    )
    tab, told = page.page, page.page.locator(".chatlab-refused")
    large = ("big.txt", "text/plain", b"x" * 1_250_000)

    def pick(file: tuple[str, str, bytes]) -> None:
        name, media_type, content = file
        given = {"name": name, "mimeType": media_type, "buffer": content}
        tab.set_input_files("#message input[type=file]", given)

    for way in (lambda file: give(page, "drop", file), pick):
        way(large)
        expect(told).to_have_text(
            "Nicht angehängt, weil eine Datei höchstens 0,5 MB haben darf: big.txt (1,25 MB)"
        )
        box, said = tab.locator("#message").bounding_box(), told.bounding_box()
        assert box and said and said["y"] >= box["y"] + box["height"] and said["width"] > 0.9 * box["width"]
        tab.click("#message textarea")
        expect(told).to_have_count(0)
    pick(PICTURE)  # echo takes any file
    expect(tab.locator("#message .thumbnail-item")).to_have_count(1)
    expect(tab.get_by_role("button", name="Datei entfernen")).to_be_attached()
    page.choose("Words")
    tab.wait_for_function("!document.querySelector('#message input[type=file]').accept.includes('*/*')")
    pick(ARCHIVE)
    expect(told).to_have_text("Words nimmt all.zip nicht an: Es wurde nichts angehängt.")
    assert tab.locator(".toast-body").count() == 0
    tab.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
    page.ask("Hallo", wait=False)
    expect(tab.locator(".toast-title").first).to_have_text("Fehler")
    expect(tab.locator(".toast-body")).to_contain_text("Gerade warten zu viele Nachrichten auf ihre Antwort.")
    expect(tab.get_by_role("button", name="Schließen", exact=True)).to_be_visible()
