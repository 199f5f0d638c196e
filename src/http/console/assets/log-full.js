// The log with every line at its place: rows of one height, filled from windows of lines that are fetched as they come into sight.
"use strict";
(() => {
  const log = window.daybook.log;
  if (!log) return;
  const { LETTERS, view, state, make, clamp, fetchLines, failed, makeRow, fill } = log;

  /** Lines of a window; windows kept. */
  const WINDOW = 500;
  const WINDOWS = 60;
  /** Browsers lay out no more than about 17 million pixels. */
  const TALLEST = 15_000_000;

  log.full = (() => {
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
      if (afresh) log.tell();
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
      log.moved(by);
      draw(false);
      clearTimeout(waiting);
      // A bar that is drawn over the log passes by what nobody reads.
      const turn = () => { top = Math.floor(y / row) + 1; ask(by); };
      if (near) requestAnimationFrame(() => ask(by)); else waiting = setTimeout(turn, 40);
      clearTimeout(resting);
      // Unless it has been moved since: that is about to be heard.
      const rest = () => { if (view.scrollTop === bar) place(); };
      if (span > reach) resting = setTimeout(rest, 250);
    };
    return {
      async open(n) {
        await (lacks(keyOf(n)) ? load(keyOf(n)) : null);
        log.show();
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
})();
