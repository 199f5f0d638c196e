// Several at once: what would run is shown with its number before, and what ran is linked with what it repeats.
import { assert, base, facts, journey, listed, open } from "./lib.mjs";

const button = (page, name) => page.getByRole("button", { name });

await journey(async () => {
  const page = await open("/executions?status=ko");
  assert.deepEqual(await listed(page), facts.ko.toReversed());
  // One with the mouse, one with the key.
  await page.locator(`input[value="${facts.ko[2]}"]`).check();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  assert.equal(await page.locator("[data-count]").innerText(), "2 selected");
  await page.getByLabel("Select all on this page").check();
  assert.equal(await page.locator("[data-count]").innerText(), "3 selected");
  await page.locator(`input[value="${facts.ko[0]}"]`).uncheck();
  await page.keyboard.press("R");

  // The number stands in the title, above the rows and on the button.
  await page.waitForURL((url) => url.pathname === "/executions/rerun");
  const chosen = facts.ko.slice(1);
  assert.equal(await page.locator("h1").innerText(), "Run 2 executions again?");
  assert.equal(await page.locator("main h2").innerText(), "Would run again: 2 executions");
  assert.deepEqual((await listed(page)).toSorted(), chosen.toSorted());
  const form = await page.locator("main form[method=post]").evaluate((it) => new URLSearchParams(new FormData(it)).toString());
  await button(page, "Run all 2 executions again").click();
  await page.waitForURL(/trigger=rerun/);
  const fresh = await listed(page);
  assert.equal(fresh.length, 2);

  // A form that is sent once more runs nothing once more.
  const answer = await page.evaluate((form) => fetch("/executions/rerun", { method: "POST", body: new URLSearchParams(form) }).then((it) => it.url), form);
  await page.goto(answer);
  assert.equal(await page.locator("h1").innerText(), "0 run again");
  await page.goto(`${base}/executions?trigger=rerun`);
  assert.deepEqual(await listed(page), fresh);

  await links(page, chosen, fresh);
  await query(page);
  await nothing(page);
  await page.end();
});

/** From each new one to what it repeats, and back. */
async function links(page, chosen, fresh) {
  const repeated = [];
  for (const id of fresh) {
    await page.goto(`${base}/executions/${id}`);
    const chain = page.getByRole("region", { name: "Chain of re-runs" });
    await chain.locator("tr[aria-current] td:nth-child(5) a").click();
    await page.waitForURL((url) => url.pathname !== `/executions/${id}`);
    const old = new URL(page.url()).pathname.split("/").at(-1);
    repeated.push(old);
    assert.deepEqual(await listed(page), [id], "the old one names the new one");
    await chain.locator("a[data-open]").click();
    await page.waitForURL(`**/executions/${id}`);
    await page.locator("h1 .badge.ko").waitFor();
  }
  assert.deepEqual(repeated.toSorted(), chosen.toSorted());
}

/** All that fit a filter; what somebody ran again since is left alone. */
async function query(page) {
  await page.goto(`${base}/executions?status=ko&trigger=manual`);
  await button(page, /Run again all that fit/).click();
  assert.equal(await page.locator("h1").innerText(), "Run 1 execution again?");
  assert.deepEqual(await page.locator("main h2").allInnerTexts(), ["Would run again: 1 execution", "Would not: 2 executions"]);
  await button(page, "Run 1 execution again").click();
  await page.waitForURL(/\/executions\/[0-9a-f-]{36}$/);
  assert.match(await page.locator("dl.facts").first().innerText(), /\(rerun\)/);
  await page.locator("h1 .badge.ko").waitFor();
}

/** What cannot be is said, and how it can. */
async function nothing(page) {
  page.mayComplain = /status of 422/;
  await page.goto(`${base}/executions`);
  await button(page, /Run the selected again/).click();
  assert.match(await page.locator("main").innerText(), /select some/);
  await page.goto(`${base}/executions/rerun?ids=${facts.ok}`);
  await page.locator("h1", { hasText: "Run 1 execution again?" }).waitFor();
  await page.getByRole("link", { name: "Do not" }).click();
  assert.equal(page.url(), `${base}/executions`);
}
