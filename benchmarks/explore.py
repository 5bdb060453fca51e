"""How fast the page of `droulette explore` follows a slider, in headless Chromium: `python benchmarks/explore.py`

A picture counts once the browser has painted it. Pictures are 256², in three figures with their curves.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys

from playwright.sync_api import sync_playwright

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
    const point = (kind, target, clientX) => target.dispatchEvent(new PointerEvent(kind, {
        clientX, clientY: y, buttons: 1, isPrimary: true, pointerType: "mouse",
        bubbles: true, composed: true, cancelable: true,
    }));
    point("pointerdown", handle, x);
    const [before, started] = [painted.length, performance.now()];
    for (let k = 1; performance.now() < started + 1000 * seconds; k++) {
        point("pointermove", handle, x - 40 + Math.abs(2 * k % 160 - 80));
        await sleep(started + 1000 * k / events - performance.now());
    }
    const rate = 1000 * (painted.length - before) / (performance.now() - started);
    await sleep(1000);
    const waits = [];
    for (let k = 0; k < single; k++) {
        const [count, moved] = [painted.length, performance.now()];
        point("pointermove", handle, x + 4 * k - 40);
        while (painted.length == count && performance.now() < moved + 2000) await sleep(1);
        waits.push(performance.now() - moved);
        await sleep(50);
    }
    point("pointerup", handle, x);
    return [rate, waits];
}
"""


def main() -> None:
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
