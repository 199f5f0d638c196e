// The log as a list: the lines that fit a filter, or wrapped, or with consequences folded. Rows of any height, loaded at both ends and let
// go at the other.
"use strict";
(() => {
  const log = window.daybook.log;
  if (!log) return;
  const { filters, view, state, make, number, fetchLines, failed, isMarked, makeRow, fill } = log;

  /** Lines that are loaded at once; rows that are kept; how near an end more are loaded, in pixels. */
  const STEP = 200;
  const ROWS = 1000;
  const NEAR = 1200;
  /** Consequences that a fold keeps. */
  const FOLDED = 1000;

  log.list = (() => {
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
        log.show();
        log.tell();
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
      log.tell();
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
        log.show();
      },
      repaint,
      resize() {},
      lineAt: (n) => [...box.querySelectorAll(".logrow")].find((row) => row.n === n)?.line,
      scrolled() {
        const by = view.scrollTop - bar;
        bar = view.scrollTop;
        if (by) log.moved(by);
        more();
      },
    };
  })();
})();
