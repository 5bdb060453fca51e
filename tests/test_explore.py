"""The page of `droulette explore`, in a browser: it shows what the library computes, and answers nobody else."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import browser
import numpy as np
import psutil
import pytest
import small
from PIL import Image

import droulette as dr
from droulette import datagen, explore
from droulette.errors import UserError
from droulette.exploring import dropped, figures, saving, settings, view
from droulette.exploring.controls import Controls
from droulette.exploring.page import LAYERS
from droulette.exploring.settings import SCENES, Settings, slider_range
from droulette.formats import coolest
from droulette.physics.own import model as own_model
from droulette.physics.own import parameter
from droulette.physics.sources import Source
from droulette.registry import LENSES, SOURCES

WAIT = 120  # s: machines differ in speed
ARC = SCENES["Arc"]


# ---------------------------------------------------------------- without a browser


@pytest.mark.parametrize("preset", SCENES)
def test_a_view_is_what_the_library_draws(preset):
    scene = SCENES[preset].scene()
    found = view.of_settings(SCENES[preset])
    picture, roulette = scene.picture(), scene.resimulate()
    if scene.instrument is None:
        np.testing.assert_array_equal(found.picture, picture)
        np.testing.assert_array_equal(found.roulette, roulette)
    else:  # brightness in one scale, white at a percentile of the picture
        scale = 255 / np.percentile(picture, view.WHITE)
        for shown, drawn in ((found.picture, picture), (found.roulette, roulette)):
            np.testing.assert_allclose(shown, np.clip(drawn * scale, 0, 255), atol=0.51)
    assert picture.any() and roulette.any()
    x, y, radius = scene.circle_of_convergence
    np.testing.assert_allclose(found.points["reference"], [[x, y]], atol=1e-9)
    circle = found.lines["circle"][0] - (x, y)
    np.testing.assert_allclose(np.hypot(*circle.T), radius)
    coarse, fine = found.lines["critical"][0], scene.critical_curves()[0]
    nearest = np.sqrt(((coarse[:, None] - fine[None]) ** 2).sum(axis=-1).min(axis=1))
    assert nearest.max() < 1.0  # px; between points of the fine curve


@pytest.mark.parametrize("preset", SCENES)
def test_saved_files_are_those_of_datagen(preset, tmp_path, monkeypatch):
    scene = SCENES[preset].scene()
    monkeypatch.chdir(tmp_path)
    Path("scene.toml").write_bytes(saving.toml(scene, 1.0).content)
    assert datagen.main(["--toml", "scene.toml", "--directory", "images", "--quiet"]) == 0
    (drawn,) = Path("images").iterdir()
    assert drawn.read_bytes() == saving.png(scene, 1.0).content
    if scene.instrument is None:
        np.testing.assert_array_equal(np.array(Image.open(drawn)), scene.picture())
    again = settings.of_scene(dr.Scene.from_toml("scene.toml"))
    assert again.instrument == SCENES[preset].instrument
    np.testing.assert_array_equal(again.scene().picture(), scene.picture())


@pytest.mark.parametrize("lens", [*settings.lens_names(), "SIE+Shear", "EPL+Shear+Multipole4", "SIE+NFW"])
def test_each_lens_has_its_sliders(lens):
    calls = []
    controls = Controls(ARC, lambda: calls.append(1))
    controls.show(replace(ARC, lens=lens, lens_values={}))
    assert calls == [1]
    sliders = controls.parameters["lens"]
    assert list(sliders) == [quantity.name for quantity in LENSES[lens].parameters]
    for quantity in LENSES[lens].parameters:
        slider = sliders[quantity.name]
        assert quantity.allows(np.array([slider.start, slider.value, slider.end])).all()
        assert slider.title.endswith(quantity.unit)
        sliders[quantity.name].value = slider.end
    changed = controls.settings()
    assert (changed.lens, changed.lens_values) == (lens, {name: s.end for name, s in sliders.items()})
    assert len(calls) == 1 + len(sliders)
    assert changed.scene().row()["lens"] == lens


def test_another_lens_keeps_the_values_that_it_shares():
    controls = Controls(ARC, lambda: None)
    controls.added.value = ["Shear"]
    values = controls.settings().lens_values
    assert {**values} == {**ARC.lens_values, "gamma1": 0.0, "gamma2": 0.0}
    controls.lens.value = "SIS"
    assert [*controls.settings().lens_values] == ["einstein_radius", "gamma1", "gamma2"]
    assert controls.settings().lens_values["einstein_radius"] == ARC.lens_values["einstein_radius"]
    assert controls.preset.value == "—"


def test_a_users_model_has_sliders_too():
    before = dict(SOURCES.classes)

    @own_model
    class Lamp(Source):
        glow: np.ndarray = parameter(2, 4, "glow of the lamp; brighter is more", "K", ge=1, le=5)

        def brightness(self, dx, dy):
            return self.glow + 0 * dx

    try:
        assert "Lamp" in settings.source_names()
        controls = Controls(ARC, lambda: None)
        controls.source.value = "Lamp"
        (slider,) = controls.parameters["source"].values()
        assert (slider.title, slider.start, slider.end, slider.value) == ("glow of the lamp, K", 1, 5, 3)
    finally:
        SOURCES.classes = before


def test_ranges_hold_the_value_and_the_limits():
    quantity = next(q for q in LENSES["SIE"].parameters if q.name == "einstein_radius")
    found = slider_range(quantity)
    assert (found.start, found.end, found.step) == (0.2, 90.0, 0.2)
    assert slider_range(quantity, 200.0).end == 200.0
    with pytest.raises(UserError, match="einstein_radius"):
        replace(ARC, lens_values={"einstein_radius": -1.0}).scene()


def test_colours_of_pictures():
    picture = np.array([[0, 255], [1, 2]], np.uint8)
    bytes_of = figures.grey(picture).view(np.uint8).reshape(2, 2, 4)
    np.testing.assert_array_equal(bytes_of[::-1, :, 0], picture)
    assert (bytes_of[..., 3] == 255).all() and (bytes_of[..., 0] == bytes_of[..., 2]).all()
    signed = figures.diverging(np.array([[0, 300], [-300, 0]])).view(np.uint8).reshape(2, 2, 4)[::-1]
    np.testing.assert_array_equal(signed[..., :3], [[[0, 0, 0], [255, 110, 80]], [[70, 160, 255], [0, 0, 0]]])


def test_contours_are_lines_of_equal_brightness():
    x = np.arange(64) - 32
    picture = np.rint(200 * np.exp(-(x**2 + (32 - np.arange(64))[:, None] ** 2) / 200)).astype(np.uint8)
    lines = dropped.contours(picture)
    radii = [np.hypot(*line.T).mean() for line in lines]
    np.testing.assert_allclose(radii, np.sqrt(-200 * np.log(dropped.LEVELS)), atol=0.1)
    assert dropped.contours(np.zeros((8, 8), np.uint8)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [("A" * (4 * (dropped.MOST_BYTES // 3 + 2)), "MiB"), ("no base64!", "base64"), (None, "MiB"), ("é", "base64")],
)
def test_what_is_no_small_file_is_refused(text, found):
    with pytest.raises(UserError, match=found):
        dropped.decode(text)


@pytest.mark.parametrize(
    ("toml", "found"),
    [
        ('[cluster]\ncount = 2\n[lens]\nmode = "SIS"', "cluster"),
        ('[simulator]\nmodel = "Roulette"', "Roulette"),
        ("[simulator]\ncropsize = 64", "cropsize"),
        ("[instrument]\nnoise = 3\nexposure = 100", "no sliders"),
        ("[lens]\nmode = 3", "lens.mode"),
    ],
)
def test_a_scene_without_controls_is_refused(toml, found, tmp_path, capsys):
    path = tmp_path / "scene.toml"
    path.write_text(toml)
    assert explore.main([str(path), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and found in error
    assert error.count(str(path)) == 1


def test_a_coolest_file_is_the_scene():
    file = saving.coolest_json(replace(ARC, imagesize=128).scene(), 0.05)
    found = coolest.parse(json.loads(file.content))
    assert (found.size, found.pixel_scale, file.notes) == (128, 0.05, ("A pixel is 0.05 arcsec in the file.",))
    (lens,), (source,) = found.lenses, found.sources
    assert (lens.name, source.name) == ("SIE", "SersicEllipsoid")
    for name, value in ARC.lens_values.items():
        np.testing.assert_allclose(lens.parameters[name], value, rtol=1e-12)
    np.testing.assert_allclose((source.x, source.y), ARC.position, rtol=1e-12)


def test_a_coolest_file_has_the_telescopes_pixels():
    scene = SCENES["Through a telescope"].scene()
    file = saving.coolest_json(replace(scene, centred=True), 1.0)
    assert json.loads(file.content)["instrument"]["pixel_size"] == scene.row()["pixelscale"] == 0.1
    assert file.notes[0] == "A pixel is 0.1 arcsec in the file."
    assert any("centre of light" in note for note in file.notes)
    assert any(note.startswith("Poisson noise is left out") for note in file.notes)


def test_a_port_in_use_is_one_line(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert explore.main(["--port", str(port), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --port: found {port}: address already in use") and error.count("\n") == 1


def test_a_port_that_is_none_is_refused(capsys):
    assert explore.main(["--port", "70000", "--no-browser"]) == 2
    assert "--port: found 70000" in capsys.readouterr().err


# ---------------------------------------------------------------- the server


@dataclass(frozen=True)
class Server:
    port: int
    token: str
    process: subprocess.Popen
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """The command in a folder with pictures and a model trained on them for a moment."""
    folder = tmp_path_factory.mktemp("explore")
    parts = small.draw_parts(folder / "data", 80, 20, 10, nterms=(0, 2))
    (folder / "models").mkdir()
    model = folder / "models" / "model.safetensors"
    small.train(parts["training"], parts["validation"], folder / "data" / "images", model)
    command = [sys.executable, "-m", "droulette.explore", "--no-browser"]
    # A shell's background job, and all that it starts, would ignore Ctrl-C.
    heeding = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=heeding) as process:
        try:
            line = process.stdout.readline()
            port, token = re.fullmatch(
                r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]{22}) \(Ctrl-C ends it\)\n", line
            ).groups()
            yield Server(int(port), token, process, folder)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                assert process.wait(60) == 0
            finally:
                process.kill()


def status(server: Server, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse().status


def upgrade() -> dict[str, str]:
    """The headers of a request for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": key,
        "Sec_WebSocket_Protocol": "bokeh, token",
    }  # fmt: skip


def test_the_server_listens_on_loopback_alone(server):
    listening = [c for c in psutil.Process(server.process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert [(c.laddr.ip, c.laddr.port) for c in listening] == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("path", ["/", "/static/js/bokeh.min.js", "/ws"])
def test_another_host_name_is_not_answered(server, path):
    """So that a name which an attacker makes lead to 127.0.0.1 shows nothing."""
    for host in ("evil.example", f"evil.example:{server.port}", f"127.0.0.1.evil.example:{server.port}", "xlocalhost"):
        assert status(server, path, Host=host) == 404


def test_pages_of_other_hosts_are_refused(server):
    for origin in ("http://evil.example", f"http://evil.example:{server.port}", "http://127.0.0.1", "null"):
        assert status(server, f"/ws?token={server.token}", Origin=origin, **upgrade()) == 403


def test_only_who_knows_the_token_gets_the_page_and_its_websocket(server):
    """Another user of the machine can reach the port."""
    ours = f"http://127.0.0.1:{server.port}"
    for wrong in ("", "?token=", f"?token={server.token[:-1]}", f"?token={server.token}x", "?token=%ff"):
        for path in ("/", "/autoload.js", "/metadata"):
            assert status(server, path + wrong) in (400, 403)
        assert status(server, f"/ws{wrong}", Origin=ours, **upgrade()) in (400, 403)
    assert status(server, f"/?token={server.token}") == 200
    assert status(server, f"/ws?token={server.token}", Origin=ours, **upgrade()) == 101


def test_a_browser_is_started_with_an_address_that_works_once(tmp_path):
    command = [sys.executable, "-m", "droulette.explore"]
    (tmp_path / "browser").write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1], flush=True)\n")
    (tmp_path / "browser").chmod(0o755)
    environment = os.environ | {"BROWSER": str(tmp_path / "browser")}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            lines = sorted((process.stdout.readline() for _ in range(2)), key=len)
            once, printed = (line.split()[0] for line in lines)
            port, token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)", printed).groups()
            assert token not in once
            for status_expected, place_expected in ((302, f"/?token={token}"), (403, None)):
                connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
                connection.request("GET", once.removeprefix(f"http://127.0.0.1:{port}"))
                answer = connection.getresponse()
                assert (answer.status, answer.headers["Location"]) == (status_expected, place_expected)
        finally:
            process.kill()


@pytest.mark.parametrize("path", ["/../params.toml", "/static/../../explore.py", "/static/%2e%2e/server.py", "/data/"])
def test_no_file_but_the_librarys_is_served(server, path):
    assert status(server, path) in (400, 403, 404)


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as opened:
        yield opened


READY = "window.Bokeh?.documents[0]?.get_model_by_name('images')?.data.picture.length > 0"
MODEL = "(name) => Bokeh.documents[0].get_model_by_name(name)"
# The pixels of a figure's frame, at the middle of each of its n × n cells.
SHOWN = """([name, n]) => {
    const plot = Bokeh.documents[0].get_model_by_name(name);
    const view = Bokeh.index.find_one(plot);
    const canvas = view.canvas_view.primary.canvas;
    const {left, top, width, height} = view.frame.bbox;
    const ratio = canvas.width / view.canvas_view.bbox.width;
    const image = canvas.getContext("2d").getImageData(left * ratio, top * ratio, width * ratio, height * ratio);
    const at = (k, size) => Math.floor((k + 0.5) / n * size);
    const pixels = [];
    for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
        const place = 4 * (at(row, image.height) * image.width + at(column, image.width));
        pixels.push(...image.data.slice(place, place + 3));
    }
    return pixels;
}"""


def open_page(chromium, server: Server, width: int = 1400, scheme: str = "light"):
    """A new window, its first picture drawn, and what the browser complained of or asked for."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(1000 * WAIT)
    heard = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    ours = (f"http://127.0.0.1:{server.port}/", "data:", "blob:", f"ws://127.0.0.1:{server.port}/")
    page.on("request", lambda request: None if request.url.startswith(ours) else heard.append(request.url))
    page.on("websocket", lambda socket: None if socket.url.startswith(ours) else heard.append(socket.url))
    page.goto(server.url)
    page.wait_for_function(READY)
    return page, heard


@pytest.fixture(scope="module")
def opened(chromium, server):
    page, heard = open_page(chromium, server)
    yield page, heard
    page.close()


@pytest.fixture
def page(opened):
    """The page with the preset Arc and all lines; at the end the browser has complained of nothing."""
    page, heard = opened
    set_value(page, "preset", "Arc")
    page.evaluate(f"({MODEL})('layers').active = {[*range(len(LAYERS))]}")
    eventually(page, lambda: check_sent(page, "picture", in_grey(ARC.scene().picture())))
    yield page
    assert heard == []


def eventually(page, check: Callable[[], None]) -> None:
    """Repeat a check until it holds, for WAIT seconds."""
    end = time.monotonic() + WAIT
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > end:
                raise
        page.wait_for_timeout(100)


def check_sent(page, name: str, pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(sent(page, name), pixels)


def in_grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[..., None], 3, axis=2)


def wait_for_text(page, name: str, text: str) -> None:
    page.wait_for_function(f"({MODEL})('{name}').text.includes({json.dumps(text)})")


def value(page, name: str) -> float:
    return page.evaluate(f"({MODEL})('{name}').value")


def set_value(page, name: str, new: object) -> None:
    page.evaluate(f"({MODEL})('{name}').value = {json.dumps(new)}")


def shown(page, name: str, size: int) -> np.ndarray:
    """(size, size, 3) uint8: what the figure of that name shows, without lines."""
    pixels = page.evaluate(SHOWN, [name, size])
    return np.array(pixels, np.uint8).reshape(size, size, 3)


def sent(page, name: str) -> np.ndarray:
    """(N, N, 3) uint8: the picture of that name as it came to the browser."""
    pixels = page.evaluate(f"Array.from(({MODEL})('images').data['{name}'][0])")
    size = round(len(pixels) ** 0.5)
    return np.array(pixels, np.uint32).view(np.uint8).reshape(size, size, 4)[::-1, :, :3]


def hide_layers(page) -> None:
    page.evaluate(f"({MODEL})('layers').active = []")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('lines').data.xs.length == 0")


def settings_of(page) -> Settings:
    """What the sliders of a page that began with ARC say."""
    values = {
        kind: {name: value(page, f"{kind}.{name}") for name in names}
        for kind, names in {
            "lens": ARC.lens_values, "source": ARC.source_values, "position": "xy",
        }.items()
    }  # fmt: skip
    position = values["position"]["x"], values["position"]["y"]
    nterms = int(value(page, "nterms"))
    return replace(ARC, lens_values=values["lens"], source_values=values["source"], position=position, nterms=nterms)


def table_of(page, name: str = "amplitudes") -> list[list[str]]:
    text = page.evaluate(f"({MODEL})('{name}').text")
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows][1:]


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_the_page_needs_no_net_and_fits_its_window(chromium, server, width, scheme):
    page, heard = open_page(chromium, server, width, scheme)
    eventually(page, lambda: check_shown(page, "picture", in_grey(ARC.scene().picture()), [128], [250]))
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    pictures = page.evaluate(
        "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])(document.querySelector('.pictures'))"
    )
    assert (pictures[0] == pictures[1]) == (width > 1000)  # side by side, or one beyond another
    colours = [page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")]
    text, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (text > paper + 400) if scheme == "dark" else (paper > text + 400)
    page.close()


def check_shown(page, name: str, pixels: np.ndarray, rows=slice(None), columns=slice(None)) -> None:
    """That a figure shows these pixels; those in given rows and columns, or all."""
    np.testing.assert_array_equal(shown(page, name, len(pixels))[rows, columns], pixels[rows, columns])


def test_a_dragged_slider_shows_what_the_library_draws(page):
    hide_layers(page)
    page.evaluate(f"({MODEL})('imagesize').active = 0")  # 128²: more than two pixels of the screen each
    handle = page.locator(".noUi-handle").nth(0).bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x - 5 * step, y)
    page.mouse.up()
    now = settings_of(page)
    assert now.lens_values["einstein_radius"] < 35
    scene = replace(now, imagesize=128).scene()
    picture, roulette = scene.picture(), scene.resimulate()
    colours = figures.diverging(picture.astype(int) - roulette).view(np.uint8).reshape(128, 128, 4)
    expected = {"picture": in_grey(picture), "roulette": in_grey(roulette), "difference": colours[::-1, :, :3]}
    for name, pixels in expected.items():
        eventually(page, lambda name=name, pixels=pixels: check_sent(page, name, pixels))
        eventually(page, lambda name=name, pixels=pixels: check_shown(page, name, pixels))
    amplitudes = scene.amplitudes().table
    rows = [[str(m), str(s), f"{row['alpha']:.6g}", f"{row['beta']:.6g}"] for (m, s), row in amplitudes.iterrows()]
    eventually(page, lambda: np.testing.assert_array_equal([row[:4] for row in table_of(page)], rows))


def test_order_lens_and_preset_change_the_page(page):
    set_value(page, "nterms", 2)
    orders = [0, 1, 1, 2, 2]
    eventually(page, lambda: np.testing.assert_array_equal([int(row[0]) for row in table_of(page)], orders))
    set_value(page, "added", ["Shear"])
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('lens.gamma1')")
    set_value(page, "lens.gamma1", 0.2)
    values = {**ARC.lens_values, "gamma1": 0.2, "gamma2": 0.0}
    expected = replace(ARC, lens="SIE+Shear", lens_values=values, nterms=2).scene()
    eventually(page, lambda: check_sent(page, "picture", in_grey(expected.picture())))
    set_value(page, "preset", "Einstein ring")
    expected = SCENES["Einstein ring"].scene()
    eventually(page, lambda: check_sent(page, "picture", in_grey(expected.picture())))
    sliders = page.evaluate(f"({MODEL})('lens_values').children.map((slider) => slider.name)")
    assert sliders == ["lens.einstein_radius"]
    wait_for_text(page, "amplitudes", "<tr><th>10</th>")


def test_files_of_the_scene_are_downloaded(page, tmp_path):
    set_value(page, "position.x", 20)
    set_value(page, "pixel_scale", 0.1)
    scene = settings_of(page).scene()
    for label, make in saving.FORMATS.items():
        expected = make(scene, 0.1)
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        assert download.value.suggested_filename == expected.name
        download.value.save_as(tmp_path / expected.name)
        assert (tmp_path / expected.name).read_bytes() == expected.content
    set_value(page, "lens", "NFW")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('lens.scale_radius')")
    page.wait_for_timeout(1000)  # until the new lens is drawn, which clears messages
    page.get_by_role("button", name="COOLEST", exact=True).click()
    wait_for_text(page, "message", "found NFW, which COOLEST has not")


DROP = """([name, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    for (const kind of ["dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true}));
    }
}"""


def drop(page, name: str, data: bytes) -> None:
    page.evaluate(DROP, [name, base64.b64encode(data).decode()])


def test_a_dropped_picture_is_predicted(page, server):
    before = sorted(server.folder.rglob("*"))
    path = next((server.folder / "data" / "images").iterdir())
    drop(page, "<b>mine</b>.png", path.read_bytes())
    wait_for_text(page, "facts", "novelty")
    assert page.evaluate(f"({MODEL})('lines').data.xs.length") > 0  # contours
    assert "&lt;b&gt;mine" in page.evaluate(f"({MODEL})('title_0').text")
    model = server.folder / "models" / "model.safetensors"
    (predicted,) = dr.predict_pictures([path], model, device="cpu", warn=lambda line: None).to_dict("records")
    compared = 0
    for m, s, alpha, beta, _ in table_of(page):
        for kind, text in (("alpha", alpha), ("beta", beta)):
            name = f"{kind}[{m}][{s}]"
            if name in predicted:
                compared += 1
                assert text == f"{predicted[name]:.3g} ± {predicted[f'std:{name}']:.1g}"
    assert compared == 9  # those of order 0 to 2; β of s = 0 is none
    hide_layers(page)
    eventually(page, lambda: check_shown(page, "picture", in_grey(np.array(Image.open(path)))))
    assert sorted(server.folder.rglob("*")) == before  # it is nowhere in the user's folder
    set_value(page, "preset", "Arc")  # and back to the scene
    eventually(page, lambda: check_sent(page, "picture", in_grey(ARC.scene().picture())))


def test_what_is_no_picture_is_told(page):
    drop(page, "notes.txt", b"no picture at all")
    wait_for_text(page, "message", "notes.txt")
    message = page.evaluate(f"({MODEL})('message').text")
    assert 'class="error"' in message and "can be read" in message
    page.evaluate(f"send({{size: {dropped.MOST_BYTES + 1}, name: 'large.fits'}})")
    wait_for_text(page, "message", "MiB")


def test_without_a_model_it_is_said_what_to_type(tmp_path):
    with pytest.raises(UserError, match=r"model\.safetensors: found no such model; .*make repro.*dvc pull.*--model"):
        dropped.predict(b"", "a.png", tmp_path / "model.safetensors")
