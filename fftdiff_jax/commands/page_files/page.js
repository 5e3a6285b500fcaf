// The page: what is chosen, how far it is, what is seen and downloaded. The work is in worker.js.
//
// ?device=wasm keeps to the processor, ?device=webgpu takes a graphics processor in software too;
// ?threads=2 sets how many threads (where they are allowed).

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const TRIED = "fftdiff-isolated"; // that the page was loaded again, to be isolated

let busy = false;
let ready = false;
let waiting = null; // a file that was chosen before the network was there
let name = "photo";
let worker = null;

function tell(text, failed = false) {
  $("status").textContent = text;
  $("status").classList.toggle("failed", failed);
}

/** Registers what keeps the files; true where the page is about to be loaded again through it. */
async function keep() {
  if (!("serviceWorker" in navigator) || !window.isSecureContext) return false;
  try {
    await navigator.serviceWorker.register("service_worker.js");
    await navigator.serviceWorker.ready;
  } catch {
    return false; // in private windows, for example: it works, but not offline
  }
  if (navigator.serviceWorker.controller === null) {
    await new Promise((done) => {
      navigator.serviceWorker.addEventListener("controllerchange", done, { once: true });
      setTimeout(done, 3000);
    });
  }
  if (window.crossOriginIsolated || sessionStorage.getItem(TRIED) || asked.has("alone")) return false;
  sessionStorage.setItem(TRIED, "1");
  location.reload();
  return true;
}

function show(parts) {
  for (const id of ["stop", "downloads", "running", "drop", "view"]) $(id).hidden = !parts.includes(id);
  document.body.classList.toggle("done", parts.includes("downloads"));
}

function restore(file) {
  if (!file) return;
  if (busy) return tell("One photo at a time: wait, or stop this one.");
  if (!ready) {
    waiting = file;
    return tell(`${file.name || "The photo"} is restored as soon as the network is loaded.`);
  }
  busy = true;
  name = (file.name || "photo").replace(/\.[^.]*$/, "") || "photo";
  $("file").disabled = true;
  $("choose").hidden = true;
  tell("Reading the photo.");
  worker.postMessage({ restore: file });
}

function end() {
  busy = false;
  $("file").disabled = false;
  $("choose").hidden = false;
  $("file").value = "";
}

function slide() {
  $("frame").style.setProperty("--at", `${$("slider").value}%`);
}

function span(seconds, digits = 0) {
  return seconds < 90 ? `${seconds.toFixed(digits)} s` : `${Math.round(seconds / 60)} min`;
}

function left(seconds) {
  return seconds < 1.5 ? "" : `, ${span(seconds)} left`;
}

const hear = {
  ready(device) {
    ready = true;
    document.documentElement.dataset.device = device;
    tell(`Ready (${device}).`);
    if (waiting) restore(waiting);
    waiting = null;
  },
  photo({ width, height, preview, small, total }) {
    show(["stop", "running", "view"]);
    for (const id of ["before", "after"]) Object.assign($(id), preview);
    $("before").getContext("2d").drawImage(small, 0, 0);
    $("after").getContext("2d").drawImage(small, 0, 0);
    small.close();
    $("caption").textContent = `${width} × ${height} pixels`;
    $("slider").value = 50;
    slide();
    hear.tile(0, { total, seconds: 0 });
    tell("Taking the rain out.");
  },
  tile(done, { total, seconds }) {
    $("progress").value = done / total;
    const rest = done ? left((seconds / done) * (total - done)) : "";
    $("left").textContent = `tile ${done} of ${total}${rest}`;
  },
  rows({ top, part, width }) {
    $("after").getContext("2d").putImageData(new ImageData(part, width), 0, top);
  },
  restored({ width, height, seconds, device }) {
    end();
    show(["downloads", "view"]);
    document.documentElement.dataset.seconds = seconds;
    tell(`Done in ${span(seconds, 1)}.`);
    $("caption").textContent = `${width} × ${height} pixels (${device})`;
    $("slider").focus({ preventScroll: true });
  },
  stopped() {
    end();
    show(["drop"]);
    tell("Stopped. Nothing was kept.");
  },
  file({ blob, type }) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}_restored.${type === "image/png" ? "png" : "jpg"}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    busy = false;
    downloadable(true);
    tell(`Saved as ${link.download}.`);
  },
  failed(message, { at }) {
    if (at === "download") {
      busy = false;
      downloadable(true);
    } else {
      end();
      show(["drop"]);
    }
    tell(message, true);
  },
};

function downloadable(yes) {
  for (const id of ["jpeg", "png"]) $(id).disabled = !yes;
}

function download(type) {
  if (busy) return;
  busy = true;
  downloadable(false);
  tell("Writing the file.");
  worker.postMessage({ download: type });
}

async function start() {
  tell("Loading the network, once.");
  if (await keep()) return;
  try {
    worker = new Worker("worker.js", { type: "module" });
  } catch (error) {
    return tell(`This browser cannot run the page (${error.message}).`, true);
  }
  worker.onerror = (event) => {
    event.preventDefault();
    tell(`This browser cannot run the page (${event.message || "its worker does not start"}).`, true);
  };
  worker.onmessage = ({ data }) => {
    const [kind] = Object.keys(data);
    hear[kind](data[kind], data);
  };
  worker.postMessage({
    open: { wanted: asked.get("device") ?? "", threads: Number(asked.get("threads")) || 0 },
  });
}

$("file").addEventListener("change", () => restore($("file").files[0]));
$("stop").addEventListener("click", () => worker.postMessage({ stop: true }));
$("jpeg").addEventListener("click", () => download("image/jpeg"));
$("png").addEventListener("click", () => download("image/png"));
$("slider").addEventListener("input", slide);
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData?.files ?? [];
  restore(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  restore(event.dataTransfer?.files[0]);
});
start();
