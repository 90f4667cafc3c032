"""Coverage-guided fuzzing with atheris, which is installed beside the project, not with it.

`python -m dbminer_dagster_tests.fuzz.coverage_guided FOLDER [libFuzzer options]` mutates the
texts in FOLDER and adds those that reach new code. The first half of each input is the text; an
edit drawn from its end gives a second text, so that pairs which share a template are met often.
"""

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["dbminer_dagster", "sqlglot"]):
    from dbminer_dagster_tests.fuzz.rules import check_references, check_templates

MAX_EDIT_BYTES = 12


def one_input(data: bytes) -> None:
    """Check the text in `data`, and the template that it may share with an edited one."""
    provider = atheris.FuzzedDataProvider(data)
    cut, removed = provider.ConsumeIntInRange(0, len(data)), provider.ConsumeIntInRange(0, 8)
    inserted = provider.ConsumeBytes(provider.ConsumeIntInRange(0, MAX_EDIT_BYTES))
    original = provider.ConsumeBytes(provider.remaining_bytes())
    edited = original[:cut] + inserted + original[cut + removed :]
    texts = [part.decode("utf-8", "replace") for part in (original, edited)]
    check_references(texts[0])
    check_templates(texts)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
