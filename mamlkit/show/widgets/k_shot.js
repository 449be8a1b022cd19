// The K-shot explorer without Python: it computes and draws what KShotExplorer does.
// anywidget's contract: the model holds `learners`, `points` and the state; `render` shows it.

const GRID = 200; // points on which fits are drawn and errors measured
const RANGE = [-5, 5]; // of x
const HEIGHT = 9; // of the left plot's upper half
const ERRORS = [0.001, 60]; // range of the right plot
const MOST_SHOTS = 20;
const MOST_STEPS = 20;
const TRAINED = { amplitude: [0.1, 5], phase: [0, Math.PI], noise: [0, 0] };
const LAYERS = ["body.0", "body.2", "head"];

// Compute

// Read a safetensors file: name -> { shape, data }.
export function parseSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, { shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = data_offsets.map((offset) => 8 + length + offset);
    tensors[name] = { shape, data: Float64Array.from(new Float32Array(buffer.slice(begin, end))) };
  }
  return tensors;
}

// The activations of each layer for one input: ReLU but for the last.
function activations(layers, input) {
  const all = [input];
  for (const { rows, columns, weight, bias, last } of layers) {
    const before = all[all.length - 1];
    const after = new Float64Array(rows);
    for (let i = 0, at = 0; i < rows; i++) {
      let sum = bias[i];
      for (let j = 0; j < columns; j++) sum += weight[at++] * before[j];
      after[i] = last || sum > 0 ? sum : 0;
    }
    all.push(after);
  }
  return all;
}

const listLayers = (weights) =>
  LAYERS.map((name) => {
    const { shape, data } = weights[`${name}.weight`];
    const bias = weights[`${name}.bias`].data;
    return { rows: shape[0], columns: shape[1], weight: data, bias, last: name === "head" };
  });

// Layers after one step of gradient descent on the mean squared error of the points.
function step(layers, inputs, targets, lr) {
  const moved = layers.map((layer) => ({
    ...layer,
    weight: Float64Array.from(layer.weight),
    bias: Float64Array.from(layer.bias),
  }));
  inputs.forEach((input, point) => {
    const all = activations(layers, input);
    let slope = [(2 * (all[3][0] - targets[point])) / inputs.length];
    for (let layer = layers.length - 1; layer >= 0; layer--) {
      const { rows, columns, weight } = layers[layer];
      const into = moved[layer];
      const before = all[layer];
      const down = new Float64Array(columns);
      for (let i = 0, at = 0; i < rows; i++) {
        into.bias[i] -= lr * slope[i];
        for (let j = 0; j < columns; j++, at++) {
          into.weight[at] -= lr * slope[i] * before[j];
          if (before[j] > 0) down[j] += weight[at] * slope[i];
        }
      }
      slope = down;
    }
  });
  return moved;
}

function truth(state, x) {
  return state.amplitude * Math.sin(x - state.phase);
}

// The support points of a state: the first K of the seed's twenty, and those added by hand.
function support(state, points) {
  const [xs, noises] = points[state.seed % points.length];
  const drawn = xs.slice(0, state.k).map((x, i) => [x, truth(state, x) + state.noise * noises[i]]);
  return [...drawn, ...state.added];
}

// name -> fits on the grid, and their errors, after 0, 1, ... steps.
export function compute(state, learners, points) {
  const grid = Array.from({ length: GRID }, (_, i) => RANGE[0] + (10 * i) / (GRID - 1));
  const seen = support(state, points);
  const found = {};
  for (const { name, weights } of learners) {
    if (!state.shown.includes(name)) continue;
    const told = weights["body.0.weight"].shape[1] === 3; // the oracle, which takes no steps
    const input = (x) => (told ? [x, state.amplitude, state.phase] : [x]);
    const moves = told || !seen.length ? 0 : MOST_STEPS;
    const fits = [];
    let now = listLayers(weights);
    for (let count = 0; count <= MOST_STEPS; count++) {
      if (count > moves) fits.push(fits[moves]);
      else fits.push(grid.map((x) => activations(now, input(x))[3][0]));
      if (count < moves) {
        now = step(now, seen.map(([x]) => input(x)), seen.map(([, y]) => y), state.lr);
      }
    }
    const error = (fit) => fit.reduce((sum, y, i) => sum + (y - truth(state, grid[i])) ** 2, 0);
    found[name] = { fits, errors: fits.map((fit) => error(fit) / GRID) };
  }
  return { grid, seen, found };
}

const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const formatError = (error) => (error < 1000 ? error.toFixed(2) : "over 1000");
const significant = (number) => String(Number(number.toPrecision(3)));

// What the picture shows, in words and numbers.
export function summary(state, { seen, found }) {
  let points = plural(seen.length, "point");
  if (state.added.length) points += `, ${state.added.length} of them added by hand`;
  const note = { oracle: " (told the wave, it takes no steps)" };
  const parts = Object.entries(found).map(
    ([name, { errors }]) => `${name} ${formatError(errors[state.steps])}${note[name] ?? ""}`,
  );
  const size = `${plural(state.steps, "gradient step")} of size ${significant(state.lr)}`;
  const results = parts.length
    ? `Mean squared error after ${size}: ${parts.join(", ")}.`
    : "No learner is ticked.";
  const beyond = Object.entries(TRAINED)
    .filter(([name, [low, high]]) => !(low <= state[name] && state[name] <= high + 0.01))
    .map(([name, [low, high]]) => {
      const range = high ? `${low.toFixed(1)} to ${high.toFixed(2)}` : "none";
      return `${name} ${state[name].toFixed(2)} (training: ${range})`;
    });
  const warning = beyond.length ? ` Beyond training: ${beyond.join(", ")}.` : "";
  const wave = `amplitude ${state.amplitude.toFixed(1)} and phase ${state.phase.toFixed(2)}`;
  return `A wave of ${wave}, seen at ${points}. ${results}${warning}`;
}

// Draw

const SVG = "http://www.w3.org/2000/svg";
const LEFT = { x: 40, y: 12, width: 400, height: 250 };
const RIGHT = { x: 500, y: 12, width: 210, height: 250 };

function element(tag, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

const clamp = (value, low, high) => Math.min(Math.max(Number.isNaN(value) ? high : value, low), high);
const place = {
  x: (x) => LEFT.x + ((x - RANGE[0]) / (RANGE[1] - RANGE[0])) * LEFT.width,
  y: (y) => LEFT.y + ((HEIGHT - clamp(y, -2 * HEIGHT, 2 * HEIGHT)) / (2 * HEIGHT)) * LEFT.height,
  step: (count) => RIGHT.x + (count / MOST_STEPS) * RIGHT.width,
  error: (value) => {
    const share = Math.log(clamp(value, 1e-4, 1e3) / ERRORS[0]) / Math.log(ERRORS[1] / ERRORS[0]);
    return RIGHT.y + (1 - share) * RIGHT.height;
  },
};
const path = (xs, ys) => xs.map((x, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${ys[i].toFixed(1)}`).join("");

// Frames, ticks and titles, which do not move.
function frames() {
  const group = element("g", { class: "frame" });
  for (const { x, y, width, height } of [LEFT, RIGHT]) {
    group.append(element("rect", { x, y, width, height, fill: "none" }));
  }
  const tick = (x, y, text, anchor) =>
    group.append(element("text", { x, y, "text-anchor": anchor }, text));
  for (const x of [-4, -2, 0, 2, 4]) tick(place.x(x), LEFT.y + LEFT.height + 16, x, "middle");
  for (const y of [-5, 0, 5]) tick(LEFT.x - 6, place.y(y) + 4, y, "end");
  for (const s of [0, 5, 10, 15, 20]) tick(place.step(s), RIGHT.y + RIGHT.height + 16, s, "middle");
  for (const e of [0.01, 0.1, 1, 10]) tick(RIGHT.x - 6, place.error(e) + 4, e, "end");
  tick(LEFT.x + LEFT.width / 2, LEFT.y + LEFT.height + 34, "x", "middle");
  tick(RIGHT.x + RIGHT.width / 2, RIGHT.y + RIGHT.height + 34, "gradient steps; error of the wave", "middle");
  return group;
}

function picture(state, learners, { grid, seen, found }) {
  const parts = [frames()];
  const clip = (box, name) => {
    const shape = element("clipPath", { id: name });
    shape.append(element("rect", box));
    parts.push(shape);
    return `url(#${name})`;
  };
  const [left, right] = [clip(LEFT, "k-shot-left"), clip(RIGHT, "k-shot-right")];
  const line = (d, color, dash, extra) =>
    element("path", { d, stroke: color, "stroke-dasharray": dash, fill: "none", ...extra });
  const xs = grid.map(place.x);
  const steps = Array.from({ length: MOST_STEPS + 1 }, (_, i) => place.step(i));
  const wave = path(xs, grid.map((x) => place.y(truth(state, x))));
  parts.push(line(wave, "currentColor", "", { "clip-path": left, "stroke-width": 1.5 }));
  for (const { name, color, dash } of learners) {
    if (!found[name]) continue;
    const { fits, errors } = found[name];
    const fit = path(xs, fits[state.steps].map(place.y));
    parts.push(line(fit, color, dash, { "clip-path": left, "stroke-width": 2 }));
    const curve = path(steps, errors.map(place.error));
    parts.push(line(curve, color, dash, { "clip-path": right, "stroke-width": 1.5 }));
    const [cx, cy] = [place.step(state.steps), place.error(errors[state.steps])];
    parts.push(element("circle", { cx, cy, r: 4, fill: color, "clip-path": right }));
  }
  for (const [x, y] of seen) {
    const dot = { cx: place.x(x), cy: place.y(y), r: 5, fill: "#E69F00", stroke: "#000" };
    parts.push(element("circle", { ...dot, "clip-path": left }));
  }
  return parts;
}

// Controls

const SLIDERS = [
  ["k", "shots K", 0, MOST_SHOTS, 1, String],
  ["steps", "gradient steps", 0, MOST_STEPS, 1, String],
  ["lr", "step size α", -4, 0, 0.05, (value) => value.toFixed(4)],
  ["amplitude", "amplitude A", 0.1, 8, 0.1, (value) => value.toFixed(1)],
  ["phase", "phase φ", 0, 6.28, 0.01, (value) => value.toFixed(2)],
  ["noise", "noise (std of y)", 0, 2, 0.05, (value) => value.toFixed(2)],
];
const STATE = [...SLIDERS.map(([name]) => name), "shown", "seed", "added"];

function html(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const learners = model.get("learners");
  const points = model.get("points");
  const state = () => Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const sliders = SLIDERS.map(([name, label, min, max, step, format]) => {
    const [from, to] = name === "lr" ? [Math.log10, (v) => 10 ** v] : [Number, Number];
    const input = html("input", { type: "range", min, max, step, value: from(model.get(name)) });
    const output = html("output", { textContent: format(model.get(name)) });
    input.addEventListener("input", () => set(name, to(Number(input.value))));
    model.on(`change:${name}`, () => {
      input.value = from(model.get(name));
      output.textContent = format(model.get(name));
    });
    return html("label", {}, html("span", { textContent: label }), input, output);
  });
  const ticks = learners.map(({ name, color }) => {
    const box = html("input", { type: "checkbox", checked: model.get("shown").includes(name) });
    box.addEventListener("change", () => {
      const others = model.get("shown").filter((one) => one !== name);
      set("shown", box.checked ? [...others, name] : others);
    });
    const swatch = html("span", { className: "swatch" });
    swatch.style.background = color;
    return html("label", {}, box, swatch, name);
  });
  const button = (text, act) => {
    const made = html("button", { type: "button", textContent: text });
    made.addEventListener("click", act);
    return made;
  };
  const number = (label, min, max) =>
    html("input", { type: "number", min, max, step: 0.5, value: 0, ariaLabel: label });
  const [x, y] = [number("x of a new point", ...RANGE), number("y of a new point", -HEIGHT, HEIGHT)];
  const add = (x, y) => set("added", [...model.get("added"), [x, y]]);
  const row = html(
    "div",
    { className: "row" },
    button("new points", () => set("seed", model.get("seed") + 1)),
    x,
    y,
    button("add point", () => add(Number(x.value), Number(y.value))),
    button("remove added", () => set("added", [])),
  );
  const view = element("svg", { viewBox: "0 0 730 305", role: "img" });
  const sentence = html("p", { role: "status" });
  view.addEventListener("click", (event) => {
    const box = view.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * 730;
    const down = ((event.clientY - box.top) / box.height) * 305;
    const at = [RANGE[0] + ((across - LEFT.x) / LEFT.width) * 10, HEIGHT - ((down - LEFT.y) / LEFT.height) * 2 * HEIGHT];
    if (Math.abs(at[0]) <= RANGE[1] && Math.abs(at[1]) <= HEIGHT) add(...at);
  });
  const refresh = () => {
    const now = state();
    const found = compute(now, learners, points);
    view.replaceChildren(...picture(now, learners, found));
    sentence.textContent = summary(now, found);
    view.setAttribute("aria-label", sentence.textContent);
  };
  STATE.forEach((name) => model.on(`change:${name}`, refresh));
  const controls = html("div", { className: "sliders" }, ...sliders);
  const shown = html("div", { className: "row" }, ...ticks);
  el.replaceChildren(html("div", { className: "mamlkit-k-shot" }, controls, shown, row, view, sentence));
  refresh();
}

export default { render };
