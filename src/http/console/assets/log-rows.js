// The rows of the log viewer: what the page knows of the log, lines from the API, and how a row shows one.
"use strict";
(() => {
  const root = document.querySelector("[data-log]");
  const part = (selector) => root?.querySelector(selector);
  const view = part("[data-view]");
  if (!view) return;

  const FILTERS = ["errors", "class", "level", "attempt", "text", "grep"];
  const LEVELS = { debug: "d", info: "i", warning: "w", error: "e" };
  /** Letters of a line that one row shows. */
  const LETTERS = 2000;

  const asked = new URL(location.href).searchParams;
  const filters = Object.fromEntries(FILTERS.filter((it) => asked.get(it)).map((it) => [it, asked.get(it)]));
  const filtered = Object.keys(filters).length > 0;
  // Consequences that were asked for are not folded.
  const foldable = !filters.class?.includes("cascade");
  const state = {
    total: Number(root.dataset.lines), newest: Number(root.dataset.lines), live: root.dataset.live === "true",
    wrap: asked.get("wrap") === "true", fold: foldable && (asked.get("fold") ?? String(filtered)) === "true",
    find: asked.get("find") ?? "", marked: null, cursor: 0, follow: false, unseen: 0,
  };
  const id = root.dataset.log;
  const began = new Date(root.dataset.began);

  const make = (tag, name, attributes = {}) => {
    const it = document.createElement(tag);
    if (name) it.className = name;
    for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
    return it;
  };
  const number = (n) => n.toLocaleString("en");
  const say = (text) => { part("[data-said]").textContent = text; };
  const clamp = (n, least, most) => Math.max(least, Math.min(most, n));

  /** Lines from the API. */
  const fetchLines = async (query, signal) => {
    const answer = await fetch(`/api/executions/${id}/log?${new URLSearchParams(query)}`, { signal, headers: { accept: "application/x-ndjson" } });
    const text = await answer.text();
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(JSON.parse(text).detail);
    return text.split("\n").filter(Boolean).map((row) => JSON.parse(row));
  };
  const failed = (error) => { if (error.name !== "AbortError") say(error.message); };

  // What a row says.
  const two = (n, width = 2) => String(n).padStart(width, "0");
  const time = (at) => {
    const shape = window.daybook.times();
    if (shape === "relative") {
      const ms = Math.max(0, at - began);
      const [hours, minutes] = [Math.floor(ms / 3600000), Math.floor(ms / 60000) % 60];
      return `+${hours ? `${hours}:${two(minutes)}` : minutes}:${two(Math.floor(ms / 1000) % 60)}.${two(ms % 1000, 3)}`;
    }
    const civil = window.daybook.civil(at, shape === "UTC");
    const today = window.daybook.civil(began, shape === "UTC").slice(0, 10) === civil.slice(0, 10);
    return `${today ? civil.slice(11) : civil.slice(5)}.${two(at.getUTCMilliseconds(), 3)}`;
  };
  const exact = (at) => `${at.toISOString()}\n${window.daybook.civil(at, false)} local`;
  const kind = (line) => {
    if (line.class) return line.class[0].toUpperCase() + line.class.slice(1);
    return line.level === "info" ? "" : line.level[0].toUpperCase() + line.level.slice(1);
  };

  let needle = null;
  const seekFor = (text) => {
    state.find = text;
    const shown = text || filters.text || "";
    // As the API looks: small letters also mean capitals.
    const flags = /\p{Lu}/u.test(shown) ? "gu" : "giu";
    needle = shown ? new RegExp(shown.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), flags) : null;
  };
  const write = (cell, text) => {
    if (!needle) { cell.textContent = text; return; }
    const parts = [];
    let from = 0;
    for (const hit of text.matchAll(needle)) {
      const mark = make("mark");
      mark.textContent = hit[0];
      parts.push(text.slice(from, hit.index), mark);
      from = hit.index + hit[0].length;
      if (parts.length > 200) break;
    }
    cell.replaceChildren(...parts, text.slice(from));
  };

  const isMarked = (n) => state.marked !== null && n >= state.marked[0] && n <= state.marked[1];
  const makeRow = () => {
    const row = make("div", "logrow", { role: "row" });
    const head = make("span", "n", { role: "rowheader" });
    head.append(make("a", "", { tabindex: "-1" }));
    row.append(head, make("span", "t", { role: "cell" }), make("span", "k", { role: "cell" }), make("span", "x", { role: "cell" }));
    return row;
  };
  /** Shows line `n` in a row: its number at once, the rest when it is here. */
  const fill = (row, n, line, whole) => {
    const [head, at, what, text] = row.children;
    row.n = n;
    row.line = line;
    row.setAttribute("aria-rowindex", n);
    head.firstChild.textContent = n;
    head.firstChild.href = `?line=${n}#L${n}`;
    row.className = `logrow ${line ? LEVELS[line.level] : "coming"}${line?.class === "cascade" ? " c" : ""}`;
    const when = line && new Date(line.at);
    at.textContent = line ? time(when) : "";
    at.title = line ? exact(when) : "";
    what.textContent = line ? kind(line) : "";
    const said = line?.text ?? "";
    write(text, whole ? said : said.slice(0, LETTERS).replace(/\r?\n/g, " ⏎ ") + (said.length > LETTERS ? " …" : ""));
    mark(row);
  };
  const mark = (row) => {
    row.classList.toggle("marked", isMarked(row.n));
    if (row.n === state.cursor) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
  };

  // What the views of the log (`log-full.js`, `log-list.js`) and `log.js` build on; the last adds what they call back.
  window.daybook.log = {
    LETTERS, root, part, view, asked, filters, filtered, foldable, state, id, make, number, say, clamp,
    fetchLines, failed, exact, seekFor, isMarked, makeRow, fill, mark,
  };
})();
