// Tables with several rows can be sorted by a column: by its numbers where they are numbers.
"use strict";
for (const table of document.querySelectorAll(".scroll table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 4) continue;
  [...table.tHead.rows[0].cells].forEach((cell, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => sort(table, body, cell, place));
  });
}
function read(row, place) {
  const text = row.cells[place].textContent.trim();
  const number = parseFloat(text.replace(/\u2212/g, "-").replace("\u221e", "Infinity").replace(/^[±≤≥<>≈~+]\s*/, ""));
  return { text, number };
}
function sort(table, body, cell, place) {
  const falling = cell.getAttribute("aria-sort") === "ascending";
  const numeric = cell.classList.contains("n");
  const rows = [...body.rows].map((row) => ({ row, ...read(row, place) }));
  rows.sort((a, b) => {
    if (!numeric) return falling ? b.text.localeCompare(a.text) : a.text.localeCompare(b.text);
    if (Number.isNaN(a.number) || Number.isNaN(b.number)) {
      return Number.isNaN(a.number) - Number.isNaN(b.number); // what has no number stays below
    }
    return falling ? b.number - a.number : a.number - b.number;
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
  body.append(...rows.map((entry) => entry.row));
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
