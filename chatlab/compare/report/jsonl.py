"""A report as data: JSON lines with everything, and the votes as other arena tools read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from chatlab.compare.model import Comparison
from chatlab.compare.model_json import comparison_to_json, result_to_json, to_line
from chatlab.compare.report.judged import judgements_of
from chatlab.compare.statistics.votes_csv import to_csv
from chatlab.secret import scrub, scrubbed_value


def report_jsonl(compared: Comparison) -> str:
    """Return everything as JSON lines, as docs/reports.md has it: comparison, results, votes and verdicts."""
    return "".join(to_line(scrubbed_value(line)) for line in _lines(compared))


def _lines(compared: Comparison) -> Iterator[dict[str, object]]:
    empty = comparison_to_json(replace(compared, results=(), votes=(), verdicts=()))
    yield {
        "type": "comparison",
        **{k: v for k, v in empty.items() if k not in ("results", "votes", "verdicts")},
    }
    for result in compared.results:
        yield {"type": "result", **result_to_json(result)}
    whole = comparison_to_json(replace(compared, results=()))
    for vote in whole.get("votes", ()):
        yield {"type": "vote", **vote}
    for verdict in whole.get("verdicts", ()):
        yield {"type": "verdict", **verdict}


def report_votes(compared: Comparison) -> str:
    """Return votes and verdicts as CSV, in the schema of arena tools: model_a, model_b, winner, and more."""
    return scrub(to_csv(judgements_of(compared)))
