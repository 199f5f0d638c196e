// The log viewer: lines by the million that scroll, or those that fit, and what comes while it is written. The page works
// without it, 500 lines at a time.
//
// Two views share the box that scrolls, `log-full.js` and `log-list.js`; both show the rows of `log-rows.js`.
"use strict";
(() => {
  const log = window.daybook.log;
  if (!log) return;
  const { root, part, view, asked, filters, filtered, foldable, state, id, make, number, say, clamp, fetchLines, failed, exact, seekFor, mark, full, list } = log;

  const CAUSES = "external,configuration,mapping,technical";

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
  Object.assign(log, { moved, tell, show });
  begin().catch(failed);
})();
