// Puts the pads of `draw.md` in place of the still picture: no Python behind them.
import explorer from "./draw/drawing.js";
import { Model, parseSafetensors } from "./draw/page.js";

const load = async (name) => {
  const file = await fetch(new URL(`./draw/${name}.safetensors`, import.meta.url));
  return parseSafetensors(await file.arrayBuffer());
};
const [weights, { examples }] = await Promise.all([load("omniglot-20way-1shot"), load("examples")]);
explorer.render({ model: new Model({ weights, examples }), el: document.getElementById("draw") });
document.querySelector('img[src*="drawing"]').hidden = true;
