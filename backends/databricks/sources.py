"""Reads what stands beside an answer of a Databricks endpoint: its sources, and the ids of its trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backends._openai_wire.values import mapping, mappings
from chatlab.messages import Citation, StreamEvent, Trace

_SOURCE_KEYS = ("citations", "sources", "source_documents")


def citations(chunk: Mapping[str, Any]) -> list[StreamEvent]:
    """Return the `citation` that Databricks puts beside a text part, and the sources of custom outputs."""
    found: list[StreamEvent] = []
    for choice in mappings(chunk.get("choices")):
        message = mapping(choice.get("delta")) or mapping(choice.get("message"))
        for part in mappings(message.get("content")):
            if part.get("citation"):
                found += _source(part["citation"])
    return [*found, *sources(chunk.get("custom_outputs"))]


def sources(holder: object) -> list[StreamEvent]:
    found: list[StreamEvent] = []
    if isinstance(holder, Mapping):
        for key in _SOURCE_KEYS:
            for item in holder[key] if isinstance(holder.get(key), list) else []:
                found += _source(item)
    return found


def attached(message: Mapping[str, Any]) -> list[StreamEvent]:
    """Return the sources that a ChatAgent attached to a message: attachments are texts, these of JSON."""
    try:
        return sources({"sources": json.loads(mapping(message.get("attachments")).get("sources") or "")})
    except (ValueError, TypeError, RecursionError):
        return []


def _source(item: object) -> list[StreamEvent]:
    """One source: a URL or path as text, or an object as retrievers and LangChain documents write it."""
    if isinstance(item, str) and item:
        return [Citation(item, item if item.startswith(("http://", "https://")) else None)]
    if isinstance(item, Mapping):
        metadata = item.get("metadata")
        both = {**metadata, **item} if isinstance(metadata, Mapping) else item
        address = next(
            (both[k] for k in ("url", "doc_uri", "source", "uri") if isinstance(both.get(k), str)), ""
        )
        title = next(
            (both[k] for k in ("title", "name", "document_title") if isinstance(both.get(k), str)), ""
        )
        texts = ("snippet", "cited_text", "page_content", "content", "text")
        snippet = next((both[k] for k in texts if isinstance(both.get(k), str)), None)
        if title or address:
            url = address if address.startswith(("http://", "https://")) else None
            return [Citation(title or address, url, snippet)]
    return []


def first_text(body: Mapping[str, Any], *keys: str) -> str | None:
    return next((body[key] for key in keys if isinstance(body.get(key), str)), None)


class TraceOnce:
    """Finds the ids by which the workspace keeps an answer.

    The MLflow trace is told as soon as it is seen, once: in `databricks_output.trace.info`, or as MLflow's
    agent server writes it. Without one, `databricks_request_id` (the key of the inference tables) stands in.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._request: str | None = None

    def look(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        output = chunk.get("databricks_output")
        ids = [chunk.get("trace_id")]
        metadata = chunk.get("metadata")
        if isinstance(metadata, Mapping):
            ids.append(metadata.get("trace_id"))
        if isinstance(output, Mapping):
            request = output.get("databricks_request_id")
            self._request = request if isinstance(request, str) and request else self._request
            trace = output.get("trace")
            info = trace.get("info") if isinstance(trace, Mapping) else None
            if isinstance(info, Mapping):
                ids.append(info.get("trace_id") or info.get("request_id"))
        found: list[StreamEvent] = []
        for key in ids:
            if isinstance(key, str) and key and key not in self._told:
                self._told.add(key)
                found.append(Trace(key))
        return found

    def end(self) -> list[StreamEvent]:
        return [] if self._told or self._request is None else [Trace(self._request)]
