"""Types of columns: as Databricks SQL writes them, as DuckDB, as Arrow and as Thrift."""

import pyarrow as pa
import sqlglot.expressions as exp
from databricks.sql.thrift_api.TCLIService import ttypes

_TYPE = ttypes.TTypeId
_PRIMITIVES: dict[pa.DataType, tuple[str, int]] = {
    pa.bool_(): ("boolean", _TYPE.BOOLEAN_TYPE),
    pa.int8(): ("tinyint", _TYPE.TINYINT_TYPE),
    pa.int16(): ("smallint", _TYPE.SMALLINT_TYPE),
    pa.int32(): ("int", _TYPE.INT_TYPE),
    pa.int64(): ("bigint", _TYPE.BIGINT_TYPE),
    pa.float32(): ("float", _TYPE.FLOAT_TYPE),
    pa.float64(): ("double", _TYPE.DOUBLE_TYPE),
    pa.string(): ("string", _TYPE.STRING_TYPE),
    pa.binary(): ("binary", _TYPE.BINARY_TYPE),
    pa.date32(): ("date", _TYPE.DATE_TYPE),
    pa.null(): ("void", _TYPE.NULL_TYPE),
}


def duckdb_type(sql_type: str) -> str:
    """A type of Databricks SQL as DuckDB writes it."""
    return exp.DataType.build(sql_type, dialect="databricks").sql("duckdb")


def result_type(arrow_type: pa.DataType, duckdb_name: str) -> pa.DataType:
    """The type that Databricks gives where DuckDB gives another one.

    Sums and counts of whole numbers are `BIGINT`, which DuckDB widens.
    """
    if duckdb_name in {"HUGEINT", "UHUGEINT"} or pa.types.is_unsigned_integer(arrow_type):
        return pa.int64()
    if pa.types.is_timestamp(arrow_type):
        return pa.timestamp("us", arrow_type.tz)
    return arrow_type


def databricks_type(arrow_type: pa.DataType) -> str:
    """A type as `DESCRIBE` writes it, such as `struct<type:string,warehouse_id:string>`."""
    if arrow_type in _PRIMITIVES:
        return _PRIMITIVES[arrow_type][0]
    if pa.types.is_timestamp(arrow_type):
        return "timestamp" if arrow_type.tz else "timestamp_ntz"
    if pa.types.is_decimal(arrow_type):
        return f"decimal({arrow_type.precision},{arrow_type.scale})"
    if pa.types.is_struct(arrow_type):
        fields = ",".join(f"{field.name}:{databricks_type(field.type)}" for field in arrow_type)
        return f"struct<{fields}>"
    if pa.types.is_map(arrow_type):
        key, item = databricks_type(arrow_type.key_type), databricks_type(arrow_type.item_type)
        return f"map<{key},{item}>"
    if pa.types.is_list(arrow_type):
        return f"array<{databricks_type(arrow_type.value_type)}>"
    raise _unknown(arrow_type)


def _unknown(arrow_type: pa.DataType) -> TypeError:
    return TypeError(f"The emulator gives no column of type {arrow_type}; cast it.")


def thrift_schema(schema: pa.Schema) -> ttypes.TTableSchema:
    """The schema of a result as the metadata call gives it."""
    return ttypes.TTableSchema(
        columns=[
            ttypes.TColumnDesc(
                columnName=field.name,
                typeDesc=ttypes.TTypeDesc(
                    types=[ttypes.TTypeEntry(primitiveEntry=_type_entry(field.type))]
                ),
                position=position,
                comment="",
            )
            for position, field in enumerate(schema, start=1)
        ]
    )


def _type_entry(arrow_type: pa.DataType) -> ttypes.TPrimitiveTypeEntry:
    """A type as Thrift names it; nested types have no inner types there."""
    if pa.types.is_decimal(arrow_type):
        qualifiers = ttypes.TTypeQualifiers(
            qualifiers={
                "precision": ttypes.TTypeQualifierValue(i32Value=arrow_type.precision),
                "scale": ttypes.TTypeQualifierValue(i32Value=arrow_type.scale),
            }
        )
        return ttypes.TPrimitiveTypeEntry(type=_TYPE.DECIMAL_TYPE, typeQualifiers=qualifiers)
    return ttypes.TPrimitiveTypeEntry(type=_type_id(arrow_type))


def _type_id(arrow_type: pa.DataType) -> int:
    if arrow_type in _PRIMITIVES:
        return _PRIMITIVES[arrow_type][1]
    if pa.types.is_timestamp(arrow_type):
        return _TYPE.TIMESTAMP_TYPE
    if pa.types.is_struct(arrow_type):
        return _TYPE.STRUCT_TYPE
    if pa.types.is_map(arrow_type):
        return _TYPE.MAP_TYPE
    if pa.types.is_list(arrow_type):
        return _TYPE.ARRAY_TYPE
    raise _unknown(arrow_type)


def converted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the types of the schema; columns that have them already are not touched."""
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
