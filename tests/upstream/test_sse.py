"""The events of an answer are the same ones wherever its bytes are cut."""

from __future__ import annotations

import pytest

from chatlab.upstream import ChunkReader

ONE, TWO = b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n'
BOTH = [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("stream", "chunks"),
    [
        (ONE + TWO + b"data: [DONE]\n\n", BOTH),
        (ONE + TWO + b"data: [DONE]\n\n" + ONE, BOTH),
        (ONE + TWO.rstrip(), BOTH),
        (b"\xef\xbb\xbf" + ONE + TWO, BOTH),
        (ONE.replace(b"\n", b"\r\n") + TWO, BOTH),
        (ONE + TWO.replace(b"\n", b"\r"), BOTH),
        (ONE + b": ping\n\n" + TWO, BOTH),
        (ONE[:-1] + TWO, BOTH),  # without the empty line between two
        (b'data: {"n":\ndata: 1}\n\n' + TWO, BOTH),
        (b"event: error\n" + ONE, [{"error": {"n": 1}}]),
        (b"data: {}\n\n" + ONE, BOTH[:1]),
        (b'data: {"n": "\\ud83d"}\n\ndata: {"n": "\xc3\xb6"}\n\n', [{"n": "\ud83d"}, {"n": "ö"}]),
        (b'data: {"n": "\xff"}\n\n', [{"n": "\ufffd"}]),
        (b'data: {"n": 123456789012345678901234567890}\n\n', [{"n": 123456789012345678901234567890}]),
        (b'data: {"n": 1}{"n": 2}\n\n', BOTH),
    ],
)
def test_a_stream_is_the_same_chunks_wherever_it_is_cut(stream: bytes, chunks: list[object]) -> None:
    for cut in range(len(stream) + 1):
        reader = ChunkReader()
        found = [*reader.feed(stream[:cut]), *reader.feed(stream[cut:]), *reader.end()]
        assert found == chunks, cut
