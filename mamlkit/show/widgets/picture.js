// A picture and the sentence that describes it. A click reports where, as shares of width and height.
const QUIET = 600; // ms without a change before it is announced

function render({ model, el }) {
  const figure = document.createElement("figure");
  const image = document.createElement("img");
  const caption = document.createElement("figcaption");
  // The caption says what is seen; the picture would only repeat it. A screen reader announces the
  // caption once the reader has stopped moving, not at each step of a slider: from a second copy.
  const spoken = document.createElement("span");
  figure.className = "mamlkit-picture";
  spoken.className = "mamlkit-spoken";
  spoken.setAttribute("role", "status");
  figure.append(image, caption, spoken);
  el.append(figure);
  image.alt = "";
  image.width = model.get("width");
  image.style.aspectRatio = `${model.get("width")} / ${model.get("height")}`;
  image.style.cursor = model.get("clickable") ? "crosshair" : "default";

  let url = null;
  const show = () => {
    URL.revokeObjectURL(url); // the old picture stays on screen until the new one is there
    url = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    image.src = url;
  };
  let speak = null;
  const tell = () => {
    caption.textContent = model.get("sentence");
    clearTimeout(speak);
    speak = setTimeout(() => (spoken.textContent = model.get("sentence")), QUIET);
  };
  image.addEventListener("click", (event) => {
    if (!model.get("clickable")) return;
    const box = image.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    model.send({ click: [x, y] });
  });
  model.on("change:value", show);
  model.on("change:sentence", tell);
  show();
  tell();
  return () => {
    model.off("change:value", show);
    model.off("change:sentence", tell);
    clearTimeout(speak);
    URL.revokeObjectURL(url);
  };
}
export default { render };
