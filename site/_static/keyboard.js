// What the theme leaves to the mouse, by keyboard too.

// A box that scrolls sideways is a stop on the way, and only then.
const boxes = document.querySelectorAll("pre, .output, .cell_output, .table-wrapper");
const mark = () => {
  for (const box of boxes) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", mark);
addEventListener("resize", mark);

// The icons of the menus are labels of hidden check boxes: buttons, for whoever cannot click.
for (const toggle of document.querySelectorAll(".sidebar-toggle, .toctree-checkbox")) {
  for (const label of document.querySelectorAll(`label[for="${toggle.id}"]:not(.overlay)`)) {
    const say = () => label.setAttribute("aria-expanded", toggle.checked);
    label.tabIndex = 0;
    label.role = "button";
    label.ariaLabel = toggle.ariaLabel;
    label.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      label.click();
    });
    toggle.addEventListener("change", say);
    say();
  }
}
