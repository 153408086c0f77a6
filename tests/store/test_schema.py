"""The schema: migrations reach what schema.sql says, and are applied once, by whoever comes."""

import asyncio

import psycopg
import pytest

from browserpool.model import errors
from browserpool.store import connect, migrate, queries
from support import postgres

CATALOGUE = {
    "columns": """select table_name, column_name, data_type, udt_name, collation_name, column_default, is_nullable
        from information_schema.columns where table_schema = 'public'""",
    "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
    "constraints": """select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace""",
    "functions": "select p.oid::regprocedure::text, pg_get_functiondef(p.oid) from pg_proc p where pronamespace = 'public'::regnamespace",
    "triggers": "select tgrelid::regclass::text, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
    "enums": "select t.typname, e.enumlabel, e.enumsortorder from pg_enum e join pg_type t on t.oid = e.enumtypid",
    "sequences": """select sequencename, data_type, start_value, max_value, increment_by, cache_size from pg_sequences
        where schemaname = 'public'""",
    "options": "select relname, reloptions from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')",
}


def catalogue(dsn):
    with psycopg.connect(dsn) as connection:
        return {what: sorted(map(repr, connection.execute(query).fetchall())) for what, query in CATALOGUE.items()}


def test_the_migrations_reach_the_schema(dsn, empty):
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(queries.text("schema.sql").encode())
    migrated, stated = catalogue(dsn), catalogue(empty)
    assert len(stated["functions"]) >= 4
    for what in CATALOGUE:
        assert migrated[what] == stated[what]


async def test_appliers_at_the_same_time_apply_each_once(empty):
    applied = await asyncio.gather(*(migrate.apply(empty) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(queries.migrations())]
    assert await migrate.apply(empty) == []


async def test_a_database_of_a_newer_version_is_left_alone(dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into migrations (version, name) values (9999, '9999_from_the_future')")
    with pytest.raises(errors.SchemaTooNew, match="9999_from_the_future"):
        await migrate.apply(dsn)


async def test_a_database_without_the_schema_is_named_as_that(empty):
    async with connect.opened(empty, process="tests") as db:
        with pytest.raises(errors.Unavailable, match="browserpool migrate"):
            await migrate.require(db)


async def test_a_database_that_is_not_there_is_told_in_time():
    with pytest.raises(errors.Unavailable):
        async with connect.opened("host=/nowhere dbname=none", process="tests", deadline=0.5):
            pass


def test_the_fixture_really_migrates(dsn):
    assert postgres.BIN.exists()
    assert any("browsers" in row for row in catalogue(dsn)["columns"])
