"""The OpenAPI description of text-generation-inference, as a judge of requests and answers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

OPENAPI = Path(__file__).parent.parent / "data" / "tgi-openapi.json"


@cache
def _schemas() -> dict[str, Any]:
    components = json.loads(OPENAPI.read_text("utf-8"))["components"]["schemas"]
    return {name: _json_schema(schema) for name, schema in components.items()}


def _json_schema(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable`, beside `allOf` too, becomes a choice."""
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {
        key: _json_schema(value) for key, value in schema.items() if key not in ("nullable", "example")
    }
    if schema.get("type") == "object" and "properties" in schema:
        converted["properties"] = {name: _json_schema(value) for name, value in schema["properties"].items()}
    if "$ref" in converted:
        converted["$ref"] = converted["$ref"].replace("#/components/schemas/", "#/$defs/")
    return {"anyOf": [converted, {"type": "null"}]} if schema.get("nullable") is True else converted


@cache
def _validator(name: str, strict: bool) -> jsonschema.Draft202012Validator:
    schemas = _schemas()
    root = dict(schemas[name])
    if strict and "properties" in root:  # the server would leave an unknown field out; a test wants to know
        root["additionalProperties"] = False
    definitions = schemas
    if strict:
        parameters = {**schemas["GenerateParameters"], "additionalProperties": False}
        definitions = {**schemas, "GenerateParameters": parameters}
    return jsonschema.Draft202012Validator({**root, "$defs": definitions})


def problems_of(name: str, value: Any, *, strict: bool = False) -> list[str]:
    """How a value differs from the schema of this name. strict: unknown fields count, too."""
    return [
        f"{name}: {'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message}"
        for error in _validator(name, strict).iter_errors(value)
    ]
