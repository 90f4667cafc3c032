"""Tests of dbminer: each states a rule in its docstring."""
