"""A headless Chromium, to see pages as a reader's browser does: what tests and `explain_pages` drive.

Chromium and its driver are the system's (``apt-get install chromium chromium-driver``), the client is selenium.
"""

import contextlib
import shutil


class NoBrowserError(RuntimeError):
    """There is no Chromium here, or it does not start; the message says what is missing."""


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900, dark: bool = False):
    """A started selenium driver of a window of so many pixels; ended with the context.

    Raises:
        NoBrowserError: selenium, Chromium or its driver is missing, or does not start.
    """
    try:
        from selenium import webdriver
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.chrome.service import Service
    except ImportError as error:
        raise NoBrowserError("selenium drives the browser: pip install selenium") from error
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        raise NoBrowserError("no Chromium here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    quiet = "no-first-run disable-background-networking disable-component-update disable-sync disable-quic"
    for name in ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", *quiet.split()]:
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        started = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        raise NoBrowserError(f"Chromium does not start here: {error.msg}") from error
    try:
        resize(started, width, height)
        asked = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in asked.items()]
        started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        yield started
    except BaseException:
        started.service.process.kill()  # a browser that hangs would be asked to end, and waited for
        raise
    finally:
        started.quit()


def resize(driver, width: int, height: int) -> None:
    """Give the page a window of so many pixels; narrow ones are a phone's."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def console(driver) -> list[str]:
    """What pages have written to the console since the last call: warnings and errors."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]
