"""dbminer: lineage, query history and popularity of Databricks tables, as a Dagster project."""
