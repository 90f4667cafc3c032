"""The offline extraction method: files that an extractor wrote, in a folder or in S3."""

LINEAGE_FOLDER = "extracted-lineage"
QUERY_HISTORY_FOLDER = "extracted-query-history"
