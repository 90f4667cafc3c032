"""What the page of each asset tells beside its description: what a row is, what to look at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guide:
    """How to read one asset.

    Attributes:
        one_row: What one row is, as a noun.
        look_at: Which figures tell whether it is healthy, and what they mean.
    """

    one_row: str
    look_at: str

    def __str__(self) -> str:
        return f"One row is {self.one_row}. {self.look_at}"


GUIDES = {
    "raw_query_history": Guide(
        "a statement",
        "`rows` of a day far below those of the same weekday before means that the source was not "
        "complete when it was read: mine the day again.",
    ),
    "raw_table_lineage": Guide(
        "a distinct combination of source, target and cause",
        "A day with statements and without lineage leaves attribution to the texts alone: look "
        "whether the lineage of the workspace is switched on.",
    ),
    "raw_column_lineage": Guide(
        "a distinct combination of source column, target column and cause",
        "It has fewer pairs than the texts would tell, since the source leaves out what it cannot "
        "follow.",
    ),
    "known_tables": Guide(
        "a table or view, with its columns",
        "`changes` names tables that came and went. A sudden loss of many is a lost privilege more "
        "often than a clean-up.",
    ),
    "warehouse_costs": Guide(
        "a warehouse and hour",
        "`billing_known` is false where `system.billing` may not be read; costs are then unknown, "
        "not zero.",
    ),
    "table_rebuilds": Guide(
        "a table that a statement built anew",
        "A rebuild ends the edges into its table that it did not make itself.",
    ),
    "table_lineage": Guide(
        "a source table and a target table",
        "`changes` names edges that came and went. `expired_edges` grow when jobs stop, "
        "`path_ends_unresolved` when paths belong to no known table.",
    ),
    "column_lineage": Guide(
        "a source column and a target column",
        "`changes` names edges that came and went. A rebuild of a table ends the edges into its "
        "columns as well.",
    ),
    "filtered_queries": Guide(
        "a statement that counts",
        "Rows in are rows kept and rows dropped; `run_dropped_by_reason` and the plots of "
        "`dropped_…` say why. A jump means that users, tools or settings changed.",
    ),
    "query_references": Guide(
        "a distinct set of references",
        "`attribution` shows by which evidence statements were understood, `run_unresolved` which "
        "names were not, each with an example.",
    ),
    "daily_usage": Guide(
        "a set of references and a user",
        "`attribution` shows by which evidence statements were understood, `run_unresolved` which "
        "names were not, each with an example.",
    ),
    "popularity_scores": Guide(
        "a table, view or column that was read",
        "`changes` names tables that came, went and moved most; `popularity_chart`, `levels`, "
        "`top_users` and `reads_per_day` show the newest day. A score is as good as its window: "
        "compare `days_present` with `days_wanted`.",
    ),
    "popularity_report": Guide(
        "a table or view, read or not",
        "Search and sort the tables; a click on a name shows its users, columns and queries. The "
        "file needs no server: open it in a browser, send it on, or serve its folder and set "
        "`DBMINER_REPORTS_URL`. `popularity.html` is the newest one.",
    ),
}
"""By asset."""
