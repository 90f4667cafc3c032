"""The offline extraction method: files that an extractor wrote, in a folder or in S3."""

LINEAGE_FOLDER = "extracted-lineage"
QUERY_HISTORY_FOLDER = "extracted-query-history"
TABLES_FOLDER = "extracted-tables"
"""The tables of the source; it may be missing."""
