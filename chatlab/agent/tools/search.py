"""Search in an index of Databricks Vector Search, by the REST interface that AI Search has, too."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.documents import Document
from langchain_core.tools import BaseTool, StructuredTool

from chatlab.agent.config import SearchTool
from chatlab.agent.tools.errors import told


def search_tool(tool: SearchTool, client: Any) -> BaseTool:
    """Return the tool. Raises what the SDK raises where the index cannot be looked at."""
    index = client.vector_search_indexes.get_index(tool.index)
    text = tool.text or tool.columns[0]
    columns = list(dict.fromkeys([*tool.columns, text, *(filter(None, (tool.title, tool.url)))]))

    def search(query: str) -> tuple[str, list[Document]]:
        with told(tool.name):
            found = client.vector_search_indexes.query_index(
                tool.index,
                columns,
                query_text=query,
                num_results=tool.results,
                filters_json=json.dumps(dict(tool.filters)) if tool.filters else None,
                query_type=tool.query_type,
            )
        documents = _documents(found, tool, text)
        listed = [
            f"[{n}] {one.metadata.get('title', '')}\n{one.page_content}" for n, one in enumerate(documents, 1)
        ]
        return "\n\n".join(listed) or "Nothing was found.", documents

    described = tool.description or f"Searches {index.name or tool.index} for what a text is about."
    return StructuredTool.from_function(
        search, name=tool.name, description=described, response_format="content_and_artifact"
    )


def _documents(found: Any, tool: SearchTool, text: str) -> list[Document]:
    """Return the rows as documents: their text, and the other columns and the score beside it."""
    names = [column.name for column in (found.manifest.columns if found.manifest else None) or ()]
    rows = (found.result.data_array if found.result else None) or ()
    documents = []
    for row in rows:
        values = dict(zip(names, row, strict=False))
        beside = {name: value for name, value in values.items() if name != text}
        if tool.title:
            beside["title"] = values.get(tool.title)
        if tool.url:
            beside["url"] = values.get(tool.url)
        beside["source"] = beside.get("url") or tool.index
        documents.append(Document(str(values.get(text) or ""), metadata=beside))
    return documents
