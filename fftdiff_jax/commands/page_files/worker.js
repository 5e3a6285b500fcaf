// The network and the photo, away from the page: what is computed here does not hold the page up.
//
// Told: {open}, {restore: file}, {stop}, {download: type}. Says: {ready}, {photo}, {rows}, {tile},
// {restored}, {stopped}, {file}, {failed}.

import { Blend, plan as planOf } from "./tiles.js";
import { encodePng } from "./png.js";

const LARGEST_DIFFERENCE = 1 / 512; // between this browser and Python, on a known tile
const BINARIES = {
  webgpu: "ort-wasm-simd-threaded.asyncify.wasm",
  wasm: "ort-wasm-simd-threaded.wasm",
};
const PREVIEW = 1600; // pixels of the longer side of what is shown
const MOST_PIXELS = 120e6; // of a photo: 8 bytes each are held

let ort = null;
let facts = null;
let session = null;
let device = "";
let photo = null; // the restored one: {pixels, width, height, opaque}
let stopped = false;

const say = (message, transfer = []) => self.postMessage(message, transfer);
const breath = () =>
  new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), done());
    port2.postMessage(0);
  });

class Mendable extends Error {} // its message is for the person at the page

async function fetched(path, kind) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Mendable("The network for photos could not be loaded. Go online once and load the page again.");
  }
  if (!answer.ok) throw new Mendable(`${path} is missing on the server (${answer.status}).`);
  return answer[kind]();
}

/** Opens the model: on the graphics processor if there is one that computes rightly. */
async function open({ wanted, threads }) {
  facts = await fetched("model.json", "json");
  const model = new Uint8Array(await fetched("model.onnx", "arrayBuffer"));
  let adapter = null;
  if (wanted !== "wasm") adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  // One in software is slower than the processor's own threads.
  if (wanted !== "webgpu" && (adapter?.info?.isFallbackAdapter ?? adapter?.isFallbackAdapter)) adapter = null;
  const ways = adapter ? ["webgpu", "wasm"] : ["wasm"];
  for (const way of ways) {
    try {
      ort = await import(`./onnxruntime/ort.${way}.bundle.min.mjs`);
      ort.env.wasm.wasmPaths = { wasm: new URL(`onnxruntime/${BINARIES[way]}`, self.location.href).href };
      ort.env.logLevel = "error";
      const cores = Math.min(navigator.hardwareConcurrency || 1, 8);
      ort.env.wasm.numThreads = self.crossOriginIsolated ? threads || cores : 1;
      const options = { executionProviders: [way], logSeverityLevel: 3 }; // errors alone
      session = await ort.InferenceSession.create(model, options);
      device = way === "webgpu" ? "graphics processor" : counted(ort.env.wasm.numThreads, "thread");
      await compareWithPython();
      return device;
    } catch (error) {
      if (way === "wasm") throw error;
      await session?.release().catch(() => null);
      session = null;
    }
  }
}

const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

async function compareWithPython() {
  const { side, step, estimate } = facts.probe;
  const tile = new Float32Array(side * side * 3);
  for (let y = 0, i = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      for (let c = 0; c < 3; c++) tile[i++] = ((7 * y + 13 * x + 29 * c) % 256) / 255;
    }
  }
  const found = await run(tile, side);
  let largest = 0;
  let at = 0;
  for (let y = 0; y < side; y += step) {
    for (let x = 0; x < side; x += step) {
      for (let c = 0; c < 3; c++) {
        const difference = Math.abs(found[(y * side + x) * 3 + c] - estimate[at++]);
        largest = difference <= largest ? largest : difference; // keeps NaN
      }
    }
  }
  if (!(largest <= LARGEST_DIFFERENCE)) {
    throw new Mendable("This browser computes other numbers than it should; try another browser.");
  }
}

async function run(tile, side) {
  const rainy = new ort.Tensor("float32", tile, [1, side, side, 3]);
  const { estimate } = await session.run({ rainy }, ["estimate"]);
  const found = estimate.data;
  return found;
}

async function restore(file) {
  stopped = false;
  photo = null;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Mendable(`${file.name}: this browser cannot read it as a photo; JPEG, PNG and WebP work everywhere.`);
  }
  try {
    await restoreBitmap(bitmap, file.name);
  } finally {
    bitmap.close();
  }
}

async function restoreBitmap(bitmap, name) {
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Mendable(`${name}: ${width} × ${height} pixels are more than this page takes (${MOST_PIXELS / 1e6} megapixels).`);
  }
  const plan = planOf(height, width, facts);
  const { side } = plan;
  const total = plan.rows.length * plan.columns.length;
  const scale = Math.ceil(Math.max(width, height) / PREVIEW);
  const preview = {
    width: Math.max(1, Math.floor(width / scale)),
    height: Math.max(1, Math.floor(height / scale)),
  };
  const small = await createImageBitmap(
    bitmap, 0, 0, Math.min(width, preview.width * scale), Math.min(height, preview.height * scale),
    { resizeWidth: preview.width, resizeHeight: preview.height, resizeQuality: "medium" },
  );
  say({ photo: { name, width, height, preview, small, total } }, [small]);
  const begin = performance.now();
  let pixels;
  try {
    pixels = new Uint8ClampedArray(width * height * 4);
  } catch {
    throw new Mendable(`${name}: this browser has too little memory for ${width} × ${height} pixels.`);
  }
  const canvas = new OffscreenCanvas(width, Math.min(side, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Mendable(`${name}: this browser has no canvas of ${width} pixels.`);
  const blend = new Blend(plan);
  const tile = new Float32Array(side * side * 3);
  let opaque = true;
  let done = 0;
  let shown = 0;
  for (const [number, [top, rowWeights]] of plan.rows.entries()) {
    // Rows of the photo that this row of tiles sees; below its end they are mirrored from these.
    const first = Math.min(top, height - Math.min(side, height));
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, -first);
    const seen = context.getImageData(0, 0, width, canvas.height).data;
    for (const [left, columnWeights] of plan.columns) {
      for (let y = 0, to = 0; y < side; y++) {
        const row = (plan.fromRows[top + y] - first) * width;
        for (let x = 0; x < side; x++) {
          const from = (row + plan.fromColumns[left + x]) * 4;
          tile[to++] = seen[from] / 255;
          tile[to++] = seen[from + 1] / 255;
          tile[to++] = seen[from + 2] / 255;
        }
      }
      blend.add(await run(tile, side), rowWeights, left, columnWeights);
      await breath();
      if (stopped) return say({ stopped: true });
      say({ tile: ++done, total, seconds: (performance.now() - begin) / 1000 });
    }
    const following = plan.rows[number + 1];
    const rows = Math.min(following ? following[0] - top : side, height - top);
    for (let y = 0; y < rows; y++) {
      let from = y * plan.width * 3;
      let to = (top + y) * width * 4;
      let opacity = (top - first + y) * width * 4 + 3;
      for (let x = 0; x < width; x++, to += 4, opacity += 4) {
        for (let c = 0; c < 3; c++) {
          const value = blend.sum[from++];
          if (!(Math.abs(value) < 1e9)) throw new Mendable("The restored photo is no photo: the network's numbers are not finite.");
          pixels[to + c] = value * 255; // rounded and kept in 0 to 255 by the array itself
        }
        pixels[to + 3] = seen[opacity];
        if (seen[opacity] < 255) opaque = false;
      }
    }
    if (following) blend.advance(following[0] - top);
    // What is complete, smaller: means over squares.
    const until = Math.min(preview.height, Math.floor((top + rows) / scale));
    if (until > shown) {
      const part = smaller(pixels, width, shown, until, preview.width, scale);
      say({ rows: { top: shown, part, width: preview.width } }, [part.buffer]);
      shown = until;
    }
  }
  photo = { pixels, width, height, opaque };
  const seconds = (performance.now() - begin) / 1000;
  say({ restored: { width, height, seconds, device } });
}

/** Rows `top` to `bottom` of the small picture, as RGBA. */
function smaller(pixels, width, top, bottom, columns, scale) {
  const part = new Uint8ClampedArray((bottom - top) * columns * 4);
  const area = scale * scale;
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = 0; x < columns; x++) {
      for (let c = 0; c < 4; c++, to++) {
        let sum = 0;
        for (let dy = 0; dy < scale; dy++) {
          let from = ((y * scale + dy) * width + x * scale) * 4 + c;
          for (let dx = 0; dx < scale; dx++, from += 4) sum += pixels[from];
        }
        part[to] = sum / area;
      }
    }
  }
  return part;
}

async function download(type) {
  if (!photo) throw new Mendable("There is no restored photo yet.");
  const { pixels, width, height, opaque } = photo;
  let blob = null;
  if (type === "image/png") {
    blob = await encodePng(pixels, width, height, opaque);
  } else {
    try {
      const canvas = new OffscreenCanvas(width, height);
      canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
      blob = await canvas.convertToBlob({ type, quality: 0.95 });
    } catch {
      blob = null;
    }
    if (!blob || blob.type !== type || !blob.size) {
      throw new Mendable(`This browser writes no JPEG of ${width} × ${height} pixels; download the PNG.`);
    }
  }
  say({ file: { blob, type } });
}

async function hear({ data }) {
  if ("stop" in data) {
    stopped = true;
    return;
  }
  try {
    if ("open" in data) say({ ready: await open(data.open) });
    else if ("restore" in data) await restore(data.restore);
    else if ("download" in data) await download(data.download);
  } catch (error) {
    const known = error instanceof Mendable;
    say({ failed: known ? error.message : `Something went wrong (${error?.message ?? error}). Load the page again.`, at: Object.keys(data)[0] });
  }
}

self.onmessage = hear;
