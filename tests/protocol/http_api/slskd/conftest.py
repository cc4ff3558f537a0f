"""The client libraries, once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocol.http_api.slskd.libraries import VERSIONS, unpacked


@pytest.fixture(scope="session", params=VERSIONS)
def library_folder(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Path:
    """Each version of ``slskd-api`` in turn."""
    assert pytestconfig.cache is not None
    version: str = request.param
    return unpacked(version, pytestconfig.cache.mkdir("slskd-api"))


@pytest.fixture(scope="session")
def soularrs_library(pytestconfig: pytest.Config) -> Path:
    """The version that Soularr pins."""
    assert pytestconfig.cache is not None
    return unpacked("0.1.5", pytestconfig.cache.mkdir("slskd-api"))
