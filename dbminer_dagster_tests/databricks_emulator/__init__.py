"""A Databricks workspace on loopback, for tests and to try the miner by hand."""

from dbminer_dagster_tests.databricks_emulator.emulator import Emulator, run_emulator

__all__ = ["Emulator", "run_emulator"]
