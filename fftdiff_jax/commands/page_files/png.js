// Writes a PNG of any size, rows at a time: a canvas of a whole large photo is more than phones allow.

const CRCS = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function chunk(type, data) {
  const whole = new Uint8Array(12 + data.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, data.length);
  whole.set(new TextEncoder().encode(type), 4);
  whole.set(data, 8);
  let crc = 0xffffffff;
  for (let i = 4; i < whole.length - 4; i++) crc = CRCS[(crc ^ whole[i]) & 255] ^ (crc >>> 8);
  view.setUint32(whole.length - 4, ~crc);
  return whole;
}

/** Bytes of some rows with the filter "up" before each: what changes little packs well. */
function filtered(pixels, width, channels, top, bottom) {
  const length = width * channels;
  const bytes = new Uint8Array((bottom - top) * (length + 1));
  let to = 0;
  for (let y = top; y < bottom; y++) {
    bytes[to++] = 2;
    let from = y * width * 4;
    const above = y ? width * 4 : 0;
    for (let x = 0; x < width; x++, from += 4) {
      for (let c = 0; c < channels; c++) {
        bytes[to++] = pixels[from + c] - (above ? pixels[from + c - above] : 0);
      }
    }
  }
  return bytes;
}

/** A PNG, in sRGB, of RGBA pixels; without opacity where `opaque`. */
export async function encodePng(pixels, width, height, opaque) {
  const channels = opaque ? 3 : 4;
  const packing = new CompressionStream("deflate");
  const writer = packing.writable.getWriter();
  const rows = Math.max(1, Math.floor(4e6 / (width * channels)));
  const written = (async () => {
    for (let top = 0; top < height; top += rows) {
      const bottom = Math.min(height, top + rows);
      await writer.write(filtered(pixels, width, channels, top, bottom));
    }
    await writer.close();
  })();
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, opaque ? 2 : 6, 0, 0, 0], 8);
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const parts = [signature, chunk("IHDR", header), chunk("sRGB", Uint8Array.of(0))];
  const reader = packing.readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(chunk("IDAT", value));
  }
  await written;
  parts.push(chunk("IEND", new Uint8Array(0)));
  return new Blob(parts, { type: "image/png" });
}
