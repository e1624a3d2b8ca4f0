"""Checks of an answer that need no model. Each gives a `Check`; none raises because of what an answer says.

expected       the expected answer stands in the answer, as whole words; case and white space do not count
exact          the answer is the expected one; case, white space and a full stop at the end do not count
contains       this text is in the answer, letter for letter
not_contains   it is not
regex          the pattern is found in the answer (syntax of Python's `re`; no `^` or `$` by itself)
numeric        the last number in the answer is the expected one, within a tolerance: 0.01, or 1%
json_schema    the answer, or its one code block, is JSON that fits the schema
python         a function of the person's own: `module:attribute` or `file.py:attribute`
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import regex

from chatlab.compare.batch.item import _NEEDS_VALUE, KINDS, CheckSpec
from chatlab.compare.model import Check
from chatlab.errors import ChatlabError
from chatlab.spelling import did_you_mean

if TYPE_CHECKING:
    from chatlab.compare.batch.item import Item


_LONGEST = 1.0  # seconds a pattern may search; catastrophic backtracking takes for ever
_NUMBER = regex.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+\u2212]?\.\d+"
)
_FENCED = regex.compile(r"```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", regex.DOTALL)


class WrongCheck(ChatlabError):
    """A check that cannot be understood; the sentence says why."""


def parse_check(said: Any, folder: Path, *, trusted: bool = False) -> CheckSpec:
    """A check from `kind`, `kind:value` or `{kind: value}`. Raises WrongCheck.

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
    kind = str(kind).strip().replace("-", "_")
    found = next((known for known in KINDS if known == kind), None)
    if found is None:
        hint = did_you_mean(kind, KINDS) or f": the kinds are {', '.join(KINDS)}"
        raise WrongCheck(f"there is no check {kind!r}{hint}")
    if value in (None, "") and found in _NEEDS_VALUE:
        raise WrongCheck(f"{found} needs a value, such as {found}:VALUE")
    if found == "json_schema":
        value = _schema(value, folder)
    elif found == "numeric":
        _tolerance(value)
        value = None if value is None else str(value)
    elif value is not None and not isinstance(value, str):
        raise WrongCheck(f"{found} takes a text")
    if found == "regex":
        try:
            regex.compile(value)
        except regex.error as exc:
            raise WrongCheck(f"the pattern {value!r} is wrong: {exc}") from exc
    elif found == "python":
        if not trusted:
            raise WrongCheck(
                "a file of prompts cannot name code to be run: give --check python:module:attribute instead"
            )
        function_of(value)
    return CheckSpec(found, value)


def check(spec: CheckSpec, answer: str, item: Item) -> Check | None:
    """What a check says of an answer; None if it needs an expected answer and the item has none.

    May take a second, or as long as the person's own function takes: call it in a thread.
    """
    if spec.needs_expected and item.expected is None:
        return None
    kind, value, expected = spec.kind, spec.value, item.expected or ""
    if kind == "expected":
        wanted, has = _plain(expected), _plain(answer)
        pattern = rf"(?<!\w){regex.escape(wanted)}(?!\w)" if wanted else "$^"
        return _said(spec, regex.search(pattern, has) is not None, f"expected {_short(expected)}")
    if kind == "exact":
        wanted = expected if value is None else value
        same = _plain(answer).removesuffix(".") == _plain(wanted).removesuffix(".")
        return _said(spec, same, f"expected {_short(wanted)}")
    if kind == "contains":
        return _said(spec, value in answer, "the answer lacks it")
    if kind == "not_contains":
        return _said(spec, value not in answer, "the answer has it")
    if kind == "regex":
        try:
            return _said(spec, _search(value, answer), "not found")
        except TimeoutError:
            return _said(spec, False, f"the pattern searched for over {_LONGEST:g} s")
    if kind == "numeric":
        return _numeric(spec, answer, expected)
    if kind == "json_schema":
        return _json_schema(spec, answer)
    if kind == "python":
        return _python(spec, answer, item)
    assert_never(kind)


def _said(spec: CheckSpec, passed: bool, otherwise: str) -> Check:
    return Check(spec.name, passed, float(passed), "" if passed else otherwise)


def _plain(text: str) -> str:
    """Compared without regard to case, width (NFKC) and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _search(pattern: str, text: str) -> bool:
    """Whether the pattern is found. Raises TimeoutError."""
    return regex.search(pattern, text, timeout=_LONGEST) is not None


def _numeric(spec: CheckSpec, answer: str, expected: str) -> Check:
    wanted, found = _last_number(expected), _last_number(answer)
    if wanted is None:
        return _said(spec, False, f"the expected answer {_short(expected)} has no number")
    if found is None:
        return _said(spec, False, "the answer has no number")
    size, relative = _tolerance(spec.value)
    near = math.isclose(found, wanted, rel_tol=size if relative else 1e-12, abs_tol=0.0 if relative else size)
    return _said(spec, near, f"{found:g} instead of {wanted:g}")


def _last_number(text: str) -> float | None:
    """The last number as it is written in English: 1,234.5 is one number; a hyphen in front is a minus."""
    numbers = _NUMBER.findall(text)
    return float(numbers[-1].replace(",", "").replace("\u2212", "-")) if numbers else None


def _tolerance(value: Any) -> tuple[float, bool]:
    """How far, and whether that is a part of the expected number. Raises WrongCheck."""
    text = "0" if value is None else str(value).strip()
    relative = text.endswith("%")
    try:
        size = float(text.removesuffix("%"))
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise WrongCheck(f"numeric takes a tolerance such as 0.01 or 1%, not {text!r}")
    return (size / 100, True) if relative else (size, False)


def _schema(value: Any, folder: Path) -> Any:
    """The schema itself, read from a file if a path was given. Raises WrongCheck."""
    if isinstance(value, str):
        try:
            value = json.loads((folder / value).read_text("utf-8"))
        except (OSError, ValueError) as exc:
            raise WrongCheck(f"the schema {value} cannot be read: {exc}") from exc
    _validator(json.dumps(value))
    return value


@cache
def _validator(schema: str) -> Any:
    try:
        import jsonschema
        from referencing import Registry
    except ModuleNotFoundError as exc:
        raise WrongCheck("json_schema needs jsonschema: pip install jsonschema") from exc
    value = json.loads(schema)
    cls = jsonschema.validators.validator_for(value, default=jsonschema.Draft202012Validator)
    try:
        cls.check_schema(value)
    except jsonschema.SchemaError as exc:
        raise WrongCheck(f"the JSON schema is wrong: {exc.message}") from exc

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Any:
        if isinstance(instance, str) and not _search(wanted, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {wanted!r}")

    bounded = jsonschema.validators.extend(cls, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return bounded(value, registry=Registry())  # an empty registry: a schema's $ref fetches nothing


def _json_schema(spec: CheckSpec, answer: str) -> Check:
    blocks = _FENCED.findall(answer)
    try:
        value = json.loads(blocks[0] if len(blocks) == 1 else answer)
    except (ValueError, RecursionError) as exc:
        return _said(spec, False, f"the answer is not JSON: {exc}")
    try:
        error = next(_validator(json.dumps(spec.value)).iter_errors(value), None)
    except TimeoutError:
        return _said(spec, False, f"a pattern of the schema searched for over {_LONGEST:g} s")
    except Exception as exc:  # noqa: BLE001 - a $ref to elsewhere raises what the library likes
        return _said(spec, False, f"the schema cannot be used: {exc}")
    return _said(spec, error is None, "" if error is None else f"{error.json_path}: {error.message}"[:300])


@cache
def function_of(place: str) -> Callable[..., Any]:
    """The function at `module:attribute` or `file.py:attribute`. Raises WrongCheck."""
    module, colon, attribute = place.rpartition(":")
    if not colon:
        raise WrongCheck(f"{place!r} is not module:attribute or file.py:attribute")
    try:
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module).stem, module)
            assert spec is not None and spec.loader is not None
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
        else:
            loaded = importlib.import_module(module)
        found = getattr(loaded, attribute)
    except Exception as exc:  # somebody's own code may fail in any way
        raise WrongCheck(f"{place} cannot be imported: {type(exc).__name__}: {exc}") from exc
    if not callable(found):
        raise WrongCheck(f"{place} is not a function")
    function: Callable[..., Any] = found
    return function


def _python(spec: CheckSpec, answer: str, item: Item) -> Check:
    """The function gets the answer and the item and returns true or false, a score from 0 to 1, which passes
    from 0.5, or a Check."""
    try:
        said = function_of(spec.value)(answer, item)
    except Exception as exc:  # noqa: BLE001 - an error in it is a failed check, with the reason
        return _said(spec, False, f"{type(exc).__name__}: {exc}")
    if isinstance(said, Check):
        return said
    if isinstance(said, bool):
        return _said(spec, said, "")
    if isinstance(said, int | float) and 0 <= said <= 1:
        return Check(spec.name, said >= 0.5, float(said))
    return _said(spec, False, f"it returned {_short(repr(said))} instead of true, false or a score of 0 to 1")
