"""The configuration as a JSON Schema, for completion and checking in editors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from chatlab.backend import Backend, Parameter
from chatlab.config.models import BackendConfig, Config
from chatlab.config.registry import backend_class, kinds
from chatlab.errors import ConfigError

COMMON: tuple[str, ...] = tuple(name for name in BackendConfig.model_fields if name != "options")
"""The keys that an entry of any kind has."""


def json_schema(only: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    only: the kinds to describe; without it all of them, those of installed plugins included. An entry of a
    plugin that cannot be imported is not checked.
    """
    wanted = sorted(kinds() if only is None else only)
    classes = {}
    for kind in wanted:
        try:
            classes[kind] = backend_class(kind)
        except ConfigError:
            if only is not None:
                raise
    models: dict[str, type[BaseModel]] = {"": Config, **{kind: cls.Options for kind, cls in classes.items()}}
    refs, definitions = models_json_schema([(model, "validation") for model in models.values()])
    defs: dict[str, Any] = definitions["$defs"]

    def definition(model: type[BaseModel]) -> dict[str, Any]:
        found: dict[str, Any] = defs[refs[model, "validation"]["$ref"].rpartition("/")[2]]
        return found

    common = {name: field for name, field in defs["BackendConfig"]["properties"].items() if name in COMMON}
    branches = []
    for kind, cls in classes.items():
        own = definition(cls.Options)
        described = {"const": kind, "description": (cls.__doc__ or "").strip().partition("\n")[0]}
        parameters = {**common["parameters"], "properties": _for_completion(usual_parameters(cls))}
        defs[f"backend.{kind}"] = {
            "type": "object",
            "title": kind,
            "description": described["description"],
            "properties": {
                **common,
                "parameters": parameters,
                "kind": described,
                **own.get("properties", {}),
            },
            "required": ["kind", *own.get("required", [])],
            "additionalProperties": False,
        }
        branches.append(
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/backend.{kind}"},
            }
        )
    defs["BackendConfig"] = {
        "type": "object",
        "description": "One backend: its kind, what all kinds have, and the options of its kind.",
        # Repeated here for editors, which offer these before the kind is written.
        "properties": {**common, "kind": {**common["kind"], "enum": wanted}},
        "required": ["kind"],
        "allOf": branches,
    }
    root = dict(definition(Config))
    root["patternProperties"] = {"^x-": {"description": "A place for YAML anchors; not read."}}
    for model in models.values():
        name = refs[model, "validation"]["$ref"].rpartition("/")[2]
        defs.pop(name, None)
    used = _reachable(root, defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chatlab configuration",
        **{key: value for key, value in root.items() if key != "title"},
        "$defs": {name: defs[name] for name in sorted(used)},
    }


_PARAMETER_TYPES: dict[str, dict[str, Any]] = {
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "strings": {"type": "array", "items": {"type": "string"}},
    "json": {},
}


def usual_parameters(cls: type[Backend]) -> tuple[Parameter, ...]:
    """The parameters of a backend that is configured with no more than an address has."""
    values = {} if cls.address_field is None else {cls.address_field: "x:x"}
    try:
        return cls.capabilities(cls.Options.model_validate(values)).parameters
    except ValidationError:
        return ()


def _for_completion(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Only for editors to offer: names and ranges may depend on the options, so only types are checked."""
    offered = {}
    for parameter in parameters:
        shape = {"enum": [*parameter.choices]} if parameter.choices else _PARAMETER_TYPES[parameter.type]
        several = parameter.choices and parameter.type == "strings"
        offered[parameter.name] = {
            "description": parameter.description,
            "anyOf": [{"type": "array", "items": shape} if several else shape, {"type": "null"}],
        }
    return offered


def _reachable(root: dict[str, Any], defs: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    todo: list[Any] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, dict):
            todo.extend(node.values())
            reference = node.get("$ref")
            if isinstance(reference, str):
                name = reference.rpartition("/")[2]
                if name not in found:
                    found.add(name)
                    todo.append(defs[name])
    return found
