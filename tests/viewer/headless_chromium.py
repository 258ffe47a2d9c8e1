"""A headless Chromium, driven through its debugging protocol."""

import base64
import contextlib
import itertools
import json
import subprocess
import time
import urllib.request

from websockets.sync.client import connect

# WebGL in software; no name is resolved, so that nothing beyond this computer can be reached.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--no-first-run",
)

SENDING_SECONDS = 0.3  # after which a page has sent what was typed; it holds changes back for some hundredths


class Chromium:
    """A browser in a process of its own, with one page or several."""

    def __init__(self, program, folder, *, width=1000, height=800):
        command = [program, *FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._port = wait_for(lambda: port_of(folder), seconds=60)
        self.pages = [BrowserPage(next(each for each in self._ask("list") if each["type"] == "page"))]

    def new_page(self):
        self.pages.append(BrowserPage(self._ask("new?about:blank", method="PUT")))
        return self.pages[-1]

    def _ask(self, what, *, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/{what}", method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def close(self):
        for page in self.pages:
            page.close()
        self._process.terminate()
        self._process.wait(timeout=30)


def port_of(folder):
    """Returns the port of the debugging protocol, None until the browser has chosen it."""
    with contextlib.suppress(FileNotFoundError, IndexError):
        return (folder / "DevToolsActivePort").read_text().splitlines()[0]
    return None


class BrowserPage:
    """One page of a browser; collects errors of its console and the addresses that it asks for."""

    def __init__(self, target):
        self.errors, self.requests = [], []
        self._numbers = itertools.count(1)
        self._socket = connect(
            target["webSocketDebuggerUrl"], max_size=None, compression=None, proxy=None, ping_interval=None
        )
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        """Runs a command of the protocol and returns its result; events that arrive meanwhile are collected."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._collect(message)

    def _collect(self, message):
        method, found = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(found["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and found["type"] == "error":
            self.errors.append([each.get("value", each.get("description")) for each in found["args"]])
        elif method == "Log.entryAdded" and found["entry"]["level"] == "error":
            self.errors.append(found["entry"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])

    def open(self, address):
        self.send("Page.bringToFront")
        self.send("Page.navigate", url=address)

    def run(self, script):
        """Returns the value of a JavaScript expression, or what it promises."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def text(self):
        return self.run("document.body.innerText")

    def click_button(self, label):
        found = self.run(
            f"(b => b && (b.click(), true))([...document.querySelectorAll('button')].find(b => b.innerText.trim() === {label!r}))"
        )
        assert found, f"no button {label!r}"

    def tick(self, label):
        """Clicks the checkbox beside a label."""
        self._click_input(label)

    def type(self, label, text):
        """Replaces the text of the field beside a label, and waits until the page has sent it."""

        def is_written():
            # A page that is drawn anew takes the focus away, and the text is lost.
            self._click_input(label)
            self.run("document.activeElement.select()")
            self.send("Input.insertText", text=text)
            return self.run(f"document.activeElement.value === {text!r}")

        wait_for(is_written, seconds=30)
        time.sleep(SENDING_SECONDS)

    def _click_input(self, label):
        # The input lies in the smallest element round the label that has one.
        script = (
            "(l => { let e = l; while (e && !e.querySelector('input')) e = e.parentElement; e = e && e.querySelector('input');"
            "if (!e) return false; e.scrollIntoView({block: 'center'}); e.focus();"
            "if (e.type === 'checkbox') e.click(); return true; })"
            f"([...document.querySelectorAll('label')].find(l => l.innerText.trim() === {label!r}))"
        )
        assert self.run(script), f"no field {label!r}"

    def image(self):
        """Returns the pixels of the first image of the panel as a data URL, None while it loads."""
        return self.run(
            "(i => { if (!i || !i.naturalWidth) return null; const c = document.createElement('canvas');"
            "c.width = i.naturalWidth; c.height = i.naturalHeight; c.getContext('2d').drawImage(i, 0, 0);"
            "return c.toDataURL(); })([...document.querySelectorAll('img')].find(i => i.src.startsWith('blob:')))"
        )

    def download(self, name):
        """Returns the bytes behind a link to a file, None while there is no such link."""
        encoded = self.run(
            "(a => a && fetch(a.href).then(r => r.blob()).then(b => new Promise(done => {"
            "const f = new FileReader(); f.onload = () => done(f.result); f.readAsDataURL(b); })))"
            f"([...document.querySelectorAll('a')].find(a => a.download === {name!r} || a.innerText.includes({name!r})))"
        )
        return base64.b64decode(encoded.partition(",")[2]) if encoded else None

    def click(self, x, y):
        """Clicks with the left button on a point of the window."""
        self.drag((x, y), (x, y), steps=1)

    def drag(self, start, end, *, steps=8):
        """Drags with the left button from one point of the window to another."""
        self._mouse("mousePressed", *start)
        for step in range(1, steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            self._mouse("mouseMoved", x, y)
        self._mouse("mouseReleased", *end)

    def _mouse(self, kind, x, y):
        buttons = 0 if kind == "mouseReleased" else 1
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self._socket.close()


def wait_for(condition, *, seconds=90):
    """Returns the first true value of a condition; fails if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError("waited in vain")
