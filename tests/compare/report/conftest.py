"""The browser in which reports are looked at."""

from tests.web.browser import browser as browser
