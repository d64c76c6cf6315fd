"""Fixtures of the contract suites: every implementation of a protocol, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.store_cases import IMPLEMENTATIONS, Store


@pytest.fixture(params=list(IMPLEMENTATIONS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    writer, reader = IMPLEMENTATIONS[request.param](tmp_path)
    yield writer, reader
    reader.close()
    writer.close()
