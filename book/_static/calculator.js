/* The calculator's page: form, address, results. All arithmetic is in costs.js. */
"use strict";

(() => {
  const data = window.ALPHAFLOPS_DATA;
  const { features, alpha, alphaMs, predict } = window.alphaflops;
  const root = document.getElementById("calculator");
  const find = (selector) => root.querySelector(selector);

  const FIELDS = [
    { key: "h", name: "height", label: "Height H", most: 1024, start: 56 },
    { key: "w", name: "width", label: "Width W", most: 1024, start: 56 },
    { key: "cin", name: "in_channels", label: "Input channels Cin", dense: "Inputs", most: 16384, start: 64 },
    { key: "cout", name: "out_channels", label: "Output channels Cout", dense: "Outputs", most: 16384, start: 64 },
    { key: "k", name: "kernel", label: "Kernel side", most: 31, start: 3 },
    { key: "batch", name: "batch", label: "Batch", most: 1024, start: 1 },
  ];
  const CONV_ONLY = new Set(["h", "w", "k"]);
  const STEPS = 400;

  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const toSlider = (value, most) => Math.round((STEPS * Math.log(value)) / Math.log(most));
  const fromSlider = (step, most) => Math.round(most ** (step / STEPS));

  function makeField(field) {
    field.label_ = element("label", { for: `calc-${field.key}` }, field.label);
    field.number = element("input", { type: "number", id: `calc-${field.key}`, min: 1, max: field.most, step: 1, inputmode: "numeric" });
    field.slider = element("input", { type: "range", min: 0, max: STEPS, step: 1, "aria-label": `${field.label}, slider` });
    field.box = element("div", { class: "calc-field" }, field.label_, field.slider, field.number);
    field.slider.addEventListener("input", () => {
      setValue(field, fromSlider(Number(field.slider.value), field.most));
      update();
    });
    // On a logarithmic scale one step may round to the same integer: an arrow key always moves by at least one.
    field.slider.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const from = Number(field.number.value) || 1;
      const next = fromSlider(toSlider(from, field.most) + step, field.most);
      const moved = step > 0 ? Math.max(next, from + 1) : Math.min(next, from - 1);
      setValue(field, Math.min(Math.max(moved, 1), field.most));
      update();
    });
    field.number.addEventListener("input", () => {
      if (valid(field)) moveSlider(field, Number(field.number.value));
      update();
    });
    setValue(field, field.start);
    find(".calc-fields").append(field.box);
  }

  function moveSlider(field, value) {
    field.slider.value = toSlider(value, field.most);
    field.slider.setAttribute("aria-valuetext", String(value));
  }

  function setValue(field, value) {
    field.number.value = value;
    moveSlider(field, value);
  }

  const kind = () => find("input[name=kind]:checked").value;
  const valid = (field) => {
    const value = Number(field.number.value);
    return Number.isInteger(value) && value >= 1 && value <= field.most;
  };
  const shown = () => FIELDS.filter((field) => kind() === "conv2d" || !CONV_ONLY.has(field.key));

  function currentLayer() {
    const layer = { kind: kind(), height: 1, width: 1, kernel: 1 };
    for (const field of shown()) layer[field.name] = Number(field.number.value);
    return layer;
  }

  function readAddress() {
    const wanted = new URLSearchParams(window.location.hash.slice(1));
    if (wanted.has("kind")) apply(wanted);
  }

  function apply(wanted) {
    const radio = find(`input[name=kind][value="${wanted.get("kind") === "dense" ? "dense" : "conv2d"}"]`);
    radio.checked = true;
    for (const field of FIELDS) {
      const value = Number(wanted.get(field.key));
      if (Number.isInteger(value) && value >= 1 && value <= field.most) setValue(field, value);
    }
    if (wanted.has("on")) choose(wanted.getAll("on"));
  }

  function writeAddress() {
    const pairs = shown().map((field) => [field.key, field.number.value]);
    const on = machines().map((machine) => ["on", machine]);
    const hash = `#${new URLSearchParams([["kind", kind()], ...pairs, ...on])}`;
    if (hash !== window.location.hash) window.history.replaceState(null, "", hash);
  }

  const UNITS = [[1e15, " P"], [1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]];
  const number = (value, digits = 4) => value.toLocaleString("en", { maximumSignificantDigits: digits });
  // Times beside each other keep their last zeros: 0.120 ms, not 0.12 ms.
  const time = (value, digits, roundingMode = "halfExpand") =>
    value.toLocaleString("en", { minimumSignificantDigits: digits, maximumSignificantDigits: digits, roundingMode });
  function scaled(value, unit) {
    const [factor, prefix] = UNITS.find(([least]) => value >= least) ?? [1, " "];
    return `${number(value / factor)}${prefix}${unit}`;
  }

  function update() {
    const dense = kind() === "dense";
    for (const field of FIELDS) {
      field.box.hidden = dense && CONV_ONLY.has(field.key);
      field.label_.textContent = (dense && field.dense) || field.label;
      field.slider.setAttribute("aria-label", `${field.label_.textContent}, slider`);
      field.number.toggleAttribute("aria-invalid", false);
    }
    const wrong = shown().find((field) => !valid(field));
    if (wrong) {
      wrong.number.setAttribute("aria-invalid", "true");
      find(".calc-error").textContent = `${wrong.label_.textContent}: give a whole number from 1 to ${wrong.most}. The results below are those of the last layer.`;
      return;
    }
    find(".calc-error").textContent = "";
    const layer = currentLayer();
    const f = features(layer);
    writeAddress();
    showCounts(f);
    showTimes(f);
    showCurve(f);
    showCommand(layer);
  }

  let speaking;
  function showCounts(f) {
    const paper = data.published[0];
    const factor = alpha(f.spatial, f.area, paper);
    const pairs = [
      ["MACs", scaled(f.macs, "MAC")],
      ["FLOPs", scaled(f.flops, "FLOP")],
      ["Bytes", scaled(f.bytes, "B")],
      ["Weights", scaled(f.params, "").trim()],
      ["α, paper’s constants", number(factor)],
      ["α-FLOPs", scaled(factor * f.flops, "").trim()],
      ["MACs on data, not padding", `${number((100 * f.validMacs) / f.macs, 3)} %`],
      ["FLOPs per byte", number(f.flops / f.bytes, 3)],
    ];
    find(".calc-counts").replaceChildren(
      ...pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    );
    // Spoken once the reader has stopped moving a slider.
    clearTimeout(speaking);
    const sentence = `${pairs[1][1]}s times α ${pairs[4][1]} are ${pairs[5][1]} α-FLOPs. The published formula says ${number(alphaMs(f, paper))} ms on the paper’s ${paper.machine}.`;
    speaking = setTimeout(() => { find(".calc-summary").textContent = sentence; }, 250);
  }

  /* Some machines were measured twice, on convolutions and on dense layers: only the run with this kind speaks. */
  function fitting(f) {
    const measured = (c) => (f.dense ? "dense" : "larger") in c.region.sizes;
    const served = new Set(data.calibrations.filter(measured).map((c) => c.machine));
    return data.calibrations.filter((c) => measured(c) || !served.has(c.machine));
  }

  const machines = () => [...root.querySelectorAll(".calc-choice input:checked")].map((box) => box.value);

  /* Which machines there are, by vendor; the first is shown until the reader chooses. */
  function makeChoice() {
    const groups = new Map();
    for (const { machine, vendor } of [data.published[0], ...data.calibrations, ...data.published]) {
      groups.set(vendor, (groups.get(vendor) ?? new Set()).add(machine));
    }
    find(".calc-choice").append(...[...groups].map(([vendor, names]) => element("fieldset", {},
      element("legend", {}, vendor),
      ...[...names].map((name) => element("label", {}, element("input", { type: "checkbox", value: name }), ` ${name}`)),
    )));
    choose([data.published[0].machine]);
  }

  function choose(names) {
    for (const box of root.querySelectorAll(".calc-choice input")) box.checked = names.includes(box.value);
  }

  function rowsOf(machine, f) {
    const published = data.published.filter((c) => c.machine === machine);
    return [
      ...published.map((c) => ({ title: "published α-FLOPs", colour: "var(--pst-color-text-muted)", ms: alphaMs(f, c) })),
      ...fitting(f).filter((c) => c.machine === machine)
        .map((c) => ({ ...data.models[c.model], ...predict(c, f), level: c.level })),
    ];
  }

  function showTimes(f) {
    const chosen = machines().map((machine) => [machine, rowsOf(machine, f)]);
    find(".calc-chosen").textContent = `Machines: ${machines().join(", ") || "none chosen"}`;
    const all = chosen.flatMap(([, rows]) => rows).flatMap((row) => [row.ms, row.low ?? row.ms, row.high ?? row.ms]);
    const logs = all.filter((ms) => ms > 0).map(Math.log10);
    const from = Math.floor(Math.min(...logs, 0));
    const to = Math.max(Math.ceil(Math.max(...logs, -1)), from + 1);
    const place = (ms) => (100 * (Math.log10(ms) - from)) / (to - from);
    const ticks = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
    find(".calc-machines").replaceChildren(...chosen.map(([machine, rows]) => machineBox(machine, rows, place, ticks)));
  }

  function strip(place, ticks) {
    const bar = element("div", { class: "calc-strip", "aria-hidden": "true" });
    for (const tick of ticks) bar.append(at(element("u"), place(tick)));
    return bar;
  }

  function at(node, left) {
    node.style.left = `${left}%`;
    return node;
  }

  function machineBox(machine, rows, place, ticks) {
    const items = rows.map((row) => {
      const bar = strip(place, ticks);
      const words = element("span", { class: "calc-time" }, `${time(row.ms, 3)} ms `);
      if (row.level) {
        const line = at(element("i"), place(row.low));
        line.style.width = `${place(row.high) - place(row.low)}%`;
        line.style.background = row.colour;
        bar.append(line);
        // Ends are rounded outwards: a time near one of them stays inside.
        const ends = `${time(row.low, 2, "floor")} to ${time(row.high, 2, "ceil")}`;
        const range = row.outside ? "outside" : `${Math.round(100 * row.level)} %: ${ends}`;
        words.append(element("small", {}, `(${range})`));
      }
      const dot = at(element("b"), place(row.ms));
      dot.style.background = row.colour;
      bar.append(dot);
      return element("li", {}, element("span", {}, row.title), words, bar);
    });
    const axis = element("div", { class: "calc-axis", "aria-hidden": "true" });
    const every = Math.ceil((ticks.length - 1) / 4); // more numbers would touch in a narrow column
    const told = ticks.filter((_, i) => i % every === 0);
    axis.append(...told.map((tick) => at(element("span", {}, power(tick)), place(tick))));
    items.push(element("li", { class: "calc-ticks", role: "presentation" }, element("span"), element("span"), axis));
    return element("section", { class: "calc-machine" }, element("h3", {}, `${machine}, ms`), element("ul", {}, ...items));
  }

  const power = (value) => (value > 0.0009 && value < 1e4 ? String(Number(value.toPrecision(1))) : `10${superscript(Math.round(Math.log10(value)))}`);

  function showCurve(f) {
    const [width, height, left, bottom, top, right] = [480, 260, 52, 40, 12, 22];
    const most = 10 ** Math.max(6, Math.ceil(Math.log10(f.spatial)));
    const points = Array.from({ length: 121 }, (_, i) => most ** (i / 120));
    const curves = data.published.map((c) => points.map((s) => [s, alpha(s, f.area, c)]));
    const values = [...curves.flat().map(([, a]) => a), alpha(f.spatial, f.area, data.published[0])];
    const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
    const high = Math.max(...values) > 1 + 1e-9 ? Math.log10(Math.max(...values)) : 0;
    const x = (s) => left + ((width - left - right) * Math.log10(s)) / Math.log10(most);
    const y = (a) => top + ((height - top - bottom) * (high - Math.log10(a))) / (high - low);
    const decades = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
    const parts = decades(low, Math.floor(high)).map((a) => `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(a)}" y2="${y(a)}"/><text x="${left - 6}" y="${y(a) + 4}" text-anchor="end">${power(a)}</text>`);
    parts.push(...decades(0, Math.log10(most)).map((s) => `<text x="${x(s)}" y="${height - bottom + 18}" text-anchor="middle">${power(s)}</text>`));
    parts.push(`<text x="${(left + width) / 2}" y="${height - 4}" text-anchor="middle">S, positions</text><text x="6" y="${top + 4}">α</text>`);
    curves.forEach((curve, i) => parts.push(`<path class="${["paper", "replication"][i]}" d="M${curve.map(([s, a]) => `${x(s).toFixed(1)} ${y(a).toFixed(1)}`).join("L")}"/>`));
    const here = [x(f.spatial), y(alpha(f.spatial, f.area, data.published[0]))];
    parts.push(`<line class="here" x1="${here[0]}" x2="${here[0]}" y1="${here[1]}" y2="${height - bottom}"/><circle cx="${here[0]}" cy="${here[1]}" r="5"/>`);
    const words = `α against S for a kernel of area ${f.area}, both logarithmic. At S = ${number(f.spatial)} the paper’s constants give ${number(values.at(-1))}, the replication’s ${number(alpha(f.spatial, f.area, data.published[1]))}.`;
    find(".calc-plot").innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${words}">${parts.join("")}</svg>`;
    find(".calc-figure figcaption").textContent = `${words} Full line: the paper’s constants; dashed: the replication’s. The dot is your layer.`;
  }

  const superscript = (n) => [...String(n)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit] ?? "⁻").join("");

  function showCommand(layer) {
    const { kind: name, height, width, in_channels: cin, out_channels: cout, kernel, batch } = layer;
    find(".calc-command code").textContent = name === "dense"
      ? `alphaflops layer dense --batch ${batch} --in ${cin} --out ${cout}`
      : `alphaflops layer conv2d --height ${height} --width ${width} --cin ${cin} --cout ${cout} --kernel ${kernel} --batch ${batch}`;
  }

  FIELDS.forEach(makeField);
  makeChoice();
  find(".calc-choice").addEventListener("change", update);
  readAddress();
  root.querySelectorAll("input[name=kind]").forEach((radio) => radio.addEventListener("change", update));
  root.querySelectorAll("button[data-setting]").forEach((button) => button.addEventListener("click", () => {
    apply(new URLSearchParams(button.dataset.setting));
    update();
  }));
  find("form").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => { readAddress(); update(); });
  find("form").hidden = false;
  find(".calc-results").hidden = false;
  update();
})();
