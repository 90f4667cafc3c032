"""Find table names in a statement by its keywords alone, where the parser gives up.

The scan knows clauses and parentheses, no expressions: it finds tables, no columns.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlglot import Token, TokenType

from dbminer_dagster.mining.names import name_parts
from dbminer_dagster.mining.references import Findings
from dbminer_dagster.mining.sql_tokens import closings, read_name, word
from dbminer_dagster.mining.sql_trees import NAMING_FUNCTIONS
from dbminer_dagster.mining.sql_words import (
    BEFORE_INTO,
    BEFORE_STATEMENT,
    ENDS_FROM,
    NO_TABLE_CLAUSE,
    STARTS_QUERY,
)

# `CREATE OR REPLACE GLOBAL TEMPORARY` is the longest phrase before TABLE or VIEW.
MAX_CREATE_WORDS = 5


@dataclass(slots=True)
class _Frame:
    """One level of parentheses."""

    is_query: bool = False
    expects_source: bool = False
    in_from: bool = False
    in_merge: bool = False
    defines: str = ""
    ctes: list[str] = field(default_factory=list)


def scan(tokens: Sequence[Token], findings: Findings) -> None:
    """Note in `findings` the tables that the keywords in `tokens` announce."""
    _Scan(tokens, findings).run()


class _Scan:
    """One pass over the tokens of a statement or a script."""

    def __init__(self, tokens: Sequence[Token], findings: Findings) -> None:
        self.tokens = tokens
        self.findings = findings
        self.after = closings(tokens)
        self.index = 0
        self.frames = [_Frame(is_query=True)]
        self.ctes = Counter[str]()
        self.created: list[str] = []

    def word(self, index: int) -> str:
        return word(self.tokens, index)

    def run(self) -> None:
        while self.index < len(self.tokens):
            frame, word = self.frames[-1], self.word(self.index)
            if self.word(self.index - 1) == ".":
                self.index += 1
            elif word in _ACTIONS or word in ENDS_FROM:
                self.index += 1
                if word in ENDS_FROM:
                    frame.in_from = frame.expects_source = False
                if word in _ACTIONS:
                    _ACTIONS[word](self, frame)
            elif frame.expects_source and word != "STREAM":
                frame.expects_source = False
                self.source()
            else:
                self.index += 1

    def source(self) -> None:
        """Read the name at the index, if it is one and is not a function's."""
        parts = self.name()
        if len(parts) == 1 and self.ctes[parts[0].lower()]:
            return
        if parts and self.word(self.index) != "(":
            self.findings.read(parts)

    def name(self) -> list[str]:
        """The parts of the name at the index, which moves behind it."""
        start = self.index
        if self.word(start) in NAMING_FUNCTIONS and self.word(start + 1) == "(":
            literal = self.tokens[start + 2 : start + 3]
            if literal and literal[0].token_type == TokenType.STRING:
                self.index = self.after[start + 1]
                return [part.strip() for part in name_parts(literal[0].text)]
        parts, self.index = read_name(self.tokens, start)
        self.index = max(self.index, start + 1)
        return parts

    def skip(self, *words: str) -> bool:
        """Move over `words` when they are next."""
        if any(self.word(self.index + offset) != word for offset, word in enumerate(words)):
            return False
        self.index += len(words)
        return True

    def write(self) -> None:
        """Note the name at the index as a target."""
        self.skip("TABLE")
        if self.word(self.index) not in {"DIRECTORY", "LOCAL"} and (parts := self.name()):
            self.findings.write(parts)

    # ---- one method per keyword; the index stands behind it --------------------------------

    def open(self, frame: _Frame) -> None:
        expects, frame.expects_source = frame.expects_source, False
        self.frames.append(_Frame(expects_source=expects, in_from=expects))

    def close(self, frame: _Frame) -> None:
        if len(self.frames) > 1:
            self.ctes.subtract(self.frames.pop().ctes)
        if frame.defines:
            self.define(frame.defines)
            if self.skip(","):
                self.common_table()

    def semicolon(self, _: _Frame) -> None:
        self.frames = [_Frame(is_query=True)]
        self.ctes.clear()
        self.created = []

    def comma(self, frame: _Frame) -> None:
        frame.expects_source = frame.in_from

    def select(self, frame: _Frame) -> None:
        frame.is_query = True

    def from_(self, frame: _Frame) -> None:
        previous = self.word(self.index - 2)
        if previous == "DELETE":
            self.write()
        elif previous == "DISTINCT" and self.word(self.index - 3) in {"IS", "NOT"}:
            return
        elif frame.is_query or previous == "(":
            frame.is_query = frame.expects_source = frame.in_from = True

    def join(self, frame: _Frame) -> None:
        frame.expects_source = frame.in_from = True

    def lateral(self, frame: _Frame) -> None:
        if self.skip("VIEW"):
            frame.in_from = False

    def using(self, frame: _Frame) -> None:
        frame.expects_source, frame.in_merge = frame.in_merge, False

    def merge(self, frame: _Frame) -> None:
        frame.in_merge = True

    def into(self, _: _Frame) -> None:
        if self.word(self.index - 2) in BEFORE_INTO or self.word(self.index) == "TABLE":
            self.write()

    def overwrite(self, _: _Frame) -> None:
        if self.word(self.index - 2) in {"INSERT", "EVOLUTION"}:
            self.skip("INTO")
            self.write()

    def update(self, _: _Frame) -> None:
        if self.word(self.index) != "SET" and self.starts_statement():
            self.write()

    def truncate(self, _: _Frame) -> None:
        if self.starts_statement():
            self.write()

    def starts_statement(self) -> bool:
        return self.index == 1 or self.word(self.index - 2) in BEFORE_STATEMENT

    def table(self, frame: _Frame) -> None:
        frame.expects_source = self.word(self.index - 2) not in NO_TABLE_CLAUSE

    def clone(self, _: _Frame) -> None:
        self.source()

    def with_(self, _: _Frame) -> None:
        if self.word(self.index) != "SCHEMA":
            self.common_table()

    def common_table(self) -> None:
        """Step into a common table expression; its name counts from its end, or from here."""
        is_recursive = self.skip("RECURSIVE")
        parts, index = read_name(self.tokens, self.index)
        if self.word(index) == "(":
            index = self.after[index]
        if len(parts) != 1 or self.word(index) != "AS" or self.word(index + 1) != "(":
            return
        name = parts[0].lower()
        if is_recursive:
            self.define(name)
        self.index = index + 2
        self.frames.append(_Frame(defines=name))

    def define(self, name: str) -> None:
        """Let `name` be a common table expression up to the end of the innermost frame."""
        self.frames[-1].ctes.append(name)
        self.ctes[name] += 1

    def create(self, _: _Frame) -> None:
        """`CREATE [OR REPLACE] … TABLE|VIEW [IF NOT EXISTS] name`, and `REPLACE TABLE name`."""
        if not self.starts_statement():
            return
        start = end = self.index - 1
        while (word := self.word(end)) not in {"TABLE", "VIEW"}:
            if not word.isalpha() or end > start + MAX_CREATE_WORDS:
                return
            end += 1
        words = {self.word(index) for index in range(start, end)}
        if words & BEFORE_INTO:
            return  # a flow, which inserts
        self.index = end + 1
        may_exist = self.skip("IF", "NOT", "EXISTS")
        parts = self.name()
        if words & {"TEMP", "TEMPORARY"}:
            self.findings.create_view(parts, is_global="GLOBAL" in words)
        elif parts:
            self.findings.write(parts, rebuild="REPLACE" in words)
            is_new = word == "TABLE" and not may_exist and "REFRESH" not in words
            self.created = parts if is_new else []

    def as_(self, frame: _Frame) -> None:
        """`CREATE TABLE name … AS query` fills the table anew."""
        if self.created and len(self.frames) == 1 and self.word(self.index) in STARTS_QUERY:
            self.findings.write(self.created, rebuild=True)
            self.created = []
            frame.is_query = True


_ACTIONS: dict[str, Callable[[_Scan, _Frame], None]] = {
    "(": _Scan.open,
    ")": _Scan.close,
    ",": _Scan.comma,
    ";": _Scan.semicolon,
    "AS": _Scan.as_,
    "CLONE": _Scan.clone,
    "CREATE": _Scan.create,
    "FROM": _Scan.from_,
    "INTO": _Scan.into,
    "JOIN": _Scan.join,
    "LATERAL": _Scan.lateral,
    "MERGE": _Scan.merge,
    "OVERWRITE": _Scan.overwrite,
    "REPLACE": _Scan.create,
    "SELECT": _Scan.select,
    "TABLE": _Scan.table,
    "TRUNCATE": _Scan.truncate,
    "UPDATE": _Scan.update,
    "USING": _Scan.using,
    "WITH": _Scan.with_,
}
