"""A headless Chromium that opens the pages we write."""

from __future__ import annotations

import functools
import shutil
import subprocess
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
NEEDS_BROWSER = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)
FLAGS = "headless no-sandbox disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
WEBGL = "use-angle=swiftshader enable-unsafe-swiftshader ignore-gpu-blocklist"
AXE = "axe-core@4.10.3"
READY = "document.body.dataset.ready"
UNDRAWN = "return [...document.querySelectorAll('.figure')].filter((one) => !one.querySelector('svg.main-svg')).length"
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


@contextmanager
def started(profile: Path):
    """Start a browser that is offline."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install 'matminer-grid[browser]'")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), *WEBGL.split(), f"user-data-dir={profile}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
        yield driver
    finally:
        driver.quit()


def resize(driver, width: int, height: int = 1600, *, dark: bool = False) -> None:
    """Set the size of the page itself, also below what a window can be, and the colour scheme."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@contextmanager
def opened(page: Path, profile: Path, width: int = 1400, height: int = 1600, *, dark: bool = False):
    """Open a page in a browser of its own."""
    with started(profile) as driver:
        resize(driver, width, height, dark=dark)
        driver.get(page.as_uri())
        yield driver


def faults(page: Path, profile: Path, exclude: str = "") -> list[str]:
    """Open a page wide and narrow, light and dark, in one browser, and list what is cut, too wide or wrong."""
    found = []
    with started(profile) as driver:
        for dark, width in product((False, True), (1400, 400)):
            resize(driver, width, dark=dark)
            driver.get(page.as_uri())
            wait(driver, READY)
            wrong = cut_parts(driver) + cut_texts(driver)
            if overflow(driver) > 0:
                wrong.append(f"{overflow(driver)} pixels wider than the window")
            if driver.title == "1":
                wrong.append("a name ran as a script")
            undrawn = driver.execute_script(UNDRAWN)
            if undrawn:
                wrong.append(f"{undrawn} figures without a drawing")
            wrong += axe(driver, exclude) + errors(driver)
            found += [f"{width} px, {'dark' if dark else 'light'}: {one}" for one in wrong]
    return found


def wait(browser, script: str, seconds: float = 60):
    """Wait until a script gives something true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(lambda one: one.execute_script(f"return {script}"))


def errors(browser) -> list[str]:
    """List what the console says is wrong."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def overflow(browser) -> int:
    """Tell by how many pixels the page is wider than the window."""
    return browser.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


def cut_parts(browser, selector: str = ".scroll, main p, select, dd") -> list[str]:
    """List the tables, paragraphs and menus that hold more than they show."""
    script = """
        const parts = [...document.querySelectorAll(arguments[0])];
        return parts.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent.trim().slice(0, 80));
    """
    return browser.execute_script(script, selector)


def cut_texts(browser) -> list[str]:
    """List the words of figures that reach out of them."""
    return browser.execute_script("""
        return [...document.querySelectorAll(".figure")].flatMap((figure) => {
            const frame = figure.getBoundingClientRect();
            return [...figure.querySelectorAll("text")].filter((text) => {
                const box = text.getBoundingClientRect();
                const over = [frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom];
                return box.width && Math.max(...over) > 1;
            }).map((text) => text.textContent);
        });
    """)


@functools.cache
def axe_script() -> str:
    """Get axe-core from npm once; the test is skipped where that can't be done."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs axe-core, which npm installs")
    folder = Path(__file__).parents[1] / "output" / "axe"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", AXE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            pytest.skip(f"npm can't install axe-core here: {done.stderr.strip()[-200:]}")
    return script.read_text(encoding="utf-8")


def axe(browser, exclude: str = "") -> list[str]:
    """List what axe-core finds wrong with a page."""
    browser.execute_script(axe_script())
    context = {"exclude": [[exclude]]} if exclude else {}
    found = browser.execute_async_script(
        "axe.run(arguments[0], {preload: false}).then(arguments[1])", {"include": ["html"], **context}
    )
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]
