"""`dbminer extract`: from a workspace to offline files; knows nothing of Dagster."""

DEFAULT_PART_BYTES = 64 * 10**6
"""Uncompressed lines of a part."""
