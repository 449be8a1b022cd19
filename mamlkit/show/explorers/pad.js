// A square to draw on with mouse, touch or pen. Strokes are lists of [x, y], as shares of its side.
const EVERY = 120; // ms between reports while the pen moves

function render({ model, el }) {
  const side = model.get("side");
  const box = document.createElement("div");
  box.className = "mamlkit-pad";
  const label = document.createElement("div");
  const canvas = document.createElement("canvas");
  const buttons = document.createElement("div");
  canvas.width = canvas.height = side;
  canvas.setAttribute("role", "img");
  const pen = canvas.getContext("2d");
  const button = (text, act) => {
    const made = document.createElement("button");
    made.textContent = text;
    made.addEventListener("click", act);
    buttons.append(made);
    return made;
  };
  const undo = button("undo", () => report(strokes.slice(0, -1)));
  const clear = button("clear", () => report([]));
  box.append(label, canvas, buttons);

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
    pen.moveTo(points[0][0] * side - 0.01, points[0][1] * side); // a dot needs some length
    for (const [x, y] of points) pen.lineTo(x * side, y * side);
    pen.stroke();
  };
  const draw = () => {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, side, side);
    pen.lineWidth = model.get("pen") * side;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "black";
    const image = model.get("image");
    if (image) {
      const shown = new Image();
      shown.onload = () => {
        if (model.get("image") !== image) return;
        pen.imageSmoothingEnabled = false;
        pen.drawImage(shown, 0, 0, side, side);
      };
      shown.src = image;
    } else {
      for (const stroke of drawing ? [...strokes, drawing] : strokes) line(stroke);
    }
    const count = strokes.length;
    const what = image ? "a ready character" : `${count} stroke${count === 1 ? "" : "s"}`;
    canvas.setAttribute("aria-label", `${model.get("label")}: ${what}`);
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
    const whole = [...strokes, drawing];
    drawing = null;
    report(whole);
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("lostpointercapture", finish);

  const heard = () => {
    if (!drawing) {
      strokes = model.get("strokes");
      draw();
    }
  };
  const name = () => {
    label.textContent = model.get("label");
    undo.setAttribute("aria-label", `undo the last stroke of ${model.get("label")}`);
    clear.setAttribute("aria-label", `clear ${model.get("label")}`);
    draw();
  };
  model.on("change:strokes", heard);
  model.on("change:image", heard);
  model.on("change:label", name);
  name();
  el.append(box);
  return () => {
    model.off("change:strokes", heard);
    model.off("change:image", heard);
    model.off("change:label", name);
  };
}
export default { render };
