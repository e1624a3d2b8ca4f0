"""Checks of an answer that need no model. Each gives a `Check`; none raises because of what an answer says.

expected       the expected answer stands in the answer, as whole words or a number by itself; case and white
               space do not count
exact          the answer is the expected one; case, white space and a full stop at the end do not count
contains       this text is in the answer, letter for letter
not_contains   it is not
regex          the pattern is found in the answer (syntax of Python's `re`; no `^` or `$` by itself)
numeric        the last number in the answer is the expected one, within a tolerance: 0.01, or 1%
json_schema    the answer, or its one code block, is JSON that fits the schema
python         a function of the person's own: `module:attribute` or `file.py:attribute`
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from chatlab.compare.batch.checks.functions import function_of, result_of
from chatlab.compare.batch.checks.problem import LONGEST, WrongCheck, short
from chatlab.compare.batch.item import KINDS, NEEDS_VALUE, CheckSpec
from chatlab.compare.model import Check
from chatlab.spelling import did_you_mean
from chatlab.strict_json import load_json

if TYPE_CHECKING:
    from chatlab.compare.batch.item import Item, Kind

__all__ = ["WrongCheck", "check", "function_of", "parse_check"]


def parse_check(said: Any, folder: Path, *, trusted: bool = False) -> CheckSpec:
    """Return the check of `kind`, `kind:value` or `{kind: value}`. Raises WrongCheck.

    folder: where relative paths of schemas begin. trusted: whether it comes from the person who starts the
    run; only then may it name code to be run, since a file of prompts is data, which may be anybody's.
    """
    if isinstance(said, str):
        kind, colon, rest = said.partition(":")
        value: Any = rest if colon else None
    elif isinstance(said, Mapping) and len(said) == 1:
        ((kind, value),) = said.items()
    else:
        raise WrongCheck("a check is a text such as contains:Paris, or an object with one key, its kind")
    found = _kind(str(kind).strip().replace("-", "_"))
    if value in (None, "") and found in NEEDS_VALUE:
        raise WrongCheck(f"{found} needs a value, such as {found}:VALUE")
    return CheckSpec(found, _value(found, value, folder, trusted=trusted))


def _kind(said: str) -> Kind:
    found = next((known for known in KINDS if known == said), None)
    if found is None:
        hint = did_you_mean(said, KINDS) or f": the kinds are {', '.join(KINDS)}"
        raise WrongCheck(f"there is no check {said!r}{hint}")
    return found


def _value(kind: Kind, value: Any, folder: Path, *, trusted: bool) -> Any:
    """Return the value as a check of this kind has it. Raises WrongCheck."""
    if kind == "json_schema":
        return _schema(value, folder)
    if kind == "numeric":
        _tolerance(value)
        return None if value is None else str(value)
    if value is not None and not isinstance(value, str):
        raise WrongCheck(f"{kind} takes a text")
    if kind == "regex" and value is not None:
        import regex

        try:
            regex.compile(value)
        except regex.error as exc:
            raise WrongCheck(f"the pattern {value!r} is wrong: {exc}") from exc
    elif kind == "python":
        if not trusted:
            raise WrongCheck(
                "a file of prompts cannot name code to be run: give --check python:module:attribute instead"
            )
        function_of(value)
    return value


def check(spec: CheckSpec, answer: str, item: Item) -> Check | None:
    """Return what a check says of an answer; None if it needs an expected answer and the item has none.

    May take a second, or as long as the person's own function takes: call it in a thread.
    """
    if spec.needs_expected and item.expected is None:
        return None
    expected = item.expected or ""
    try:
        return _checked(spec, answer, expected, item)
    except TimeoutError:
        return _said(spec, False, f"the pattern searched for over {LONGEST:g} s")


def _checked(spec: CheckSpec, answer: str, expected: str, item: Item) -> Check:
    # What looks for words, numbers and JSON is imported where it does: a run without checks needs none.
    kind, value = spec.kind, spec.value
    if kind == "expected":
        from chatlab.compare.batch.checks import words

        return _said(spec, words.stands_in(expected, answer), f"expected {short(expected)}")
    if kind == "exact":
        from chatlab.compare.batch.checks import words

        wanted = expected if value is None else value
        return _said(spec, words.same(answer, wanted), f"expected {short(wanted)}")
    if kind == "contains":
        return _said(spec, value in answer, "the answer lacks it")
    if kind == "not_contains":
        return _said(spec, value not in answer, "the answer has it")
    if kind == "regex":
        import regex

        found = regex.search(value, answer, timeout=LONGEST) is not None
        return _said(spec, found, "not found")
    if kind == "numeric":
        return _numeric(spec, answer, expected)
    if kind == "json_schema":
        from chatlab.compare.batch.checks import schema

        problem = schema.problem_of(answer, value)
        return _said(spec, not problem, problem)
    if kind == "python":
        return result_of(spec.name, function_of(value), answer, item)
    assert_never(kind)


def _said(spec: CheckSpec, passed: bool, otherwise: str) -> Check:
    return Check(spec.name, passed, float(passed), "" if passed else otherwise)


def _numeric(spec: CheckSpec, answer: str, expected: str) -> Check:
    from chatlab.compare.batch.checks.numbers import last_number, near

    wanted, found = last_number(expected), last_number(answer)
    if wanted is None:
        return _said(spec, False, f"the expected answer {short(expected)} has no number")
    if found is None:
        return _said(spec, False, "the answer has no number")
    size, relative = _tolerance(spec.value)
    same = near(found.value, wanted.value, size, relative=relative)
    told = [short(one.text, quoted=False) for one in (found, wanted)]
    return _said(spec, same, " instead of ".join(told))


def _tolerance(value: Any) -> tuple[Decimal, bool]:
    """Return how far, and whether that is a part of the expected number. Raises WrongCheck."""
    text = "0" if value is None else str(value).strip()
    relative = text.endswith("%")
    try:
        size = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        size = Decimal("nan")
    if not size.is_finite() or size < 0:
        raise WrongCheck(f"numeric takes a tolerance such as 0.01 or 1%, not {text!r}")
    return (size / 100, True) if relative else (size, False)


def _schema(value: Any, folder: Path) -> Any:
    """Return the schema itself, read from a file if a path was given. Raises WrongCheck."""
    from chatlab.compare.batch.checks import schema

    if isinstance(value, str):
        try:
            value = load_json((folder / value).read_text("utf-8-sig"))
        except (OSError, ValueError) as exc:
            raise WrongCheck(f"the schema {value} cannot be read: {exc}") from exc
    problem = schema.problem_of_schema(value)
    if problem:
        raise WrongCheck(problem)
    return value
