"use strict";
// Without this script every table has its own order, best first.
(() => {
  const numberOf = (cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value));
  const compare = (first, second, column, numeric, sign) => {
    const [a, b] = [first.cells[column], second.cells[column]];
    if (!numeric) return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    const [x, y] = [numberOf(a), numberOf(b)];
    if (x === null || y === null) return (x === null) - (y === null); // empty cells are last in either order
    return sign * (x - y);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const descending = before ? before === "ascending" : head.dataset.first === "descending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        const isBaseline = (row) => row.classList.contains("baseline");
        const models = rows.filter((row) => !isBaseline(row));
        models.sort((a, b) => compare(a, b, column, head.dataset.kind === "number", descending ? -1 : 1));
        table.tBodies[0].append(...models, ...rows.filter(isBaseline)); // baselines stay below the ranking
      });
    });
  }
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
})();
