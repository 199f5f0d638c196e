// What goes on is seen going on: no page is loaded again by hand.
import { appendFileSync } from "node:fs";
import { assert, facts, journey, open } from "./lib.mjs";

await journey(async () => {
  const overview = await live("/");
  const tile = overview.locator(".tile", { hasText: "Ticket shop" });
  await overview.getByRole("link", { name: "shop/counting" }).waitFor();
  assert.match(await overview.title(), /^Overview/);

  const page = await live(`/executions/${facts.running}`);
  await page.locator("h1 .badge.running").waitFor();
  const log = await open(`/executions/${facts.running}/log`);
  await log.locator("h2", { hasText: "No line yet" }).waitFor();

  // Its first lines.
  appendFileSync(facts.gate, "go\n");
  await log.locator(".logrow", { hasText: "line 300" }).waitFor();
  await log.locator(".logview").hover();
  await log.mouse.wheel(0, -600);
  await log.locator(".logtools [data-do=f][aria-pressed=false]").waitFor();
  await news(page, page.getByRole("link", { name: "Follow the log (300 lines)" }));
  // What somebody writes meanwhile stays.
  await page.locator("#note-text").fill("it takes its time");
  assert.match(await page.locator(".lines").innerText(), /line 300$/);

  // Its last ones: nothing moves under the reader, who is told of them.
  const top = await log.locator(".logrow").first().innerText();
  appendFileSync(facts.gate, "go\n");
  const button = log.getByRole("button", { name: "2 new lines ↓" });
  await button.waitFor();
  assert.equal(await log.locator(".logrow").first().innerText(), top);
  await log.locator("[data-said]", { hasText: "ended: ko" }).waitFor();
  assert.match(await log.locator("h1").innerText(), /KO/);
  await log.end();

  await news(page, page.locator("h1 .badge.ko"));
  assert.equal(await page.locator("#note-text").inputValue(), "it takes its time");
  assert.match(await page.locator(".banner.ko").innerText(), /no product for code LAST/);
  assert.match(await page.title(), /^\(1\) /, "the title tells that one is red");
  assert.equal(await page.locator("#live").getAttribute("hx-get"), null, "nobody looks for news of what is over");
  assert.ok(await page.evaluate(() => window.sameAsBefore));
  await page.end();

  await news(overview, overview.locator(".tile.red", { hasText: "no product for code LAST" }));
  assert.match(await tile.innerText(), /Ticket shop/);
  await overview.getByText("Nothing runs").waitFor();
  assert.match(await overview.title(), /^\(1\) Overview/);
  assert.equal(await overview.locator("link[rel=icon]").getAttribute("href"), "/favicon.svg?red=1");
  assert.ok(await overview.evaluate(() => window.sameAsBefore));
  await overview.end();
  await overAtOnce();
});

/** A log that was empty and is over at once: its end is shown, not its top. */
async function overAtOnce() {
  const log = await open("/schedules/shop/counting");
  await log.locator("summary", { hasText: "Run now" }).click();
  await log.getByRole("button", { name: "Run now" }).click();
  await log.waitForURL(/\/executions\/[0-9a-f-]{36}$/);
  await log.getByRole("link", { name: /^Follow the log/ }).click();
  await log.locator("h2", { hasText: "No line yet" }).waitFor();
  const over = log.locator("[data-said]", { hasText: "ended: ko" }).waitFor({ state: "attached" });
  // What it asks for to show the lines comes only then.
  await log.route(/\/log\?.*before=/, (route) => over.then(() => route.continue()));
  appendFileSync(facts.gate, "go\ngo\n");
  await log.locator(".logrow", { hasText: "no product for code LAST" }).waitFor();
  await log.end();
}

/** A page whose clock stands in our hand, and which knows that it was not loaded again. */
async function live(path) {
  const page = await open("/settings");
  await page.clock.install();
  await page.goto(new URL(path, page.url()).href);
  await page.evaluate(() => { window.sameAsBefore = true; });
  return page;
}

/** Lets a page look for news until it shows this. */
async function news(page, locator) {
  const shown = locator.waitFor().then(() => true);
  while (!await Promise.race([shown, page.clock.runFor(2_000).then(() => false)]));
}
