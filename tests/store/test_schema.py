"""The tables and the steps to them."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import Connection, create_engine, inspect

from chatlab.cli import main
from chatlab.errors import StoreError
from chatlab.store import schema_state
from chatlab.store._database import Database, address
from chatlab.store.migrating import alembic_config, differences, migrate
from chatlab.store.schema import VERSIONS
from chatlab.store.sql import SqlStore, open_store
from tests.store.databases import Postgres

NEWER = "UPDATE alembic_version SET version_num = '9999'"
MAKE = "python -m tests.store.test_schema > chatlab/store/newest_sqlite.sql"


async def migrated(file: Path) -> None:
    """Make a SQLite file by all the steps."""
    file.touch()
    database = Database(address(f"sqlite:{file}", Path()))
    await database.migrate(migrate)
    await database.aclose()


def contents(file: Path) -> list[Any]:
    """What a SQLite file is made of, and its rows; the tables of the search index come by themselves."""
    with sqlite3.connect(file) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY rowid").fetchall()
        rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables_of(made)}
    connection.close()
    return [made, rows]


def tables_of(made: list[tuple[str, str, str | None]]) -> list[str]:
    return [name for kind, name, _ in made if kind == "table" and not name.startswith("documents_words")]


def newest_sqlite(file: Path) -> str:
    """What newest_sqlite.sql should say."""
    made, rows = contents(file)
    shadows = [name for kind, name, _ in made if kind == "table" and name.startswith("documents_words_")]
    statements = [sql for _, name, sql in made if sql and name not in shadows]
    for name, of_it in rows.items():
        statements += [f"INSERT INTO {name} VALUES ({', '.join(map(repr, row))})" for row in of_it]
    head = f"-- The newest tables in SQLite, for a new file. Made of the steps in migrations: {MAKE}\n"
    return head + ";\n".join([*statements, ""])


async def test_a_new_sqlite_file_is_exactly_what_the_steps_make(tmp_path: Path) -> None:
    await migrated(tmp_path / "steps.db")
    there = Path(schema_state.__file__).with_name("newest_sqlite.sql").read_text("utf-8")
    assert there == newest_sqlite(tmp_path / "steps.db"), f"run: {MAKE}"
    await (await open_store("sqlite:new.db", tmp_path)).aclose()
    assert contents(tmp_path / "new.db") == contents(tmp_path / "steps.db")


def test_all_versions_are_known() -> None:
    steps = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    assert tuple(script.revision for script in steps)[::-1] == VERSIONS


@pytest.mark.parametrize("begun", VERSIONS[:-1])
async def test_an_older_sqlite_file_is_brought_to_the_newest_version(tmp_path: Path, begun: str) -> None:
    database = await schema_state.opened("sqlite:old.db", tmp_path)
    await database.migrate(lambda connection: migrate(connection, begun))
    await database.aclose()
    assert await schema_state.current("sqlite:old.db", tmp_path) == begun
    await (await open_store("sqlite:old.db", tmp_path)).aclose()
    assert await schema_state.check("sqlite:old.db", tmp_path) == "up to date"


async def test_tables_of_others_in_a_sqlite_file_stay(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "chatlab.db") as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    await (await open_store("sqlite:chatlab.db", tmp_path)).aclose()
    assert "mine" in {name for _, name, _ in contents(tmp_path / "chatlab.db")[0]}
    assert await schema_state.current("sqlite:chatlab.db", tmp_path) == VERSIONS[-1]


async def test_the_migrations_make_the_tables_that_the_code_uses(store: SqlStore, url: str) -> None:
    assert await store._database.read(differences) == []
    assert await schema_state.check(url, Path()) == "up to date"
    assert await schema_state.current(url, Path()) == "0007"
    await schema_state.upgrade(url, Path())
    assert await schema_state.check(url, Path()) == "up to date"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE turns ADD COLUMN mine TEXT",
        "DROP TABLE receipts",
        "DROP INDEX ix_conversations_recent",
    ],
)
async def test_tables_that_somebody_changed_are_said_to_differ(
    store: SqlStore, url: str, change: str
) -> None:
    await store._database.write(Connection.exec_driver_sql, change)
    assert await schema_state.check(url, Path()) == "differs"


async def test_a_database_of_a_newer_chatlab_is_left_alone(store: SqlStore, url: str) -> None:
    await store._database.write(Connection.exec_driver_sql, NEWER)
    await store._database.write(Connection.exec_driver_sql, "UPDATE served_since SET version = '9999'")
    assert await schema_state.check(url, Path()) == "ahead"
    for attempt in (open_store(url), schema_state.upgrade(url, Path())):
        with pytest.raises(StoreError, match="newer chatlab"):
            await attempt


async def test_a_server_goes_on_with_tables_of_a_newer_chatlab_that_still_serve_it(
    postgres_of_this_version: Postgres,
) -> None:
    url = postgres_of_this_version.new()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(NEWER)
    store = await open_store(url)
    await store.create("owner")
    await store.aclose()
    assert await schema_state.check(url, Path()) == "ahead"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE served_since")
    with pytest.raises(StoreError, match="newer chatlab"):
        await open_store(url)
    postgres_of_this_version.drop(url)


def test_each_step_leaves_the_tables_such_that_the_chatlab_before_it_goes_on(postgres: Postgres) -> None:
    """Or says otherwise in `served_since`: while servers are replaced one by one, both use them."""
    url = postgres.new(template="template0")
    engine = create_engine(address(url, Path()))
    before: dict[str, dict[str, Any]] = {}
    for version in VERSIONS:
        with engine.begin() as connection:
            migrate(connection, version)
            seen = inspect(connection)
            tables = {
                name: {column["name"]: column for column in seen.get_columns(name)}
                for name in seen.get_table_names()
            }
        for table, columns in before.items():
            assert columns.keys() <= tables[table].keys(), f"{version} takes something from {table}"
            for name in tables[table].keys() - columns.keys():
                added = tables[table][name]
                assert added["nullable"] or added["default"], f"{version}: {table}.{name} is demanded"
        before = tables
    engine.dispose()
    postgres.drop(url)


async def test_postgres_is_not_migrated_by_opening_it(postgres: Postgres) -> None:
    url = postgres.new(template="template0")
    assert await schema_state.current(url, Path()) is None
    with pytest.raises(StoreError, match="chatlab db upgrade CONFIG"):
        await open_store(url)
    assert await schema_state.check(url, Path()) == "behind"
    await schema_state.upgrade(url, Path())
    await (await open_store(url)).aclose()


async def test_a_sqlite_file_is_made_where_it_is_said_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    store = await open_store("sqlite:data/deep/chatlab.db", tmp_path)
    await store.create("owner")
    file = tmp_path / "data" / "deep" / "chatlab.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    await store.aclose()
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_asking_where_a_database_stands_makes_none(tmp_path: Path) -> None:
    assert await schema_state.current("sqlite:data/chatlab.db", tmp_path) is None
    assert await schema_state.check("sqlite:data/chatlab.db", tmp_path) == "behind"
    assert list(tmp_path.iterdir()) == []


async def test_several_who_open_a_new_database_at_once_all_succeed(tmp_path: Path) -> None:
    stores = await asyncio.gather(*(open_store("sqlite:chatlab.db", tmp_path) for _ in range(5)))
    made = [await store.create("owner") for store in stores]
    assert len((await stores[0].recent("owner")).conversations) == len(made)
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite:", "sqlite::memory:", "mysql://x", "chatlab.db"])
def test_an_address_that_is_none_is_an_error_with_a_sentence(url: str) -> None:
    with pytest.raises(StoreError, match=r"storage\.url"):
        address(url, Path())


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(StoreError) as caught:
        address("postgresql://me:hunter2secret@host:noport/db", Path())
    assert "hunter2secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_the_migrations_are_in_the_package() -> None:
    folder = Path(schema_state.__file__).parent / "migrations"
    assert (folder / "env.py").is_file()
    steps = [
        "v0001_first.py",
        "v0002_sign_ins.py",
        "v0003_tokens.py",
        "v0004_replicas.py",
        "v0005_spent.py",
        "v0006_audiences.py",
        "v0007_allowances.py",
    ]
    assert [file.name for file in sorted((folder / "versions").glob("v*.py"))] == steps


@pytest.mark.parametrize("state", ["behind", "ahead"])
def test_serve_refuses_a_postgres_whose_tables_are_not_its_own(
    postgres_of_this_version: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    if state == "behind":
        postgres_of_this_version.execute("CREATE DATABASE serve_behind")
        url = postgres_of_this_version.url("serve_behind")
    else:
        url = postgres_of_this_version.new()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'future'")
            connection.execute("UPDATE served_since SET version = 'future'")
    monkeypatch.setenv("CHATLAB_TEST_DATABASE", url)
    config = tmp_path / "lab.yaml"
    config.write_text("backends: {a: {kind: echo}}\nstorage: {url: {env: CHATLAB_TEST_DATABASE}}\n")
    monkeypatch.setattr("chatlab.web.server.serve", lambda *_: pytest.fail("it serves"))
    done = CliRunner().invoke(main, ["serve", str(config), "--port", "0"], prog_name="chatlab")
    assert done.exit_code == 1
    assert ("chatlab db upgrade" if state == "behind" else "newer chatlab") in done.stderr


def test_serve_begins_while_a_postgres_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATLAB_TEST_DATABASE", "postgresql://nobody@127.0.0.1:1/none")
    config = tmp_path / "lab.yaml"
    config.write_text("backends: {a: {kind: echo}}\nstorage: {url: {env: CHATLAB_TEST_DATABASE}}\n")
    served: list[object] = []
    monkeypatch.setattr("chatlab.web.server.serve", lambda *args: served.append(args))
    done = CliRunner().invoke(main, ["serve", str(config), "--port", "0"], prog_name="chatlab")
    assert served and done.exit_code == 0 and "nothing is kept until it is there" in done.stderr


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(migrated(Path(folder, "steps.db")))
        sys.stdout.write(newest_sqlite(Path(folder, "steps.db")))
