// A picture and the sentence that describes it. A click reports where, as shares of width and height.
function render({ model, el }) {
  const figure = document.createElement("figure");
  const image = document.createElement("img");
  const caption = document.createElement("figcaption");
  figure.className = "mamlkit-picture";
  figure.append(image, caption);
  // The caption is what a screen reader announces at each change; the picture would only repeat it.
  image.alt = "";
  caption.setAttribute("role", "status");

  let url = null;
  const show = () => {
    const old = url;
    url = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    image.onload = () => old && URL.revokeObjectURL(old);
    image.src = url;
  };
  const tell = () => (caption.textContent = model.get("sentence"));
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
    URL.revokeObjectURL(url);
  };
}
export default { render };
