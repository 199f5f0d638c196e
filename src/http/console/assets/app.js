// Daybook's console works without this: here are keys, times in the reader's zone, themes, and what spares a reload.
"use strict";
(() => {
  const keep = {
    get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* a private window */ } },
  };

  // Theme: as the system says, unless the reader chose one.
  const themes = ["auto", "light", "dark"];
  const setTheme = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.querySelectorAll("[data-theme-switch]").forEach((it) => { it.textContent = theme; });
  };
  let theme = themes.includes(keep.get("theme")) ? keep.get("theme") : "auto";
  setTheme(theme);

  // Times.
  const shapes = ["relative", "local", "UTC"];
  let shape = shapes.includes(keep.get("times")) ? keep.get("times") : "relative";
  const two = (n) => String(n).padStart(2, "0");
  const civil = (at, utc) => {
    const of = (name) => (utc ? at[`getUTC${name}`]() : at[`get${name}`]());
    return `${of("FullYear")}-${two(of("Month") + 1)}-${two(of("Date"))} ${two(of("Hours"))}:${two(of("Minutes"))}:${two(of("Seconds"))}`;
  };
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const relative = (at) => {
    const away = (at - Date.now()) / 1000;
    const seconds = Math.abs(away);
    if (seconds < 1) return "now";
    if (seconds >= 7 * 86400) return civil(at, false).slice(0, 16);
    const [unit, size] = units.find(([, size]) => seconds >= size);
    const span = `${Math.floor(seconds / size)} ${unit}`;
    return away > 0 ? `in ${span}` : `${span} ago`;
  };
  const showTimes = (root = document) => {
    root.querySelectorAll("time[datetime]").forEach((it) => {
      const at = new Date(it.dateTime);
      if (Number.isNaN(at.getTime())) return;
      it.title = `${civil(at, true)} UTC\n${civil(at, false)} local`;
      it.textContent = shape === "relative" ? relative(at) : civil(at, shape === "UTC");
    });
    root.querySelectorAll("[data-time-switch]").forEach((it) => { it.textContent = shape; });
  };
  const nextShape = () => {
    shape = shapes[(shapes.indexOf(shape) + 1) % shapes.length];
    keep.set("times", shape);
    showTimes();
    document.dispatchEvent(new CustomEvent("daybook:times", { detail: shape }));
  };
  setInterval(() => { if (shape === "relative" && !document.hidden) showTimes(); }, 10000);

  // Rows: j, k, Enter, o, x.
  const rows = () => [...document.querySelectorAll("[data-row]")].filter((it) => it.offsetParent !== null);
  const here = () => document.querySelector("[data-row].here");
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(here());
    const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
    here()?.classList.remove("here");
    next.classList.add("here");
    next.scrollIntoView({ block: "nearest" });
    next.querySelector("[data-open]")?.focus({ preventScroll: true });
  };
  const open = (aside) => {
    const link = here()?.querySelector("[data-open]");
    if (!link) return false;
    if (aside) window.open(link.href, "_blank", "noopener"); else location.assign(link.href);
    return true;
  };
  const select = () => {
    const box = here()?.querySelector("input[type=checkbox]");
    if (!box) return;
    box.checked = !box.checked;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const count = () => {
    document.querySelectorAll("[data-count]").forEach((it) => {
      const form = it.closest("form") || document.getElementById(it.dataset.count);
      const n = form ? form.querySelectorAll("input[name=ids]:checked, [form] input[name=ids]:checked").length : 0;
      it.textContent = n ? `${n} selected` : "none selected";
    });
  };

  // Ctrl-K: to a page, an interface, a schedule, an execution, or whatever holds these words.
  const palette = (() => {
    const box = document.getElementById("palette");
    const [field, list] = [box?.querySelector("input"), box?.querySelector("ul")];
    const silent = { to: null, name: "the daemon does not answer", kind: "" };
    // `kept` is the address that somebody went to in the list: answers that come later must not move it.
    let [chosen, kept, asking, waiting] = [0, null, null, null];
    const choose = (n) => {
      const all = [...list.children];
      chosen = Math.min(all.length - 1, Math.max(0, n));
      all.forEach((it, at) => it.setAttribute("aria-selected", String(at === chosen)));
      field.setAttribute("aria-activedescendant", all[chosen]?.id ?? "");
      all[chosen]?.scrollIntoView({ block: "nearest" });
    };
    const show = (found) => {
      list.replaceChildren(...found.map(({ to, name, kind }, at) => {
        const it = document.createElement("li");
        Object.assign(it, { id: `found-${at}`, to });
        it.setAttribute("role", "option");
        const what = document.createElement("span");
        [what.className, what.textContent] = ["muted", kind];
        it.append(name, " ", what);
        return it;
      }));
      choose(Math.max(0, found.findIndex(({ to }) => kept && to === kept)));
    };
    /** The first rows of a list of ours that fit. */
    const rowsOf = async (path, kind, text, signal) => {
      const answer = await fetch(`${path}?text=${encodeURIComponent(text)}`, { signal, headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const links = [...page.querySelectorAll("tr[data-row] a[data-open]")].slice(0, 6);
      return links.map((it) => ({ to: it.getAttribute("href"), name: it.textContent, kind }));
    };
    const seek = () => {
      const text = field.value.trim();
      asking?.abort();
      clearTimeout(waiting);
      kept = null;
      const all = [...document.querySelectorAll(".top nav a")].map((it) => ({ to: it.getAttribute("href"), name: it.textContent, kind: "page" }));
      const pages = all.filter((it) => it.name.toLowerCase().includes(text.toLowerCase()));
      if (!text) { show(pages); return; }
      const last = [{ to: `/executions?text=${encodeURIComponent(text)}`, name: text, kind: "in executions" }];
      if (/^[0-9a-f-]{6,36}$/i.test(text)) last.unshift({ to: `/executions/${text}`, name: text, kind: "execution" });
      show([...pages, ...last]);
      const ask = async () => {
        asking = new AbortController();
        const { signal } = asking;
        try {
          const found = await Promise.all([rowsOf("/interfaces", "interface", text, signal), rowsOf("/schedules", "schedule", text, signal)]);
          show([...pages, ...found.flat(), ...last]);
        } catch {
          if (!signal.aborted) show([...pages, ...last, silent]);
        }
      };
      // Not for each letter of a word.
      waiting = setTimeout(ask, 150);
    };
    const go = () => { const to = list.children[chosen]?.to; if (to) location.assign(to); };
    field?.addEventListener("input", seek);
    field?.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(chosen + (event.key === "ArrowDown" ? 1 : -1)); kept = list.children[chosen]?.to ?? null; }
      if (event.key === "Enter") { event.preventDefault(); go(); }
    });
    list?.addEventListener("click", (event) => { choose([...list.children].indexOf(event.target.closest("li"))); go(); });
    return box && { open() { if (document.querySelector("dialog[open]")) return; field.value = ""; box.showModal(); seek(); } };
  })();

  const press = (selector) => { const it = document.querySelector(selector); if (it) { it.click(); return true; } return false; };
  const ways = { h: "/", e: "/executions", s: "/schedules", i: "/interfaces", v: "/events", d: "/doctor" };
  let going = 0;
  const keys = {
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    Enter: () => open(false), o: () => open(true), x: select,
    "/": () => { const it = document.querySelector("[data-search]"); it?.focus(); it?.select?.(); },
    r: () => location.reload(), R: () => press("[data-rerun]"), t: nextShape,
    "?": () => document.getElementById("keys")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (palette && (event.ctrlKey || event.metaKey) && event.key === "k") { event.preventDefault(); palette.open(); return; }
    // A dialog that was just closed has the focus until it is drawn.
    const isGone = event.target.closest?.("dialog:not([open])");
    const typing = !isGone && event.target.closest?.("input:not([type=checkbox]), select, textarea, [contenteditable]");
    if (event.key === "Escape" && typing && !event.target.closest("dialog")) { event.target.blur(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (Date.now() - going < 1500 && ways[event.key]) { going = 0; location.assign(ways[event.key]); event.preventDefault(); return; }
    if (event.key === "g") { going = Date.now(); return; }
    if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
    if (event.key.startsWith("Arrow") && document.querySelector("[data-log]")) return;
    const act = keys[event.key];
    if (act && act() !== false) event.preventDefault();
  });

  // Copies what an element says, for a ticket or a mail.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) {
      const from = document.getElementById(button.dataset.copy);
      await navigator.clipboard?.writeText(from?.value ?? from?.textContent ?? "");
      const said = button.textContent;
      button.textContent = "copied";
      setTimeout(() => { button.textContent = said; }, 1500);
    }
    if (event.target.closest?.("[data-time-switch]")) nextShape();
    if (event.target.closest?.("[data-help]")) keys["?"]();
    if (event.target.closest?.("[data-theme-switch]")) {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      keep.set("theme", theme);
      setTheme(theme);
    }
    const all = event.target.closest?.("[data-all]");
    if (all) all.closest("table")?.querySelectorAll("input[name=ids]").forEach((it) => { it.checked = all.checked; });
    if (event.target.matches?.("input[type=checkbox]")) count();
  });
  document.addEventListener("change", (event) => { if (event.target.matches?.("input[name=ids]")) count(); });

  const ready = () => {
    document.querySelectorAll("[data-time-switch], [data-theme-switch], [data-help], [data-script]").forEach((it) => { it.hidden = false; });
    setTheme(theme);
    showTimes();
    count();
  };
  ready();
  // Nobody looks at a page that is hidden.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.requestConfig.triggeringEvent == null) event.preventDefault();
  });
  document.addEventListener("htmx:afterSettle", () => {
    showTimes();
    const red = document.querySelector("[data-red]")?.dataset.red;
    if (red !== undefined) {
      document.title = document.title.replace(/^(\(\d+\) )?/, red === "0" ? "" : `(${red}) `);
      document.querySelector("link[rel=icon]").href = `/favicon.svg?red=${red}`;
    }
    count();
  });
  window.daybook = { times: () => shape, civil, relative };
})();
