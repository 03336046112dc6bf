// Choose a study and a measure, and see every arm as a dot with its interval. No library, no other host.
(() => {
  const root = document.getElementById("chooser");
  const data = JSON.parse(document.getElementById("chooser-data").textContent);
  const NS = "http://www.w3.org/2000/svg";
  const COLOURS = { human: "#1c1c1c", base: "#6b6b6b", tuned: "#0072b2", opponent: "#c04f00" };
  const FIELDS = ["study", "metric", "item", "subgroup", "arm"];
  const COLUMNS = [
    ["estimate", "Estimate"], ["low", "Low"], ["high", "High"],
    ["floor", "People at the same n"], ["ceiling", "Random answers"], ["human", "All people"], ["n", "n"],
  ];
  const rows = data.rows.map((row) => Object.fromEntries(
    data.columns.map((name, at) => [name, FIELDS.includes(name) ? data.words[name][row[at]] : row[at]])));
  const select = (name) => root.querySelector(`select[name=${name}]`);
  const chosen = (name) => select(name).value;
  const said = (text) => text.replaceAll("_", " ");
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    return made;
  };
  const fill = (name, values) => {
    const before = chosen(name);
    select(name).replaceChildren(...values.map((value) => element("option", said(value) || "everybody", { value })));
    if (values.includes(before)) select(name).value = before;
    select(name).disabled = values.length < 2;
  };
  const unique = (field, some) => data.words[field].filter((word) => some.some((row) => row[field] === word));
  const matching = (fields) => rows.filter((row) => fields.every((field) => row[field] === chosen(field)));
  const number = (value, digits = 3) => (value === null ? "–" : Number(value).toFixed(digits));
  const nameOf = (row) => data.arms[row.arm].label + (data.seeds > 1 && row.seed ? `, seed ${row.seed}` : "");
  const shownArms = () => [...root.querySelectorAll("input[name=arm]:checked")].map((box) => box.value);

  function svg(name, attributes, text) {
    const made = document.createElementNS(NS, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function ticks(low, high) {
    const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push([at, at.toFixed(digits)]);
    return found;
  }

  function marks(row, x, y) {
    const made = [], colour = COLOURS[data.arms[row.arm].kind];
    const at = (value, shape) => { if (value !== null) made.push(shape(x(value))); };
    if (row.low !== null && row.high !== null) {
      made.push(svg("line", { x1: x(row.low), x2: x(row.high), y1: y, y2: y, stroke: colour, "stroke-width": 2 }));
    }
    at(row.floor, (p) => svg("line", { x1: p, x2: p, y1: y - 9, y2: y + 9, stroke: "#1c1c1c", "stroke-width": 2 }));
    at(row.ceiling, (p) => svg("path", { d: `M${p - 4} ${y - 4}l8 8m0-8l-8 8`, stroke: "#6b6b6b", fill: "none", "stroke-width": 1.6 }));
    at(row.estimate, (p) => svg("circle", { cx: p, cy: y, r: 5, fill: colour }));
    return made;
  }

  function plot(some, holder) {
    const width = Math.max(300, holder.clientWidth), narrow = width < 560, line = narrow ? 44 : 28;
    const left = narrow ? 12 : 260, right = 16, bottom = 34, height = some.length * line + bottom + 8;
    const values = some.flatMap((row) => [row.estimate, row.low, row.high, row.floor, row.ceiling]).filter((v) => v !== null);
    if (!values.length) return [element("p", "None of the chosen arms has a number here.")];
    let low = Math.min(...values), high = Math.max(...values);
    const pad = (high - low || Math.abs(high) || 1) * 0.05;
    low -= pad; high += pad;
    const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    const label = `${said(chosen("metric"))}, ${some.length} lines; the table below has the numbers`;
    const made = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    ticks(low, high).forEach(([at, text]) => {
      made.append(svg("line", { x1: x(at), x2: x(at), y1: 4, y2: height - bottom, stroke: "#dddddd" }));
      made.append(svg("text", { x: x(at), y: height - 12, "text-anchor": "middle", "font-size": 13, fill: "#444444" }, text));
    });
    some.forEach((row, place) => {
      const y = place * line + (narrow ? 32 : 20);
      made.append(narrow
        ? svg("text", { x: left, y: y - 14, "font-size": 13, fill: "#1c1c1c" }, nameOf(row))
        : svg("text", { x: left - 12, y: y + 4, "text-anchor": "end", "font-size": 14, fill: "#1c1c1c" }, nameOf(row)));
      made.append(...marks(row, x, y));
    });
    return [made];
  }

  function tabulate(some) {
    const table = element("table", undefined, { class: "table table-sm" });
    const what = FIELDS.slice(0, 4).map(chosen).filter((word) => word && word !== "all").map(said).join(", ");
    table.append(element("caption", what));
    const head = table.createTHead().insertRow();
    ["Arm", ...COLUMNS.map(([, name]) => name)].forEach((name) => head.append(element("th", name, { scope: "col" })));
    const body = table.createTBody();
    some.forEach((row) => {
      const line = body.insertRow();
      line.append(element("th", nameOf(row), { scope: "row" }));
      COLUMNS.forEach(([field]) => line.append(element("td", number(row[field], field === "n" ? 0 : 3))));
    });
    return table;
  }

  function show() {
    const arms = shownArms(), order = Object.keys(data.arms);
    const some = matching(["study", "metric", "item", "subgroup"]).filter((row) => arms.includes(row.arm));
    some.sort((a, b) => order.indexOf(a.arm) - order.indexOf(b.arm) || a.seed - b.seed);
    const holder = root.querySelector(".chooser-plot");
    holder.replaceChildren(...plot(some, holder));
    root.querySelector(".chooser-table").replaceChildren(tabulate(some));
    root.querySelector("[role=status]").textContent =
      `${some.length} lines shown.${data.synthetic.includes(chosen("study")) ? " Synthetic: not evidence about people." : ""}`;
  }

  function offer() {
    fill("study", data.words.study);
    [["metric", 1], ["item", 2], ["subgroup", 3]].forEach(([field, at]) => {
      fill(field, unique(field, matching(FIELDS.slice(0, at))));
    });
    const present = new Set(matching(["study"]).map((row) => row.arm));
    root.querySelectorAll("input[name=arm]").forEach((box) => { box.closest("label").hidden = !present.has(box.value); });
    show();
  }

  const boxes = Object.entries(data.arms).map(([value, arm]) => {
    const label = element("label");
    const box = element("input", undefined, { type: "checkbox", name: "arm", value });
    box.checked = true;
    label.append(box, ` ${arm.label}`);
    return label;
  });
  root.querySelector("fieldset").append(...boxes);
  root.addEventListener("change", offer);
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  let width = 0;
  new ResizeObserver(() => { if (root.clientWidth !== width) { width = root.clientWidth; show(); } }).observe(root);
  offer();
})();
