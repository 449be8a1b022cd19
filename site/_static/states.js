// Puts a slider or a quiz into a notebook's page, in place of the still picture before it: no Python.
import { Model } from "./states/page.js";
import explorer from "./states/states.js";

const el = document.querySelector("[data-states]");
const folder = new URL("./states/", import.meta.url);
const page = await (await fetch(new URL(`${el.dataset.states}.json`, folder))).json();
explorer.render({ model: new Model({ ...page, folder }), el });
el.previousElementSibling.querySelector("img").hidden = true;
