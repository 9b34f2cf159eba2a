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
const hint = () => {
  for (const region of document.querySelectorAll("figure .scroll")) {
    const isWider = region.scrollWidth > region.clientWidth + 1;
    region.parentElement.classList.toggle("sideways", isWider);
  }
};
hint();
addEventListener("resize", hint);
addEventListener("beforeprint", () => {
  document.getElementById("all-sentences")?.setAttribute("open", "");
});
const tip = document.createElement("div");
let shown = null;
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("role", "status");
document.body.append(tip);
const show = (mark) => {
  shown?.classList.remove("shown");
  shown = mark;
  tip.textContent = mark?.dataset.text ?? "";
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("shown");
  const at = mark.getBoundingClientRect(), box = tip.getBoundingClientRect();
  const most = document.documentElement.clientWidth - box.width - 4;
  const left = at.left + (at.width - box.width) / 2;
  tip.style.left = `${Math.max(4, Math.min(left, most))}px`;
  tip.style.top = `${at.top > box.height + 8 ? at.top - box.height - 6 : at.bottom + 6}px`;
};
for (const svg of document.querySelectorAll("figure svg")) {
  const marks = [...svg.querySelectorAll(".marks circle")];
  if (!marks.length) continue;
  for (const mark of marks) { // the tip takes the place of the browser's slower one
    mark.dataset.text = mark.firstChild.textContent;
    mark.firstChild.remove();
  }
  svg.addEventListener("pointerover", (event) => {
    if (event.target.dataset.text) show(event.target);
  });
  svg.addEventListener("pointerleave", () => show(null));
  const region = svg.closest(".scroll");
  region.setAttribute("aria-description", "The left and right arrows read the values.");
  region.addEventListener("blur", () => show(null));
  region.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") show(null);
    if (!step) return;
    event.preventDefault();
    const next = (marks.indexOf(shown) + (shown ? step : Math.max(step, 0))) % marks.length;
    const mark = marks.at(next);
    mark.scrollIntoView({ block: "nearest", inline: "nearest" });
    show(mark);
  });
}
addEventListener("scroll", () => { if (shown) show(shown); }, { passive: true, capture: true });
const refresh = Number(document.documentElement.dataset.refresh);
const folds = [...document.querySelectorAll("details")];
const parts = [...document.querySelectorAll("main > section")];
const topOf = (part) => part.getBoundingClientRect().top;
const place = `lussweep ${location.pathname}`;
let memory = null;
try { memory = sessionStorage; } catch { /* the reader has forbidden it */ }
if (refresh) setTimeout(() => {
  const part = parts.findLast((one) => topOf(one) <= 0) ?? parts[0];
  const open = folds.flatMap((fold, i) => fold.open ? [i] : []);
  memory?.setItem(place, JSON.stringify({ id: part.id, top: topOf(part), open }));
  history.scrollRestoration = "manual";
  location.reload();
}, refresh * 1000);
const before = memory?.getItem(place);
if (before) {
  memory.removeItem(place);
  const { id, top, open } = JSON.parse(before);
  for (const i of open) folds[i]?.setAttribute("open", "");
  const part = document.getElementById(id);
  if (part) scrollBy(0, topOf(part) - top);
}
