// The K-shot explorer without Python: it computes and draws what KShotExplorer does.
// anywidget's contract: the model holds `learners`, `points` and the state; `render` shows it.
import { html } from "./page.js";

const GRID = 200; // points on which fits are drawn and errors measured
const RANGE = [-5, 5]; // of x
const HEIGHT = 9; // of the left plot's upper half
const ERRORS = [0.001, 60]; // range of the right plot
const MOST_SHOTS = 20;
const MOST_STEPS = 20;
const TRAINED = { amplitude: [0.1, 5], phase: [0, Math.PI], noise: [0, 0] };
const LAYERS = ["body.0", "body.2", "head"];

// Compute

// A copy of a learner's layers, to be moved by gradient descent. What the oracle is told besides x is
// the same at every x, and so goes into its first layer's bias.
function copyLayers(weights, told) {
  return LAYERS.map((name) => {
    const { shape, data } = weights[`${name}.weight`];
    const bias = Float64Array.from(weights[`${name}.bias`].data);
    if (name !== LAYERS[0]) return { columns: shape[1], weight: Float64Array.from(data), bias };
    const rows = bias.map((_, i) => data[i * shape[1]]);
    told.forEach((value, t) => bias.forEach((_, i) => (bias[i] += data[i * shape[1] + 1 + t] * value)));
    return { columns: 1, weight: rows, bias };
  });
}

// The network's outputs along the grid. A unit of the first layer is a hinge: flat, then straight. So
// what enters the second layer's ReLUs are straight lines of x, `height + slope * x`, until the next
// unit turns on or off: all weights are needed at those few places only, not at each x.
function follow([first, second, head], grid) {
  const [rise, offset] = [first.weight, first.bias]; // of each hinge: max(0, offset + rise * x)
  const [into, out] = [second.weight, head.weight];
  const isOn = new Uint8Array(rise.length);
  const height = Float64Array.from(second.bias);
  const slope = new Float64Array(height.length);
  const fit = new Float64Array(grid.length);
  for (let p = 0; p < grid.length; p++) {
    const x = grid[p];
    for (let j = 0; j < rise.length; j++) {
      const turnsOn = rise[j] * x + offset[j] > 0 ? 1 : 0;
      if (turnsOn === isOn[j]) continue;
      isOn[j] = turnsOn;
      const sign = turnsOn ? 1 : -1;
      for (let i = 0, w = j; i < height.length; i++, w += rise.length) {
        height[i] += sign * into[w] * offset[j];
        slope[i] += sign * into[w] * rise[j];
      }
    }
    let y = head.bias[0];
    for (let i = 0; i < height.length; i++) y += out[i] * Math.max(0, height[i] + slope[i] * x);
    fit[p] = y;
  }
  return fit;
}

// Fill in the units of each layer for one x: ReLU but for the last.
function forward(layers, x, units) {
  units[0][0] = x;
  for (let layer = 0; layer < layers.length; layer++) {
    const { columns, weight, bias } = layers[layer];
    const [before, after] = [units[layer], units[layer + 1]];
    for (let i = 0, w = 0; i < after.length; i++) {
      let sum = bias[i];
      for (let j = 0; j < columns; j++) sum += weight[w++] * before[j];
      after[i] = layer < layers.length - 1 ? Math.max(0, sum) : sum;
    }
  }
}

// Add to `gradients`, of the same form as the layers, what one point's slope adds. `slopes` are of the
// error by each unit, from the last layer, which is given, down.
function backward(layers, units, slopes, gradients) {
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const { columns, weight } = layers[layer];
    const { weight: weightGradient, bias: biasGradient } = gradients[layer];
    const [before, down, slope] = [units[layer], slopes[layer], slopes[layer + 1]];
    down.fill(0);
    for (let i = 0; i < slope.length; i++) {
      if (slope[i] === 0) continue; // as of half of them, by ReLU
      biasGradient[i] += slope[i];
      for (let j = 0, w = i * columns; j < columns; j++, w++) {
        weightGradient[w] += slope[i] * before[j];
        down[j] += slope[i] * weight[w];
      }
    }
    for (let j = 0; j < columns; j++) if (!(before[j] > 0)) down[j] = 0;
  }
}

// Move the layers by gradient descent on the mean squared error of the points: one step a call.
function makeDescent(layers, points, lr) {
  const makeUnits = () => [new Float64Array(1), ...layers.map(({ bias }) => new Float64Array(bias.length))];
  const [units, slopes] = [makeUnits(), makeUnits()];
  const gradients = layers.map(({ weight, bias }) => ({
    weight: new Float64Array(weight.length),
    bias: new Float64Array(bias.length),
  }));
  const last = layers.length;
  return () => {
    for (const { weight, bias } of gradients) [weight, bias].forEach((gradient) => gradient.fill(0));
    for (const [x, y] of points) {
      forward(layers, x, units);
      slopes[last][0] = (2 * (units[last][0] - y)) / points.length;
      backward(layers, units, slopes, gradients);
    }
    layers.forEach(({ weight, bias }, layer) => {
      const { weight: weightGradient, bias: biasGradient } = gradients[layer];
      for (let w = 0; w < weight.length; w++) weight[w] -= lr * weightGradient[w];
      for (let i = 0; i < bias.length; i++) bias[i] -= lr * biasGradient[i];
    });
  };
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
  const wave = grid.map((x) => truth(state, x));
  const seen = support(state, points);
  const found = {};
  for (const { name, weights } of learners) {
    if (!state.shown.includes(name)) continue;
    const isTold = weights["body.0.weight"].shape[1] === 3; // the oracle, which takes no steps
    const layers = copyLayers(weights, isTold ? [state.amplitude, state.phase] : []);
    const moves = isTold || !seen.length ? 0 : MOST_STEPS;
    const descend = makeDescent(layers, seen, state.lr);
    const fits = [follow(layers, grid)];
    for (let count = 1; count <= MOST_STEPS; count++) {
      if (count <= moves) descend();
      fits.push(count <= moves ? follow(layers, grid) : fits[moves]);
    }
    const error = (fit) => fit.reduce((sum, y, i) => sum + (y - wave[i]) ** 2, 0);
    found[name] = { fits, errors: fits.map((fit) => error(fit) / GRID) };
  }
  return { grid, wave, seen, found };
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

// Put the picture's elements into the view, once; return what moves them to a state and its result.
function makePicture(view, learners) {
  const clip = (box, id) => {
    const shape = element("clipPath", { id });
    shape.append(element("rect", box));
    view.append(shape);
    return element("g", { "clip-path": `url(#${id})`, fill: "none" });
  };
  view.append(frames());
  const [left, right] = [clip(LEFT, "k-shot-left"), clip(RIGHT, "k-shot-right")];
  const wave = element("path", { stroke: "currentColor", "stroke-width": 1.5 });
  const dots = element("g", { fill: "#E69F00", stroke: "#000" });
  const marks = learners.map(({ color, dash }) => {
    const line = { stroke: color, "stroke-dasharray": dash };
    return {
      fit: element("path", { ...line, "stroke-width": 2 }),
      curve: element("path", { ...line, "stroke-width": 1.5 }),
      dot: element("circle", { fill: color, r: 4 }),
    };
  });
  left.append(wave, ...marks.map(({ fit }) => fit), dots);
  right.append(...marks.flatMap(({ curve, dot }) => [curve, dot]));
  view.append(left, right);
  const steps = Array.from({ length: MOST_STEPS + 1 }, (_, i) => place.step(i));
  return (state, { grid, wave: heights, seen, found }) => {
    const xs = grid.map(place.x);
    const draw = (line, xs, ys) => line.setAttribute("d", path(xs, ys));
    draw(wave, xs, heights.map(place.y));
    learners.forEach(({ name }, index) => {
      const { fit, curve, dot } = marks[index];
      const display = name in found ? "inline" : "none";
      for (const mark of [fit, curve, dot]) mark.setAttribute("display", display);
      if (!(name in found)) return;
      const { fits, errors } = found[name];
      draw(fit, xs, Array.from(fits[state.steps], place.y));
      draw(curve, steps, errors.map(place.error));
      dot.setAttribute("cx", place.step(state.steps));
      dot.setAttribute("cy", place.error(errors[state.steps]));
    });
    dots.replaceChildren(...seen.map(([x, y]) => element("circle", { cx: place.x(x), cy: place.y(y), r: 5 })));
  };
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
  const move = makePicture(view, learners);
  let result;
  const show = () => {
    move(state(), result);
    sentence.textContent = summary(state(), result);
    view.setAttribute("aria-label", sentence.textContent);
  };
  const refresh = () => {
    result = compute(state(), learners, points);
    show();
  };
  STATE.forEach((name) => model.on(`change:${name}`, name === "steps" ? show : refresh)); // all steps are there
  const controls = html("div", { className: "sliders" }, ...sliders);
  const shown = html("div", { className: "row" }, ...ticks);
  el.replaceChildren(html("div", { className: "mamlkit-k-shot" }, controls, shown, row, view, sentence));
  refresh();
}

export default { render };
