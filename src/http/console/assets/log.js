// The log viewer: lines by the million that scroll, or those that fit, and what comes while it is written. The page works
// without it, 500 lines at a time.
//
// Two views share the box that scrolls. `full` shows every line at its place: rows of one height, filled from windows of lines
// that are fetched as they come into sight. `list` shows the lines that fit a filter, or wrapped, or with consequences folded:
// rows of any height, loaded at both ends and let go at the other.
"use strict";
(() => {
  const root = document.querySelector("[data-log]");
  const part = (selector) => root?.querySelector(selector);
  const view = part("[data-view]");
  if (!view) return;

  const FILTERS = ["errors", "class", "level", "attempt", "text", "grep"];
  const LEVELS = { debug: "d", info: "i", warning: "w", error: "e" };
  const CAUSES = "external,configuration,mapping,technical";
  /** Lines of a window; windows kept. */
  const WINDOW = 500;
  const WINDOWS = 60;
  /** Browsers lay out no more than about 17 million pixels. */
  const TALLEST = 15_000_000;
  /** Lines of a list that are loaded at once; rows that it keeps; how near its end more are loaded, in pixels. */
  const STEP = 200;
  const ROWS = 1000;
  const NEAR = 1200;
  /** Letters of a line that one row shows; consequences that a fold keeps. */
  const LETTERS = 2000;
  const FOLDED = 1000;

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

  // Every line at its place.
  const full = (() => {
    const sizer = make("div", "logsizer", { role: "presentation" });
    const pane = make("div", "logpane", { role: "presentation" });
    const strip = make("div", "logstrip", { role: "rowgroup" });
    sizer.append(pane);
    pane.append(strip);
    const windows = new Map();
    const coming = new Map();
    let [rows, top, row, letter, seen] = [[], 1, 20, 8, 0];
    // Where the window stands among all lines, in pixels, and where the scrollbar stands: the same while all lines fit in what
    // browsers lay out, else in proportion.
    let [y, bar, height, reach, span] = [0, 0, 0, 0, 0];
    let [drawing, resting, waiting] = [0, 0, 0];

    const keyOf = (n) => Math.floor((n - 1) / WINDOW);
    const kept = (n) => windows.get(keyOf(n))?.lines[(n - 1) % WINDOW];
    const lacks = (key) => {
      const it = windows.get(key);
      return !it || it.upTo < Math.min(state.total, (key + 1) * WINDOW);
    };
    const keep = (key, it) => {
      windows.delete(key);
      windows.set(key, it);
      for (const old of windows.keys()) {
        if (windows.size <= WINDOWS) break;
        windows.delete(old);
      }
    };
    /** Puts a line into its window; one that stands for lines that are gone, into all their places. */
    const put = (it, key, line) => {
      const gone = line.stream === "daybook" ? line.fields?.unreadable_lines : null;
      const from = Math.max(gone?.first ?? line.line, key * WINDOW + 1);
      for (let n = from; n <= line.line; n++) it.lines[(n - 1) % WINDOW] = line;
      it.upTo = Math.max(it.upTo, line.line);
    };
    const load = async (key) => {
      const stop = new AbortController();
      coming.set(key, stop);
      // What is not there by now is not asked for again and again.
      const upTo = Math.min(state.total, (key + 1) * WINDOW);
      try {
        const it = { lines: [], upTo };
        for (const line of await fetchLines({ after: key * WINDOW, before: upTo + 1 }, stop.signal)) put(it, key, line);
        keep(key, it);
        draw(true);
      } catch (error) {
        failed(error);
      } finally {
        if (coming.get(key) === stop) coming.delete(key);
      }
    };
    /** Asks for the windows in sight and the next one in the direction of scrolling, and for no others any more. */
    const ask = (ahead) => {
      const [first, last] = [keyOf(top), keyOf(clamp(top + rows.length, 1, Math.max(1, state.total)))];
      const wanted = new Set([first, last]);
      const next = ahead < 0 ? first - 1 : last + 1;
      if (next >= 0 && next * WINDOW < state.total) wanted.add(next);
      for (const [key, stop] of coming) if (!wanted.has(key)) { stop.abort(); coming.delete(key); }
      for (const key of wanted) {
        if (windows.has(key)) keep(key, windows.get(key));
        if (lacks(key) && !coming.has(key)) load(key);
      }
    };
    /** How high a row is, and how wide a letter. */
    const measure = () => {
      const probe = makeRow();
      const text = make("span");
      text.textContent = "0".repeat(100);
      probe.lastChild.append(text);
      probe.classList.add("probe");
      strip.append(probe);
      row = probe.getBoundingClientRect().height || row;
      letter = text.getBoundingClientRect().width / 100 || letter;
      probe.remove();
      view.style.setProperty("--n", `${Math.max(4, String(state.total).length)}ch`);
    };
    const layout = () => {
      height = view.clientHeight;
      const tall = state.total * row;
      const shown = Math.min(tall, TALLEST);
      [span, reach] = [Math.max(0, tall - height), Math.max(0, shown - height)];
      sizer.style.height = `${Math.max(shown, height)}px`;
      pane.style.height = `${height}px`;
      const count = Math.ceil(height / row) + 2;
      while (rows.length < count) { rows.push(makeRow()); strip.append(rows.at(-1)); }
      while (rows.length > count) rows.pop().remove();
      view.setAttribute("aria-rowcount", state.total);
      y = clamp(y, 0, span);
    };
    const place = () => {
      view.scrollTop = span > reach ? Math.round((y / span) * reach) : y;
      bar = view.scrollTop;
    };
    const paint = (afresh) => {
      drawing = 0;
      const first = Math.floor(y / row) + 1;
      const by = first - top;
      // Rows that stay in sight move, so that only what comes into sight is filled.
      if (Math.abs(by) < rows.length) {
        const moved = by > 0 ? rows.splice(0, by) : rows.splice(rows.length + by);
        if (by > 0) { rows.push(...moved); strip.append(...moved); } else { rows.unshift(...moved); strip.prepend(...moved); }
      }
      top = first;
      let widest = seen;
      rows.forEach((it, at) => {
        const n = first + at;
        const line = n <= state.total ? kept(n) : undefined;
        it.hidden = n > state.total;
        if (it.n !== n || it.line !== line || afresh === "all") fill(it, n, line, false);
        widest = Math.max(widest, Math.min(LETTERS, line?.text.length ?? 0));
      });
      if (widest > seen) {
        seen = widest;
        sizer.style.minWidth = `calc(var(--head) + ${Math.ceil(seen * letter)}px)`;
      }
      strip.style.transform = `translateY(${(first - 1) * row - y}px)`;
      if (afresh) tell();
    };
    const draw = (afresh) => {
      if (afresh) { cancelAnimationFrame(drawing); drawing = 0; }
      if (!drawing) drawing = requestAnimationFrame(() => paint(afresh));
    };
    const scrolled = () => {
      const to = view.scrollTop;
      const by = to - bar;
      if (by === 0) return;
      bar = to;
      const near = Math.abs(by) < 2 * height;
      if (span <= reach) y = to;
      else if (to <= 0) y = 0;
      else if (to >= reach - 1) y = span;
      // A wheel moves by lines; only a jump of the bar is in proportion.
      else y = clamp(near ? y + by : (to / reach) * span, 0, span);
      moved(by);
      draw(false);
      clearTimeout(waiting);
      // A bar that is drawn over the log passes by what nobody reads.
      const turn = () => { top = Math.floor(y / row) + 1; ask(by); };
      if (near) requestAnimationFrame(() => ask(by)); else waiting = setTimeout(turn, 40);
      clearTimeout(resting);
      if (span > reach) resting = setTimeout(place, 250);
    };
    return {
      async open(n) {
        await (lacks(keyOf(n)) ? load(keyOf(n)) : null);
        show();
        view.replaceChildren(sizer);
        measure();
        layout();
        this.goto(n);
      },
      /** Brings a line into the middle, unless it is in sight. */
      goto(n) {
        const [first, last] = this.sight();
        if (!(n > first && n < last)) y = clamp((n - 1) * row - height * 0.4, 0, span);
        place();
        paint("all");
        ask(1);
      },
      toEnd() { y = span; place(); paint(true); ask(-1); },
      sight: () => [Math.ceil(y / row) + 1, Math.min(state.total, Math.floor((y + height) / row))],
      add(lines) {
        for (const line of lines) {
          const key = keyOf(line.line);
          const it = windows.get(key) ?? ((line.line - 1) % WINDOW === 0 ? { lines: [], upTo: line.line - 1 } : null);
          if (it && it.upTo === line.line - 1) { put(it, key, line); keep(key, it); }
        }
        layout();
        draw(true);
        ask(1);
      },
      repaint: () => paint("all"),
      resize: () => { measure(); layout(); place(); paint("all"); ask(1); },
      lineAt: kept, scrolled,
    };
  })();

  // The lines that fit, as many as are looked at.
  const list = (() => {
    const box = make("div", "loglist", { role: "rowgroup" });
    let [first, last, bar, missed, round] = [0, 0, 0, 0, 0];
    const done = { up: false, down: false };
    const busy = { up: false, down: false };

    const rowOf = (line) => { const row = makeRow(); fill(row, line.line, line, state.wrap); [row.first, row.last] = [line.line, line.line]; return row; };
    const foldOf = (cause) => {
      const it = make("div", "logfold", { role: "presentation" });
      const head = make("div", "logrow foldhead", { role: "row" });
      const cell = make("span", "", { role: "cell" });
      const button = make("button", "quiet", { type: "button", "aria-expanded": "false" });
      const body = make("div", "foldbody", { role: "presentation" });
      cell.append(button);
      head.append(cell);
      it.append(head, body);
      Object.assign(it, { cause, first: Infinity, last: 0, count: 0, lines: [] });
      let open = false;
      const draw = () => {
        button.textContent = `${open ? "▾" : "▸"} ${number(it.count)} consequence${it.count === 1 ? "" : "s"} of line ${cause}`;
        button.setAttribute("aria-expanded", String(open));
        const rows = open ? it.lines.map(rowOf) : [];
        if (open && it.count > it.lines.length) {
          const rest = make("a", "", { href: "?class=cascade" });
          rest.textContent = `${number(it.count - it.lines.length)} more: see all consequences`;
          rows.push(rest);
        }
        body.replaceChildren(...rows);
      };
      button.addEventListener("click", () => { open = !open; draw(); });
      it.take = (line, down) => {
        it.count += 1;
        [it.first, it.last] = [Math.min(it.first, line.line), Math.max(it.last, line.line)];
        if (it.lines.length < FOLDED) { if (down) it.lines.push(line); else it.lines.unshift(line); }
      };
      it.draw = draw;
      it.unfold = () => { open = true; draw(); };
      return it;
    };
    const put = (lines, down) => {
      const folds = new Set();
      for (const line of down ? lines : lines.toReversed()) {
        const edge = down ? box.lastElementChild : box.firstElementChild;
        let it = edge;
        if (!state.fold || line.cascade_of === null) it = rowOf(line);
        else if (edge?.cause !== line.cascade_of) it = foldOf(line.cascade_of);
        if (it.take) { it.take(line, down); folds.add(it); }
        if (it !== edge) { if (down) box.append(it); else box.prepend(it); }
      }
      folds.forEach((it) => it.draw());
    };
    /** Lets rows go at one end; what is looked at stays where it is. */
    const trim = (down) => {
      const before = view.scrollHeight;
      while (box.childElementCount > ROWS) (down ? box.lastElementChild : box.firstElementChild).remove();
      if (down) { last = box.lastElementChild.last; done.down = false; } else {
        first = box.firstElementChild.first;
        done.up = false;
        view.scrollTop -= before - view.scrollHeight;
        bar = view.scrollTop;
      }
    };
    const load = async (way) => {
      if (busy[way] || done[way]) return;
      busy[way] = true;
      const [down, of] = [way === "down", round];
      try {
        const lines = await fetchLines({ ...filters, ...(down ? { after: last, limit: STEP } : { before: first, last: STEP }) });
        if (of !== round) return;
        take(lines, down);
      } catch (error) {
        done[way] = true;
        failed(error);
      } finally {
        if (of === round) { busy[way] = false; requestAnimationFrame(more); }
      }
    };
    const take = (lines, down) => {
      // A row for lines that are gone stands at their end, and may come for a page that is full.
      if (lines.length < STEP) done[down ? "down" : "up"] = true;
      if (lines.length > 0) {
        if (down) last = Math.max(last, lines.at(-1).line); else first = lines[0].line;
        const before = view.scrollHeight;
        put(lines, down);
        if (!down) { view.scrollTop += view.scrollHeight - before; bar = view.scrollTop; }
        if (box.childElementCount > ROWS) trim(!down);
        show();
        tell();
      }
      // Lines that came while the last ones were on their way.
      if (down && done.down && missed > last) { missed = 0; done.down = false; }
    };
    const more = () => {
      if (!box.isConnected) return;
      if (view.scrollHeight - view.scrollTop - view.clientHeight < NEAR) load("down");
      if (view.scrollTop < NEAR) load("up");
    };
    const repaint = () => {
      box.querySelectorAll(".logrow").forEach((row) => { if (row.line) fill(row, row.n, row.line, state.wrap); });
      tell();
    };
    /** Brings a line that is here, or the next one, into sight. */
    const reveal = (n) => {
      const it = holder(n) ?? [...box.children].find((row) => row.first >= n) ?? box.lastElementChild;
      if (it?.take && isMarked(n)) it.unfold();
      const row = it?.take ? [...it.querySelectorAll(".logrow")].find((inner) => inner.n === n) ?? it : it;
      if (row) view.scrollTop += row.getBoundingClientRect().top - view.getBoundingClientRect().top - view.clientHeight * 0.4;
      bar = view.scrollTop;
      repaint();
    };
    const holder = (n) => [...box.children].find((it) => it.first <= n && n <= it.last);
    return {
      async open(n) {
        round += 1;
        Object.assign(busy, { up: true, down: true });
        const of = round;
        const above = n > 1 ? fetchLines({ ...filters, before: n, last: STEP }) : [];
        let [before, from] = [[], []];
        try {
          [before, from] = await Promise.all([above, fetchLines({ ...filters, after: n - 1, limit: STEP })]);
        } finally {
          if (of === round) Object.assign(busy, { up: false, down: false });
        }
        if (of !== round) return;
        box.replaceChildren();
        view.replaceChildren(box);
        view.setAttribute("aria-rowcount", "-1");
        [first, last, missed] = [n, n - 1, 0];
        Object.assign(done, { up: n <= 1, down: false });
        view.classList.toggle("wrap", state.wrap);
        take(from, true);
        if (n > 1) take(before, false);
        reveal(n);
        more();
      },
      goto(n) { if (n < first || n > last) this.open(n).catch(failed); else reveal(n); },
      toEnd() {
        if (!done.down && !busy.down) { this.open(state.total + 1).then(() => this.toEnd()).catch(failed); return; }
        view.scrollTop = view.scrollHeight;
        bar = view.scrollTop;
      },
      sight() {
        const edge = view.getBoundingClientRect();
        const seen = [...box.children].filter((it) => { const at = it.getBoundingClientRect(); return at.bottom > edge.top + 4 && at.top < edge.bottom - 4; });
        return seen.length ? [seen[0].first, seen.at(-1).last] : [1, 1];
      },
      add(lines) {
        missed = lines.at(-1).line;
        if (!done.down) return;
        const fresh = lines.filter((line) => line.line > last);
        if (!fresh.length) return;
        last = fresh.at(-1).line;
        put(fresh, true);
        if (box.childElementCount > ROWS) trim(false);
        show();
      },
      repaint,
      resize() {},
      lineAt: (n) => [...box.querySelectorAll(".logrow")].find((row) => row.n === n)?.line,
      scrolled() {
        const by = view.scrollTop - bar;
        bar = view.scrollTop;
        if (by) moved(by);
        more();
      },
    };
  })();

  let now = null;
  const pick = () => (filtered || state.wrap || state.fold ? list : full);
  /** Puts the viewer in the place of the page's own lines, once it has some. */
  const show = () => {
    if (!view.hidden) return;
    part("[data-page]").remove();
    part("[data-tools]").hidden = false;
    view.hidden = false;
  };
  const change = async (line) => {
    now = pick();
    view.classList.toggle("wrap", state.wrap);
    for (const [key, is] of [["w", state.wrap], ["c", state.fold]]) part(`[data-do=${key}]`).setAttribute("aria-pressed", String(is));
    remember();
    await now.open(line);
    listen();
  };

  // What an address says: filters, the view, what is looked for, the lines that are marked.
  let remembering = 0;
  const remember = () => {
    clearTimeout(remembering);
    remembering = setTimeout(() => {
      const to = new URLSearchParams(filters);
      if (state.wrap) to.set("wrap", "true");
      if (state.fold !== (foldable && filtered)) to.set("fold", String(state.fold));
      if (state.find) to.set("find", state.find);
      if (state.marked) to.set("line", state.marked[0] === state.marked[1] ? state.marked[0] : state.marked.join("-"));
      history.replaceState(null, "", `${location.pathname}${to.size ? `?${to}` : ""}`);
    }, 200);
  };
  const choose = (n, wide) => {
    const from = wide && state.marked ? state.anchor : n;
    state.anchor = from;
    state.marked = [Math.min(from, n), Math.max(from, n)];
    state.cursor = n;
    view.querySelectorAll(".logrow").forEach((row) => { if (row.n) mark(row); });
    remember();
    tell();
  };
  const goto = (n, wide) => {
    if (!(n >= 1)) return;
    setFollow(false);
    choose(Math.min(n, state.total), wide);
    now.goto(state.cursor);
  };

  /** Everything about the line that is marked. */
  let told = null;
  const tell = () => {
    const line = state.cursor ? now.lineAt(state.cursor) : null;
    if (!line || line === told) return;
    told = line;
    const box = part("[data-detail]");
    const [title, facts, text] = box.children;
    const at = new Date(line.at);
    const rows = [["Time", exact(at).replace("\n", " · ")], ["From", `${line.stream}, attempt ${line.attempt}`], ["Level", line.level]];
    if (line.class) rows.push(["Class", line.cause ? `${line.class} · ${line.cause}` : line.class]);
    if (line.class) rows.push(["Action", part(`[data-action=${line.class}]`).textContent]);
    title.textContent = `Line ${number(state.cursor)}`;
    facts.replaceChildren(...rows.flatMap(([name, value]) => {
      const pair = [make("dt"), make("dd")];
      [pair[0].textContent, pair[1].textContent] = [name, value];
      return pair;
    }));
    if (line.cascade_of) {
      const link = make("a", "", { href: `?line=${line.cascade_of}#L${line.cascade_of}` });
      link.textContent = `line ${number(line.cascade_of)}`;
      facts.lastChild.append(" ", link);
    }
    text.textContent = line.fields ? `${line.text}\n\n${JSON.stringify(line.fields, null, 2)}` : line.text;
    box.hidden = false;
  };

  // From one to the next: errors, and what is looked for.
  let seeking = null;
  const seek = async (query, down, what) => {
    seeking?.abort();
    seeking = new AbortController();
    const { signal } = seeking;
    const [first, last] = now.sight();
    const here = state.cursor >= first && state.cursor <= last ? state.cursor : null;
    say(`looking for ${what} …`);
    const ask = (ends) => fetchLines({ ...query, ...ends, ...(down ? { limit: 1 } : { last: 1 }) }, signal);
    try {
      let [found] = await ask(down ? { after: here ?? first - 1 } : { before: here ?? first });
      const around = !found;
      if (around) [found] = await ask({});
      if (!found) { say(`no ${what}`); return; }
      goto(found.line);
      say(`${what}: line ${number(found.line)}${around ? (down ? ", from the top again" : ", from the end again") : ""}`);
    } catch (error) {
      failed(error);
    }
  };
  const inView = () => (now === list ? filters : {});
  const error = (down) => seek({ ...inView(), errors: "true", class: filters.class ?? CAUSES }, down, "error");
  const match = (down) => {
    const text = part("#find").value;
    seekFor(text);
    now.repaint();
    remember();
    if (!text) { say(""); return; }
    const { text: held, ...others } = inView();
    if (held && !others.grep) others.grep = `${/\p{Lu}/u.test(held) ? "" : "(?i)"}${held.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}`;
    seek({ ...others, text }, down, `“${text}”`);
  };

  // What comes while it is written.
  let source = null;
  let heard = [];
  let hearing = 0;
  let opening = false;
  const flush = () => {
    hearing = 0;
    const lines = heard.map((row) => JSON.parse(row));
    heard = [];
    if (!lines.length) return;
    state.newest = lines.at(-1).line;
    state.total = Math.max(state.total, state.newest);
    part("[data-total]").textContent = number(state.total);
    // The first lines of a log that was empty.
    if (now === full && view.hidden && !opening) {
      opening = true;
      // It may be over before they are shown.
      const follows = state.follow;
      full.open(1).then(() => { if (follows) now.toEnd(); }).catch(failed).finally(() => { opening = false; });
    }
    now.add(lines);
    if (state.follow) now.toEnd(); else state.unseen += lines.length;
    drawNew();
  };
  const drawNew = () => {
    const box = part("[data-new]");
    box.hidden = state.follow || state.unseen === 0;
    box.firstElementChild.textContent = `${number(state.unseen)} new line${state.unseen === 1 ? "" : "s"} ↓`;
    part(".logtools [data-do=f]")?.setAttribute("aria-pressed", String(state.follow));
  };
  const listen = () => {
    source?.close();
    if (!state.live) return;
    source = new EventSource(`/api/executions/${id}/log?${new URLSearchParams({ ...inView(), after: state.newest })}`);
    source.addEventListener("line", (event) => { heard.push(event.data); hearing ||= setTimeout(flush, 60); });
    source.addEventListener("end", (event) => { flush(); over(JSON.parse(event.data).status); });
    source.addEventListener("problem", (event) => { source.close(); say(JSON.parse(event.data).detail); });
  };
  const over = (status) => {
    source.close();
    state.live = false;
    state.follow = false;
    const badge = document.querySelector("h1 .badge");
    badge.className = `badge ${status}`;
    badge.textContent = { ok: "✔ OK", ko: "✖ KO", cancelled: "⊘ cancelled" }[status] ?? status;
    part(".logtools [data-do=f]")?.remove();
    drawNew();
    say(`ended: ${status}`);
  };
  const setFollow = (is) => {
    state.follow = is && state.live;
    if (is) { state.unseen = 0; now.toEnd(); }
    drawNew();
  };
  /** The reader scrolled, by so many pixels. */
  const moved = (by) => { if (by < 0 && state.follow) setFollow(false); };

  const acts = {
    n: () => error(true), N: () => error(false),
    g: () => goto(1), G: () => { setFollow(false); now.toEnd(); choose(state.total); },
    w: () => { const [line] = now.sight(); state.wrap = !state.wrap; change(line).catch(failed); },
    c: () => { const [line] = now.sight(); state.fold = !state.fold; change(line).catch(failed); },
    f: () => setFollow(!state.follow),
    j: () => goto((state.cursor || now.sight()[0] - 1) + 1), k: () => goto((state.cursor || now.sight()[1] + 1) - 1),
    down: () => match(true), up: () => match(false),
  };
  // Before the keys of all pages, which leave alone what was dealt with; `g` also begins a way to another page.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (view.hidden || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.id === "find" && event.key === "Enter") { event.preventDefault(); match(!event.shiftKey); return; }
    if (event.target.id === "line" && event.key === "Enter") { event.preventDefault(); goto(Number(event.target.value.replace(/\D/g, ""))); return; }
    if (typing || !Object.hasOwn(acts, event.key) || event.key.length > 1) return;
    if (event.key !== "g") event.preventDefault();
    acts[event.key]();
  }, true);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) { acts[button.dataset.do](); return; }
    const row = event.target.closest(".logrow");
    if (!row?.n || event.ctrlKey || event.metaKey || event.target.closest("button")) return;
    const onNumber = event.target.closest(".n a");
    // From a list, a number leads to the line among all others.
    if (onNumber && now === list && filtered && !event.shiftKey) return;
    if (onNumber) event.preventDefault();
    if (onNumber || String(getSelection()) === "") choose(row.n, event.shiftKey);
  });
  document.addEventListener("daybook:times", () => now?.repaint());
  view.addEventListener("scroll", () => now.scrolled(), { passive: true });
  new ResizeObserver(() => { if (now && !view.hidden) now.resize(); }).observe(view);

  const begin = async () => {
    part("#find").value = state.find;
    seekFor(state.find);
    const line = asked.get("line")?.match(/^(\d+)(?:-(\d+))?$/) ?? location.hash.match(/^#L(\d+)$/);
    if (line) {
      state.marked = [Number(line[1]), Number(line[2] ?? line[1])];
      [state.anchor, state.cursor] = state.marked;
      state.cursor = state.anchor;
    }
    const from = state.marked?.[0] ?? (Number(asked.get("after")) + 1 || Number(asked.get("before")) || 1);
    now = pick();
    if (state.total > 0) await change(clamp(from, 1, state.total)); else listen();
    if (asked.get("last")) now.toEnd();
    if (state.live && !line) setFollow(true);
  };
  begin().catch(failed);
})();
