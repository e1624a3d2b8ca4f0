"""The tools against a workspace: what they send, what they give a model, and what they refuse to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chatlab.agent.config import load_agent
from chatlab.agent.rights import Rights
from chatlab.agent.tools import make_tools
from chatlab.agent.tools.statements import not_only_reading
from tests.servers.data_of_workspace import FUNCTION, WAREHOUSE, DataOfWorkspace

Project = Callable[..., Path]


@pytest.fixture
def tool(data: DataOfWorkspace, project: Project) -> Callable[[str], Any]:
    """Makes one tool, with the rights of ann."""

    def make(name: str, more: str = "") -> Any:
        file = project(name)
        file.write_text(file.read_text().replace("}", f"{more}}}"))
        rights = Rights(data.workspace.url, SecretStr(data.workspace.person("ann@example.com")))
        made = make_tools(load_agent(file), rights)
        assert made.skipped == ()
        return made.tools[0]

    return make


def called(tool: Any, **arguments: Any) -> Any:
    return tool.invoke({"name": tool.name, "args": arguments, "id": "1", "type": "tool_call"})


def test_a_search_sends_its_columns_filter_and_number(data: DataOfWorkspace, tool: Any) -> None:
    found = called(tool("search", ", results: 1, filters: {team: docs}"), query="what are lanes?")
    assert found.content == "[1] Lanes\nLanes are columns."
    assert [one.metadata["url"] for one in found.artifact] == ["https://docs.example.com/lanes"]
    assert data.calls[-1].body == {
        "columns": ["id", "text", "title", "url"],
        "query_text": "what are lanes?",
        "num_results": 1,
        "filters_json": '{"team": "docs"}',
    }


def test_a_function_has_the_parameters_of_the_catalog_and_values_are_never_part_of_the_statement(
    data: DataOfWorkspace, tool: Any
) -> None:
    made = tool("function")
    assert made.description == "Says it louder."
    assert made.args == {"what": {"title": "What", "type": "string", "description": "What to say."}}
    assert "IT'S ME" in called(made, what="it's me").content
    sent = data.calls[-1].body
    assert sent["warehouse_id"] == WAREHOUSE and sent["on_wait_timeout"] == "CANCEL"
    assert sent["statement"] == f"SELECT `{FUNCTION.replace('.', '`.`')}`(what => :what) AS result"
    assert sent["parameters"] == [{"name": "what", "type": "STRING", "value": "it's me"}]


def test_a_query_returns_rows_up_to_its_limit_and_says_so(data: DataOfWorkspace, tool: Any) -> None:
    data.database.executescript("create table t (n, w); insert into t values (1,'a'), (2,'b'), (3,null);")
    found = called(tool("sql"), statement="SELECT n, w FROM t ORDER BY n")
    assert found.content.splitlines() == ['["n", "w"]', '["1", "a"]', '["2", "b"]', "(only the first 2 rows)"]
    assert data.calls[-1].body["row_limit"] == 2


def test_more_statements_than_allowed_for_an_answer_are_not_run(data: DataOfWorkspace, tool: Any) -> None:
    made = tool("sql")
    replies = [called(made, statement="SELECT 1") for _ in range(3)]
    assert [one.status for one in replies] == ["success", "success", "error"]
    assert "2 statements were run, which is the limit" in replies[-1].content
    assert len(data.calls) == 2


def test_what_the_warehouse_refuses_is_told_to_the_model(data: DataOfWorkspace, tool: Any) -> None:
    found = called(tool("sql"), statement="SELECT 1 FROM nowhere")
    assert found.status == "error" and "no such table: nowhere" in found.content


def test_a_right_that_is_taken_away_meanwhile_is_told_to_the_model(data: DataOfWorkspace, tool: Any) -> None:
    made = tool("sql")
    data.allowed[WAREHOUSE] = set()
    found = called(made, statement="SELECT 1")
    assert found.status == "error" and "ann@example.com has no permission" in found.content


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        " select 'drop table x; insert' as a -- delete\n;",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SHOW TABLES",
        "DESCRIBE main.docs.articles",
        "SELECT `set`, replace(a, 'x', 'y') FROM t",
        "(SELECT 1)",
    ],
)
def test_statements_that_read_are_run(statement: str) -> None:
    assert not_only_reading(statement) is None


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "-- nothing",
        "DROP TABLE t",
        "SELECT 1; DROP TABLE t",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "FROM t INSERT INTO u SELECT *",
        "EXPLAIN DELETE FROM t",
        "SELECT 'open",
        "SELECT 1 /* open",
        "SELECT 1 /* a */; /* b */ DELETE FROM t",
        "SET x = 1",
        "CALL p()",
        "SELECT '\\'; DROP TABLE t; --'; DELETE FROM t",
    ],
)
def test_statements_that_may_change_something_are_not(statement: str) -> None:
    assert not_only_reading(statement) is not None


def test_a_refused_statement_reaches_no_warehouse(data: DataOfWorkspace, tool: Any) -> None:
    found = called(tool("sql"), statement="DELETE FROM t")
    assert found.status == "error" and "it begins with delete" in found.content
    assert data.calls == []
