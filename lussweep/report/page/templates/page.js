"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.sort;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (!x || !y) return x ? -1 : y ? 1 : 0;
        const [p, q] = [Number(x), Number(y)];
        const sign = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
        return up ? sign : -sign;
      };
      body.append(...[...body.rows].sort(order));
    });
  }
}
for (const group of document.querySelectorAll("[data-epochs]")) {
  const epochs = group.dataset.epochs.split(" ");
  const label = document.createElement("label");
  const range = document.createElement("input");
  const shown = document.createElement("output");
  Object.assign(range, { type: "range", min: 0, max: epochs.length - 1, step: 1 });
  range.value = epochs.length - 1;
  label.className = "slider";
  label.append("GAN epoch ", range, shown);
  group.prepend(label);
  const show = () => {
    shown.value = epochs[range.value];
    range.setAttribute("aria-valuetext", `epoch ${shown.value}`);
    for (const strip of group.querySelectorAll("[data-epoch]")) {
      strip.hidden = strip.dataset.epoch !== shown.value;
    }
  };
  range.addEventListener("input", show);
  show();
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const strip of document.querySelectorAll("[data-epoch]")) strip.hidden = false;
});
