"""What an extraction has brought, for people who look at its end."""

from dataclasses import dataclass, field

from dbminer_dagster.resources.offline.manifest import ExtractionEntry, Manifest


@dataclass(frozen=True, slots=True)
class Written:
    """One extraction as it stands in a manifest.

    Attributes:
        title: What was read.
        parts: How many parts it has.
        rows: JSON objects in them.
        size_bytes: Of all of them.
        counts: What was read, and what was left out by reason.
    """

    title: str
    parts: int
    rows: int
    size_bytes: int
    counts: dict[str, int]

    def __str__(self) -> str:
        told = [
            f"{count:,} {name.replace('_', ' ')}"
            for name, count in self.counts.items()
            if count and name != "rows"
        ]
        kilobytes = self.size_bytes / 1000
        head = f"{self.title}: {self.rows:,} rows in {self.parts} parts, {kilobytes:,.1f} kB"
        return "; ".join([head, *told])


@dataclass
class Summary:
    """All that a run of an extraction has brought, or an earlier run of the same.

    Attributes:
        written: In the order in which it was read.
        requests: Sent by this run for query history and lineage.
        refused: How many of them the workspace refused for the time being.
    """

    written: list[Written] = field(default_factory=list)
    requests: int = 0
    refused: int = 0

    def add(
        self,
        title: str,
        manifest: Manifest,
        entry: ExtractionEntry,
        *,
        requests: int = 0,
        refused: int = 0,
    ) -> None:
        """Adds an extraction that the manifest holds."""
        parts = [manifest.entry(name) for name in entry.parts]
        self.written.append(
            Written(
                title,
                len(parts),
                sum(part.rows for part in parts),
                sum(part.size_bytes for part in parts),
                entry.counts,
            )
        )
        self.requests += requests
        self.refused += refused

    def lines(self) -> list[str]:
        """The summary as text."""
        refused = f", {self.refused:,} of them refused and repeated" if self.refused else ""
        return [*map(str, self.written), f"{self.requests:,} requests{refused}"]
