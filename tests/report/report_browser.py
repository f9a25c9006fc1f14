#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives a headless Chromium through its DevTools protocol, over a pipe: no package is needed.

    with Browser(executable) as browser:
        page = browser.open("/tmp/report.html", width=1200, dark=False)
        page.evaluate("document.title")
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser():
    """Path of a Chromium or Chrome, or None. THERMOE_BROWSER names one."""
    named = os.environ.get("THERMOE_BROWSER")
    if named:
        return named
    return next((path for path in map(shutil.which, NAMES) if path), None)


class BrowserError(Exception):
    """The browser ended, or refused a command."""


class Browser:
    """A browser of its own profile; ends with its `with` block."""

    def __init__(self, executable, timeout_s=120):
        self.timeout_s = timeout_s
        self.profile = tempfile.mkdtemp(prefix="report_browser.")
        self.last_id = 0
        self.events = []
        self.rest = b""
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()

        def join_pipes():  # the protocol wants descriptors 3 and 4
            saved_in, saved_out = os.dup(to_browser), os.dup(from_browser)
            os.dup2(saved_in, 3)
            os.dup2(saved_out, 4)

        self.process = subprocess.Popen(
            [executable, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--proxy-server=127.0.0.1:9",
             f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=join_pipes, close_fds=False, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Ends the browser and removes its profile."""
        os.close(self.write_end)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: itself and its children
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.read_end)
        shutil.rmtree(self.profile, ignore_errors=True)

    def _receive(self, deadline):
        while b"\0" not in self.rest:
            if time.monotonic() > deadline:
                raise BrowserError(f"no answer within {self.timeout_s} s")
            chunk = os.read(self.read_end, 1 << 20)
            if not chunk:
                raise BrowserError("the browser ended")
            self.rest += chunk
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def command(self, method, session=None, **parameters):
        """Sends a command and returns its result; events that come meanwhile are kept."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.timeout_s
        while True:
            answer = self._receive(deadline)
            if answer.get("id") != self.last_id:
                self.events.append(answer)
            elif "error" in answer:
                raise BrowserError(f"{method}: {answer['error']['message']}")
            else:
                return answer["result"]

    def open(self, path, width, dark=False, height=900):
        """Opens a file in a new page and waits until the report has drawn itself."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session, width, height)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.command(f"{domain}.enable")
        page.command("Network.emulateNetworkConditions", offline=True, latency=0,
                     downloadThroughput=-1, uploadThroughput=-1)
        page.resize(width, height)
        page.command("Emulation.setEmulatedMedia", media="", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        page.command("Page.navigate", url=Path(path).resolve().as_uri())
        page.wait_for("document.documentElement?.dataset.ready === 'yes'")
        return page


class Page:
    """One page and what it complained about."""

    def __init__(self, browser, target, session, width, height):
        self.browser, self.target, self.session = browser, target, session
        self.width, self.height = width, height

    def command(self, method, **parameters):
        return self.browser.command(method, self.session, **parameters)

    def evaluate(self, expression):
        """The value of a JavaScript expression (promises are awaited)."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True,
                              awaitPromise=True)
        if "exceptionDetails" in result:
            raise BrowserError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_for(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise BrowserError(f"never true: {condition}; {self.complaints()}")
            time.sleep(0.05)

    def resize(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=False)

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            text = key if len(key) == 1 and kind == "keyDown" else ""
            self.command("Input.dispatchKeyEvent", type=kind, key=key, text=text)

    def screenshot(self, path):
        """The whole page, from top to bottom."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        # A sticky bar would be pinned to the clip; the page is made as tall as it is instead.
        self.resize(self.width, int(size["height"]))
        time.sleep(0.3)
        image = self.command("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(image))
        self.resize(self.width, self.height)

    def _middle(self, selector):
        """Where an element's middle is, once it is in view."""
        return self.evaluate(
            "(() => { const one = document.querySelector(%s); one.scrollIntoView({block: 'center'});"
            " const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()" % json.dumps(selector))

    def hover(self, selector):
        x, y = self._middle(selector)
        for step in (3, 0):
            self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)

    def click(self, selector):
        x, y = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self):
        """Forgets the page and what was kept of it."""
        self.browser.command("Target.closeTarget", targetId=self.target)
        self.browser.events = [one for one in self.browser.events if one.get("sessionId") != self.session]

    def _events(self, method):
        return [event["params"] for event in self.browser.events
                if event.get("sessionId") == self.session and event["method"] == method]

    def complaints(self):
        """Console errors and warnings, uncaught exceptions, and refusals of the browser."""
        self.evaluate("0")  # what was reported before the answer has arrived with it
        said = [f"console.{one['type']}: {[a.get('value', a.get('description')) for a in one['args']]}"
                for one in self._events("Runtime.consoleAPICalled")
                if one["type"] in ("error", "warning", "assert")]
        said += [f"exception: {one['exceptionDetails'].get('exception', {}).get('description', one)}"
                 for one in self._events("Runtime.exceptionThrown")]
        said += [f"{one['entry']['level']}: {one['entry']['text']}" for one in self._events("Log.entryAdded")
                 if one["entry"]["level"] in ("error", "warning")]
        return said

    def requests(self):
        """Every address that the page asked for, but itself and data within it."""
        urls = [one["request"]["url"] for one in self._events("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith(("data:", "blob:", "about:", "file:"))]
