"""Values that a client binds to the markers of a statement."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlglot.expressions as exp

from dbminer_dagster_tests.databricks_emulator.sql_errors import unbound_parameter


class Parameters:
    """The values of a statement, named or in the order of its `?`.

    Args:
        sent: The `TSparkParameter` of the request.

    Attributes:
        values: What was sent, by name or position, as text, list, dict or None.
    """

    def __init__(self, sent: Sequence[Any] | None) -> None:
        self._literals: dict[str, exp.Expr] = {}
        values: dict[str, object] = {}
        for position, parameter in enumerate(sent or ()):
            name = parameter.name or str(position)
            text = parameter.value.stringValue if parameter.value else None
            self._literals[name] = _literal(parameter.type, text, parameter.arguments)
            values[name] = _value(parameter.type, text, parameter.arguments)
        self.values: Mapping[str, object] = values

    def literal(self, name: str) -> exp.Expr:
        """The value of a marker as SQL, in the type that was sent.

        Raises:
            SqlError: There is no value of this name.
        """
        if name not in self._literals:
            raise unbound_parameter(name)
        return self._literals[name].copy()


_Arguments = Sequence[Any] | None


def _literal(sql_type: str, text: str | None, arguments: _Arguments) -> exp.Expr:
    inner = [_literal(item.type, item.value, item.arguments) for item in arguments or ()]
    if sql_type == "ARRAY":
        return exp.Array(expressions=inner)
    if sql_type == "MAP":
        keys, values = exp.Array(expressions=inner[::2]), exp.Array(expressions=inner[1::2])
        return exp.Map(keys=keys, values=values)
    if sql_type == "VOID" or text is None:
        return exp.Null()
    literal = exp.Literal.string(text)
    return literal if sql_type == "STRING" else exp.cast(literal, sql_type, dialect="databricks")


def _value(sql_type: str, text: str | None, arguments: _Arguments) -> object:
    inner = [_value(item.type, item.value, item.arguments) for item in arguments or ()]
    if sql_type == "MAP":
        return dict(zip(inner[::2], inner[1::2], strict=True))
    return inner if sql_type == "ARRAY" else None if sql_type == "VOID" else text
