"""Scripts and EXECUTE IMMEDIATE: the statements within statements."""

import pytest

from dbminer_dagster.mining.sql_reads import referenced_tables

# Script: tables read, tables written.
SCRIPTS = {
    "statements": ("BEGIN SELECT * FROM a; INSERT INTO w SELECT * FROM b; END", "a b", "w"),
    "atomic": ("BEGIN ATOMIC DELETE FROM w WHERE i IN (SELECT i FROM a); END", "a", "w"),
    "nested": ("BEGIN BEGIN SELECT * FROM a; END; SELECT * FROM b; END", "a b", ""),
    "label": ("l: BEGIN SELECT * FROM a; END l", "a", ""),
    "inner_label": ("BEGIN l: LOOP SELECT * FROM a; LEAVE l; END LOOP l; END", "a", ""),
    "condition": ("BEGIN IF (SELECT max(x) FROM a) > 1 THEN SELECT * FROM b; "
                  "ELSEIF EXISTS (SELECT 1 FROM c) THEN SELECT * FROM d; "
                  "ELSE SELECT * FROM e; END IF; END", "a b c d e", ""),
    "case": ("BEGIN CASE (SELECT x FROM a) WHEN 1 THEN SELECT * FROM b; "
             "WHEN CASE WHEN true THEN 2 END THEN SELECT * FROM c; END CASE; END", "a b c", ""),
    "case_of_conditions": ("BEGIN CASE WHEN EXISTS (SELECT 1 FROM a) THEN SELECT 1; END CASE; END",
                           "a", ""),
    "while": ("BEGIN WHILE (SELECT x FROM a) DO SELECT * FROM b; END WHILE; END", "a b", ""),
    "repeat": ("BEGIN REPEAT SELECT * FROM a; UNTIL (SELECT true FROM b) END REPEAT; "
               "SELECT * FROM c; END", "a b c", ""),
    "for": ("BEGIN FOR r AS SELECT * FROM a DO INSERT INTO w VALUES (r.x); END FOR; END",
            "a", "w"),
    "for_without_name": ("BEGIN FOR SELECT * FROM a DO SELECT 1; END FOR; END", "a", ""),
    "declaration": ("BEGIN DECLARE OR REPLACE VARIABLE n INT DEFAULT (SELECT max(x) FROM a); END",
                    "a", ""),
    "assignment": ("BEGIN SET VAR n = (SELECT max(x) FROM a); SET n = 1; END", "a", ""),
    "return": ("BEGIN RETURN (SELECT max(x) FROM a); END", "a", ""),
    "handler": ("BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION, NOT FOUND BEGIN "
                "INSERT INTO w SELECT 1; END; SELECT * FROM a; END", "a", "w"),
    "handler_of_one": ("BEGIN DECLARE CONTINUE HANDLER FOR SQLSTATE '1' INSERT INTO w SELECT 1; "
                       "END", "", "w"),
    "cursor": ("BEGIN DECLARE c CURSOR FOR SELECT x FROM a; OPEN c; FETCH c INTO n; CLOSE c; END",
               "a", ""),
    "metadata": ("BEGIN DROP TABLE x; CALL p(1); SIGNAL s; SELECT * FROM a; END", "a", ""),
    "use": ("BEGIN USE c.s; SELECT * FROM a; END", "c.s.a", ""),
    "temporary_view": ("BEGIN CREATE TEMP VIEW v AS SELECT * FROM a; SELECT * FROM v; END", "a",
                       ""),
    "case_in_a_statement": ("BEGIN SELECT CASE WHEN x THEN 1 ELSE 2 END FROM a; "
                            "SELECT * FROM b; END", "a b", ""),
    "end_missing": ("BEGIN SELECT * FROM a", "a", ""),
    "empty": ("BEGIN END", "", ""),
    "executed": ("BEGIN EXECUTE IMMEDIATE 'SELECT * FROM a'; END", "a", ""),
    "transaction": ("BEGIN TRANSACTION; INSERT INTO w SELECT * FROM a; COMMIT", "a", "w"),
    "bare_transaction": ("BEGIN; INSERT INTO w SELECT * FROM a; COMMIT", "a", "w"),
    "procedure": ("CREATE OR REPLACE PROCEDURE p(x INT) LANGUAGE SQL AS BEGIN "
                  "INSERT INTO w SELECT * FROM a; END", "", ""),
    "execute": ("EXECUTE IMMEDIATE 'INSERT INTO w SELECT * FROM a'", "a", "w"),
    "execute_with_values": ("EXECUTE IMMEDIATE 'SELECT * FROM a WHERE x = ?' INTO n USING 1",
                            "a", ""),
    "execute_within_if": ("BEGIN IF true THEN EXECUTE IMMEDIATE 'SELECT * FROM a'; END IF; END",
                          "a", ""),
    "executes_an_execute": ("EXECUTE IMMEDIATE \"EXECUTE IMMEDIATE 'SELECT * FROM a'\"", "a", ""),
}  # fmt: skip

FAILING = {
    "words": "BEGIN hello world; END",
    "execute_garbage": "EXECUTE IMMEDIATE 'hello world'",
    "execute_something": "EXECUTE p",
    "label_without_script": "l: hello",
}

HOSTILE = {
    "cases": "BEGIN " + "CASE WHEN a THEN " * 20_000,
    "declarations": "BEGIN " + "DECLARE x HANDLER FOR " * 20_000,
    "loops": "BEGIN " + "FOR x AS " * 20_000,
    "parentheses": "BEGIN " + "SET x = (" * 20_000,
    "variables": "BEGIN " + "".join(f"DECLARE v{i} INT; " for i in range(20_000)),
    "begins": "BEGIN " * 20_000,
    "labels": "BEGIN " + "a: " * 20_000,
}


@pytest.mark.parametrize(("sql", "reads", "writes"), SCRIPTS.values(), ids=SCRIPTS)
def test_statements_of_a_script(sql: str, reads: str, writes: str) -> None:
    """A script uses what its statements, conditions and loops use, each parsed by itself."""
    found = referenced_tables(sql)
    assert found.error is None
    assert (set(found.reads), set(found.writes)) == (set(reads.split()), set(writes.split()))
    assert found.attribution == "parsed"


def test_columns_of_a_script() -> None:
    """Statements of a script have columns as they have alone."""
    found = referenced_tables("BEGIN IF true THEN SELECT a FROM t WHERE b = 1; END IF; END")
    assert found.columns == {("t", "a"), ("t", "b")}


def test_one_statement_beyond_us_does_not_spoil_a_script() -> None:
    """What a script does elsewhere still counts, and the statement is counted as unknown."""
    found = referenced_tables("BEGIN frobnicate everything; SELECT * FROM a; END")
    assert found.reads == {"a"}
    assert found.unknowns == {("script_statement", "frobnicate")}


def test_a_scanned_statement_makes_a_script_scanned() -> None:
    """Where one statement had to be scanned for names, the text counts as scanned."""
    found = referenced_tables("BEGIN SELECT * FROM t FOR SYSTEM_VERSION AS OF 3; END")
    assert found.attribution == "scanned"


@pytest.mark.parametrize("sql", FAILING.values(), ids=FAILING)
def test_what_holds_no_statement_is_not_understood(sql: str) -> None:
    """A script or text of which nothing can be understood is an error."""
    found = referenced_tables(sql)
    assert found.error
    assert not found.reads


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_hostile_scripts_come_to_an_end(sql: str) -> None:
    """However a script repeats itself, each token is looked at a few times at most."""
    found = referenced_tables(sql)
    assert found.reads == frozenset()
