"""Lineage objects of either shape: rows of the system tables, or REST answers."""

from dbminer_dagster.resources.offline import lineage, rest_lineage
from dbminer_dagster.resources.offline.decoding import check_time, decode_either

LineageObject = lineage.SystemRow | rest_lineage.Answers


def decode(content: bytes) -> LineageObject:
    """Decodes one object.

    Raises:
        ValueError: The object has none of the shapes; with what is wrong.
    """
    # Only a guess: a column may be called `table_lineage` as well.
    if b'"table_lineage"' in content:
        found = decode_either(content, rest_lineage.DECODER, lineage.DECODER)
    else:
        found = decode_either(content, lineage.DECODER, rest_lineage.DECODER)
    check_time(found.event_time if isinstance(found, lineage.SystemRow) else found.extracted_at)
    return found


def known_fields() -> frozenset[str]:
    """The fields of both shapes."""
    shapes = (lineage.SystemRow, rest_lineage.Answers)
    return frozenset(name for shape in shapes for name in shape.__struct_fields__)
