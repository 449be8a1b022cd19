// Puts the K-shot explorer onto the first page, in place of its still picture: no Python behind it.
import explorer from "./k_shot/k_shot.js";
import { Model, parseSafetensors } from "./k_shot/page.js";

const folder = new URL("./k_shot/", import.meta.url);
const { learners, points, state } = await (await fetch(new URL("explorer.json", folder))).json();
for (const learner of learners) {
  const file = await fetch(new URL(`${learner.name}.safetensors`, folder));
  learner.weights = parseSafetensors(await file.arrayBuffer());
}
const el = document.getElementById("k-shot");
explorer.render({ model: new Model({ learners, points, ...state }), el });
document.querySelector('img[src*="explorer"]').hidden = true;
