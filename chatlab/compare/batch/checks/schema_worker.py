"""The process in which JSON schemas are worked with: a line of JSON in, a line of JSON out.

A file by itself, since it is run as one: it imports nothing of chatlab, and starts quickly.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any

import regex

LONGEST = 1.0  # seconds a pattern of a schema may search
_LONGEST_PROBLEM = 300  # characters of it that are told


def main() -> None:
    """Answer until there is nothing more to read."""
    with contextlib.suppress(ModuleNotFoundError):
        import jsonschema  # noqa: F401 - its import is a part of the start
    _say("ready")
    for line in sys.stdin:
        what, schema, value = json.loads(line)
        _say(_problem(what, schema, value)[:_LONGEST_PROBLEM])


def _say(text: str) -> None:
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


def _problem(what: str, schema: str, value: str) -> str:
    try:
        if what == "schema":
            _validator(schema)
            return ""
        error = next(_validator(schema).iter_errors(json.loads(value)), None)
    except TimeoutError:
        return f"a pattern of the schema searched for over {LONGEST:g} s"
    except ModuleNotFoundError:
        return "json_schema needs jsonschema: pip install jsonschema"
    except Exception as exc:  # noqa: BLE001 - a $ref to elsewhere raises what the library likes
        if type(exc).__name__ == "SchemaError":
            return f"the JSON schema is wrong: {getattr(exc, 'message', exc)}"
        return f"the schema cannot be used: {exc}"
    return "" if error is None else f"{error.json_path}: {error.message}"


def _key(value: Any) -> Hashable:
    """Return what is equal for two values if they are equal in JSON: 1 and 1.0 are, 1 and true are not.

    The library compares each element with each other one, which takes minutes for some ten thousand.
    """
    if isinstance(value, list):
        return ("array", *map(_key, value))
    if isinstance(value, dict):
        return "object", frozenset((name, _key(item)) for name, item in value.items())
    return isinstance(value, bool), value


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    import jsonschema
    from referencing import Registry

    value = json.loads(schema)
    cls: Any = jsonschema.validators.validator_for(value, default=jsonschema.Draft202012Validator)
    cls.check_schema(value)

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[Any]:
        if isinstance(instance, str) and regex.search(wanted, instance, timeout=LONGEST) is None:
            yield jsonschema.ValidationError(f"{instance!r} does not match {wanted!r}")

    def unique_items(_: Any, wanted: bool, instance: Any, __: Any) -> Iterator[Any]:
        if wanted and isinstance(instance, list) and len(set(map(_key, instance))) < len(instance):
            yield jsonschema.ValidationError("the array has elements that are equal")

    keywords = {"pattern": pattern, "uniqueItems": unique_items}
    bounded = jsonschema.validators.extend(cls, keywords)  # type: ignore[no-untyped-call]
    return bounded(value, registry=Registry())  # an empty registry: a schema's $ref fetches nothing


if __name__ == "__main__":
    main()
