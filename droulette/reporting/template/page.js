"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const config = { responsive: true, displaylogo: false };
const byId = (id) => document.getElementById(id);

function theme() {
  return data.themes[dark.matches ? "dark" : "light"];
}

function drawPlot(div) {
  const figure = data.figures[div.dataset.place][div.dataset.choice];
  const legend = { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" };
  const layout = { ...figure.layout, template: theme(), autosize: true, legend: { ...legend, ...figure.layout.legend } };
  layout.margin = { l: 10, r: 10, t: 40, b: 10, ...figure.layout.margin };
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false; // fingers scroll the page
  const first = !div.data;
  Plotly.react(div, figure.data, layout, config);
  if (first) {
    div.on("plotly_click", (event) => {
      const point = event.points.find((point) => point.customdata !== undefined);
      if (point) openRow(point.customdata);
    });
  }
}

// A picture in its own coordinates, px: x to the right, y up, the origin at the middle pixel.
function drawPicture(div, row, still) {
  const { raytraced, size, overlay } = data.pictures[row];
  const half = size / 2;
  const image = { source: raytraced, xref: "x", yref: "y", layer: "below", sizing: "stretch" };
  Object.assign(image, { x: -half - 0.5, y: half + 0.5, sizex: size, sizey: size });
  const line = (name, points, line) => ({ name, x: points[0], y: points[1], mode: "lines", line, hoverinfo: "skip" });
  const dots = (name, points, marker) => ({ name, x: points[0], y: points[1], mode: "markers", marker });
  const traces = [
    line("critical curve", overlay.critical, { color: "#ffb000", width: 1.5 }),
    line("circle of convergence", overlay.circle, { color: "#4cc9f0", width: 1.5, dash: "dash" }),
    dots("lens", overlay.lenses, { color: "#ffffff", symbol: "cross-thin-open", size: 9 }),
    dots("reference point ξ₀", overlay.reference, { color: "#4cc9f0", size: 7 }),
  ];
  const axis = { visible: false, range: [-half - 0.5, half - 0.5], constrain: "domain" };
  const layout = {
    xaxis: axis, yaxis: { ...axis, range: [-half + 0.5, half + 0.5], scaleanchor: "x" }, images: [image], showlegend: false,
    margin: { l: 0, r: 0, t: 0, b: 0 }, autosize: true, paper_bgcolor: "#000", plot_bgcolor: "#000",
  };
  Plotly.react(div, traces, layout, { ...config, staticPlot: still, displayModeBar: false });
}

function fillTable(body, rows) {
  body.replaceChildren(
    ...rows.map(([head, ...cells]) => {
      const line = document.createElement("tr");
      for (const [tag, text] of [["th", head], ...cells.map((cell) => ["td", cell])]) {
        line.appendChild(document.createElement(tag)).textContent = text;
      }
      return line;
    }),
  );
}

let shown = 0;
function openRow(row) {
  shown = (row + data.pictures.length) % data.pictures.length;
  const found = data.pictures[shown];
  byId("row-name").textContent = found.filename;
  byId("row-error").textContent = found.error;
  for (const kind of ["true", "predicted", "difference"]) byId(`row-${kind}`).src = found[kind];
  fillTable(byId("row-targets").tBodies[0], found.targets);
  fillTable(byId("row-facts").tBodies[0], found.facts);
  if (!byId("row").open) byId("row").showModal();
  drawPicture(byId("row-picture"), shown, false);
}

byId("row-before").onclick = () => openRow(shown - 1);
byId("row-after").onclick = () => openRow(shown + 1);
byId("row-close").onclick = () => byId("row").close();
byId("row").onclick = (event) => event.target === byId("row") && byId("row").close();
byId("row").onkeydown = (event) => {
  if (event.key === "ArrowLeft") openRow(shown - 1);
  if (event.key === "ArrowRight") openRow(shown + 1);
};
for (const button of document.querySelectorAll("button[data-row]")) button.onclick = () => openRow(Number(button.dataset.row));
for (const image of document.querySelectorAll("img[data-picture]")) {
  image.src = data.pictures[image.dataset.picture][image.dataset.kind];
}

const plots = [...document.querySelectorAll(".plot")];
for (const select of document.querySelectorAll("select")) {
  select.onchange = () => {
    for (const div of plots.filter((div) => div.dataset.place.split(":")[0] === select.dataset.for)) {
      div.dataset.choice = select.value;
      if (div.data) drawPlot(div);
    }
  };
  select.onchange(); // a browser that goes back keeps the choice
}

// Two dozen figures at once would keep the reader waiting: each is drawn when it comes near.
const draw = (div) => (div.dataset.place ? drawPlot(div) : drawPicture(div, Number(div.dataset.row), true));
const near = new IntersectionObserver(
  (entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      near.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "600px" },
);
const all = [...plots, ...document.querySelectorAll("button.picture")];
all.forEach((div) => near.observe(div));
addEventListener("beforeprint", () => all.filter((div) => !div.data).forEach(draw));
dark.addEventListener("change", () => plots.filter((div) => div.data).forEach(drawPlot));
