// Puts the K-shot explorer onto the first page, in place of its still picture: no Python behind it.
import explorer, { parseSafetensors } from "./k_shot/k_shot.js";

// What anywidget's model is to a notebook: values by name, and who wants to hear of changes.
class Model {
  constructor(values) {
    this.values = values;
    this.listeners = {};
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    this.values[name] = value;
    (this.listeners[`change:${name}`] ?? []).forEach((listener) => listener());
  }
  on(event, listener) {
    (this.listeners[event] ??= []).push(listener);
  }
  save_changes() {}
}

const folder = new URL("./k_shot/", import.meta.url);
const { learners, points, state } = await (await fetch(new URL("explorer.json", folder))).json();
for (const learner of learners) {
  const file = await fetch(new URL(`${learner.name}.safetensors`, folder));
  learner.weights = parseSafetensors(await file.arrayBuffer());
}
const el = document.getElementById("k-shot");
explorer.render({ model: new Model({ learners, points, ...state }), el });
document.querySelector('img[src*="explorer"]').hidden = true;
