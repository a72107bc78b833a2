// Two to five models side by side. The choice stands in the address: compare.html#d=DATASET&m=MODEL&m=MODEL
"use strict";

(() => {
  const MOST = 5;
  const all = JSON.parse(document.getElementById("compare-data").textContent);
  const area = document.getElementById("compare");
  const datasets = document.getElementById("compare-dataset");
  const models = document.getElementById("compare-models");
  const table = document.getElementById("compare-table");
  const said = document.getElementById("compare-said");
  if (!all.length) return;
  area.hidden = false;

  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  for (const one of all) datasets.append(make("option", one.dataset, { value: one.dataset }));

  function read() {
    const state = new URLSearchParams(location.hash.slice(1));
    const found = all.find((one) => one.dataset === state.get("d")) || all[0];
    const names = found.models.map((model) => model.name);
    const chosen = [...new Set(state.getAll("m"))].filter((name) => names.includes(name)).slice(0, MOST);
    return { found, chosen: state.has("m") ? chosen : names.slice(0, 2) };
  }

  function write(dataset, chosen) {
    const state = new URLSearchParams([["d", dataset], ...chosen.map((name) => ["m", name])]);
    if (!chosen.length) state.append("m", "");
    location.hash = state.toString();
  }

  function boxes(found, chosen) {
    const focused = document.activeElement && document.activeElement.value;
    const within = models.contains(document.activeElement);
    models.replaceChildren(
      ...found.models.map((model) => {
        const label = make("label");
        const box = make("input", "", { type: "checkbox", value: model.name });
        box.checked = chosen.includes(model.name);
        box.disabled = !box.checked && chosen.length >= MOST;
        label.append(box, ` ${model.name}`);
        return label;
      }),
    );
    if (within) for (const box of models.querySelectorAll("input")) if (box.value === focused) box.focus();
  }

  // The best of the cells that can be compared, if no other's interval reaches it.
  function best(cells, better) {
    const numbers = cells.filter((cell) => cell.length > 1);
    if (!better || numbers.length < 2 || new Set(numbers.map((cell) => cell[2])).size > 1) return null;
    const sign = better === "lower" ? 1 : -1;
    const top = numbers.reduce((one, other) => (sign * other[3] < sign * one[3] ? other : one));
    return numbers.every((cell) => cell === top || cell[5] < top[4] || cell[4] > top[5]) ? top : null;
  }

  function head(chosen) {
    const row = make("tr");
    row.append(make("th", "Metric", { scope: "col" }));
    for (const model of chosen) {
      const cell = make("th", "", { scope: "col", class: "num" });
      cell.append(make("a", model.name, { href: model.address }), make("small", model.family));
      row.append(cell);
    }
    const section = make("thead");
    section.append(row);
    return section;
  }

  function pictures(dataset, chosen) {
    const row = make("tr");
    row.append(make("th", "Samples", { scope: "row" }));
    for (const model of chosen) {
      const cell = make("td", model.picture ? "" : "no picture", { class: "num" });
      if (model.picture) {
        const [src, width, height] = model.picture;
        cell.append(make("img", "", { src, width, height, alt: `Samples of ${model.name} on ${dataset}` }));
      }
      row.append(cell);
    }
    return row;
  }

  function line(found, chosen, index) {
    const metric = found.metrics[index];
    const cells = chosen.map((model) => model.cells[index]);
    if (cells.every((cell) => cell.length === 1)) return null;
    const top = best(cells, metric.better);
    const row = make("tr");
    const title = make("th", "", { scope: "row" });
    title.append(make("a", metric.title, { href: `metrics.html#${metric.id}` }));
    title.append(make("small", metric.direction + (metric.protocol ? `; ${metric.protocol}` : "")));
    row.append(title);
    for (const cell of cells) {
      const box = make("td", "", { class: cell === top ? "num best" : "num" });
      if (cell.length === 1) box.append(make("span", cell[0], { class: "none" }));
      else box.append(make(cell === top ? "strong" : "span", cell[0]), make("small", cell[1]));
      row.append(box);
    }
    return row;
  }

  function show() {
    const { found, chosen: names } = read();
    datasets.value = found.dataset;
    boxes(found, names);
    const chosen = names.map((name) => found.models.find((model) => model.name === name));
    if (chosen.length < 2) {
      table.replaceChildren();
      said.textContent = "Choose at least two models.";
      return;
    }
    const caption = make("caption");
    caption.append(make("span", `${names.join(", ")} on ${found.dataset}; below each value its interval.`));
    const body = make("tbody");
    body.append(pictures(found.dataset, chosen));
    found.metrics.forEach((_, index) => body.append(line(found, chosen, index) || ""));
    table.replaceChildren(caption, head(chosen), body);
    said.textContent = `${chosen.length} models of ${found.dataset} are compared.`;
  }

  datasets.addEventListener("change", () => {
    const other = all.find((one) => one.dataset === datasets.value);
    const there = other.models.map((model) => model.name);
    const kept = read().chosen.filter((name) => there.includes(name));
    write(other.dataset, kept.length > 1 ? kept : there.slice(0, 2));
  });
  models.addEventListener("change", (event) => {
    const { found, chosen } = read();
    const { value, checked } = event.target;
    write(found.dataset, checked ? [...chosen, value] : chosen.filter((name) => name !== value));
  });
  document.getElementById("compare-form").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", show);
  show();
})();
