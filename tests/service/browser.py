"""A real Chromium without a window, driven by its own protocol (CDP), for tests of the page."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import websocket

SECONDS = 30.0
PLAIN_HOST = "photos.example"  # leads to 127.0.0.1, and browsers do not take it for secure
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    " ": ("Space", 32, " "),
    "m": ("KeyM", 77, "m"),
}


class Browser:
    """One process; each tab has a context of its own, with its own storage."""

    def __init__(self, folder: Path) -> None:
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if browser is None:
            pytest.skip("no Chromium (Debian: chromium): the page was not run in a browser")
        environment = {**os.environ, "HOME": str(folder)}  # nothing is kept in the developer's
        self._process = subprocess.Popen(
            [browser, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        place = folder / "DevToolsActivePort"
        until = time.monotonic() + SECONDS
        while not (place.exists() and place.read_text().count("\n")):
            assert self._process.poll() is None, "the browser has ended"
            assert time.monotonic() < until, "the browser does not start"
            time.sleep(0.02)
        port, path = place.read_text().split()
        url = f"ws://127.0.0.1:{port}{path}"
        self._socket = websocket.create_connection(url, timeout=SECONDS, suppress_origin=True)
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Calls a method of the protocol; returns its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while (answer := json.loads(self._socket.recv())).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, url: str, **look: Any) -> "Tab":
        """A new tab that shows a page."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)
        tab = Tab(self, target["targetId"], context)
        tab.look(**look)
        tab.go(url)
        return tab

    def close(self) -> None:
        """Ends the process."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(SECONDS)


class Tab:
    """What a person does and sees in one tab."""

    def __init__(self, browser: Browser, target: str, context: str) -> None:
        self._browser = browser
        self._context = context
        attached = browser.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the protocol for this tab."""
        return self._browser.send(method, self._session, **parameters)

    def list_events(self, method: str) -> list[dict[str, Any]]:
        """The parameters of the events of this name so far."""
        self._browser.send("Browser.getVersion")  # what has happened before is told before
        return [
            event["params"]
            for event in self._browser.events
            if event.get("method") == method and event.get("sessionId") == self._session
        ]

    def look(self, width: int = 1024, height: int = 768, dark: bool = False) -> None:
        """The size in CSS pixels, and the scheme of colours that the person prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.send("Emulation.setDeviceMetricsOverride", **size, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, url: str) -> None:
        """Shows a page, once it is loaded."""
        self._load("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def reload(self) -> None:
        """Loads the page anew."""
        self._load("Page.reload")

    def _load(self, method: str, **parameters: Any) -> None:
        """Meanwhile there may be no page to ask, so the browser has to tell."""
        before = len(self.list_events("Page.loadEventFired"))
        self.send(method, **parameters)
        until = time.monotonic() + SECONDS
        while len(self.list_events("Page.loadEventFired")) == before:
            assert time.monotonic() < until, f"never loaded: {method} {parameters}"
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of its promise."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Returns when an expression is true."""
        until = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            text = self.evaluate("document.body && document.body.innerText")
            assert time.monotonic() < until, f"never happened: {condition}\n{text}"
            time.sleep(0.03)

    def read(self, selector: str) -> str:
        """The visible text of an element; spaces that end no line are read as spaces."""
        text: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return text.replace("\N{NO-BREAK SPACE}", " ")

    def measure_contrast(self, ink: tuple[str, str], ground: str) -> float:
        """WCAG's ratio of a colour, by selector and property, to the background of an element."""
        one, other = (
            self.evaluate(
                f"getComputedStyle(document.querySelector({json.dumps(selector)}))"
                f"[{json.dumps(name)}].match(/\\d+/g).slice(0, 3).map(Number)"
            )
            for selector, name in (ink, (ground, "backgroundColor"))
        )
        low, high = sorted((_measure_luminance(one), _measure_luminance(other)))
        return (high + 0.05) / (low + 0.05)

    def click(self, selector: str) -> None:
        """Clicks an element, where it is on the screen."""
        place = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); "
            "return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key: str) -> None:
        """Presses a key and lets it go."""
        code, number, text = _KEYS[key]
        base = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **base)
        self.send("Input.dispatchKeyEvent", type="keyUp", **base)

    def write(self, text: str) -> None:
        """Types into the element that has the focus."""
        self.send("Input.insertText", text=text)

    def choose(self, selector: str, *files: Path) -> None:
        """Chooses files in a file input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def photograph(self, file: Path) -> None:
        """Writes a screenshot of the whole page (PNG)."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def list_sent(self) -> list[int]:
        """Bytes of each body that the page has sent."""
        events = self.list_events("Network.requestWillBeSentExtraInfo")
        heads = [{k.lower(): v for k, v in event["headers"].items()} for event in events]
        return [int(head["content-length"]) for head in heads if "content-length" in head]

    def list_faults(self) -> list[str]:
        """Exceptions that nobody caught, and what the page's policy has blocked."""
        thrown = self.list_events("Runtime.exceptionThrown")
        logged = [event["entry"] for event in self.list_events("Log.entryAdded")]
        return [
            *(json.dumps(event["exceptionDetails"]) for event in thrown),
            *(entry["text"] for entry in logged if entry["source"] != "network"),
        ]

    def close(self) -> None:
        """Closes the tab, its storage and its connections."""
        self._browser.send("Target.disposeBrowserContext", browserContextId=self._context)


def _measure_luminance(colour: list[int]) -> float:
    """From 0 to 1, of a colour in sRGB."""
    values = [level / 255 for level in colour]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
