// Without scripts: everything works, but to follow.
import { assert, base, facts, journey, listed, seenAgain, stranger, wide } from "./lib.mjs";

const said = (page, text) => page.locator("main", { hasText: text }).waitFor();
const press = (page, name) => page.getByRole("button", { name }).click();
const go = (page, name) => page.locator("main").getByRole("link", { name }).first().click();

await journey(async () => {
  const page = await stranger("/executions?status=ko", { ...wide, javaScriptEnabled: false });
  // The page that was wanted comes after the login.
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.getByLabel(/type a token/).fill(facts.token);
  await press(page, "Log in");
  assert.equal(page.url(), `${base}/executions?status=ko`);
  for (const needsScript of ["[data-help]", "[data-time-switch]", "[data-theme-switch]", "[data-all]"]) {
    assert.ok(await page.locator(needsScript).isHidden(), `${needsScript} does nothing here, so it is not shown`);
  }
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Overview" }).click();
  assert.match(await page.locator(".tile.red").first().innerText(), /no product for code EVENT-700/);

  await choose(page);
  await read(page);
  await runNow(page);
  await cancel(page);
  await pause(page);
  await backfill(page);
  await check(page);

  await press(page, "Log out");
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.goto(`${base}/executions`);
  assert.equal(new URL(page.url()).pathname, "/login", "whoever left is not known any more");
  await page.end();
});

/** Filters, selects some, looks at what would run again, and runs it. */
async function choose(page) {
  await page.goto(`${base}/executions`);
  await page.locator("#text").fill("FNAC-12");
  await page.locator("#interface").selectOption("shop");
  await press(page, "Filter");
  assert.deepEqual(await listed(page), facts.ko.toReversed());
  for (const id of facts.ko) await page.locator(`input[name=ids][value="${id}"]`).check();
  await press(page, /Run the selected again/);
  assert.equal(await page.locator("h1").innerText(), "Run 2 executions again?");
  assert.deepEqual((await listed(page)).toSorted(), facts.ko.toSorted());
  await press(page, "Run all 2 executions again");
  await page.waitForURL(/\/executions\?.*trigger=rerun/);
  assert.equal((await listed(page)).length, 2);
  await seenAgain(page, page.locator("tr.ko[data-row] ~ tr.ko[data-row]"));
}

/** One execution and its log: errors, a word, pages. */
async function read(page) {
  await page.goto(`${base}/executions/${facts.long}`);
  assert.match(await page.locator(".banner.ko").innerText(), /no product for code EVENT-700/);
  await page.getByText("What to do").click();
  await page.getByText("Copy for support").click();
  assert.match(await page.locator("#support-text").inputValue(), /EVENT-700/);
  await page.locator("#note-text").fill("they know <b>");
  await page.locator("#note-reference").fill("KAY-7");
  await press(page, "Write it down");
  assert.match(await page.locator(".notes").innerText(), /they know <b>/);
  assert.match(await page.locator("dl.facts").first().innerText(), /KAY-7/);

  await go(page, /^Log \(/);
  const lines = page.locator(".loglines > li[id]");
  assert.equal(await lines.count(), 500);
  await go(page, "newer");
  assert.match(await lines.first().innerText(), /event 501/);
  await go(page, "older");
  assert.match(await lines.first().innerText(), /event 1\b/);
  await go(page, "last");
  assert.match(await page.locator(".loglines").innerText(), /event 1200/);
  await go(page, /^First error: line 700/);
  assert.ok(await page.locator("#L700.m").isVisible());
  await page.goto(`${base}/executions/${facts.long}/log`);
  await go(page, /^errors/);
  assert.match(await page.locator(".loglines").innerText(), /no product for code EVENT-700/);
  await go(page, "clear filters");
  await page.locator("#text").fill("event 11");
  await page.locator(".logways button").click();
  assert.equal(new URL(page.url()).searchParams.get("text"), "event 11");
  assert.equal(await lines.count(), 111, "event 11, 110 to 119, 1100 to 1199");
  const [file] = await Promise.all([page.waitForEvent("download"), go(page, "text")]);
  assert.match(file.suggestedFilename(), /\.txt$/);
}

async function runNow(page) {
  await page.goto(`${base}/schedules/shop/tickets`);
  await page.locator("summary", { hasText: "Run now" }).click();
  await page.getByLabel("day").fill("2026-11-30");
  await press(page, "Run now");
  await page.waitForURL(/\/executions\/[0-9a-f-]{36}$/);
  await said(page, "2026-11-30");
  await seenAgain(page, page.locator("h1 .badge.ko"));
  assert.match(await page.locator("dl.facts").first().innerText(), /manual\) by token:desk/);
}

async function cancel(page) {
  await page.goto(`${base}/executions/${facts.running}`);
  await page.locator("summary", { hasText: "Cancel it" }).click();
  await page.getByLabel(/Why/).fill("no longer needed");
  await press(page, "Cancel this execution");
  await seenAgain(page, page.locator("h1 .badge.cancelled"));
  await said(page, "token:desk asked for its end");
}

/** Pauses with a note, until two slots were skipped, and resumes. */
async function pause(page) {
  await page.goto(`${base}/schedules/pulse/beat`);
  await page.locator("summary", { hasText: "Pause" }).click();
  await page.getByLabel("Why").fill("the shop moves");
  await press(page, "Pause");
  await said(page, "by token:desk, until somebody resumes it: the shop moves");
  await seenAgain(page, page.locator("[aria-label^='What became'] li", { hasText: /skipped ([2-9]|\d\d)/ }));
  await press(page, "Resume");
  await page.getByText("Paused").waitFor({ state: "detached" });
}

/** Runs the slots that were skipped, after a look at which they are. */
async function backfill(page) {
  await page.locator("summary", { hasText: "Backfill" }).click();
  const soon = new Date(Date.now() + 60_000).toISOString().slice(0, 16);
  await page.getByLabel("Before").fill(soon);
  await page.getByLabel("missed").uncheck();
  await page.getByLabel("ko").uncheck();
  await press(page, "Look first");
  const said = await page.locator("section.panel p b").innerText();
  const count = Number(said.match(/^(\d+) slots$/)[1]);
  assert.equal(await page.locator("tr[data-row]").count(), count);
  assert.equal(await page.locator("tr[data-row] .badge.skipped").count(), count);
  await press(page, `Run ${count} slots`);
  await page.waitForURL(/\/executions\?interface=pulse&schedule=beat/);
  await page.goto(`${base}/executions?trigger=backfill`);
  await seenAgain(page, page.locator(`tr.ok:nth-child(${count})`));
  assert.equal((await listed(page)).length, count);
}

/** What is on record, whether it is whole, and whether an interface could work. */
async function check(page) {
  await page.goto(`${base}/events`);
  await page.locator("#type").selectOption("schedule-paused");
  await press(page, "Filter");
  assert.equal(await page.locator("tr[data-row]").count(), 1);
  await page.locator("tr summary").click();
  assert.match(await page.locator("tr pre").innerText(), /the shop moves/);
  await press(page, "Verify");
  await page.getByRole("heading", { name: /All is whole/ }).waitFor();
  await page.goto(`${base}/interfaces/shop`);
  await press(page, "Test the connection");
  await said(page, "Its jobs could run");
}
