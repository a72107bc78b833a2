// Sorting, filters and a choice of columns for the tables. Every page is complete without this script: it adds only.
// What is chosen stands in the address after the #, so that a view can be kept and sent.
"use strict";

(() => {
  const PAGE = 50; // so many rows are laid out at first; the others are one press away

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  };

  // ------------------------------------------------------------------------------------------------ one table

  class Table {
    constructor(table) {
      this.table = table;
      this.whole = table.id === "table"; // the one whose view stands in the address
      this.axes = table.tHead.rows.length > 1 ? [...table.tHead.rows[0].cells].slice(1) : [];
      this.heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
      this.keys = this.heads.map((head) => head.dataset.key);
      this.bodies = [...table.tBodies].map((body) => ({ body, title: body.rows[0], rows: [...body.rows].slice(1) }));
      this.rows = this.bodies.flatMap((one) => one.rows);
      this.models = this.bodies.find(({ body }) => body.className === "model")?.rows ?? [];
      this.values = new Map(); // for each column and body its numbers, read once
      this.usual = { index: this.heads.findIndex((head) => head.hasAttribute("aria-sort")) };
      this.usual.aria = this.usual.index < 0 ? "none" : this.heads[this.usual.index].getAttribute("aria-sort");
      this.state = this.fresh();
      this.heads.forEach((head, index) => this.button(head, index));
      if (this.whole) {
        this.tools();
        addEventListener("hashchange", () => this.read());
        this.read();
      } else {
        this.table.classList.add("ready");
      }
      this.prepare(this.bodies.flatMap((_, place) => this.keys.map((_, index) => [index, place])));
    }

    // What sorting reads of ten thousand rows is read before anybody presses, while nothing else is to be done.
    prepare(left) {
      globalThis.requestIdleCallback?.((idle) => {
        do this.numbers(...left.shift()); while (left.length > 0 && idle.timeRemaining() > 10);
        if (left.length > 0) this.prepare(left);
      });
    }

    fresh() {
      return { sort: null, down: false, find: "", family: null, hardware: null, trust: null, axis: null, columns: null, all: false };
    }

    // ---------------------------------------------------------------------------------------------- sorting

    button(head, index) {
      const words = head.querySelector("span");
      const button = make("button", { type: "button", click: () => this.press(index) });
      button.append(...words.childNodes);
      if (words.title) button.title = words.title;
      words.replaceWith(button);
    }

    // First the better end, then the other, then the order in which the page came.
    press(index) {
      const key = this.keys[index], first = this.heads[index].dataset.better === "higher";
      if (this.state.sort !== key) Object.assign(this.state, { sort: key, down: first });
      else if (this.state.down === first) this.state.down = !first;
      else this.state.sort = null;
      this.sort();
      this.write();
    }

    numbers(index, place) {
      const name = `${index} ${place}`;
      if (!this.values.has(name)) {
        const { rows } = this.bodies[place];
        const read = (row) => {
          const text = row.cells[index].getAttribute("data-v");
          return text === null ? NaN : Number(text);
        };
        this.values.set(name, index > 0 ? Float64Array.from(rows, read) : this.ranks(rows));
      }
      return this.values.get(name);
    }

    // The places of the models' names among each other.
    ranks(rows) {
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      const names = rows.map((row) => row.cells[0].firstElementChild.textContent);
      const places = new Map([...new Set(names)].sort(compare).map((name, place) => [name, place]));
      return Float64Array.from(names, (name) => places.get(name));
    }

    // Rows move inside their group only; a missing number is last whichever way the others stand.
    order(place) {
      const order = this.bodies[place].rows.map((_, i) => i);
      const index = this.keys.indexOf(this.state.sort);
      if (index < 0) return order;
      const sign = this.state.down ? -1 : 1;
      const values = this.numbers(index, place);
      return order.sort((a, b) => {
        const missing = Number(Number.isNaN(values[a])) - Number(Number.isNaN(values[b]));
        return missing || (Number.isNaN(values[a]) ? 0 : sign * (values[a] - values[b])) || a - b;
      });
    }

    sort() {
      const index = this.keys.indexOf(this.state.sort);
      this.heads.forEach((head, i) => {
        const aria = i === index ? (this.state.down ? "descending" : "ascending")
          : index < 0 && i === this.usual.index ? this.usual.aria : "none";
        if (aria === "none") head.removeAttribute("aria-sort");
        else head.setAttribute("aria-sort", aria);
      });
      this.orders = this.bodies.map((_, place) => this.order(place));
      this.show();
    }

    // ---------------------------------------------------------------------------------------------- filters

    // Real data and controls stay: they are what the models are held against.
    wanted(row) {
      const { find, family, hardware, trust } = this.state, data = row.dataset;
      return (find === "" || row.cells[0].textContent.toLowerCase().includes(find.toLowerCase()))
        && (family === null || family.includes(data.family))
        && (hardware === null || hardware.includes(data.hardware ?? ""))
        && (trust === null || trust.includes(data.trust));
    }

    // Only the rows that are seen are part of the page: to move ten thousand of them would take a second.
    show() {
      const limit = this.state.all || !this.whole ? Infinity : PAGE, filtered = this.filtered();
      let fitting = 0, shown = 0;
      this.bodies.forEach(({ body, title, rows }, place) => {
        const model = body.className === "model";
        const fits = this.orders[place].map((i) => rows[i]).filter((row) => !model || !filtered || this.wanted(row));
        const seen = model ? fits.slice(0, Math.max(limit - shown, 0)) : fits;
        fitting += fits.length;
        shown += seen.length;
        title.hidden = seen.length === 0;
        const before = body.rows;
        if (before.length === seen.length + 1 && seen.every((row, i) => before[i + 1] === row)) return;
        body.replaceChildren(); // one by one, out of their order, they would leave in quadratic time
        body.append(title, ...seen);
      });
      this.table.classList.add("ready");
      if (!this.whole) return;
      this.count.textContent = shown === this.rows.length ? "" : `${shown} of ${this.rows.length} rows`;
      this.more.hidden = fitting === shown;
      this.more.textContent = `Show all ${fitting} rows`;
      this.reset.hidden = this.hash() === "";
    }

    filtered() {
      const { find, family, hardware, trust } = this.state;
      return find !== "" || family !== null || hardware !== null || trust !== null;
    }

    // ---------------------------------------------------------------------------------------------- columns

    usualColumns() {
      return this.keys.filter((_, i) => !this.heads[i].classList.contains("d"));
    }

    // An axis stands for all of its columns, the further ones too; else single columns are chosen, or the usual ones.
    visible() {
      const { axis, columns } = this.state;
      if (axis === null) return new Set(columns ?? this.usualColumns());
      return new Set(this.keys.filter((_, i) => i === 0 || axis.includes(this.heads[i].dataset.axis)));
    }

    hide() {
      const chosen = this.state.axis !== null || this.state.columns !== null, visible = this.visible();
      this.table.classList.toggle("chosen", chosen);
      const hidden = !chosen ? [] : this.keys.map((key, i) => (i > 0 && !visible.has(key) ? i + 1 : 0)).filter(Boolean);
      const rules = hidden.flatMap((n) => [`#table tbody td:nth-child(${n})`, `#table thead tr:last-child > :nth-child(${n})`]);
      if (!this.sheet && rules.length) {
        this.sheet = new CSSStyleSheet();
        document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.sheet];
      }
      this.sheet?.replaceSync(rules.length ? `${rules.join(",")}{display:none}` : "");
      let start = 1;
      for (const axis of this.axes) {
        axis.dataset.span ??= axis.colSpan;
        const stop = start + Number(axis.dataset.span);
        const left = this.keys.slice(start, stop).filter((key) => visible.has(key)).length;
        axis.hidden = left === 0;
        axis.colSpan = Math.max(left, 1);
        start = stop;
      }
      const cells = 1 + this.keys.slice(1).filter((key) => visible.has(key)).length;
      for (const { title } of this.bodies) title.cells[0].colSpan = cells;
    }

    // ---------------------------------------------------------------------------------------------- the tools

    tools() {
      const values = (name) => [...new Set(this.models.map((row) => row.dataset[name] ?? ""))].filter(Boolean).sort();
      this.boxes = [];
      const box = (words, value, group) => {
        const input = make("input", { type: "checkbox", value, change: () => this.choose(group) });
        this.boxes.push({ input, group });
        return make("label", {}, input, words);
      };
      const field = (words, group, pairs) =>
        make("fieldset", {}, make("legend", {}, words), ...pairs.map(([value, text]) => box(text, value, group)));
      const filters = [["Family", "family"], ["Hardware", "hardware"], ["Trust", "trust"]]
        .map(([words, name]) => [words, name, values(name)])
        .filter(([, , found]) => found.length > 1)
        .map(([words, name, found]) => field(words, name, found.map((value) => [value, value])));
      const ofAxis = new Map();
      this.heads.forEach((head, i) => {
        if (i > 0) ofAxis.set(head.dataset.axis, [...(ofAxis.get(head.dataset.axis) ?? []), i]);
      });
      const text = (i) => this.heads[i].querySelector("button").textContent + this.protocol(i);
      const columns = [...ofAxis].map(([axis, found]) => field(axis, "columns", found.map((i) => [this.keys[i], text(i)])));
      filters.push(field("Axis, all its columns and no others", "axis", [...ofAxis.keys()].map((axis) => [axis, axis])));
      this.find = make("input", { type: "search", input: () => { this.state.find = this.find.value.trim(); this.changed(); } });
      this.count = make("output", { "aria-live": "polite" });
      this.more = make("button", { type: "button", click: () => { this.state.all = true; this.changed(); } });
      this.reset = make("button", { type: "button", click: () => { this.state = this.fresh(); this.apply(); this.write(); } }, "Reset");
      const group = make("div", { class: "tools", role: "group", "aria-label": "View of the table" },
        make("label", {}, "Model", this.find),
        make("details", {}, make("summary", {}, "Filter"), ...filters),
        make("details", {}, make("summary", {}, "Columns"), ...columns),
        this.reset, this.count, this.more);
      this.table.closest(".scroll").before(group);
    }

    // The same metric may stand under several protocols.
    protocol(index) {
      return this.keys[index].includes(".") && !this.keys[index].endsWith(".best") ? ` (${this.keys[index].split(".")[1]})` : "";
    }

    choose(group) {
      const boxes = this.boxes.filter((one) => one.group === group).map((one) => one.input);
      const chosen = boxes.filter((one) => one.checked).map((one) => one.value);
      if (group === "columns") {
        const usual = this.usualColumns().slice(1);
        this.state.columns = chosen.length === usual.length && usual.every((key) => chosen.includes(key)) ? null : chosen;
        this.state.axis = null;
      } else {
        this.state[group] = chosen.length === 0 ? null : chosen;
        if (group === "axis") this.state.columns = null;
      }
      this.changed();
    }

    changed() {
      this.marks();
      this.hide();
      this.show();
      this.write();
    }

    marks() {
      const visible = this.visible();
      for (const { input, group } of this.boxes) {
        input.checked = group === "columns" ? visible.has(input.value) : (this.state[group]?.includes(input.value) ?? false);
      }
      if (this.find.value.trim() !== this.state.find) this.find.value = this.state.find;
    }

    apply() {
      this.marks();
      this.hide();
      this.sort();
    }

    // ---------------------------------------------------------------------------------------------- the address

    hash() {
      const words = new URLSearchParams(), { sort, down, find, columns, all } = this.state;
      if (sort !== null) words.set("sort", `${sort}:${down ? "descending" : "ascending"}`);
      if (find) words.set("find", find);
      for (const group of ["family", "hardware", "trust", "axis"]) {
        for (const value of this.state[group] ?? []) words.append(group, value);
      }
      if (columns !== null) words.set("columns", columns.join(","));
      if (all) words.set("rows", "all");
      return words.toString();
    }

    write() {
      if (!this.whole) return;
      const words = this.hash();
      history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
      this.reset.hidden = words === "";
    }

    // An address without "=" names a place on the page and leaves the view as it is, but shows the row it names.
    read() {
      const text = location.hash.slice(1);
      if (text.includes("=") || text === "") {
        const words = new URLSearchParams(text), known = (key) => this.keys.includes(key);
        const [sort, way] = (words.get("sort") ?? "").split(":");
        this.state = this.fresh();
        if (known(sort)) Object.assign(this.state, { sort, down: way === "descending" });
        this.state.find = words.get("find") ?? "";
        for (const group of ["family", "hardware", "trust"]) {
          if (words.has(group)) this.state[group] = words.getAll(group);
        }
        const axes = words.getAll("axis").filter((axis) => this.heads.some((head) => head.dataset.axis === axis));
        if (axes.length > 0) this.state.axis = axes;
        else if (words.has("columns")) this.state.columns = words.get("columns").split(",").filter(known);
        this.state.all = words.get("rows") === "all";
      }
      this.apply();
      const named = this.rows.find((row) => row.id === text);
      if (named && !named.isConnected) {
        this.state.all = true;
        this.apply();
        named.scrollIntoView();
      }
    }
  }

  for (const table of document.querySelectorAll("table.results")) new Table(table);
})();
