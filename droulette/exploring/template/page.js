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

// Three pictures fill the width. On a narrow screen one does nearly, and the next ones are beside it.
function fit() {
  const width = document.querySelector(".pictures").clientWidth;
  const third = Math.floor((width - 110) / 3);  // px around the three
  const side = third >= 220 ? Math.min(third, 400) : Math.min(width - 75, 300);
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
