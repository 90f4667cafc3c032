"""How dbminer talks to a Databricks workspace; without Dagster."""
