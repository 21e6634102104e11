"""service.page.page: nothing from elsewhere; what people do with it, in a real browser and
service.
"""

import base64
import hashlib
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from service.access.key_file import make_key
from tests.service.browser import PLAIN_HOST, Browser, Tab
from tests.service.page.photos import CHOICE, KNOWN, STORED, make_large, read_labels
from tests.service.servers import ServerThread, wait_for

BY = "\N{MULTIPLICATION SIGN}"  # between width and height
Open = Callable[..., Tab]


# ---- the file


@pytest.mark.anyio
async def test_the_policy_allows_exactly_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


@pytest.mark.anyio
async def test_nothing_comes_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "//" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", page)
    targets = set(re.findall(r'(?:href=|ask\(|insist\()"([\w./]+)"', page))
    assert targets == {"info", "docs", "metrics", "classify", "models"}
    for target in targets:
        assert (await client.get(f"/{target}")).status_code in (200, 405)


# ---- photos in, labels out


def test_one_photo(show: Open, make_file: Any) -> None:
    tab = show()
    tab.choose("#files", make_file("sky.jpg", "blue"))
    assert read_labels(tab) == {"sky.jpg": "blue"}
    text = tab.read("article")
    assert re.search(r"blue\s+\d\d\.\d %", text)
    assert re.search(r"decode [\d.]+, network [\d.]+, altogether [\d.]+ ms", text)
    assert f"JPEG, 60 {BY} 40" in text
    assert "Shrunk" not in text
    width = tab.evaluate("document.querySelector('.row i').style.width")
    assert float(width.rstrip("%")) > 50
    assert tab.evaluate("document.querySelector('article img').naturalWidth") == 60
    assert tab.evaluate("document.querySelector('#said').textContent").startswith("sky.jpg: blue, ")


def test_several_photos_and_a_broken_one(show: Open, make_file: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(make_file("whole.jpg", "red", (200, 200)).read_bytes()[:-100])
    text = tmp_path / "text.png"
    text.write_text("no photo")
    tab = show()
    tab.choose(
        "#files", make_file("a.jpg", "red"), broken, make_file("b.webp", "lime", kind="WEBP"), text
    )
    expected = {"a.jpg": "red", "broken.jpg": "", "b.webp": "green", "text.png": ""}
    assert read_labels(tab) == expected
    assert list(read_labels(tab)) == list(expected), "in the order of the files"
    faults = tab.evaluate(
        "[...document.querySelectorAll('article .fault')].map((e) => e.hidden ? '' : e.innerText)"
    )
    assert faults[0] == faults[2] == ""
    assert re.search(r"cannot be decoded: .*expected.*found", faults[1])
    assert re.search(r"not accepted: .*expected.*found", faults[3])
    again = "[...document.querySelectorAll('.again')].some((e) => e.checkVisibility())"
    assert not tab.evaluate(again), "what is wrong with these files stays so"
    tab.click("article:nth-child(1) .remove")
    assert len(read_labels(tab)) == 3
    tab.click("#clear")
    assert tab.evaluate("document.querySelectorAll('article').length") == 0


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_shrunk_upright(show: Open, tmp_path: Path, orientation: int) -> None:
    file = tmp_path / "large.jpg"
    file.write_bytes(make_large(orientation))
    tab = show()
    tab.choose("#files", file)
    assert read_labels(tab) == {"large.jpg": "blue"}
    (sent,) = tab.list_sent()
    assert sent < file.stat().st_size / 4
    before, after = (f"4000 {BY} 3000", f"1365 {BY} 1024")
    if orientation == 6:
        before, after = (f"3000 {BY} 4000", f"1024 {BY} 1365")
    assert f"Shrunk here from {before}" in tab.read("figcaption")
    assert f"JPEG, {after}." in tab.read(".times")


def test_shrinking_changes_no_label_of_the_photos(
    show: Open, real_server: ServerThread, photos: Path, tmp_path: Path
) -> None:
    files = []
    expected = {}  # the best label, and those nearly as likely
    for photo in sorted(photos.glob("*.jpg")):
        image = Image.open(photo)
        scale = (12e6 / (image.width * image.height)) ** 0.5
        size = round(image.width * scale), round(image.height * scale)
        files.append(tmp_path / photo.name)
        image.resize(size, Image.Resampling.BICUBIC).save(files[-1], quality=95)
        url = "http://{}:{}/classify".format(*real_server.address)
        found = httpx.post(url, content=files[-1].read_bytes()).json()["predictions"]
        least = found[0]["score"] - 0.2
        expected[photo.name] = [one["label"] for one in found if one["score"] > least]
    tab = show(real_server)
    tab.choose("#files", *files)
    labels = read_labels(tab)
    assert all(labels[name] in near for name, near in expected.items()), (labels, expected)
    assert sum(len(near) == 1 for near in expected.values()) >= 6
    assert tab.read("#results").count("Shrunk here") == 8
    assert all(size < 10**6 for size in tab.list_sent())


def test_a_photo_is_pasted_or_dropped(show: Open, make_image: Any) -> None:
    tab = show()
    data = base64.b64encode(make_image("lime", kind="PNG")).decode()
    make = f"""
        const bytes = Uint8Array.from(atob("{data}"), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name, {{type: "image/png"}}));
    """
    tab.evaluate(
        f"((name) => {{ {make} document.body.dispatchEvent(new ClipboardEvent("
        "'paste', {clipboardData: data, bubbles: true})); })('pasted.png')"
    )
    tab.evaluate(
        f"((name) => {{ {make} document.querySelector('#drop').dispatchEvent(new DragEvent("
        "'drop', {dataTransfer: data, bubbles: true, cancelable: true})); })('dropped.png')"
    )
    assert read_labels(tab) == {"pasted.png": "green", "dropped.png": "green"}
    tab.evaluate(
        "document.body.dispatchEvent(new ClipboardEvent('paste', "
        "{clipboardData: new DataTransfer(), bubbles: true}))"
    )
    assert tab.read("#notice").startswith("Expected an image in the clipboard; found none.")


def test_the_camera_takes_photos(show: Open) -> None:
    tab = show()
    assert not tab.evaluate("document.querySelector('#capture-label').checkVisibility()")
    tab.click("#camera-open")
    tab.wait_for(
        "document.activeElement.id === 'shoot' && document.querySelector('video').videoWidth"
    )
    tab.click("#shoot")
    tab.wait_for("document.querySelector('article')")
    tab.press("Escape")  # the focus is in the camera's section
    tab.wait_for("document.querySelector('#camera').hidden")
    assert tab.evaluate("document.querySelector('video').srcObject") is None
    assert tab.evaluate("document.activeElement.id") == "camera-open"
    ((name, label),) = read_labels(tab).items()
    assert name.startswith("camera, ")
    assert label == "green", "the fake camera shows a green surface"


def test_a_camera_that_is_refused_is_told(show: Open) -> None:
    tab = show()
    tab.evaluate(
        "navigator.mediaDevices.getUserMedia = () => "
        "Promise.reject(new DOMException('no', 'NotAllowedError'))"
    )
    tab.click("#camera-open")
    tab.wait_for("!document.querySelector('#notice').hidden")
    assert "Expected permission to use the camera; found none. Allow" in tab.read("#notice")
    assert tab.evaluate("document.querySelector('#camera').hidden")


def test_over_plain_http_the_devices_own_camera_is_offered(
    show: Open, serve: Any, make_file: Any
) -> None:
    tab = show(serve(allowed_hosts=[PLAIN_HOST]), PLAIN_HOST)
    assert not tab.evaluate("isSecureContext")
    assert not tab.evaluate("document.querySelector('#camera-open').checkVisibility()")
    assert (
        tab.evaluate("document.querySelector('#capture').getAttribute('capture')") == "environment"
    )
    tab.choose("#capture", make_file("capture.jpg", "red"))
    assert read_labels(tab) == {"capture.jpg": "red"}


# ---- photos that show no label


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1024, True)])
def test_a_photo_that_shows_no_label_is_said_to(
    show: Open, serve: Any, knowing: Any, make_file: Any, width: int, dark: bool
) -> None:
    tab = show(serve(knowing), width=width, height=700, dark=dark)
    tab.choose("#files", make_file("grey.png", "gray", kind="PNG"), make_file("red.jpg", "red"))
    assert read_labels(tab)["red.jpg"] == "red"
    shown = (
        "[...document.querySelectorAll('article')].map((a) => [a.querySelector('h2').innerText, "
        "a.querySelector('.none').checkVisibility(), a.classList.contains('is-none'), "
        "getComputedStyle(a.querySelector('.row i')).backgroundColor])"
    )
    rows = {name: rest for name, *rest in tab.evaluate(shown)}
    assert rows["grey.png"][:2] == [True, True]
    assert rows["red.jpg"][:2] == [False, False]
    assert rows["grey.png"][2] != rows["red.jpg"][2], "bars are muted"
    assert tab.read(".is-none .none") == "Probably none of these labels"
    order = "document.querySelector('.is-none .none').compareDocumentPosition("
    assert tab.evaluate(f"{order}document.querySelector('.is-none ol')) & 4"), "above the bars"
    assert re.search(r"Likely to show one of the labels: \d+\.\d %\.", tab.read(".is-none .times"))
    for text, ground in ((".row", ".row i"), (".row", ".row"), (".none", "article")):
        place = f".is-none {text}"
        under = ground if ground == "article" else f".is-none {ground}"
        under = ".is-none" if under == "article" else under
        contrast = tab.measure_contrast((place, "color"), under)
        assert contrast >= 4.5, (text, ground)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.click("#knows summary")
    assert "says so where a photo probably shows none" in tab.read("#otherwise")


def test_words_for_none_of_these_go_with_the_answer(
    show: Open, serve: Any, knowing: Any, make_file: Any
) -> None:
    """The same photo, asked about again while there is no service, has no answer any more."""
    tab = show(serve(knowing))
    tab.choose("#files", make_file("grey.png", "gray", kind="PNG"))
    read_labels(tab)
    assert "none of the 3 labels. The best: " in tab.evaluate(
        "document.querySelector('#said').textContent"
    )
    tab.evaluate("fetch = () => Promise.reject(new TypeError('no network')); 0")
    tab.evaluate("cards[0].enqueue()")
    tab.wait_for("!document.querySelector('article .fault').hidden")
    assert not tab.evaluate("document.querySelector('.none').checkVisibility()")
    assert not tab.evaluate("document.querySelector('.is-none')")


def test_how_sure_an_answer_must_be_is_chosen(
    show: Open, serve: Any, hedging: Any, make_file: Any
) -> None:
    tab = show(serve(hedging), width=390)
    tab.wait_for(KNOWN)
    assert tab.evaluate("document.querySelector('#surety').checkVisibility()")
    options = "[...document.querySelectorAll('#certainties option')].map((o) => o.innerText)"
    assert tab.evaluate(options)[:2] == ["just the best guess", "right in 50 % of answers"]
    tab.choose("#files", make_file("a.jpg", "yellow"), make_file("b.jpg", "blue"))
    read_labels(tab)
    assert not tab.evaluate("document.querySelector('.hedged').checkVisibility()")

    def ask(certainty: str) -> list[str]:
        select = "document.querySelector('#certainties')"
        tab.evaluate(f"{select}.value = '{certainty}'; {select}.dispatchEvent(new Event('change'))")
        read_labels(tab)
        sentences: list[str] = tab.evaluate(
            "[...document.querySelectorAll('.hedged')].map((p) => p.innerText)"
        )
        return sentences

    torn, sure = ask("0.9")
    assert re.fullmatch(r"An earth colour, which one is uncertain \(9\d\.\d %\)\.", torn)
    assert sure == "Blue: certain enough to be right in 90 % of answers."
    assert tab.measure_contrast((".hedged", "color"), "article") >= 4.5
    assert ask("0.99") == ["Nothing is certain enough to be right in 99 % of answers."] * 2
    assert ask("") == ["", ""]
    gear = "label: 'x', phrase: 'gear', score: .5, covers: 2, certainty: .9"
    words = tab.evaluate(f"describeHedged({{{gear}}}, true)")
    assert words == "If it is one of them: gear, which kind is uncertain (50.0 %)."
    assert not show().evaluate("document.querySelector('#surety').checkVisibility()")


# ---- what an answer rests on


def test_the_map_is_shown_and_hidden(show: Open, make_file: Any) -> None:
    tab = show()
    tab.choose("#files", make_file("a.jpg", "red"))
    read_labels(tab)
    tab.click(".why")
    tab.wait_for("document.querySelector('article img').naturalWidth === 32")  # the network's crop
    assert "what spoke most for “red”" in tab.read("figcaption")
    pressed = (
        "[...document.querySelectorAll('[aria-pressed=true]')]"
        ".map((e) => e.innerText.split(/\\s/)[0])"
    )
    assert tab.evaluate(pressed) == ["red", "Show"]
    tab.click("li:nth-child(2) .row")
    tab.wait_for("/“(green|blue)”/.test(document.querySelector('figcaption').innerText)")
    tab.click(".why")
    tab.wait_for("document.querySelector('article img').naturalWidth === 60")
    assert tab.evaluate(pressed) == []


def test_where_an_engine_shows_no_map_none_is_offered(
    show: Open, serve: Any, make_engine: Any, make_file: Any
) -> None:
    engine = make_engine()
    engine.explains = False
    tab = show(serve(engine))
    tab.choose("#files", make_file("a.jpg", "red"))
    assert read_labels(tab) == {"a.jpg": "red"}
    assert not tab.evaluate("document.querySelector('.why').checkVisibility()")
    assert tab.evaluate("document.querySelectorAll('button.row').length") == 0


# ---- the model, its absence, keys


def test_tells_what_the_model_is_and_knows(show: Open, real_server: ServerThread) -> None:
    tab = show(real_server)
    tab.wait_for("!document.querySelector('#knows').hidden")
    assert re.match(r"meliusnet24, 22 classes, native/\w+\.", tab.read("#model"))
    tab.click("#knows summary")
    assert "elephant" in tab.read("#labels")
    tab.click("#about summary")
    facts = tab.read("#facts")
    assert "78.8 % of 424 validation photos right; 95.8 % among the first five" in facts
    assert f"128 {BY} 128 pixels" in facts


def test_where_one_model_is_served_there_is_no_choice(
    show: Open, real_server: ServerThread
) -> None:
    tab = show(real_server)
    tab.wait_for(KNOWN)
    assert not tab.evaluate(CHOICE)


def test_of_several_models_one_is_chosen(show: Open, several: ServerThread, make_file: Any) -> None:
    tab = show(several)
    tab.wait_for(KNOWN)
    assert tab.evaluate(CHOICE)
    assert tab.read("#choice").split() == ["Model", "tiny", "(default)", "meliusnet13"]
    tab.choose("#files", make_file("sky.jpg", "blue"))
    assert read_labels(tab) == {"sky.jpg": "blue"}
    tab.click(".why")
    tab.wait_for("document.querySelector('article img').naturalWidth === 32")
    tab.evaluate("document.querySelector('#models').focus()")
    tab.press("m")  # as a person would, by the keyboard
    tab.wait_for("document.querySelector('#model').innerText.startsWith('meliusnet13')")
    assert "elephant" in tab.evaluate("document.querySelector('#labels').textContent")
    facts = tab.evaluate("document.querySelector('#facts').textContent")
    assert f"128 {BY} 128 pixels" in facts
    assert "native" in facts
    tab.wait_for("document.querySelector('.times').innerText.startsWith('meliusnet13, ')")
    assert tab.evaluate("document.querySelectorAll('article').length") == 1
    assert tab.evaluate("document.querySelectorAll('article [aria-pressed=true]').length") == 0
    tab.click(".why")
    tab.wait_for("document.querySelector('article img').naturalWidth === 128")
    tab.evaluate("fetch = () => Promise.reject(new TypeError('no network')); 0")
    tab.evaluate(
        "(() => { const choice = document.querySelector('#models'); choice.value = 'tiny'; "
        "choice.dispatchEvent(new Event('change')); })()"
    )
    tab.wait_for("!document.querySelector('article .fault').hidden")
    assert tab.evaluate("document.querySelectorAll('.row').length") == 0, "of another model"
    assert not tab.evaluate("document.querySelector('.why').checkVisibility()")
    assert tab.evaluate("document.querySelector('.again').checkVisibility()")
    asked = [event["request"] for event in tab.list_events("Network.requestWillBeSent")]
    posts = [item["url"].partition("classify")[2] for item in asked if item["method"] == "POST"]
    explains = "?explain=cam&class={}&model={}"
    assert posts[:3] == ["?model=tiny", explains.format(2, "tiny"), "?model=meliusnet13"]
    assert re.fullmatch(r"\?explain=cam&class=\d+&model=meliusnet13", posts[3])


def test_a_chosen_model_that_is_served_no_more_is_told(
    show: Open, several: ServerThread, make_file: Any
) -> None:
    tab = show(several)
    tab.wait_for(KNOWN)
    tab.evaluate("document.querySelector('#models').focus()")
    tab.press("m")
    tab.wait_for("document.querySelector('#model').innerText.startsWith('meliusnet13')")
    shutil.rmtree(several.settings.models / "meliusnet13")
    several.signal(signal.SIGHUP)
    wait_for(lambda: len(several.app.state.inference.catalogue.names) == 1)
    tab.choose("#files", make_file("sky.jpg", "blue"))
    tab.wait_for("document.querySelector('#model').innerText.startsWith('tiny')")
    tab.wait_for("document.querySelector('.again').checkVisibility()")
    assert "There is no model of this name" in tab.read("article .fault")
    assert not tab.evaluate(CHOICE)
    tab.click(".again")
    tab.wait_for("document.querySelector('.row')")
    assert read_labels(tab) == {"sky.jpg": "blue"}


def test_a_page_opened_while_the_model_loads_clears_itself(
    browser: Browser, gated: Any, make_file: Any
) -> None:
    gated.close()
    server = ServerThread(gated, wait=False)
    try:
        tab = browser.open("http://{}:{}/".format(*server.address))
        tab.wait_for("document.querySelector('#model').innerText.includes('still being loaded')")
        tab.choose("#files", make_file("early.jpg", "blue"))
        tab.wait_for("document.querySelector('.state').innerText.includes('still being loaded')")
        gated.open()
        assert read_labels(tab) == {"early.jpg": "blue"}
        tab.wait_for("document.querySelector('#model').innerText.startsWith('tiny, 3 classes')")
        assert "loaded" not in tab.read("body")
        assert tab.evaluate("document.querySelector('.why').checkVisibility()")
        assert tab.list_faults() == []
    finally:
        gated.open()
        server.wait()
        server.stop()


def test_an_untrained_model_says_so(show: Open, serve: Any, make_engine: Any) -> None:
    tab = show(serve(make_engine(trained=False, training=None)))
    tab.wait_for("document.querySelector('#model b')")
    assert tab.read("#model b") == "Untrained: the labels mean nothing."


def test_a_key_is_asked_for_and_kept_for_the_tab(
    show: Open, serve: Any, make_file: Any, tmp_path: Path
) -> None:
    key, lines = make_key("app")
    (tmp_path / "keys.toml").write_text(lines)
    (tmp_path / "keys.toml").chmod(0o600)
    tab = show(serve(api_keys_file=tmp_path / "keys.toml"))
    tab.wait_for("!document.querySelector('#access').hidden")
    assert "An API key is asked for: " in tab.read("#model")
    tab.choose("#files", make_file("a.jpg", "red"))
    tab.wait_for("document.querySelector('.state').innerText === 'waits for an API key'")
    for given in ("wrong", key):
        tab.evaluate("document.querySelector('#key').focus()")
        tab.write(given)
        tab.press("Enter")
    assert read_labels(tab) == {"a.jpg": "red"}
    assert tab.evaluate("document.querySelector('#access').hidden")
    assert tab.evaluate("JSON.stringify(sessionStorage)") == json.dumps(
        {"bnn-service-key": key}, separators=(",", ":")
    )
    assert tab.evaluate(STORED) == 0
    tab.reload()
    tab.wait_for("document.querySelector('#model').innerText.startsWith('tiny')")
    assert tab.evaluate("document.querySelector('#access').hidden")
    assert key not in tab.evaluate("document.documentElement.outerHTML")


def test_a_service_that_is_gone_is_told_and_asked_again(
    show: Open, serve: Any, make_file: Any
) -> None:
    server = serve()
    tab = show(server)
    tab.wait_for("document.querySelector('#model').innerText.startsWith('tiny')")
    tab.evaluate("window.real = fetch; fetch = () => Promise.reject(new TypeError('no network'))")
    tab.choose("#files", make_file("a.jpg", "red"))
    tab.wait_for("!document.querySelector('article .fault').hidden")
    assert "expected a connection; found none (no network)" in tab.read("article .fault")
    tab.evaluate("fetch = window.real; 0")
    tab.click(".again")
    tab.wait_for("document.querySelector('.row')")
    assert read_labels(tab) == {"a.jpg": "red"}


def test_a_late_refusal_of_another_key_does_not_forget_this_one(
    show: Open, serve: Any, tmp_path: Path
) -> None:
    key, lines = make_key("app")
    (tmp_path / "keys.toml").write_text(lines)
    (tmp_path / "keys.toml").chmod(0o600)
    tab = show(serve(api_keys_file=tmp_path / "keys.toml"))
    tab.wait_for("!document.querySelector('#access').hidden")
    tab.evaluate(
        "(() => { const real = fetch; window.waiting = null; fetch = async (...given) => { "
        "const answer = await real(...given); if (given[1].headers['X-API-Key'] === 'wrong') "
        "await new Promise((go) => { window.waiting = go; }); return answer; }; })()"
    )
    for given, condition in [
        ("wrong", "window.waiting"),
        (key, "document.querySelector('#model').innerText.startsWith('tiny')"),
    ]:
        tab.evaluate("document.querySelector('#key').focus()")
        tab.write(given)
        tab.press("Enter")
        tab.wait_for(condition)
    tab.evaluate("window.waiting(); new Promise((go) => setTimeout(go, 200))")
    assert tab.evaluate("sessionStorage.getItem('bnn-service-key')") == key
    assert tab.evaluate("document.querySelector('#access').hidden")


def test_an_answer_that_is_not_the_services_is_told(show: Open, make_file: Any) -> None:
    tab = show()
    tab.wait_for("document.querySelector('#model').innerText.startsWith('tiny')")
    tab.evaluate("fetch = async () => new Response('<h1>Bad gateway', {status: 502}); 0")
    tab.choose("#files", make_file("a.jpg", "red"))
    tab.wait_for("!document.querySelector('article .fault').hidden")
    assert "found another, with status 502" in tab.read("article .fault")


def test_what_cannot_be_read_is_told_and_holds_up_nothing(show: Open, make_file: Any) -> None:
    tab = show()
    lost, good = make_file("lost.jpg", "red"), make_file("good.jpg", "blue")
    tab.evaluate(
        "window.real = File.prototype.slice; File.prototype.slice = function () { "
        "if (this.name === 'lost.jpg') throw new Error('gone'); "
        "return window.real.apply(this, arguments); }; 0"
    )
    tab.choose("#files", lost, good)
    assert read_labels(tab) == {"lost.jpg": "", "good.jpg": "blue"}
    assert "found a folder, or a file that cannot be read" in tab.read("article .fault")


# ---- for everybody


def test_all_can_be_done_by_keyboard(show: Open, make_file: Any) -> None:
    tab = show()
    tab.send("Page.setInterceptFileChooserDialog", enabled=True)
    order = []
    for _ in range(3):
        tab.press("Tab")
        order.append(tab.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert order[:2] == ["files", "camera-open"]
    tab.evaluate("document.querySelector('#files').focus()")
    tab.press("Enter")
    tab.wait_for("true")
    (opened,) = tab.list_events("Page.fileChooserOpened")
    file = make_file("a.jpg", "red")
    node = opened["backendNodeId"]
    tab.send("DOM.setFileInputFiles", backendNodeId=node, files=[str(file)])
    assert read_labels(tab) == {"a.jpg": "red"}
    for _ in range(10):
        tab.press("Tab")
        if tab.evaluate("document.activeElement.className") == "why":
            break
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.evaluate(outline) == "solid"
    tab.press(" ")
    tab.wait_for("document.querySelector('article img').naturalWidth === 32")
    assert tab.evaluate("document.activeElement.ariaPressed") == "true"


def test_each_control_has_a_name(show: Open, make_file: Any) -> None:
    tab = show()
    tab.choose("#files", make_file("a.jpg", "red"))
    read_labels(tab)
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "image", "link", "heading", "DisclosureTriangle"}
    controls = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert len(controls) > 8
    nameless = [node for node in controls if not node["name"]["value"].strip()]
    assert not nameless


@pytest.mark.parametrize("width", [320, 390, 1024])
def test_no_width_has_to_be_scrolled(show: Open, make_file: Any, width: int) -> None:
    tab = show(width=width, height=700)
    tab.choose("#files", make_file(f"{'a-long-name-' * 12}.jpg", "red", (900, 300)))
    read_labels(tab)
    tab.click("#about summary")
    tab.click("#knows summary")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    small = tab.evaluate(
        "[...document.querySelectorAll('button:not(.row), .button')].filter((e) => "
        "e.checkVisibility() && e.getBoundingClientRect().height < 40).map((e) => e.innerText)"
    )
    assert small == [], "too small for a finger"


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_in_dark_and_light(show: Open, make_file: Any, dark: bool) -> None:
    tab = show(dark=dark)
    tab.choose("#files", make_file("a.jpg", "red"))
    read_labels(tab)
    for selector, ground in [
        ("body", "body"),
        ("#model", "body"),
        (".times", "article"),
        (".row", ".row i"),
        (".fault", "article"),
    ]:
        assert tab.measure_contrast((selector, "color"), ground) >= 4.5, selector
    for selector, ground in [("#key", "body"), ("#models", "body"), ("#drop", "body")]:
        assert tab.measure_contrast((selector, "borderTopColor"), ground) >= 3, selector
    (red, _, _) = tab.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red < 64) == dark
