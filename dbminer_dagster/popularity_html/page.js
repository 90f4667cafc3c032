"use strict";
/* Data reaches the page as text only: no name or statement is ever parsed as markup. */

const PAGE_ROWS = 100;
const LISTS = { popular: "Most read", slow: "Slowest", expensive: "Most task time", costly: "Dearest" };

const textOf = id => document.getElementById(id).textContent;
const overview = JSON.parse(textOf("overview"));

/* A line holds the details of some tables, deflated; it is unpacked when one of them is asked for. */
const packed = textOf("details").trim().split("\n");
const unpacked = new Map();

async function unpack(line) {
  const bytes = Uint8Array.from(atob(line), character => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

async function detailsOf(number) {
  const line = Math.floor(number / overview.tables_in_chunk);
  if (!unpacked.has(line)) unpacked.set(line, unpack(packed[line]));
  return (await unpacked.get(line))[number % overview.tables_in_chunk];
}

const tables = overview.tables.map((values, number) => ({
  number,
  ...Object.fromEntries(overview.fields.map((field, index) => [field, values[index]])),
}));
for (const table of tables) table.by_day ??= Array(overview.days).fill(0);
const state = { sort: "score", descending: true, levels: new Set([0, 1, 2, 3, 4]), shown: [], drawn: 0 };

/* ---- elements ---- */

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const make = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/* Control characters and marks of direction, which would show a name as another, are spelled out. */
const spelled = text => text.replace(
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
  mark => "\\u" + mark.charCodeAt(0).toString(16).padStart(4, "0"),
);
const quoted = text => make("bdi", {}, spelled(text));

/* ---- values as people read them ---- */

const format = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const counted = value => (value === null ? "–" : format.format(value));
const time = seconds => seconds === null
  ? "–" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
const dayOf = offset =>
  new Date(Date.parse(overview.first_day) + offset * 86400000).toISOString().slice(0, 10);

function scaled(value, units) {
  if (value === null) return "–";
  const [size, unit] = units.find(([limit]) => value >= limit) ?? units.at(-1);
  return `${format.format(value / size)} ${unit}`;
}
const duration = ms => scaled(ms, [[3600000, "h"], [60000, "min"], [1000, "s"], [1, "ms"]]);
const bytes = value => scaled(value, [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]);
const dollars = micro => micro === null
  ? "–" : new Intl.NumberFormat("en", { style: "currency", currency: "USD" }).format(micro / 1e6);

/* ---- charts ---- */

/* Each bar is [class, x, y, width, height, offset]. A day that was not mined is a gap, full height. */
function barsOf(values, width, height) {
  const highest = Math.max(1, ...values);
  const step = width / values.length;
  return values.map((value, offset) => {
    const mined = overview.present[offset];
    const size = mined ? (value ? Math.max(1, (value / highest) * height) : 0) : height;
    const shape = [offset * step, height - size, Math.max(1, step - 1), size];
    return [mined ? "bar" : "gap", ...shape.map(number => number.toFixed(1)), offset];
  });
}

function drawing(width, height, label, ...shapes) {
  const y = height + 0.5;
  return draw("svg", { width, height: height + 1, role: "img", "aria-label": label }, ...shapes,
    draw("line", { class: "axis", x1: 0, x2: width, y1: y, y2: y }));
}

/* One path for all bars: a list draws a hundred of these at once. */
function sparkline(values, width, height, label) {
  const bars = barsOf(values, width, height);
  const path = name => bars.filter(([kind, , , , size]) => kind === name && size > 0)
    .map(([, x, y, step, size]) => `M${x} ${y}h${step}v${size}h-${step}z`).join("");
  return drawing(width, height, label,
    draw("path", { class: "bar", d: path("bar") }), draw("path", { class: "gap", d: path("gap") }));
}

function barChart(values, width, height, label) {
  const shapes = barsOf(values, width, height).map(([kind, x, y, step, size, offset]) =>
    draw("rect", { class: kind, x, y, width: step, height: size },
      draw("title", {}, `${dayOf(offset)}: ${kind === "bar" ? counted(values[offset]) : "not mined"}`)));
  return drawing(width, height, label, ...shapes);
}

function chart(values, width, height) {
  const highest = Math.max(0, ...values);
  const last = dayOf(values.length - 1);
  return make("div", {},
    make("span", { class: "soft" }, `up to ${counted(highest)} a day`),
    barChart(values, width, height, `Reads per day, up to ${counted(highest)}`),
    make("span", { class: "soft" }, `${overview.first_day} to ${last}`));
}

/* ---- tables ---- */

const head = (name, numeric) =>
  make("th", { scope: "col", class: numeric ? "number" : null }, name);
const cell = (content, numeric) => make("td", { class: numeric ? "number" : null }, content);

/* Columns are [name, what it shows of a row, whether it is a number]. */
function grid(columns, rows) {
  return make("div", { class: "scroll", tabindex: "0" }, make("table", {},
    make("thead", {}, make("tr", {}, ...columns.map(([name, , numeric]) => head(name, numeric)))),
    make("tbody", {}, ...rows.map(row =>
      make("tr", {}, ...columns.map(([, show, numeric]) => cell(show(row), numeric)))))));
}

function level(number) {
  return make("span", { class: "level" }, make("span", { class: `dot level${number}`, "aria-hidden": "true" }),
    overview.levels[number]);
}

const userName = index => (index === null ? "–" : quoted(overview.users[index]));

/* ---- what a click on a name shows ---- */

function facts(table, detail) {
  const rows = [
    ["Score", counted(table.score)],
    ["Percentile", table.percentile === null ? "–" : counted(table.percentile * 100)],
    ["Reads", counted(table.reads)],
    ...overview.uses.map((name, index) => [name, counted(detail.uses[index])]),
    ["Writes", counted(table.writes)], ["Last written", time(detail.last_written)],
    ["Last read", time(table.last_read)], ["Last read by", userName(table.last_read_by)],
    ["Feeds tables", counted(table.feeds)], ["Fed by tables", counted(table.fed_by)],
    ["Task time of reads", duration(detail.task_ms)], ["Bytes read", bytes(detail.bytes)],
    ["Estimated cost", dollars(detail.cost)],
  ];
  return make("dl", { class: "facts" }, ...rows.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function statement(text) {
  return make("div", { class: "query" },
    text === null ? make("span", { class: "soft" }, "(the text is not shown)") : quoted(text));
}

const queryColumns = texts => [
  ["Statement, literals masked", row => statement(texts[row[0]]), false],
  ["Reads", row => counted(row[1]), true], ["Users", row => counted(row[2]), true],
  ["Mean time", row => duration(row[3]), true], ["Task time", row => duration(row[4]), true],
  ["Cost", row => dollars(row[5]), true], ["Last run", row => time(row[6]), true],
];

function queries(lists, texts) {
  const place = make("div");
  const isKnown = name => name !== "costly" || lists.costly.some(row => row[5] !== null);
  const names = Object.keys(LISTS).filter(name => lists[name].length && isKnown(name));
  const choose = chosen => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === chosen);
    place.replaceChildren(grid(queryColumns(texts), lists[chosen]));
  };
  const buttons = names.map(name => make("button", {
    type: "button", class: "chip choice", value: name, click: () => choose(name),
  }, LISTS[name]));
  if (names.length) choose(names[0]);
  else place.append("No statement is known.");
  return make("section", { class: "wide" }, make("h2", {}, "Queries"),
    make("div", { role: "group", "aria-label": "Lists of queries" }, ...buttons), place);
}

async function readTable(table) {
  const detail = await detailsOf(table.number);
  const users = grid([
    ["User", row => userName(row[0]), false], ["Reads", row => counted(row[1]), true],
    ["Last read", row => time(row[2]), true],
  ], detail.users);
  const columns = grid([
    ["Column", row => quoted(row[0]), false], ["Level", row => level(row[1]), false],
    ["Reads", row => counted(row[2]), true], ["Users", row => counted(row[3]), true],
  ], detail.columns);
  const more = detail.more_columns ? ` (the first ${detail.columns.length}; ${detail.more_columns} more)` : "";
  return make("div", { class: "parts" },
    make("section", { class: "wide" }, make("h2", {}, "Figures"), facts(table, detail)),
    make("section", { class: "wide" }, make("h2", {}, "Reads per day"), chart(table.by_day, 640, 70)),
    make("section", {}, make("h2", {}, "Users with most reads"), users),
    make("section", {}, make("h2", {}, `Columns read${more}`), columns),
    queries(detail.queries, detail.texts));
}

function unreadTable(table) {
  return make("p", {}, "Nobody read it in the window. ",
    table.feeds ? `It feeds ${counted(table.feeds)} other tables.` : "No table is known that it feeds.");
}

async function toggle(button, row, table) {
  const opens = button.getAttribute("aria-expanded") === "false";
  button.setAttribute("aria-expanded", opens);
  if (!opens) {
    row.nextElementSibling.remove();
    return;
  }
  const place = make("td", { colspan: COLUMNS.length });
  row.after(make("tr", { class: "opened" }, place));
  history.replaceState(null, "", "#" + encodeURIComponent(table.name));
  place.append(table.level ? await readTable(table) : unreadTable(table));
}

/* ---- the list ---- */

const COLUMNS = [
  ["name", "Table"], ["level", "Level"], ["score", "Score"], ["reads", "Reads"],
  ["by_day", "Reads per day"], ["users", "Users"], ["last_read", "Last read (UTC)"],
  ["writes", "Writes"], ["feeds", "Feeds"],
];
const UNSORTED = new Set(["by_day"]);
const TEXTS = new Set(["name"]);
const LEFT = new Set(["name", "level", "by_day"]);

function rowOf(table) {
  const button = make("button", { type: "button", class: "name", "aria-expanded": "false" },
    quoted(table.name));
  const type = overview.types[table.type];
  const row = make("tr", {},
    make("th", { scope: "row" }, button,
      type === null ? "" : make("span", { class: "type" }, spelled(type.toLowerCase().replaceAll("_", " ")))),
    cell(level(table.level)), cell(counted(table.score), true), cell(counted(table.reads), true),
    cell(sparkline(table.by_day, 150, 22, `${counted(table.reads)} reads over ${overview.days} days`)),
    cell(counted(table.users), true), cell(time(table.last_read), true),
    cell(counted(table.writes), true), cell(counted(table.feeds), true));
  button.addEventListener("click", () => toggle(button, row, table));
  return row;
}

function compared(left, right) {
  const [a, b] = [left[state.sort], right[state.sort]];
  if (a === b) return left.number - right.number;
  if (a === null || b === null) return a === null ? 1 : -1;
  return (a < b ? -1 : 1) * (state.descending ? -1 : 1);
}

function drawMore() {
  const next = state.shown.slice(state.drawn, state.drawn + PAGE_ROWS);
  document.querySelector("#tables > tbody").append(...next.map(rowOf));
  state.drawn += next.length;
  document.getElementById("rest").hidden = state.drawn === state.shown.length;
}

function update() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/);
  const type = document.getElementById("type").value;
  state.shown = tables.filter(table => state.levels.has(table.level)
    && (type === "" || table.type === Number(type))
    && words.every(word => table.name.includes(word)));
  state.shown.sort(compared);
  state.drawn = 0;
  document.querySelector("#tables > tbody").replaceChildren();
  document.getElementById("count").textContent =
    `${counted(state.shown.length)} of ${counted(tables.length)} tables`;
  for (const th of document.querySelectorAll("#tables > thead th")) {
    if (th.dataset.field !== state.sort) th.removeAttribute("aria-sort");
    else th.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
  }
  drawMore();
}

function sortBy(field) {
  state.descending = state.sort === field ? !state.descending : !TEXTS.has(field);
  state.sort = field;
  update();
}

/* ---- the page ---- */

function drawHead() {
  const heads = COLUMNS.map(([field, name]) => make("th", {
    scope: "col", "data-field": field, class: LEFT.has(field) ? null : "number",
  }, UNSORTED.has(field) ? name
    : make("button", { type: "button", class: "sort", click: () => sortBy(field) }, name)));
  document.querySelector("#tables > thead tr").append(...heads);
}

function drawControls() {
  const chips = overview.levels.map((name, number) => {
    const count = tables.filter(table => table.level === number).length;
    const chip = make("button", { type: "button", class: "chip", "aria-pressed": "true" },
      level(number), ` ${counted(count)}`);
    chip.addEventListener("click", () => {
      if (!state.levels.delete(number)) state.levels.add(number);
      chip.setAttribute("aria-pressed", state.levels.has(number));
      update();
    });
    return chip;
  });
  document.getElementById("levels").append(...chips.reverse());
  document.getElementById("type").append(...overview.types.map((type, number) =>
    make("option", { value: number }, type === null ? "unknown" : spelled(type))));
  document.getElementById("type").addEventListener("change", update);
  document.getElementById("search").addEventListener("input", update);
  document.getElementById("more").addEventListener("click", drawMore);
  new IntersectionObserver(seen => { if (seen.some(each => each.isIntersecting)) drawMore(); },
    { rootMargin: "400px" }).observe(document.getElementById("rest"));
}

function drawSummary() {
  const readTables = tables.filter(table => table.level);
  const sums = Array.from({ length: overview.days }, (_, offset) =>
    tables.reduce((sum, table) => sum + table.by_day[offset], 0));
  const figures = [
    ["Tables read", counted(readTables.length)],
    ["Not read", counted(tables.length - readTables.length)],
    ["Not read, feed nothing", counted(tables.filter(table => !table.level && !table.feeds).length)],
    ["Reads of tables", counted(sums.reduce((sum, value) => sum + value, 0))],
  ];
  document.getElementById("window").textContent =
    `${overview.first_day} to ${overview.day}: ${overview.days_present} of ${overview.days} days were mined. `
    + `Reads are these uses: ${overview.scored_uses.join(", ")}. Score = users × ln(reads). `
    + "A statement counts one read for each table that it uses.";
  document.getElementById("figures").append(...figures.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  document.getElementById("all-reads").append(chart(sums, 360, 50));
}

function openNamed() {
  const named = tables.find(table => "#" + encodeURIComponent(table.name) === location.hash);
  if (!named) return;
  document.getElementById("search").value = named.name;
  update();
  document.querySelector("#tables .name").click();
}

drawHead();
drawControls();
drawSummary();
update();
openNamed();
