"""The page in a real browser, from the disk: with and without JavaScript, light and dark, wide, narrow and printed.

Needs the extra `browser` and a Chromium with its driver; `CRASHLAB_SCREENSHOTS=DIRECTORY` keeps the pictures.
"""

import base64
import os
import shutil
from pathlib import Path

import pytest

from crashlab.report.formats import render
from crashlab.report.summary.fold import summarise

pytest.importorskip("selenium", reason="needs selenium: pip install 'crashlab[browser]'")
pytest.importorskip("jinja2", reason="needs jinja2: pip install 'crashlab[report]'")
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

RECORDS = Path(__file__).parents[2] / "golden" / "report" / "records.ndjson"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "hide-scrollbars", "no-default-browser-check"),
)
pytestmark = [
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
WIDE, NARROW = 1100, 390


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report with space & more.html"
    path.write_bytes(render("html", summarise([str(RECORDS)])))
    return path


@pytest.fixture(scope="module", params=["scripts", "no scripts"])
def browser(request, tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    try:
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    except WebDriverException as error:
        pytest.skip(f"this browser does not start here: {error.msg}")
    if request.param == "no scripts":
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield driver
    driver.quit()


def shown(browser, page, width=WIDE, *, scheme="light", media=""):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    return browser


def picture(browser, name):
    """A screenshot of the first screens; kept where it was asked for."""
    layout = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})
    size = layout["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 2200), "scale": 1}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    data = base64.b64decode(taken["data"])
    if directory := os.environ.get("CRASHLAB_SCREENSHOTS"):
        Path(directory, f"{name}.png").write_bytes(data)
    return data, layout


def test_it_loads_from_the_disk_and_asks_nobody(browser, page):
    shown(browser, page)
    asked = [
        entry["message"] for entry in browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert asked
    assert not [message for message in asked if '"url":"http' in message]
    assert not browser.get_log("browser")
    assert browser.title == "FAIL: outbox-batched"
    assert browser.find_element(By.CSS_SELECTOR, "h1 b").text == "FAIL"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(browser, page, scheme):
    shown(browser, page, scheme=scheme)
    back = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    for css in ("p", ".soft", "header h1 b", "svg text", "td", "nav a", ".heat td"):
        element = browser.find_element(By.CSS_SELECTOR, css)
        ink = element.value_of_css_property("fill" if css == "svg text" else "color")
        paper = element.value_of_css_property("background-color")
        assert contrast(ink, back if paper.endswith(", 0)") else paper) >= 4.5, css
    assert len(picture(browser, f"report-{scheme}")[0]) > 20_000


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_is_wider_than_the_screen_or_over_something_else(browser, page, width):
    shown(browser, page, width)
    _, layout = picture(browser, f"report-{width}")
    assert layout["cssContentSize"]["width"] <= width
    for number, drawing in enumerate(browser.find_elements(By.CSS_SELECTOR, "figure svg[role=img]")):
        boxes = [text.rect for text in drawing.find_elements(By.TAG_NAME, "text")]
        for one in range(len(boxes)):
            for other in range(one + 1, len(boxes)):
                assert not overlap(boxes[one], boxes[other]), (number, boxes[one], boxes[other])


def test_the_keyboard_reaches_everything(browser, page):
    shown(browser, page)
    body = browser.find_element(By.TAG_NAME, "body")
    reached = []
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.switch_to.active_element)
        if reached[-1] == body:
            break
    names = [element.tag_name for element in reached]
    assert {"a", "summary", "div"} <= set(names)
    summary = reached[names.index("summary")]
    table = summary.find_element(By.XPATH, "..").find_element(By.TAG_NAME, "table")
    assert not table.is_displayed()
    summary.send_keys(Keys.ENTER)
    assert table.is_displayed()


def test_it_prints_with_its_tables(browser, page):
    shown(browser, page, scheme="dark", media="print")
    assert (
        browser.find_element(By.TAG_NAME, "body")
        .value_of_css_property("background-color")
        .startswith("rgba(255, 255, 255")
    )
    assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
    printed = base64.b64decode(browser.print_page())
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000


def overlap(a, b):
    """Whether two boxes share more than a line's slack."""
    across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    return across > 1 and down > 3


def contrast(ink, paper):
    """WCAG 2's contrast ratio of two CSS colours."""

    def luminance(colour):
        inside = colour[colour.index("(") + 1 : colour.index(")")].replace("/", " ").replace(",", " ").split()
        scale = 1.0 if colour.startswith("color(") else 255.0
        parts = [float(part) / scale for part in inside if part[0].isdigit()][:3]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (high + 0.05) / (low + 0.05)
