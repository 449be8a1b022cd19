// Draw your own without Python: five pads for classes, one for a query; the network that ships answers
// as DrawYourOwn does after its first gradient step, from one drawing of each class.
// anywidget's contract: the model holds `weights`, of omniglot-20way-1shot, and `examples`, ready
// characters [classes, drawings, 1, 28, 28], each { shape, data }; `render` shows the rest.
import pad from "./pad.js";
import { html, Model } from "./page.js";

const WAYS = 5;
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"]; // of the classes
const SIZE = 28; // of what the network sees, in pixels
const SCAN = 105; // of Omniglot's scans; and in them:
const [SIDE, PEN, MIDDLE] = [67, 5, 51]; // the larger side of the ink, pen width and middle
const MOST = 3; // a dot stays a dot: nothing is enlarged more than this

// What the network sees

// Put ink, as Pillow does for pad.py, on all pixels of a line as wide as the pen.
function inkLine(page, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = Math.hypot(dx, dy);
  if (!length) return;
  const half = (PEN - 1) / 2 / length;
  const [across, down] = [Math.round(dy * half), Math.round(dx * half)];
  const corners = [
    [x0 - across, y0 + down],
    [x1 - across, y1 + down],
    [x1 + across, y1 - down],
    [x0 + across, y0 - down],
  ];
  const rows = corners.map(([, y]) => y);
  for (let y = Math.min(...rows); y <= Math.max(...rows); y++) {
    const xs = corners.flatMap(([ax, ay], i) => {
      const [bx, by] = corners[(i + 1) % 4];
      if (y < Math.min(ay, by) || y > Math.max(ay, by)) return [];
      return ay === by ? [ax, bx] : [ax + ((bx - ax) * (y - ay)) / (by - ay)];
    });
    page.fill(1, y * SCAN + Math.ceil(Math.min(...xs) - 0.5), y * SCAN + Math.floor(Math.max(...xs) + 0.5) + 1);
  }
}

// Put ink on a round dot: the ends of lines, and their corners.
function inkDot(page, [x, y]) {
  const middle = (value) => (Math.trunc(value - PEN / 2) + Math.trunc(value + PEN / 2)) / 2;
  const [across, down] = [middle(x), middle(y)];
  for (let row = Math.ceil(down - PEN / 2); row <= down + PEN / 2; row++) {
    for (let column = Math.ceil(across - PEN / 2); column <= across + PEN / 2; column++) {
      if (Math.hypot(row - down, column - across) < PEN / 2 + 0.1) page[row * SCAN + column] = 1;
    }
  }
}

// How much of each of 28 pixels in a row each of the 105 of a scan covers: out of 15 quarters.
const SHARES = Array.from({ length: SIZE }, (_, to) => {
  const quarters = Array.from({ length: 15 }, (_, i) => Math.floor((15 * to + i) / 4));
  return [...new Set(quarters)].map((from) => [from, quarters.filter((one) => one === from).length]);
});

// Strokes, lists of [x, y] as shares of the pad's side, as 28 x 28 pixels, ink 1 on 0: moved to where
// Omniglot's drawings are, scaled to their size, drawn with their pen, averaged over areas.
export function character(strokes) {
  const points = strokes.flat();
  const bounds = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [low, high] = [bounds.map((all) => Math.min(...all)), bounds.map((all) => Math.max(...all))];
  const reach = SCAN * Math.max(high[0] - low[0], high[1] - low[1]);
  const scale = SCAN * Math.min((SIDE - PEN) / Math.max(reach, 1e-9), MOST);
  const toScan = (value, axis) => {
    const pixel = MIDDLE + scale * (value - (low[axis] + high[axis]) / 2);
    return Math.round(1000 * pixel) / 1000;
  };
  const page = new Uint8Array(SCAN * SCAN);
  for (const stroke of strokes) {
    const pixels = stroke.map((point) => point.map(toScan));
    const whole = pixels.map((pixel) => pixel.map(Math.trunc));
    whole.slice(1).forEach((pixel, i) => inkLine(page, whole[i], pixel));
    pixels.forEach((pixel) => inkDot(page, pixel));
  }
  return Float64Array.from({ length: SIZE * SIZE }, (_, i) => {
    let ink = 0;
    for (const [row, high] of SHARES[Math.floor(i / SIZE)]) {
      for (const [column, wide] of SHARES[i % SIZE]) ink += high * wide * page[row * SCAN + column];
    }
    return Math.floor(ink * (255 / 225) + 0.5) / 255;
  });
}

// The network

// The four convolutions and the step size of the head, from the tensors of the file that ships.
export function readNetwork(tensors) {
  const layers = [0, 1, 2, 3].map((layer) => {
    const { shape, data } = tensors[`weights/body.${layer}.0.weight`]; // [filters, channels, 3, 3]
    const [filters, channels] = shape;
    const weight = new Float64Array(data.length); // [channels, 9, filters]
    data.forEach((value, i) => (weight[(i % (9 * channels)) * filters + Math.floor(i / (9 * channels))] = value));
    const [gain, shift] = ["weight", "bias"].map((name) => tensors[`weights/body.${layer}.1.${name}`].data);
    return { filters, channels, weight, gain, shift };
  });
  return { layers, lr: tensors["lr/head.weight"].data[0] };
}

// A 3 x 3 convolution with zeros around, of an image [size, size, channels]. Each pixel adds to the nine
// around it; those that are zero, at first most of them, add nothing.
function convolve(image, size, { filters, channels, weight }) {
  const result = new Float64Array(size * size * filters);
  image.forEach((value, from) => {
    if (value === 0) return;
    const pixel = Math.floor(from / channels);
    const [y, x, channel] = [Math.floor(pixel / size), pixel % size, from % channels];
    for (let tap = 0; tap < 9; tap++) {
      const [row, column] = [y + 1 - Math.floor(tap / 3), x + 1 - (tap % 3)];
      if (row < 0 || row >= size || column < 0 || column >= size) continue;
      let to = (row * size + column) * filters;
      let w = (channel * 9 + tap) * filters;
      for (let filter = 0; filter < filters; filter++) result[to++] += value * weight[w++];
    }
  });
  return result;
}

// Layer norm over the whole image, with each filter's gain and shift, and ReLU; in place.
function normalize(image, { filters, gain, shift }) {
  const mean = image.reduce((sum, value) => sum + value, 0) / image.length;
  const variance = image.reduce((sum, value) => sum + (value - mean) ** 2, 0) / image.length;
  const scale = 1 / Math.sqrt(variance + 1e-5);
  for (let i = 0, filter = 0; i < image.length; i++) {
    image[i] = Math.max(0, (image[i] - mean) * scale * gain[filter] + shift[filter]);
    filter = filter + 1 === filters ? 0 : filter + 1;
  }
}

// The largest of each 2 x 2; at an odd image's edge, of what is there. Nothing is below 0, after ReLU.
function pool(image, size, filters) {
  const half = Math.ceil(size / 2);
  const result = new Float64Array(half * half * filters);
  for (let i = 0; i < image.length; i++) {
    const pixel = Math.floor(i / filters);
    const [row, column] = [Math.floor(pixel / size) >> 1, (pixel % size) >> 1];
    const to = (row * half + column) * filters + (i % filters);
    if (image[i] > result[to]) result[to] = image[i];
  }
  return result;
}

// The 512 features of an image of 28 x 28 pixels.
export function features({ layers }, image) {
  let size = SIZE;
  for (const layer of layers) {
    image = convolve(image, size, layer);
    normalize(image, layer);
    image = pool(image, size, layer.filters);
    size = Math.ceil(size / 2);
  }
  return image;
}

// Scores of a query after one gradient step on the drawings, one of each class, from a head of zeros.
// There all classes are equally probable, so the step is lr times the mean, over drawings, of
// (1 if it is the class's own, else 0) - 1/ways, times the drawing's features. The bias stays zero.
export function scores({ lr }, drawings, query) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const alike = drawings.map((drawing) => lr * dot(drawing, query));
  const mean = alike.reduce((sum, value) => sum + value, 0) / alike.length;
  return alike.map((value) => (value - mean) / alike.length);
}

export function softmax(values) {
  const exponentials = values.map((value) => Math.exp(value - Math.max(...values)));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}

// What is seen, in words and numbers. drawings, query: features, or null where nothing is drawn;
// scores: of the query, where all are there.
export function summary(drawings, query, scores) {
  const empty = drawings.flatMap((drawing, way) => (drawing ? [] : [way]));
  if (empty.length) return `Draw a character for each class. Still empty: ${empty.join(", ")}.`;
  if (!query) return "All classes have a drawing. Draw one of them again on the query pad.";
  const after = "After 1 gradient step on the drawings:";
  const probabilities = softmax(scores);
  const percent = (value) => `${(100 * value).toFixed(0)} %`;
  if (probabilities.every((value) => Math.abs(value - probabilities[0]) < 0.005)) {
    return `${after} every class has ${percent(probabilities[0])}: the model cannot tell.`;
  }
  const best = probabilities.indexOf(Math.max(...probabilities));
  const says = probabilities.map(
    (value, way) => `${percent(value)} (score ${scores[way].toFixed(0).replace("-", "−")})`,
  );
  const others = says.map((text, way) => `class ${way}: ${text}`).filter((_, way) => way !== best);
  return `${after} the query is class ${best}, with ${says[best]}; ${others.join("; ")}.`;
}

// The page

// Show an image of the network's on a canvas of as many pixels.
function paint(canvas, image) {
  const pixels = new ImageData(SIZE, SIZE);
  pixels.data.fill(255);
  image?.forEach((ink, i) => pixels.data.fill(255 * (1 - ink), 4 * i, 4 * i + 3));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function shuffle(count) {
  const order = Array.from({ length: count }, (_, i) => [Math.random(), i]);
  return order.sort(([a], [b]) => a - b).map(([, i]) => i);
}

// A pad with what the network sees of it; `changed` is told when that is another.
function makePad(label, network, changed) {
  const model = new Model({ label, strokes: [], image: null, pen: PEN / SCAN });
  const seen = html("canvas", { width: SIZE, height: SIZE, ariaHidden: "true" });
  const box = html("div", { className: "pad" });
  const made = { box, features: null };
  let ready = null;
  const refresh = () => {
    const image = model.get("image") ? ready : model.get("strokes").length ? character(model.get("strokes")) : null;
    made.features = image && features(network, image);
    paint(seen, image);
    changed();
  };
  model.on("change:strokes", refresh);
  model.on("change:image", refresh);
  made.clear = () => {
    model.set("image", null);
    model.set("strokes", []);
  };
  made.place = (image) => {
    ready = image;
    if (model.get("strokes").length) model.set("strokes", []);
    paint(seen, image);
    model.set("image", seen.toDataURL());
  };
  pad.render({ model, el: box });
  box.append(seen);
  paint(seen, null);
  return made;
}

function render({ model, el }) {
  const network = readNetwork(model.get("weights"));
  const { shape, data } = model.get("examples");
  const example = (index, drawing) => {
    const start = (index * shape[1] + drawing) * SIZE * SIZE;
    return data.slice(start, start + SIZE * SIZE);
  };
  const bars = COLORS.map((color, way) => {
    const bar = html("span", { className: "bar" });
    bar.style.background = color;
    const number = html("span", { className: "number" });
    return { bar, number, row: html("div", { className: "answer" }, `class ${way}`, html("span", {}, bar), number) };
  });
  const sentence = html("p", { role: "status" });
  const answer = () => {
    const drawings = classes.map((one) => one.features);
    const isReady = query.features && drawings.every(Boolean);
    const values = isReady ? scores(network, drawings, query.features) : null;
    const probabilities = isReady ? softmax(values) : null;
    bars.forEach(({ bar, number }, way) => {
      bar.style.width = isReady ? `${100 * probabilities[way]}%` : "0";
      number.textContent = isReady ? `${(100 * probabilities[way]).toFixed(0)} %` : "";
    });
    sentence.textContent = summary(drawings, query.features, values);
  };
  const classes = COLORS.map((_, way) => makePad(`class ${way}`, network, () => answer()));
  const query = makePad("query: which is it?", network, () => answer());
  const fill = () => {
    const chosen = shuffle(shape[0]).slice(0, WAYS);
    const again = Math.floor(Math.random() * WAYS);
    chosen.forEach((index, way) => {
      const [first, second] = shuffle(shape[1]);
      classes[way].place(example(index, first));
      if (way === again) query.place(example(index, second));
    });
  };
  const button = (textContent, onclick) => html("button", { type: "button", textContent, onclick });
  const buttons = [
    button("fill in an example", fill),
    button("clear all", () => [...classes, query].forEach((one) => one.clear())),
  ];
  el.replaceChildren(
    html(
      "div",
      { className: "mamlkit-draw" },
      html("div", { className: "row" }, ...buttons),
      html("div", { className: "pads" }, ...[...classes, query].map(({ box }) => box)),
      sentence,
      ...bars.map(({ row }) => row),
    ),
  );
  answer();
}

export default { render };
