"""Pure functions on text and frames: filters, attribution, scores, validity of lineage."""
