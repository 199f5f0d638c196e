// An operator: what failed, why, whose move is it, may I run it again?
import { writeFileSync } from "node:fs";
import { assert, facts, journey, open } from "./lib.mjs";

await journey(async () => {
  const page = await open("/");
  assert.match(await page.title(), /^\(1\) Overview/, "the title tells how many are red");
  const icon = await page.locator("link[rel=icon]").getAttribute("href");
  assert.equal(icon, "/favicon.svg?red=1");
  const tile = page.locator(".tile").first();
  assert.match(await tile.innerText(), /Ticket shop/, "the red one stands first");
  assert.match(await tile.innerText(), /no product for code FNAC-12/, "it says why");
  assert.match(await tile.innerText(), /Check the mappings/, "and what to do");

  // One click to the execution.
  await tile.locator(".sentence a").click();
  await page.waitForURL(`**/executions/${facts.ko}`);
  const banner = page.locator(".banner.ko");
  assert.match(await banner.innerText(), /no product for code FNAC-12/);
  assert.match(await banner.innerText(), /mapping/i);

  // The cause is mended; it runs again, and is green.
  writeFileSync(facts.mended, "");
  await page.getByRole("link", { name: /run again/i }).or(page.getByRole("button", { name: /run again/i })).first().click();
  await page.getByRole("button", { name: /run 1 execution again/i }).click();
  await page.waitForURL((url) => /^\/executions\/[0-9a-f-]{36}$/.test(url.pathname) && !url.pathname.endsWith(facts.ko));
  await page.locator(".badge.ok").first().waitFor();
  await page.goto(new URL("/", page.url()).href);
  assert.match(await page.title(), /^Overview/, "nothing is red any more");
  await page.end();
});
