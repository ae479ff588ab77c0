#!/usr/bin/env python3
"""Answers a consent page as a person would, in a real Chromium without a window.

    BROWSER=tests/browser/consent.py drivemount login …      opens the link, allows all, and waits for the app's last page
    tests/browser/consent.py LINK                            the same; prints where the browser ended up, as its address bar says

That address is what a person pastes back if the app runs on another machine than the browser.

    --deny            presses Deny
    --only SCOPE      leaves the box of this scope ticked, and no other (can be given again)
    --elsewhere       as if the browser ran on another machine: the address that it is sent to does not answer
    --picture FILE    takes a picture of the consent page first

$CONSENT holds such options for a program that can only pass a link. Needs Debian's `chromium` and `chromium-driver`, and `selenium`
from PyPI. Ends with 1 and a message if the page is not what was expected.
"""

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# Far beyond what it takes: a bound against hanging.
PATIENCE = 60
SIZE = (900, 700)
# A port where nobody listens.
NOBODY = 1


class Unexpected(Exception):
    """The browser shows something else than it should."""


@dataclass(frozen=True)
class Answer:
    """Where the browser ended up: what its address bar says, and what the page there shows."""

    address: str
    text: str


@contextmanager
def browser(unreachable=None):
    """A Chromium with an empty profile, which is gone afterwards. `unreachable`: a port of this machine that it does not reach."""
    # Its sockets lie in the temporary folder, and the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="consent-", dir="/tmp") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program("chromium")
        for flag in [
            "--headless=new",
            f"--user-data-dir={profile}",
            f"--window-size={SIZE[0]},{SIZE[1]}",
            # Containers have little shared memory.
            "--disable-dev-shm-usage",
            # It is to talk to this machine alone.
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--no-proxy-server",
        ]:
            options.add_argument(flag)
        if os.geteuid() == 0:
            # Chromium refuses to build its sandbox as root.
            options.add_argument("--no-sandbox")
        if unreachable:
            options.add_argument(f"--host-resolver-rules=MAP 127.0.0.1:{unreachable} 127.0.0.1:{NOBODY}")
        # Named, so that nothing is looked for elsewhere.
        service = Service(program("chromedriver"), env=os.environ | {"TMPDIR": "/tmp"})
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_page_load_timeout(PATIENCE)
            yield driver
        finally:
            driver.quit()


def program(name):
    path = shutil.which(name)
    if not path:
        raise Unexpected(f"there is no {name}: install Debian's chromium and chromium-driver")
    return path


def boxes(driver):
    """The boxes to tick, by the name of the scope that each stands for."""
    found = driver.find_elements(By.CSS_SELECTOR, "form input[type=checkbox]")
    return {box.get_attribute("name"): box for box in found}


def consent(driver, link, allow=True, only=None, picture=None):
    """Opens the link, ticks, presses, and follows. `only`: the scopes to leave ticked."""
    driver.get(link)
    form = driver.current_url
    try:
        button = driver.find_element(By.CSS_SELECTOR, f"button[value={'allow' if allow else 'deny'}]")
    except NoSuchElementException:
        raise Unexpected(f"this is no consent page: {shown(driver)}") from None
    for scope, box in boxes(driver).items():
        if box.is_selected() != (only is None or scope in only):
            box.click()
    if picture:
        driver.save_screenshot(picture)
    button.click()
    # Where nobody listens, Chromium shows a page of its own; its address bar says where it was sent all the same.
    WebDriverWait(driver, PATIENCE).until(lambda driver: driver.current_url not in (form, "about:blank"))
    return Answer(driver.current_url, shown(driver))


def shown(driver):
    """The text that the page shows."""
    return driver.find_element(By.TAG_NAME, "body").text


def returns_to(link):
    """The port of this machine to which the browser will be sent back."""
    redirect = parse_qs(urlsplit(link).query)["redirect_uri"][0]
    return urlsplit(redirect).port


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("link")
    arguments.add_argument("--deny", action="store_true")
    arguments.add_argument("--only", action="append")
    arguments.add_argument("--elsewhere", action="store_true")
    arguments.add_argument("--picture")
    arguments = arguments.parse_args(shlex.split(os.environ.get("CONSENT", "")) + sys.argv[1:])
    try:
        with browser(returns_to(arguments.link) if arguments.elsewhere else None) as driver:
            answer = consent(driver, arguments.link, not arguments.deny, arguments.only, arguments.picture)
    except (Unexpected, WebDriverException) as error:
        sys.exit(f"consent: {error}")
    print(answer.address)


if __name__ == "__main__":
    main()
