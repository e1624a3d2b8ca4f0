"""What the adapter does to a conversation for those who cannot take all of it; and media types."""

from __future__ import annotations

import io
import mimetypes
import zipfile
from pathlib import Path

import pytest

from chatlab.formats import fold_system, merge_consecutive, without_tools, without_unmatched_tools
from chatlab.formats.media import file_from_data_url, file_part, media_type_of, media_type_of_path
from chatlab.formats.suffixes import canonical
from chatlab.messages import (
    FilePart,
    Message,
    Notice,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.turns.fit import accepts

PNG = FilePart("image/png", "pixel.png", data=b"\x89PNG")
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
CALL = ToolCall("c1", "weather", '{"city": "Oslo"}')
RESULT = ToolResult("c1", "rain", "weather")
AGENT = Message("assistant", (ReasoningPart("hm"), TextPart("I look. "), CALL, RESULT, TextPart("It rains.")))


def package(*names: str) -> bytes:
    """An Office package of these files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name in ("[Content_Types].xml", *names):
            file.writestr(name, "<x/>")
    return held.getvalue()


def test_folding_puts_the_system_text_before_the_first_user_text() -> None:
    folded = fold_system(
        [Message.of("system", "One."), Message.of("system", "Two."), Message("user", (PNG, TextPart("  hi")))]
    )
    assert folded == (Message("user", (PNG, TextPart("One.\n\nTwo.\n\n  hi"))),)


def test_folding_without_text_or_user_message_still_says_it() -> None:
    system = Message.of("system", "One.")
    assert fold_system([system, Message("user", (PNG,))]) == (Message("user", (PNG, TextPart("One."))),)
    assert fold_system([system, Message.of("assistant", "hello")]) == (
        Message.of("user", "One."),
        Message.of("assistant", "hello"),
    )
    assert fold_system([Message("system", ()), Message.of("user", "x")]) == (Message.of("user", "x"),)


def test_neighbours_of_one_role_are_joined_by_a_blank_line() -> None:
    merged = merge_consecutive(
        [
            Message.of("user", "a"),
            Message("user", (PNG, TextPart("b"))),
            Message("assistant", ()),
            Message.of("user", "c"),
            Message("tool", (RESULT,)),
            Message("tool", (RESULT,)),
        ]
    )
    assert merged == (
        Message("user", (TextPart("a"), PNG, TextPart("b\n\nc"))),
        Message("tool", (RESULT,)),
        Message("tool", (RESULT,)),
    )


def test_leaving_tools_out_is_said_once_with_a_count() -> None:
    question = Message.of("user", "weather?")
    kept, notices = without_tools(
        [question, AGENT, Message("assistant", (CALL,)), Message("tool", (RESULT,))]
    )
    assert kept == (
        question,
        Message("assistant", (ReasoningPart("hm"), TextPart("I look. "), TextPart("It rains."))),
    )
    assert notices == (
        Notice(
            "other", "2 tool calls of earlier answers not sent: this model's prompt has no place for tools"
        ),
    )


def test_a_conversation_without_tools_stays_as_it_is() -> None:
    messages = (Message.of("user", "x"), Message("assistant", ()))
    assert without_tools(messages) == (messages, ())


def test_a_call_that_nobody_answered_is_left_out_and_said() -> None:
    asked = Message("assistant", (TextPart("I look."), CALL, ToolCall("c2", "time", "{}")))
    only_a_call = Message("assistant", (ToolCall("c3", "time", "{}"),))
    orphan = Message("tool", (ToolResult("c4", "x"),))
    question = Message.of("user", "and?")
    kept, notices = without_unmatched_tools(
        [orphan, asked, Message("tool", (RESULT,)), only_a_call, question]
    )
    assert kept == (
        Message("assistant", (TextPart("I look."), CALL)),
        Message("tool", (RESULT,)),
        question,
    )
    assert notices == (Notice("other", "3 tool calls without a result not sent"),)


def test_a_result_before_its_call_matches_nothing() -> None:
    messages = [Message("tool", (RESULT,)), Message("assistant", (CALL,)), Message("user", ())]
    assert without_unmatched_tools(messages)[0] == (Message("user", ()),)


def test_an_id_used_again_is_told_apart_by_its_place() -> None:
    call, result = Message("assistant", (CALL,)), Message("tool", (RESULT,))
    assert without_unmatched_tools([call, result, call])[0] == (call, result)
    assert without_unmatched_tools([call, result, call, result]) == ((call, result, call, result), ())


def test_an_agents_answered_calls_stay() -> None:
    assert without_unmatched_tools([AGENT]) == ((AGENT,), ())


# --- media types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.PNG", b"", "image/png"),
        ("notes.md", b"", "text/markdown"),
        ("table.csv", b"", "text/csv"),
        ("speech.wav", b"", "audio/wav"),
        ("code.py", b"print()", "text/x-python"),
        ("code.rs", b"fn main() {}", "text/plain"),
        ("code.py", b"%PDF-1.7", "application/pdf"),
        ("picture.jpg", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("picture.pbm", b"P1 1 1 0", "image/x-portable-bitmap"),
        ("a.wav", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        ("a.wav", b"\0\1 no sound", "audio/wav"),
        ("a.m4a", b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        ("a.opus", b"OggS\0\2", "audio/opus"),
        ("a.yaml", b"a: 1", "application/yaml"),
        ("a.yml", b"", "application/yaml"),
        ("a.jsonl", b"{}", "application/jsonl"),
        ("a.ipynb", b"{}", "application/x-ipynb+json"),
        ("a.json", b"{}", "application/json"),
        ("a.webp", b"", "image/webp"),
        ("a.docx", b"PK\3\4" + bytes(30), DOCX),
        ("a.xlsx", b"", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("a.zip", package("word/document.xml"), "application/zip"),
        (None, package("word/document.xml"), DOCX),
        (None, package("other"), "application/zip"),
        (None, b"PK\3\4" + bytes(26) + b"mimetypeapplication/epub+zipPK", "application/epub+zip"),
        (None, b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
        ("README", b"plain \xc3\xa9", "text/plain"),
        (None, b"\x89PNG\r\n\x1a\n....", "image/png"),
        (None, b"\xff\xd8\xff\xe0", "image/jpeg"),
        (None, b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (None, b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (None, b"\0\0\0\x18ftypisom", "video/mp4"),
        (None, b"\0\0\0\x18ftypavif", "image/avif"),
        ("blob", b"%PDF-1.7", "application/pdf"),
        ("blob", b"\0\1\2\3", "application/octet-stream"),
        (None, b"", "application/octet-stream"),
        (None, "né".encode()[:2], "text/plain"),
        (None, b"\xe9t\xe9 latin-1 text", "application/octet-stream"),
    ],
)
def test_a_media_type_is_told_by_content_and_name(name: str | None, head: bytes, expected: str) -> None:
    assert media_type_of(name, head) == expected


def test_a_file_is_what_its_content_says_and_what_it_is_called_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"GIF89a\x01\x00\x01\x00\x80\x00\x00")
    assert media_type_of_path(file) == "image/gif"
    assert media_type_of_path(file, "real.pdf") == "image/gif"
    assert media_type_of_path(tmp_path / "missing") == "application/octet-stream"
    assert media_type_of_path(tmp_path / "missing.md") == "text/markdown"
    assert media_type_of_path(tmp_path / "blob", "a.csv") == "text/csv"
    assert media_type_of_path(tmp_path / "blob", "a", "text/x-markdown; charset=utf-8") == "text/markdown"


def test_the_machines_own_tables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "types_map", {})
    monkeypatch.setattr(mimetypes, "guess_type", None)
    assert media_type_of("picture.webp") == "image/webp"
    mimetypes.add_type("audio/x-strange", ".wav")
    assert media_type_of("a.wav") == "audio/wav"


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("audio/x-wav", "audio/wav"),
        ("Audio/Wave", "audio/wav"),
        ("image/jpg", "image/jpeg"),
        ("text/x-yaml; charset=utf-8", "application/yaml"),
        ("application/x-ndjson", "application/jsonl"),
        ("text/plain", "text/plain"),
    ],
)
def test_what_others_call_a_media_type_is_one_name(alias: str, name: str) -> None:
    assert canonical(alias) == name
    assert file_from_data_url(f"data:{alias.partition(';')[0]};base64,AAAA").media_type == name
    assert accepts([name], alias) and accepts([alias], name)


def test_an_attachment_is_a_path_or_a_url(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    assert file_part(str(path)) == FilePart("audio/wav", "a.wav", path=path)
    url = "https://example.org/b/picture.webp?size=2"
    assert file_part(url) == FilePart("image/webp", "picture.webp", url=url)
    with pytest.raises(OSError, match="No such file"):
        file_part(str(tmp_path / "gone.png"))
