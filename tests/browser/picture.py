"""Takes a picture of a whole page: picture.py ADDRESS-OR-FILE PICTURE.png"""

import sys
import time
from pathlib import Path

from consent import SIZE, browser


def take(address, picture):
    with browser() as driver:
        driver.get(address)
        # What is on the page loads by itself.
        time.sleep(3)
        height = driver.execute_script("return document.documentElement.scrollHeight")
        driver.set_window_size(SIZE[0], height + 200)
        time.sleep(1)
        driver.save_screenshot(str(picture))


if __name__ == "__main__":
    page = sys.argv[1]
    take(page if "://" in page else Path(page).resolve().as_uri(), sys.argv[2])
