"""The notices of a turn as lines of a page."""

from chatlab.messages import Notice
from chatlab.render.notes import Note, notes
from chatlab.words import ENGLISH, words_of


def test_attempts_are_one_short_note_that_opens_to_why_each_was_needed() -> None:
    said = [
        Notice("thoughts_dropped", "1 thought or tool display of earlier answers not sent"),
        Notice("retried", "the upstream did not answer in time; attempt 2 of 3 after 0.4 s"),
        Notice("other", "echo answers in one piece here"),
        Notice("retried", "overloaded; try later; attempt 3 of 3 after 1.2 s"),
    ]
    assert notes(said, ENGLISH) == [
        Note("echo answers in one piece here"),
        Note("attempt 3 of 3, after a failure", (said[1].detail, said[3].detail)),
    ]
    german = notes(said, words_of("de"))[1]
    assert german.line == "Versuch 3 von 3, nach einem Fehler"
    assert german.more[1] == "overloaded; try later; Versuch 3 von 3 nach 1,2 s"


def test_what_a_backend_says_itself_of_a_retry_is_said_as_it_is() -> None:
    said = [Notice("retried", "asked the second region"), Notice("retried", "asked the third region")]
    assert notes(said, ENGLISH) == [Note("asked the second region"), Note("asked the third region")]
