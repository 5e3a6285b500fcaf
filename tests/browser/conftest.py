"""A browser for the tests of pages."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Page, find_chromium


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page, of (width, height) where a test asks for it; a skip without a Chromium."""
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    width, height = getattr(request, "param", (1200, 900))
    with Page(binary, width=width, height=height) as page:
        yield page
