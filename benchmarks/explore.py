"""How fast the page of `droulette explore` follows a slider, in headless Chromium: `python benchmarks/explore.py`

A picture counts once the browser has painted it. Pictures are 256², in three figures with their curves. The first lines
are the server's share of it, in time of one core, which does not depend on what else the machine does.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from bokeh.document import Document
from playwright.sync_api import sync_playwright

from droulette.exploring import view
from droulette.exploring.figures import LINES, POINTS, Figures
from droulette.exploring.settings import SCENES, Settings

SECONDS = 4
EVENTS = 60  # a second
SINGLE = 20  # steps of a slider, each waited for
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SLIDERS = ("lens.einstein_radius", "lens.axis_ratio", "source.sigma", "position.x", "nterms")
READY = "window.Bokeh?.documents[0]?.get_model_by_name('images')?.data.picture.length > 0"
# Pointer events come from the page itself: each that comes from outside takes 30 ms of a core.
# After a change the browser paints at the next animation frame, and the one after that begins when it is done.
SCRIPT = """
const get = (name) => Bokeh.documents[0].get_model_by_name(name);
const painted = [];
get("frame").properties.data.change.connect(() => requestAnimationFrame(() =>
    requestAnimationFrame((now) => { if (painted.at(-1) != now) painted.push(now); })));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function drag(name, seconds, events, single) {
    const handle = Bokeh.index.find_one(get(name)).shadow_el.querySelector(".noUi-touch-area");
    const box = handle.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const point = (kind, target, clientX) => target.dispatchEvent(new MouseEvent(kind, {
        clientX, clientY: y, buttons: 1, bubbles: true, composed: true, cancelable: true,
    }));
    point("mousedown", handle, x);
    const [before, started] = [painted.length, performance.now()];
    for (let k = 1; performance.now() < started + 1000 * seconds; k++) {
        point("mousemove", handle, x - 40 + Math.abs(2 * k % 160 - 80));
        await sleep(started + 1000 * k / events - performance.now());
    }
    const rate = 1000 * (painted.length - before) / (performance.now() - started);
    await sleep(1000);
    const waits = [];
    for (let k = 0; k < single; k++) {
        const [count, moved] = [painted.length, performance.now()];
        point("mousemove", handle, x + 4 * k - 40);
        while (painted.length == count && performance.now() < moved + 2000) await sleep(1);
        waits.push(performance.now() - moved);
        await sleep(50);
    }
    point("mouseup", handle, x);
    return [rate, waits];
}
"""


def moved(scene: Settings, kind: str, step: float) -> Settings:
    """The scene after a small step of a slider."""
    if kind == "lens":
        radius = scene.lens_values["einstein_radius"] + 0.01 * step
        return replace(scene, lens_values={**scene.lens_values, "einstein_radius": radius})
    x, y = scene.position
    return replace(scene, position=(x + 0.01 * step, y))


def server_time(scene: Settings, kind: str) -> float:
    """ms of one core for a picture, its curves and its amplitudes, as they are sent."""
    curves, figures = view.Curves(), Figures({*LINES, *POINTS})
    Document().add_root(figures.frame)
    times = []
    for step in range(SINGLE):
        before = time.process_time()
        figures.show(view.of_settings(moved(scene, kind, step), curves))
        times.append(time.process_time() - before)
    return 1000 * statistics.median(times)


def main() -> None:
    for name, scene in SCENES.items():
        spent = ", ".join(f"{server_time(scene, kind):5.1f} ms when the {kind} changes" for kind in ("lens", "source"))
        print(f"{name:24}{spent}", flush=True)
    program = next(filter(None, map(shutil.which, NAMES)))
    command = [sys.executable, "-m", "droulette.explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        try:
            address = server.stdout.readline().split()[0]
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1400, "height": 1300})
            page.goto(address)
            page.wait_for_function(READY)
            page.wait_for_timeout(2000)
            page.add_script_tag(content=SCRIPT)
            for name in SLIDERS:
                rate, waits = page.evaluate(f"drag('{name}', {SECONDS}, {EVENTS}, {SINGLE})")
                wait = statistics.median(waits)
                print(f"{name:24}{rate:6.1f} pictures/s   {wait:5.0f} ms from a step to its picture", flush=True)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
