// Explorers whose few states were all drawn beforehand, by Python: pictures and sentences.
// anywidget's contract: the model holds `folder`, a URL, and the width and height of the pictures;
// and either `label` and `states`, for a slider, or the `rounds` of a quiz. `render` shows it.
import { html, Model } from "./page.js";
import figure from "./picture.js";

// Put a figure into the element; return what shows a state in it, with more words if there are any.
function makeFigure(model, el) {
  const size = { width: model.get("width"), height: model.get("height") };
  const shown = new Model({ ...size, value: "", sentence: "", clickable: false });
  figure.render({ model: shown, el });
  let latest;
  return async ({ picture, sentence }, words = "") => {
    latest = picture;
    const file = await fetch(new URL(picture, model.get("folder"))).catch(() => null);
    const value = file?.ok && (await file.arrayBuffer());
    if (picture !== latest) return; // the reader has moved on
    if (value) shown.set("value", value);
    shown.set("sentence", sentence + words);
  };
}

function renderSlider(model, el) {
  const states = model.get("states");
  const input = html("input", { type: "range", min: 0, max: states.length - 1, value: 0 });
  const output = html("output", { textContent: 0, ariaLive: "off" }); // the slider says it
  el.append(html("label", {}, html("span", { textContent: model.get("label") }), input, output));
  const show = makeFigure(model, el);
  const move = () => {
    output.textContent = input.value;
    show(states[input.value]);
  };
  input.addEventListener("input", move);
  move();
}

function renderQuiz(model, el) {
  const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
  const countRight = (answers, labels) => labels.filter((label, i) => label === answers[i]).length;
  const labels = ["?", ...Array(model.get("ways")).keys()];
  const selects = model.get("names").map((name) => {
    const options = labels.map((label) => html("option", { value: label, textContent: label }));
    return html("select", { ariaLabel: `label of query ${name}` }, ...options);
  });
  const choices = model.get("names").map((name, i) => {
    return html("label", {}, html("span", { textContent: name }), selects[i]);
  });
  const legend = html("legend", { textContent: "Your labels" });
  const fieldset = html("fieldset", {}, legend, html("div", { className: "choices" }, ...choices));
  const reveal = html("button", { type: "button", textContent: "reveal" });
  const another = html("button", { type: "button", textContent: "another episode" });
  el.append(fieldset, html("div", { className: "row" }, reveal, another));
  const show = makeFigure(model, el);

  const rounds = model.get("rounds");
  const results = new Map(); // of the episodes that were revealed; null: only looked at
  let number = 0;
  const ask = () => {
    selects.forEach((select) => (select.value = "?"));
    fieldset.disabled = reveal.disabled = false;
    show(rounds[number][0], ` Episode ${number + 1} of ${rounds.length}.`);
  };
  const tellScore = (labels, answers) => {
    const yours = selects.map((select) => Number(select.value)); // NaN where there is still a ?
    const looked = yours.every(Number.isNaN); // who only looks is not counted
    const result = { you: countRight(yours, labels), model: countRight(answers, labels) };
    if (!results.has(number)) results.set(number, looked ? null : result);
    if (!results.get(number)) return "";
    const score = ` ${fill(model.get("score"), results.get(number))}`;
    const counted = [...results.values()].filter(Boolean);
    if (counted.length === 1) return score;
    const total = { you: 0, model: 0, all: labels.length * counted.length };
    for (const { you, model } of counted) {
      total.you += you;
      total.model += model;
    }
    return `${score} ${fill(model.get("total"), total)}`;
  };
  reveal.addEventListener("click", () => {
    const [, revealed, labels, answers] = rounds[number];
    show(revealed, tellScore(labels, answers));
    another.focus(); // while it has the focus, a button should not be disabled
    fieldset.disabled = reveal.disabled = true;
  });
  another.addEventListener("click", () => {
    number = (number + 1) % rounds.length;
    ask();
    selects[0].focus();
  });
  // A key that is held down reveals, and should not go on.
  another.addEventListener("keydown", (event) => event.repeat && event.preventDefault());
  ask();
}

function render({ model, el }) {
  if (model.get("rounds")) renderQuiz(model, el);
  else renderSlider(model, el);
}
export default { render };
