"""A seeded generator of the query history and lineage of an imagined outdoor retailer."""

from sample_generator.generator import Summary, generate

__all__ = ["Summary", "generate"]
