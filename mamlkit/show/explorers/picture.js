// A picture and the sentence that describes it. A click reports where, as shares of width and height.
const QUIET = 600; // ms without a change before it is announced

function render({ model, el }) {
  const figure = document.createElement("figure");
  const image = document.createElement("img");
  const caption = document.createElement("figcaption");
  figure.className = "mamlkit-picture";
  figure.append(image, caption);
  // The caption says what is seen; the picture would only repeat it. A screen reader announces the
  // caption once the reader has stopped moving, not at each step of a slider: from a second copy.
  image.alt = "";
  const spoken = document.createElement("span");
  spoken.className = "mamlkit-spoken";
  spoken.setAttribute("role", "status");
  figure.append(spoken);

  const urls = [];
  const forget = (keep) => {
    while (urls.length > keep) URL.revokeObjectURL(urls.shift());
  };
  const show = () => {
    urls.push(URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" })));
    image.src = urls.at(-1);
  };
  image.addEventListener("load", () => forget(image.src === urls.at(-1) ? 1 : 2));
  let speak = null;
  const tell = () => {
    caption.textContent = model.get("sentence");
    clearTimeout(speak);
    speak = setTimeout(() => (spoken.textContent = model.get("sentence")), QUIET);
  };
  const size = () => {
    image.width = model.get("width");
    image.style.aspectRatio = `${model.get("width")} / ${model.get("height")}`;
    image.style.cursor = model.get("clickable") ? "crosshair" : "default";
  };
  const click = (event) => {
    if (!model.get("clickable")) return;
    const box = image.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    model.send({ click: [x, y] });
  };
  model.on("change:value", show);
  model.on("change:sentence", tell);
  image.addEventListener("click", click);
  size();
  show();
  tell();
  el.append(figure);
  return () => {
    model.off("change:value", show);
    model.off("change:sentence", tell);
    clearTimeout(speak);
    forget(0);
  };
}
export default { render };
