// A square to draw on with mouse, touch or pen. Strokes are lists of [x, y], as shares of its side.
const SIDE = 130; // pixels
const EVERY = 120; // ms between reports while the pen moves

function render({ model, el }) {
  const name = model.get("label");
  const box = document.createElement("div");
  box.className = "mamlkit-pad";
  const label = document.createElement("div");
  label.textContent = name;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  canvas.setAttribute("role", "img");
  const pen = canvas.getContext("2d");
  const button = (text, description, act) => {
    const element = document.createElement("button");
    element.textContent = text;
    element.setAttribute("aria-label", description);
    element.addEventListener("click", act);
    return element;
  };
  const undo = button("undo", `undo the last stroke of ${name}`, () => report(strokes.slice(0, -1)));
  const clear = button("clear", `clear ${name}`, () => report([]));
  const buttons = document.createElement("div");
  buttons.append(undo, clear);
  box.append(label, canvas, buttons);
  el.append(box);

  let strokes = model.get("strokes");
  let drawing = null; // the stroke under the pen
  let pointer = null; // the one that draws: mouse, finger or pen
  let last = 0;
  const report = (next) => {
    strokes = next;
    model.set("strokes", strokes);
    model.set("image", null);
    model.save_changes();
    draw();
  };
  const line = (points) => {
    pen.beginPath();
    pen.moveTo(points[0][0] * SIDE - 0.01, points[0][1] * SIDE); // a dot needs some length
    for (const [x, y] of points) pen.lineTo(x * SIDE, y * SIDE);
    pen.stroke();
  };
  const draw = () => {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, SIDE, SIDE);
    pen.lineWidth = model.get("pen") * SIDE;
    pen.lineCap = pen.lineJoin = "round";
    const image = model.get("image");
    if (image) {
      const shown = new Image();
      shown.onload = () => {
        if (model.get("image") !== image) return;
        pen.imageSmoothingEnabled = false;
        pen.drawImage(shown, 0, 0, SIDE, SIDE);
      };
      shown.src = image;
    } else {
      for (const stroke of drawing ? [...strokes, drawing] : strokes) line(stroke);
    }
    const count = `${strokes.length} stroke${strokes.length === 1 ? "" : "s"}`;
    canvas.setAttribute("aria-label", `${name}: ${image ? "a ready character" : count}`);
  };
  const place = (event) => {
    const frame = canvas.getBoundingClientRect();
    const share = (value) => Math.min(1, Math.max(0, Math.round(value * 1000) / 1000));
    return [share((event.clientX - frame.left) / frame.width), share((event.clientY - frame.top) / frame.height)];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (drawing || event.button !== 0) return; // a second finger, or another button
    event.preventDefault();
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    if (model.get("image")) strokes = [];
    model.set("image", null);
    drawing = [place(event)];
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing || event.pointerId !== pointer) return;
    drawing.push(place(event));
    draw();
    const now = performance.now();
    if (now - last > EVERY) {
      last = now;
      model.set("strokes", [...strokes, [...drawing]]);
      model.save_changes();
    }
  });
  const finish = (event) => {
    if (!drawing || event.pointerId !== pointer) return;
    const all = [...strokes, drawing];
    drawing = null;
    report(all);
  };
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(kind, finish);
  }
  const update = () => {
    if (drawing) return;
    strokes = model.get("strokes");
    draw();
  };
  model.on("change:strokes", update);
  model.on("change:image", update);
  draw();
  return () => {
    model.off("change:strokes", update);
    model.off("change:image", update);
  };
}
export default { render };
