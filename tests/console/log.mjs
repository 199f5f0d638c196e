// The log viewer, on a log of 800,000 lines, which is higher than browsers can lay out, and on one that grows.
import { appendFileSync } from "node:fs";
import { assert, base, facts, journey, narrow, open, sound, wide } from "./lib.mjs";

const dark = { ...wide, colorScheme: "dark" };
const log = `/executions/${facts.long}/log`;

/** The lines in sight, by their numbers, once all of them are there. */
async function inSight(page) {
  await page.waitForFunction(() => {
    const rows = [...document.querySelectorAll(".logview .logrow:not([hidden])")];
    return rows.length > 0 && !rows.some((row) => row.classList.contains("coming"));
  });
  return page.evaluate(() => {
    const box = document.querySelector(".logview").getBoundingClientRect();
    const rows = [...document.querySelectorAll(".logview .logrow:not([hidden])")];
    const seen = rows.filter((row) => { const at = row.getBoundingClientRect(); return at.top >= box.top - 1 && at.bottom <= box.bottom + 1; });
    return seen.map((row) => row.textContent);
  });
}

async function sees(page, text) {
  await page.waitForFunction((text) => {
    const box = document.querySelector(".logview").getBoundingClientRect();
    return [...document.querySelectorAll(".logview .logrow")].some((row) => {
      const at = row.getBoundingClientRect();
      return row.textContent.includes(text) && at.top >= box.top - 1 && at.bottom <= box.bottom + 1;
    });
  }, text);
}

const marked = (page, line) => page.waitForURL((url) => url.searchParams.get("line") === line);

await journey(async () => {
  const shapes = [
    ["", wide], ["", narrow], ["?line=4000-4003", dark], ["?errors=true", narrow], ["?text=slow&wrap=true&find=shop", dark], ["?text=nothing+like+it", wide],
  ];
  for (const [query, shape] of shapes) await sound(log + query, shape);

  const page = await open(log);
  await sees(page, "page 1 of");
  assert.equal(await page.locator(".logview").getAttribute("aria-rowcount"), String(facts.lines));

  // From error to error; the consequences between them are passed over.
  await page.keyboard.press("n");
  await sees(page, "no product for code FNAC-4000");
  await marked(page, "4000");
  assert.match(await page.locator("[data-detail]").innerText(), /Check the mappings/);
  assert.match(await page.locator("[data-detail]").innerText(), /"file": "sales.csv"/);
  await page.keyboard.press("n");
  await sees(page, "no product for code FNAC-9000");
  await page.keyboard.press("N");
  await marked(page, "4000");

  // What a job said is text, also where it is marked.
  await page.keyboard.press("/");
  await page.keyboard.type("the needle <b>");
  await page.keyboard.press("Enter");
  await sees(page, "the needle <b>FNAC-77</b> stands here");
  await marked(page, String(facts.needle));
  assert.equal(await page.locator(".logview mark").first().innerText(), "the needle <b>");
  assert.equal(await page.locator(".logview b").count(), 0);
  await page.keyboard.press("Shift+Enter");
  await page.locator("[data-said]", { hasText: "from the end again" }).waitFor();
  await page.keyboard.press("Escape");

  // To the ends, to a line, and on by lines, where a pixel of the bar is many lines.
  await page.keyboard.press("G");
  await sees(page, "exit status 1");
  await page.keyboard.press("g");
  await sees(page, "page 1 of");
  await page.locator("#line").fill("500,001");
  await page.keyboard.press("Enter");
  await sees(page, "page 500001 of");
  await page.locator(".logview").hover();
  const before = await inSight(page);
  // A wheel turns smoothly: what is done before its end would be turned on.
  const turned = page.evaluate(() => new Promise((done) => {
    document.querySelector(".logview").addEventListener("scrollend", () => done(), { once: true });
  }));
  await page.mouse.wheel(0, 200);
  await turned;
  await page.waitForFunction((first) => document.querySelector(".logview .logrow").textContent !== first, before[0]);
  const after = await inSight(page);
  assert.ok(before.includes(after[0]), `${after[0]} was in sight before: ${before}`);
  // The bar leads to a place in proportion, and its ends to the ends.
  const middle = await page.evaluate(() => {
    const view = document.querySelector(".logview");
    view.scrollTop = (view.scrollHeight - view.clientHeight) / 4;
    return view.scrollHeight;
  });
  assert.ok(middle < 16_000_000, `${middle} pixels`);
  await sees(page, `page ${Math.round(facts.lines / 4)} of`);
  await page.evaluate(() => { document.querySelector(".logview").scrollTop = 1e9; });
  await sees(page, "exit status 1");

  // A number is an address, and with Shift the end of several.
  await page.locator("#line").fill("700");
  await page.keyboard.press("Enter");
  await sees(page, "page 700 of");
  await page.locator(".logrow[aria-rowindex='700'] .n a").click();
  await page.locator(".logrow[aria-rowindex='703'] .n a").click({ modifiers: ["Shift"] });
  await marked(page, "700-703");
  const same = await open(new URL(page.url()).pathname + new URL(page.url()).search);
  await sees(same, "page 703 of");
  assert.equal(await same.locator(".logrow.marked").count(), 4);
  await same.end();

  // Times as the reader wants them; long lines whole.
  await page.keyboard.press("Escape");
  const relative = await page.locator(".logrow[aria-rowindex='700'] .t").innerText();
  assert.match(relative, /^\+/);
  await page.keyboard.press("t");
  await page.keyboard.press("t");
  assert.match(await page.locator(".logrow[aria-rowindex='700'] .t").innerText(), /^\d\d:\d\d:\d\d\.\d\d\d$/);
  await page.locator("#line").fill("3001");
  await page.keyboard.press("Enter");
  await sees(page, "a very long line 3001");
  await page.keyboard.press("Escape");
  await page.keyboard.press("w");
  await page.waitForFunction(() => [...document.querySelectorAll(".logview.wrap .logrow")].some((row) => row.textContent.startsWith("3001") && row.clientHeight > 40));

  // Errors alone, their consequences folded; from there to the line among all others.
  await page.getByRole("link", { name: /^errors/ }).click();
  await page.locator(".foldhead", { hasText: "39 consequences of line 4000" }).getByRole("button").click();
  await sees(page, "record 4001 was not written");
  const fold = page.locator(".logfold").first();
  assert.equal(await fold.locator(".foldbody .logrow").count(), 39);
  await page.locator(".logrow[aria-rowindex='9000'] .n a").click();
  await sees(page, "page 8999 of");
  await sees(page, "no product for code FNAC-9000");
  // Filters of any length are loaded as far as one reads, and rows behind are let go.
  await page.goto(base + `${log}?text=page&line=400000`);
  await sees(page, "page 400000 of");
  for (let n = 0; n < 12; n++) {
    await page.evaluate(() => { const view = document.querySelector(".logview"); view.scrollTop = view.scrollHeight; });
    await page.waitForFunction(() => { const view = document.querySelector(".logview"); return view.scrollHeight - view.scrollTop - view.clientHeight > 500; });
  }
  assert.ok(await page.locator(".logview .logrow").count() <= 1_000);
  await page.end();
  await follow();
  await plain();
});

/** A log that grows: it is followed until the reader scrolls up, and again when he wants. */
async function follow() {
  const page = await open(`/executions/${facts.live}/log`);
  const speak = () => appendFileSync(facts.gate, "go\n");
  speak();
  await sees(page, "round 1 line 300");
  await page.locator(".logview").hover();
  await page.mouse.wheel(0, -400);
  await page.locator(".logtools [data-do=f][aria-pressed=false]").waitFor();
  const top = await inSight(page);
  speak();
  await page.getByRole("button", { name: "300 new lines ↓" }).waitFor();
  assert.deepEqual(await inSight(page), top, "nothing moves under the reader");
  await page.keyboard.press("f");
  await sees(page, "round 2 line 300");
  assert.ok(await page.locator("[data-new]").isHidden());
  appendFileSync(facts.gate, "end\n");
  await page.locator("[data-said]", { hasText: "ended: ok" }).waitFor();
  assert.match(await page.locator("h1").innerText(), /OK/);
  await page.end();
}

/** Without scripts: pages of lines, with everything that an address says. */
async function plain() {
  const still = { ...wide, javaScriptEnabled: false };
  const page = await open(log, still);
  assert.equal(await page.locator(".loglines > li[id]").count(), 500);
  assert.ok(await page.locator("[data-tools]").isHidden());
  await page.getByRole("link", { name: "newer" }).click();
  assert.match(await page.locator(".loglines").innerText(), /page 501 of/);
  await page.getByRole("link", { name: "older" }).click();
  assert.match(await page.locator(".loglines").innerText(), /page 1 of/);
  await page.getByRole("link", { name: /^First error/ }).click();
  assert.match(await page.locator("#L4000").getAttribute("class"), /m/);
  assert.ok(await page.locator("#L4000").isVisible());
  await page.locator("summary").first().click();
  assert.match(await page.locator("#L4001").innerText(), /record 4001/);
  await page.end();
}
