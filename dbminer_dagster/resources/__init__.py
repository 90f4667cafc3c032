"""The extraction methods and the result tables, as Dagster resources."""
