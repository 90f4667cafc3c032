"""Scores worked out in plain Python from daily rows: slow, short, and by no engine."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import date, datetime
from itertools import groupby
from typing import Any

from dbminer_dagster.mining.popularity import RANK_DECIMALS
from dbminer_dagster.windows import Window

Row = dict[str, Any]
SUMS = (
    "statement_count",
    "cached_statement_count",
    "total_duration_ms",
    "total_task_duration_ms",
    "read_bytes",
)
COST = ("estimated_cost_micro_usd", "total_task_duration_ms", "read_bytes")


def scores_by_hand(
    references: list[Row], usage: list[Row], window: Window, asset_type: str, uses: Collection[str]
) -> dict[str, Row]:
    """What `popularity_scores` must hold of each asset, but for names, types and days.

    Args:
        references: Rows of `query_references`.
        usage: Rows of `daily_usage`.
        window: The window.
        asset_type: `table` or `column`.
        uses: What is a read.
    """
    days = [row for row in references if row["day"] in window]
    named = {row["reference_hash"]: row for row in days}
    pairs = _summed([row for row in usage if row["day"] in window], "reference_hash", "user_name")
    reads: dict[str, list[Row]] = defaultdict(list)
    counts: dict[str, Row] = defaultdict(lambda: defaultdict(int))
    for pair in pairs:
        reference = named[pair["reference_hash"]]
        for asset, use, count in _uses(reference, pair, asset_type):
            counts[asset][use] += count
        for asset, way in _links(reference, asset_type):
            read_count = sum(n for a, use, n in _uses(reference, pair, asset_type)
                             if a == asset and use in uses and way == _way(use))  # fmt: skip
            if read_count:
                extra = {"read_count": read_count, "query_hash": reference["query_hash"]}
                reads[asset].append(pair | extra)
    texts = _texts(days)
    rows = {name: _figures(found, counts[name], texts) for name, found in reads.items()}
    for name, row in rows.items():
        wrote = [p for p in pairs if asset_type == "table"
                 and name in named[p["reference_hash"]]["tables_written"]
                 and named[p["reference_hash"]]["operation"] == "write"]  # fmt: skip
        row["write_count"] = sum(pair["statement_count"] for pair in wrote)
        row["last_written_at"] = max((pair["last_used_at"] for pair in wrote), default=None)
    _rank(rows)
    return rows


def _way(use: str) -> str:
    return "direct" if use in {"select", "cached"} else use


def _links(reference: Row, asset_type: str) -> Iterator[tuple[str, str]]:
    way = {"read": "direct", "write": "pipeline", "cluster": "cluster"}[reference["operation"]]
    for asset in reference["tables_read" if asset_type == "table" else "columns_read"]:
        yield asset, way
    if asset_type == "table" and reference["operation"] == "read":
        for asset in reference["tables_read_indirectly"]:
            yield asset, "indirect"


def _uses(reference: Row, pair: Row, asset_type: str) -> Iterator[tuple[str, str, int]]:
    statements, cached = pair["statement_count"], pair["cached_statement_count"]
    for asset, way in _links(reference, asset_type):
        if way == "direct":
            yield asset, "select", statements - cached
            yield asset, "cached", cached
        else:
            yield asset, way, statements


def _summed(rows: list[Row], *key: str) -> list[Row]:
    def values(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in key)

    found = []
    for together, group in groupby(sorted(rows, key=values), values):
        members = list(group)
        costs = [row["estimated_cost_micro_usd"] for row in members]
        known = [cost for cost in costs if cost is not None]
        found.append(
            dict(zip(key, together, strict=True))
            | {name: sum(row[name] for row in members) for name in SUMS}
            | {"read_count": sum(row.get("read_count", 0) for row in members)}
            | {"estimated_cost_micro_usd": sum(known) if known else None}
            | {"last_used_at": max(row["last_used_at"] for row in members)}
            | {"users": {row["user_name"] for row in members}}
        )
    return found


def _texts(rows: list[Row]) -> dict[str, str]:
    newest: dict[str, tuple[date, str]] = {}
    for row in rows:
        text, name = row["statement_text"], row["query_hash"]
        if text is not None and name is not None:
            day, least = newest.get(name, (date.min, ""))
            if row["day"] >= day:
                newest[name] = (row["day"], min(text, least) if row["day"] == day else text)
    return {name: text for name, (_, text) in newest.items()}


def _first(rows: list[Row], count: int, order: tuple[str, ...], tie: str) -> list[Row]:
    def place(row: Row) -> tuple[Any, ...]:
        values = [row[name] for name in order]
        keys = [
            (v is None, -(v.timestamp() if isinstance(v, datetime) else v or 0)) for v in values
        ]
        return (*keys, row[tie])

    return sorted(rows, key=place)[:count]


def _figures(found: list[Row], counts: Row, texts: dict[str, str]) -> Row:
    users = [row | {"last_read_at": row["last_used_at"]} for row in _summed(found, "user_name")]
    templates = [
        row
        | {
            "statement_text": texts.get(row["query_hash"]),
            "user_count": len(row["users"]),
            "mean_duration_ms": row["total_duration_ms"] / row["statement_count"],
            "last_run_at": row["last_used_at"],
        }
        for row in _summed([row for row in found if row["query_hash"]], "query_hash")
    ]
    (whole,) = _summed([row | {"all": 0} for row in found], "all")

    def listed(rows: list[Row], count: int, order: tuple[str, ...], *fields: str) -> list[Row]:
        return [{f: row[f] for f in fields} for row in _first(rows, count, order, fields[0])]

    seen = ("user_name", "read_count", "last_read_at")
    ran = ("query_hash", "statement_text", "read_count", "user_count", "mean_duration_ms",
           "total_task_duration_ms", "last_run_at")  # fmt: skip
    costs = ("read_count", "total_task_duration_ms", "read_bytes", "estimated_cost_micro_usd")
    recent = listed(users, 10, ("last_read_at",), *seen)
    return {name: whole[name] for name in ("read_count", *COST)} | {
        "user_count": len(users),
        "popularity_score": len(users) * math.log(whole["read_count"]),
        "last_read_at": whole["last_used_at"],
        "last_read_by": recent[0]["user_name"],
        **{f"{use}_read_count": counts[use]
           for use in ("cached", "pipeline", "indirect", "cluster")},
        "top_users": listed(users, 10, ("read_count",), *seen),
        "recent_users": recent,
        "costly_users": listed(users, 10, COST, "user_name", *costs),
        "popular_queries": listed(templates, 5, ("read_count",), *ran),
        "slow_queries": listed(templates, 5, ("mean_duration_ms",), *ran),
        "expensive_queries": listed(templates, 5, ("total_task_duration_ms",), *ran),
        "costly_queries": listed(templates, 5, COST, "query_hash", "statement_text", *costs),
    }  # fmt: skip


def _rank(rows: dict[str, Row]) -> None:
    scores = sorted(round(row["popularity_score"], RANK_DECIMALS) for row in rows.values())
    for row in rows.values():
        score = round(row["popularity_score"], RANK_DECIMALS)
        below, same = sum(s < score for s in scores), scores.count(score)
        rank = below + (same + 1) / 2
        row["percentile"] = (rank - 1) / (len(scores) - 1) if len(scores) > 1 else 0.0
        row["popularity_level"] = min(4, int(row["percentile"] * 4) + 1)
