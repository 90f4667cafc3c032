"""Fuzzing of what reads SQL: the rules that no text may break, and texts that once came close."""
