// What the journeys share: a real Chromium, somebody who is logged in, and what must hold on every page.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";

export const base = process.env.DAYBOOK_URL;
export const facts = JSON.parse(process.env.DAYBOOK_FACTS ?? "{}");
const program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((it) => existsSync(it));

export const wide = { viewport: { width: 1280, height: 800 } };
export const narrow = { viewport: { width: 360, height: 740 } };
/** Nothing takes this long, unless it is broken. */
const PATIENCE = 30_000;
/** A page with its scripts and styles, in bytes. */
const WEIGHT_MAX = 150_000;

let browser;
let state;

/** Runs a journey, and ends with an error when a step fails or a page complained. */
export async function journey(steps) {
  assert.ok(program, "no Chromium on this machine: install Debian's package `chromium`, or run scripts/test");
  // Without a sandbox, since tests run as root; without calls to its maker's hosts, which no test may reach.
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath: program, headless: true, args });
  try {
    await steps();
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

/** Logs in with the one-time link, once for all windows. */
async function login() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(process.env.DAYBOOK_LOGIN);
  assert.equal(new URL(page.url()).pathname, "/", "the link leads to the overview");
  state = await context.storageState();
  await context.close();
}

/** A window in which somebody is logged in; whatever its pages complain of fails the journey. */
export async function open(path, options = wide) {
  if (!state) await login();
  return stranger(path, { storageState: state, ...options });
}

/** A window in which nobody is logged in. What its pages may complain of is set in `page.mayComplain`. */
export async function stranger(path, options = wide) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on("console", (said) => { if (said.type() === "error") complaints.push(`${page.url()}: ${said.text()}`); });
  page.on("request", (request) => {
    if (!request.url().startsWith(base) && !request.url().startsWith("data:")) complaints.push(`asks for ${request.url()}`);
  });
  page.end = async () => {
    await context.close();
    assert.deepEqual(complaints.filter((it) => !page.mayComplain?.test(it)), [], "a page complained");
  };
  await page.goto(base + path);
  return page;
}

/** The executions that a page lists, by their ids, from the top. */
export const listed = (page) => page.locator("tr[data-row] a[data-open]")
  .evaluateAll((all) => all.map((it) => new URL(it.href).pathname.split("/").at(-1)));

/** Loads a page again until it shows this: for pages without scripts. */
export async function seenAgain(page, locator) {
  const end = Date.now() + PATIENCE;
  while (await locator.count() === 0) {
    assert.ok(Date.now() < end, `${page.url()} never showed ${locator}`);
    await page.reload();
  }
}

/** Axe finds nothing that keeps somebody out. */
export async function accessible(page, said) {
  const found = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]).analyze();
  const violations = found.violations.flatMap((it) => it.nodes.map((node) => `${it.id}: ${node.target} ${node.failureSummary}`));
  assert.deepEqual(violations, [], said);
}

/** What must hold on every page: accessible, no wider than the window. */
export async function holds(page, said) {
  await accessible(page, said);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(over <= 0, `${said} is ${over} px wider than its window`);
  assert.equal(await page.locator("h1").count(), 1, `${said} has one heading of the first level`);
}

/** The same, of a page in a window of its own. */
export async function sound(path, options = wide) {
  const page = await open(path, options);
  await holds(page, `${path} ${JSON.stringify(options)}`);
  await page.end();
}

/** How much a browser that had nothing yet loaded for a page, in bytes. */
export async function weight(page) {
  const bytes = await page.evaluate(() => ["navigation", "resource"]
    .flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0));
  // The styles alone are more than this.
  assert.ok(bytes > 20_000, `${page.url()} was not measured: ${bytes} bytes`);
  assert.ok(bytes < WEIGHT_MAX, `${page.url()} weighs ${bytes} bytes`);
  return bytes;
}

export { assert };
