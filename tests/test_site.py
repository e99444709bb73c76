"""Each page of the site in a browser, wide and narrow, light and dark; ``nox -s docs`` makes the site and runs this."""

from pathlib import Path

import pytest

from tests.browser import NEEDS_BROWSER, axe, cut_parts, errors, overflow, resize, started

SITE = Path(__file__).parents[1] / "output" / "site"
PAGES = sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html") if not page.relative_to(SITE).parts[0].startswith("_"))
ALIKE = {page for page in PAGES if page.startswith("api/") and page != "api/io.html"}
"""Long pages of docstrings that one template makes: axe-core takes up to half a minute for one, and looks at a short one."""

pytestmark = [pytest.mark.site, pytest.mark.browser, NEEDS_BROWSER]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_there_are_pages():
    assert {"index.html", "install.html", "commands.html", "api/models.html"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_and_nothing_is_wrong(browser, page):
    browser.get((SITE / page).as_uri())
    found = []
    for dark in (False, True):
        for width in (1400, 400):
            resize(browser, width, dark=dark)
            wrong = cut_parts(browser, "main p, main li")
            if overflow(browser) > 0:
                wrong.append(f"{overflow(browser)} pixels wider than the window")
            if dark == (width == 400) and page not in ALIKE:  # each width and each scheme once, as it takes a second
                wrong += axe(browser)
            found += [f"{width} px, {'dark' if dark else 'light'}: {one}" for one in wrong]
    assert found + errors(browser) == []
