"""Preflight: what is missing before a run, found by probes, each with its one repair.

Nothing here knows Dagster: `checks.preflight` shows the findings as asset checks, the raw assets
ask for them before they extract, and `dbminer preflight` prints them.
"""
