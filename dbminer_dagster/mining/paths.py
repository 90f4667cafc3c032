"""Storage paths to the tables that lie there.

A path belongs to the table whose location is the longest part of it that ends at a slash. A path
above a table's location belongs to no table, and of two tables at one location none is chosen.
"""

from dataclasses import dataclass
from typing import Self

import polars as pl

from dbminer_dagster.mining.inventory import lineage_type, of_day
from dbminer_dagster.mining.lineage import ENDS, named_ends, newest_type
from dbminer_dagster.windows import Window

PATH_TABLE_SCHEMA = pl.Schema({"path": pl.String, "table_name": pl.String, "table_type": pl.String})
OUTCOMES = ("path_ends_resolved", "path_ends_ambiguous", "path_ends_unresolved")
_SCHEME_ALIASES = {
    **dict.fromkeys(("s3a:", "s3n:"), "s3:"),
    **dict.fromkeys(("abfs:", "wasb:", "wasbs:"), "abfss:"),
}
_IN_VOLUME = r"(?i)^(?:dbfs:)?/+volumes/"


def location(path: pl.Expr) -> pl.Expr:
    """One spelling of a path: null for a volume's files, which belong to no table.

    Schemes that reach the same store are one, scheme and bucket are lower-cased, both host names
    of an Azure account are one, and slashes at the end fall away. Keys below the bucket stay as
    spelled: stores tell their case and their escapes apart.
    """
    parts = path.str.splitn("/", 4).struct
    scheme, nothing, bucket, key = (parts.field(f"field_{number}") for number in range(4))
    scheme = scheme.str.to_lowercase().replace(_SCHEME_ALIASES)
    bucket = bucket.str.to_lowercase()
    azure_bucket = bucket.str.replace(".blob.", ".dfs.", literal=True)
    host = pl.when(scheme == "abfss:").then(azure_bucket).otherwise(bucket)
    is_store = scheme.str.ends_with(":") & (nothing == "")
    in_store = pl.concat_str(scheme, nothing, host, key.fill_null(""), separator="/")
    spelled = pl.when(is_store).then(in_store).otherwise(path)
    bare = spelled.str.strip_chars_end("/")
    return pl.when(~path.str.contains(_IN_VOLUME), bare != "").then(bare)


def located(raw: pl.LazyFrame) -> pl.DataFrame:
    """The tables that raw table lineage names together with their path.

    Returns:
        `day`, `table_name`, `path` and `table_type`, the newest of the day. Names and paths,
        which repeat day by day, are stored once.
    """
    key = ["day", "table_name", "path"]
    return (
        named_ends(raw)
        .filter(pl.col("path").is_not_null(), pl.col("table_type").ne_missing("PATH"))
        .group_by(key)
        .agg(table_type=newest_type())
        .with_columns(pl.col("table_name", "path").cast(pl.Categorical))
        .collect(engine="streaming")
    )


def locations(inventory: pl.LazyFrame, from_lineage: pl.DataFrame) -> pl.DataFrame:
    """What lies where.

    Where the inventory knows a location, it alone tells: lineage also remembers the names that
    a table had before.

    Args:
        inventory: Rows of `known_tables` of one day.
        from_lineage: See `located`; of the days that count.

    Returns:
        `location`, once each; `table_name` and `table_type`, null where several tables lie.
    """
    told = inventory.select(
        "table_name",
        location=location(pl.col("storage_path")),
        table_type=lineage_type(pl.col("table_type")),
    ).drop_nulls("location")
    remembered = (
        from_lineage.lazy()
        .sort("day", "table_type")
        .group_by(
            location=location(pl.col("path").cast(pl.String)),
            table_name=pl.col("table_name").cast(pl.String),
        )
        .agg(pl.col("table_type").drop_nulls().last())
        .drop_nulls("location")
        .join(told, on="location", how="anti")
    )
    is_one = pl.len() == 1
    return (
        pl.concat([told, remembered], how="diagonal")
        .group_by("location")
        .agg(pl.when(is_one).then(pl.col(name).first()) for name in ("table_name", "table_type"))
        .collect()
    )


def path_ends(raw: pl.LazyFrame) -> pl.LazyFrame:
    """The `path` of each end of raw lineage that has no name, as often as it stands."""
    ends = [raw.filter(pl.col(f"{end}_name").is_null()).select(path=f"{end}_path") for end in ENDS]
    return pl.concat(ends).drop_nulls("path")


def distinct_paths(ends: pl.LazyFrame) -> pl.DataFrame:
    """Each `path` of some `path_ends` once, and its `location`."""
    paths = ends.select("path").unique().collect(engine="streaming")
    return paths.with_columns(location=location(pl.col("path")))


def tables_at(paths: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The table of each path; a path that belongs to no table is left out.

    Args:
        paths: See `distinct_paths`.
        known: See `locations`.

    Returns:
        `path`, `table_name`, `table_type`; null where several tables lie at the path's location.
    """
    found = [pl.DataFrame(schema=PATH_TABLE_SCHEMA)]
    rest = paths
    depth = pl.col("location").str.count_matches("/", literal=True)
    # From the deepest locations up, so that the first that fits is the longest.
    for slashes in known.select(depth.unique().sort(descending=True)).to_series():
        of_depth = known.filter(depth == slashes)
        prefix = pl.col("location").str.extract(rf"^((?:[^/]*/){{{slashes}}}[^/]*)")
        rest = rest.with_columns(prefix=prefix)
        hits = rest.join(of_depth, left_on="prefix", right_on="location")
        found.append(hits.select(PATH_TABLE_SCHEMA.names()))
        rest = rest.join(of_depth, left_on="prefix", right_on="location", how="anti")
    return pl.concat(found)


def with_tables(raw: pl.LazyFrame, found: pl.DataFrame) -> pl.LazyFrame:
    """Raw lineage in which an end that is a table's path has the table's name and type.

    Args:
        raw: Rows of raw lineage.
        found: See `tables_at`.
    """
    tables = found.lazy().drop_nulls("table_name")
    if found["table_name"].null_count() == found.height:
        return raw
    for end in ENDS:
        name, kind = f"{end}_name", f"{end}_type"
        told = tables.rename({"path": "_path", "table_name": "_name", "table_type": "_type"})
        is_told = pl.col("_name").is_not_null()
        raw = (
            raw.with_columns(_path=pl.when(pl.col(name).is_null()).then(f"{end}_path"))
            .join(told, on="_path", how="left")
            .with_columns(
                pl.coalesce(name, "_name").alias(name),
                pl.when(is_told).then("_type").otherwise(kind).alias(kind),
            )
            .drop("_path", "_name", "_type")
        )
    return raw


def count_path_ends(ends: pl.LazyFrame, found: pl.DataFrame) -> dict[str, int]:
    """How many ends are a table's path, lie where several tables do, or stay paths.

    Args:
        ends: See `path_ends`.
        found: See `tables_at`.
    """
    outcome = found.lazy().select(
        "path",
        outcome=pl.when(pl.col("table_name").is_null())
        .then(pl.lit(OUTCOMES[1]))
        .otherwise(pl.lit(OUTCOMES[0])),
    )
    counted = (
        ends.group_by("path")
        .len("ends")
        .join(outcome, on="path", how="left")
        .group_by(pl.col("outcome").fill_null(OUTCOMES[2]))
        .agg(pl.col("ends").sum())
    )
    return dict.fromkeys(OUTCOMES, 0) | dict(counted.collect().iter_rows())


@dataclass(frozen=True, slots=True)
class PathResolver:
    """The paths that a run meets, and what it knows of the tables that lie there.

    Attributes:
        paths: See `distinct_paths`.
        from_lineage: See `located`.
        inventory: Rows of `known_tables`.
    """

    paths: pl.DataFrame
    from_lineage: pl.DataFrame
    inventory: pl.LazyFrame

    @classmethod
    def of_run(
        cls, ends: pl.LazyFrame, table_lineage: pl.LazyFrame, inventory: pl.LazyFrame
    ) -> Self:
        """Reads what all days of a run share.

        Args:
            ends: See `path_ends`; of all that the run will look at.
            table_lineage: Rows of `raw_table_lineage`.
            inventory: Rows of `known_tables` of the run's days.
        """
        paths = distinct_paths(ends)
        # Where every end has its name, nobody needs to know what lies where.
        wanted = table_lineage.clear() if paths.is_empty() else table_lineage
        return cls(paths, located(wanted), inventory)

    def tables(self, window: Window) -> pl.DataFrame:
        """See `tables_at`: as known on the last day of the window, from the lineage in it."""
        if self.paths.is_empty():
            return pl.DataFrame(schema=PATH_TABLE_SCHEMA)
        known = locations(of_day(self.inventory, window), self.from_lineage.filter(window.holds()))
        return tables_at(self.paths, known)
