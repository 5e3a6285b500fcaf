"""A browser for the tests of pages."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Page, find_chromium


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty page, or a skip where there is no Chromium."""
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with Page(binary) as page:
        yield page
