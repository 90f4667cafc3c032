"""Names of tables: one spelling for each, and back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.names import name_parts, table_name

# How long an example takes says nothing on a machine with other work.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PARTS = st.lists(st.text(alphabet=st.sampled_from("aB1_.` ü-"), min_size=1) | st.text(min_size=1))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        pytest.param(["Main", "Sales", "Orders"], "main.sales.orders", id="lower_case"),
        pytest.param(["main", "a.b", "t"], "main.`a.b`.t", id="dot"),
        pytest.param(["a`b"], "`a``b`", id="backtick"),
        pytest.param(["my schema", "t-1"], "my schema.t-1", id="other_signs_stay_bare"),
        pytest.param([], "", id="nothing"),
    ],
)
def test_table_name(parts: list[str], name: str) -> None:
    """A name is lower-case, and only a part with a dot or a backtick is back-quoted."""
    assert table_name(parts) == name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        pytest.param("a.b.c", ("a", "b", "c"), id="plain"),
        pytest.param("`a`.`b`.c", ("a", "b", "c"), id="needless_quotes"),
        pytest.param("`a` . `b`", ("a", "b"), id="spaces_around_quotes"),
        pytest.param("a.`b.c`", ("a", "b.c"), id="dot"),
        pytest.param("`a``b`", ("a`b",), id="backtick"),
        pytest.param("a`b.c", ("a`b", "c"), id="stray_backtick"),
        pytest.param("", (), id="nothing"),
    ],
)
def test_name_parts(name: str, parts: tuple[str, ...]) -> None:
    """A name is split at the dots outside back-quotes, quoted or not."""
    assert name_parts(name) == parts


@RELAXED
@given(PARTS)
def test_parts_survive_the_round_trip(parts: list[str]) -> None:
    """Any parts, joined and split again, come back in lower case."""
    assert name_parts(table_name(parts)) == tuple(part.lower() for part in parts)


@RELAXED
@given(st.text())
def test_any_text_splits_into_the_parts_of_some_name(text: str) -> None:
    """Splitting never fails, and what it gives spells one name for good."""
    name = table_name(name_parts(text))
    assert table_name(name_parts(name)) == name
