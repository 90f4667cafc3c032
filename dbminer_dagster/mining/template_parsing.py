"""Templates parsed, by the worker processes of this machine or by those of a cluster."""

from io import BytesIO

import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.template_rows import TEMPLATE_SCHEMA, template_row

PACKED = pl.Schema({"rows": pl.Binary})


def parsed(pool: ParsePool, templates: pl.DataFrame) -> pl.DataFrame:
    """The references of templates, as `TEMPLATE_SCHEMA`.

    Args:
        pool: Parses them.
        templates: `query_hash` and `statement_text`, an example of each; hashes distinct.
    """
    texts = dict(templates.select("query_hash", "statement_text").iter_rows())
    rows = (template_row(*answer) for answer in pool.parse(texts))
    return pl.DataFrame(rows, schema=TEMPLATE_SCHEMA, orient="row")


def parsed_by(engine: Engine, templates: pl.DataFrame) -> pl.DataFrame:
    """The same, parsed by the engine's own workers."""
    packed = engine.map_groups(engine.frame(templates), ["query_hash"], parsed_and_packed, PACKED)
    parts = [pl.read_ipc(BytesIO(part)) for part in engine.collect(packed)["rows"]]
    return pl.concat([pl.DataFrame(schema=TEMPLATE_SCHEMA), *parts])


def parsed_and_packed(templates: pl.DataFrame) -> pl.DataFrame:
    """What a worker makes of templates: `PACKED`, as one value.

    A process beside the worker parses: a hostile text may take its time or its life, as it may
    on this machine. Values are packed since Spark writes empty lists of lists as Polars reads none.
    """
    buffer = BytesIO()
    with ParsePool(workers=1) as pool:
        parsed(pool, templates).write_ipc(buffer, compression="zstd")
    return pl.DataFrame({"rows": [buffer.getvalue()]}, schema=PACKED)
