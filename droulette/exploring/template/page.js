// A dropped or chosen file goes to the server as base64, in the columns of the source `dropped`.
const model = (name) => Bokeh.documents[0].get_model_by_name(name);
const veil = document.getElementById("veil");
const choose = document.getElementById("choose");

function send(file) {
  if (!file) return;
  if (file.size > mostBytes) {
    model("message").text = `<p class="error">The file has ${(file.size / 2 ** 20).toFixed(1)} MiB. At most ${mostBytes / 2 ** 20} MiB are read.</p>`;
    return;
  }
  const reader = new FileReader();
  reader.onload = () => {
    const text = reader.result.slice(reader.result.indexOf(",") + 1);
    model("dropped").data = { name: [file.name], base64: [text] };
  };
  reader.readAsDataURL(file);
}

// Three pictures fill the width. On a narrow screen each has its own, and the next one is beside it.
const [least, most, beside] = [280, 400, 110];  // px of a side, and of what is around the three
function fit() {
  const width = document.querySelector(".pictures").clientWidth;
  const side = Math.max(Math.min(least, width - beside / 2), Math.min(most, Math.floor((width - beside) / 3)));
  for (const name of ["picture", "roulette", "difference"]) model(name).setv({ frame_width: side, frame_height: side });
}
addEventListener("resize", fit);

const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFile(event)) return;
  event.preventDefault();
  veil.hidden = false;
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) veil.hidden = true; });
addEventListener("drop", (event) => {
  if (!hasFile(event)) return;
  event.preventDefault();
  veil.hidden = true;
  send(event.dataTransfer.files[0]);
});
choose.addEventListener("change", () => { send(choose.files[0]); choose.value = ""; });
