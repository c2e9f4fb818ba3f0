"use strict";
// Without this script every table is there all the same, only not sortable.
const numberIn = (text) => {
  const found = text.replace(/,/g, "").match(/^[^\d]{0,2}?(-?\d+(\.\d+)?)/);
  return found ? Number(found[1]) : NaN;
};

const compare = (a, b) => {
  const [x, y] = [numberIn(a), numberIn(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return a.localeCompare(b);
  return x - y;
};

const sortBy = (table, head, index) => {
  const first = index === 0 ? "ascending" : "descending";
  const second = index === 0 ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? second : first;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const text = (row) => row.cells[index].textContent.trim();
  const empty = (value) => value === "" || value === "–";
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [text(a), text(b)];
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    return sign * compare(x, y);
  });
  table.tBodies[0].append(...rows);
};

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head, index));
  });
}

window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
