// Where the tiles of a photo lie and how they blend: the same as restore/tiling.py, to the last bit
// but for the order of sums. `facts` are those of model.json.

/** How many tiles of a side cover a length in one direction. */
function tileCount(length, side, overlap) {
  return 1 + Math.max(0, Math.ceil((length - side) / (side - overlap)));
}

/** The side of the tiles that cover a photo with the fewest pixels; the largest of equals. */
export function chooseSide(height, width, facts) {
  let best = null;
  let fewest = Infinity;
  for (const side of [...facts.sides].sort((a, b) => b - a)) {
    const count = tileCount(height, side, facts.overlap) * tileCount(width, side, facts.overlap);
    if (count * side * side < fewest) {
      fewest = count * side * side;
      best = side;
    }
  }
  return best;
}

/** The least length that tiles at multiples of the stride cover exactly. */
function paddedLength(length, side, stride) {
  return Math.max(side, Math.ceil(length / stride) * stride);
}

/** [start, weights] of each tile in one direction, from first to last; weights add up to 1. */
export function tileWeights(length, side, facts) {
  const { overlap, fade, stride } = facts;
  const step = Math.floor((side - overlap) / stride) * stride;
  const count = 1 + Math.max(0, Math.ceil((length - side) / step));
  const last = Math.floor((length - side) / stride);
  const starts = Array.from(
    { length: count },
    (_, i) => stride * Math.floor((i * last) / Math.max(count - 1, 1)),
  );
  const windows = starts.map(() => new Float64Array(side).fill(1));
  for (let i = 0; i + 1 < count; i++) {
    const distance = starts[i + 1] - starts[i];
    const shared = side - distance;
    for (let place = 0; place < side; place++) {
      const rise = Math.min(Math.max((place + 0.5 - (shared - fade) / 2) / fade, 0), 1);
      const share = 0.5 - 0.5 * Math.cos(Math.PI * rise);
      windows[i + 1][place] *= share;
      if (place < shared) windows[i][distance + place] *= 1 - share;
    }
  }
  return starts.map((start, i) => [start, Float32Array.from(windows[i])]);
}

/** Where each of `padded` pixels is taken from: mirrored at the end, the last one repeated. */
export function mirroredPlaces(length, padded) {
  return Int32Array.from({ length: padded }, (_, i) => {
    const there = i % (2 * length);
    return Math.min(there, 2 * length - 1 - there);
  });
}

/** Where the tiles of one photo lie. */
export function plan(height, width, facts) {
  const side = chooseSide(height, width, facts);
  const paddedHeight = paddedLength(height, side, facts.stride);
  const paddedWidth = paddedLength(width, side, facts.stride);
  return {
    side,
    width: paddedWidth,
    rows: tileWeights(paddedHeight, side, facts),
    columns: tileWeights(paddedWidth, side, facts),
    fromRows: mirroredPlaces(height, paddedHeight),
    fromColumns: mirroredPlaces(width, paddedWidth),
  };
}

/** Adds up weighted tiles, row of tiles after row of tiles; holds one row of them. */
export class Blend {
  constructor(plan) {
    this.plan = plan;
    this.sum = new Float32Array(plan.side * plan.width * 3);
  }

  /** Adds a tile, its estimate as a flat array of side x side x 3. */
  add(tile, rowWeights, left, columnWeights) {
    const { side, width } = this.plan;
    for (let y = 0; y < side; y++) {
      let to = (y * width + left) * 3;
      let from = y * side * 3;
      for (let x = 0; x < side; x++) {
        const weight = Math.fround(rowWeights[y] * columnWeights[x]);
        for (let c = 0; c < 3; c++) this.sum[to++] += tile[from++] * weight;
      }
    }
  }

  /** Drops the first rows, which have been taken, and makes room for as many. */
  advance(rows) {
    const taken = rows * this.plan.width * 3;
    this.sum.copyWithin(0, taken);
    this.sum.fill(0, this.sum.length - taken);
  }
}
