"""What looks like a credential does not leave in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.redaction import MASK, known_secrets, redacted
from dbminer_dagster.settings import load_settings

SECRET = "hush7hush7hush"


@pytest.mark.parametrize(
    "text",
    [
        "dapi0123456789abcdef0123456789abcdef",
        "dapi0123456789abcdef0123456789abcdef-2",
        "header Authorization: Bearer hush.hush-hush",
        "Authorization: Basic aHVzaDpodXNoaHVzaA==",
        "https://user:hush-hush@host/path",
        "sc://host:443/;token=hush-hush",
        '{"client_secret": "hush-hush"}',
        "password='hush-hush'",
        "AWS_SECRET_ACCESS_KEY=hush-hush",
        "https://bucket.s3.example/key?X-Amz-Signature=hush&X-Amz-Expires=9",
        "https://hooks.slack.example/services/T0/B0/hush",
        "AKIAHUSHHUSHHUSHHUSH",
        "eyJhbGciOiJIUzI1NiJ9.eyJodXNoIjoiaHVzaCJ9.hushhush",
    ],
)
def test_the_forms_of_secrets_are_masked(text: str) -> None:
    """Tokens, passwords and signed links go by their form, wherever they come from."""
    shown = redacted(f"It failed: {text} was refused.", [])

    assert "hush" not in shown.lower()
    assert "0123456789abcdef" not in shown
    assert "aHVza" not in shown
    assert shown.startswith("It failed: ")


@pytest.mark.parametrize(
    "text",
    [
        "The token of the environment is wrong. Set DATABRICKS_TOKEN to a personal access token.",
        "DATABRICKS_TOKEN: the value is not allowed.",
        "GRANT SELECT ON TABLE system.query.history TO `0b1c-44`;",
        "No rows in system.access.table_lineage for 2026-01-05: the source holds no row at all.",
        "https://dbc-1234.cloud.example/sql/warehouses/ab12",
        "SELECT a FROM b WHERE c = 'd'",
    ],
)
def test_our_own_words_stay(text: str) -> None:
    """Messages that name a variable, a table or a grant are told as they are."""
    assert redacted(text, []) == text


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_known_secrets_are_masked_wherever_they_stand(before: str, after: str) -> None:
    """A value that is known to be secret is left out, whatever surrounds it."""
    assert SECRET not in redacted(f"{before}{SECRET}{after}", [SECRET])


def test_longer_secrets_go_first() -> None:
    """A secret that holds another one leaves no part of itself."""
    assert redacted("ab-hush-cd", ["hush", "ab-hush-cd"]) == MASK


def test_secrets_are_found_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of the settings and of variables of other tools are known."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-of-aws")
    monkeypatch.setenv("PGPASSWORD", "hush-of-postgres")
    settings = load_settings(
        databricks_token="hush-of-databricks",
        alert_webhook_url="https://hooks.example/hush",
    )

    assert known_secrets(settings) >= {
        "hush-of-aws",
        "hush-of-postgres",
        "hush-of-databricks",
        "https://hooks.example/hush",
    }


def test_short_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable called a token may hold `true`, which is a word in many texts."""
    monkeypatch.setenv("USE_TOKEN", "true")

    assert "true" not in known_secrets(load_settings())
