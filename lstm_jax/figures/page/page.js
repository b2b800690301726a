"use strict";
// Figures: each is drawn once; the legend sets what is hidden in all of them.
const hidden = new Set();
const views = [];
const { config, specs } = JSON.parse(document.getElementById("specs").textContent);
for (const place of document.querySelectorAll("[data-chart]")) {
  const options = { renderer: "svg", actions: false, config };
  vegaEmbed(place, specs[Number(place.dataset.chart)], options).then(({ view }) => {
    views.push(view);
    view.signal("hidden", [...hidden]).runAsync();
    document.documentElement.dataset.drawn = views.length;
  });
}
for (const button of document.querySelectorAll("#legend button")) {
  button.addEventListener("click", () => {
    const label = button.dataset.label;
    if (!hidden.delete(label)) hidden.add(label);
    button.setAttribute("aria-pressed", String(!hidden.has(label)));
    for (const view of views) view.signal("hidden", [...hidden]).runAsync();
  });
}

// Light or dark: as the system says, until the button says otherwise.
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// Tables: sorted by a click on a column, filtered by a text, downloaded as they are then.
const valueOf = (cell) => cell.dataset.exact ?? cell.textContent;
function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
}
for (const part of document.querySelectorAll(".table")) {
  const [table, body] = [part.querySelector("table"), part.querySelector("tbody")];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
      const rows = keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : sign * compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });
  const tools = part.querySelector(".tools");
  const [filter, download, status] = ["input", "button", "[role=status]"].map((name) => tools.querySelector(name));
  tools.hidden = false;
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const words = [...row.cells].map((cell) => cell.textContent.toLowerCase());
      row.hidden = !wanted.every((word) => (words.includes(word) ? true : text.includes(word)));
      shown += !row.hidden;
    }
    status.textContent = `${shown} of ${body.rows.length} rows`;
  });
  download.addEventListener("click", () => {
    const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const rows = [heads.map((head) => head.textContent), ...[...body.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(valueOf))];
    const text = rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${part.dataset.name}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
