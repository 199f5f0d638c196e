// Without a mouse: what is red, why, the first error in its log, run again, green. Whoever cannot see where he is, is lost.
import { writeFileSync } from "node:fs";
import { accessible, assert, facts, journey, open } from "./lib.mjs";

/** What has the focus: its words, whether a frame marks it, and whether it is in the window. */
const focused = (page) => page.evaluate(() => {
  const it = document.activeElement;
  const style = getComputedStyle(it);
  const box = it.getBoundingClientRect();
  return {
    words: (it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText ?? it.innerText ?? "").trim(),
    tag: it.id ? `${it.localName}#${it.id}` : it.localName,
    isMarked: style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2,
    isInSight: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
});

/** Goes on with Tab until these words have the focus; everything on the way shows that it has it. */
async function tabTo(page, words) {
  for (let n = 0; n < 150; n++) {
    await page.keyboard.press("Tab");
    const here = await focused(page);
    if (here.tag === "body") continue;
    assert.ok(here.isMarked && here.isInSight, `${page.url()}: the focus is not seen on ${JSON.stringify(here)}`);
    if (words.test(here.words)) return;
  }
  assert.fail(`${page.url()}: Tab never comes to ${words}`);
}

const press = async (page, ...keys) => { for (const key of keys) await page.keyboard.press(key); };
const at = (page, path) => page.waitForURL((url) => url.pathname === path);
const isOpen = (page, id) => page.evaluate((id) => document.getElementById(id).open, id);

await journey(async () => {
  const page = await open("/");
  await theWayIn(page);
  await theHelp(page);
  await thePalette(page);
  await lateAnswers(page);
  await theRows(page);

  // From the red tile to its execution.
  await press(page, "g", "h");
  await at(page, "/");
  await press(page, "j");
  assert.match(await page.locator("[data-row].here").innerText(), /Ticket shop/);
  assert.equal((await focused(page)).words, "Ticket shop");
  await press(page, "Enter");
  await at(page, "/interfaces/shop");
  await tabTo(page, /KO/);
  await press(page, "Enter");
  await at(page, `/executions/${facts.ko}`);

  // To the first error in its log, and back.
  await tabTo(page, /^Log \(/);
  await press(page, "Enter");
  await at(page, `/executions/${facts.ko}/log`);
  await page.locator(".logview .logrow").first().waitFor();
  await press(page, "n");
  const error = page.locator(".logrow[aria-current]");
  await error.waitFor();
  assert.match(await error.innerText(), /no product for code FNAC-12/);
  await page.waitForURL((url) => url.searchParams.has("line"));
  await tabTo(page, /^Execution /);
  await press(page, "Enter");
  await at(page, `/executions/${facts.ko}`);

  // Again, but not without being asked.
  writeFileSync(facts.mended, "");
  await press(page, "R");
  await at(page, "/executions/rerun");
  await tabTo(page, /^Run 1 execution again/);
  await press(page, "Enter");
  await page.waitForURL((url) => /^\/executions\/[0-9a-f-]{36}$/.test(url.pathname) && !url.pathname.endsWith(facts.ko));
  await page.locator("h1 .badge.ok").waitFor();
  await press(page, "g", "h");
  await at(page, "/");
  assert.match(await page.title(), /^Overview/, "nothing is red any more");
  await page.end();
});

/** The first Tab leads past the ways at the top. */
async function theWayIn(page) {
  await press(page, "Tab");
  const skip = await focused(page);
  assert.deepEqual([skip.words, skip.isMarked, skip.isInSight], ["To the content", true, true]);
  await press(page, "Enter");
  await page.waitForFunction(() => document.activeElement.id === "main");
  await press(page, "Tab");
  assert.ok(await page.evaluate(() => document.getElementById("main").contains(document.activeElement)));
}

/** `?` says which keys there are; while it is open they do nothing, and Esc closes it. */
async function theHelp(page) {
  await press(page, "?");
  assert.ok(await isOpen(page, "keys"));
  for (const key of ["j", "/", "g"]) assert.match(await page.locator("#keys").innerText(), new RegExp(key.replace("/", "\\/")));
  await press(page, "j", "R", "t");
  assert.equal(await page.locator("[data-row].here").count(), 0);
  await accessible(page, "the help");
  await press(page, "Escape");
  assert.ok(!await isOpen(page, "keys"));
}

/** Ctrl-K leads to whatever is named: a page, an interface, a schedule, an execution, or what holds these words. */
async function thePalette(page) {
  const found = page.getByRole("option");
  await press(page, "Control+k");
  assert.equal((await focused(page)).tag, "input#way");
  assert.equal(await found.first().innerText(), "Overview page");
  await page.keyboard.type("tick");
  await found.filter({ hasText: "shop/tickets schedule" }).waitFor();
  assert.deepEqual(await found.allInnerTexts(), ["Ticket shop interface", "shop/tickets schedule", "tick in executions"]);
  await accessible(page, "the palette");
  await press(page, "ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp");
  assert.equal(await page.locator("[aria-selected=true]").innerText(), "shop/tickets schedule");
  await press(page, "Enter");
  await at(page, "/schedules/shop/tickets");
  await press(page, "Control+k");
  await page.keyboard.type(facts.ko.slice(0, 18));
  await found.filter({ hasText: /execution$/ }).waitFor();
  await press(page, "Enter");
  await at(page, `/executions/${facts.ko}`);
  await press(page, "Control+k");
  await page.keyboard.type("j");
  await press(page, "Escape");
  assert.ok(!await isOpen(page, "palette"));
}

/** What somebody went to stays chosen when answers come, and that none comes is told. */
async function lateAnswers(page) {
  const [found, asks] = [page.getByRole("option"), /\/schedules\?text=tick$/];
  const chosen = () => page.locator("[aria-selected=true]").innerText();
  let answer;
  const answers = new Promise((done) => { answer = done; });
  await page.route(asks, async (route) => { await answers; await route.continue(); });
  await press(page, "Control+k");
  const asked = page.waitForRequest(asks);
  await page.keyboard.type("tick");
  await asked;
  await press(page, "ArrowDown");
  assert.equal(await chosen(), "tick in executions");
  answer();
  await found.filter({ hasText: "shop/tickets schedule" }).waitFor();
  assert.equal(await chosen(), "tick in executions");
  await press(page, "Escape");

  await page.unroute(asks);
  await page.route(asks, (route) => route.abort());
  page.mayComplain = /ERR_FAILED/;
  await press(page, "Control+k");
  await page.keyboard.type("tick");
  await found.filter({ hasText: "the daemon does not answer" }).waitFor();
  assert.equal(await chosen(), "tick in executions");
  await press(page, "Escape");
  await page.unroute(asks);
}

/** Rows by keys, which mean letters while one types. */
async function theRows(page) {
  await press(page, "g", "e");
  await at(page, "/executions");
  await press(page, "/");
  assert.equal((await focused(page)).tag, "input#text");
  await page.keyboard.type("jkxorRtghe?/");
  assert.equal(await page.locator("#text").inputValue(), "jkxorRtghe?/");
  assert.equal(await page.locator("[data-row].here").count(), 0);
  assert.ok(!await isOpen(page, "keys"));
  await press(page, "Escape");
  assert.equal((await focused(page)).tag, "body");

  const row = (n) => page.locator("[data-row]").nth(n);
  const isHere = async (n) => assert.match(await row(n).getAttribute("class"), /here/);
  await press(page, "j", "j", "k");
  await isHere(0);
  await press(page, "ArrowDown", "ArrowUp", "ArrowUp");
  await isHere(0);
  await press(page, "x");
  assert.ok(await row(0).locator("input").isChecked());
  assert.equal(await page.locator("[data-count]").innerText(), "1 selected");
  await press(page, "x");
  assert.equal(await page.locator("[data-count]").innerText(), "none selected");
  const [other] = await Promise.all([page.context().waitForEvent("page"), press(page, "o")]);
  await other.waitForURL(await row(0).locator("[data-open]").evaluate((it) => it.href));
  await other.close();

  // Times as they are read best; `r` loads again, and the choice was kept.
  const time = page.locator("[data-row] time").first();
  assert.match(await time.innerText(), /ago|now/);
  await press(page, "t", "t");
  assert.match(await time.innerText(), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  await page.evaluate(() => { window.before = true; });
  await press(page, "r");
  await page.waitForFunction(() => !window.before && document.readyState === "complete");
  assert.equal(await page.locator("[data-time-switch]").innerText(), "UTC");
  await press(page, "j", "Enter");
  await page.waitForURL(/\/executions\/[0-9a-f-]{36}$/);
}
