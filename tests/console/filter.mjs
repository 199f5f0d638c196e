// Filters: an address says what is shown, and what is shown is what fits.
import { assert, base, facts, holds, journey, listed, open } from "./lib.mjs";

/** All executions, the newest first, as the command line lists them. */
const all = facts.rows;
const fitting = (fits) => all.filter(fits).map((row) => row.id);
const says = (text) => (row) => `${row.first_error?.text ?? ""} ${JSON.stringify(row.params)}`.includes(text);
const took = all.map((row) => row.duration_ms).toSorted((one, other) => one - other);
const between = took[Math.floor(took.length / 2)];
const middle = all[3].created_at;

/** What a form is filled with, and what fits it. */
const FORMS = [
  [{ text: "FNAC-12" }, says("FNAC-12")],
  [{ text: "2026-12-01" }, says("2026-12-01")],
  [{ text: all[2].id }, (row) => row.id === all[2].id],
  [{ interface: "bank" }, (row) => row.interface === "bank"],
  [{ from: middle }, (row) => row.created_at >= middle],
  [{ to: middle }, (row) => row.created_at < middle],
  [{ from: "1h" }, () => true],
  [{ schedule: "shop/sales" }, (row) => row.schedule === "sales"],
  [{ trigger: "rerun" }, (row) => row.trigger === "rerun"],
  [{ min_ms: `${between}ms` }, (row) => row.duration_ms >= between],
  [{ max_ms: `${between}ms` }, (row) => row.duration_ms <= between],
  [{ reference: "KAY-7" }, (row) => row.references.includes("KAY-7")],
  [{ interface: "shop", schedule: "tickets", trigger: "manual" }, (row) => row.schedule === "tickets" && row.trigger === "manual"],
];
/** Rarer filters, which a fold hides. */
const RARE = ["to", "schedule", "trigger", "min_ms", "max_ms", "reference"];

/** What the fields of the form hold. */
const filled = (page, names) => page.evaluate((names) => Object.fromEntries(names.map((name) => [name, document.getElementById(name).value])), names);

await journey(async () => {
  const page = await open("/executions");
  assert.deepEqual(await listed(page), fitting(() => true));
  for (const [values, fits] of FORMS) await byForm(page, values, fits);
  await byChips(page);
  await emptyAndWrong(page);
  await byPages(page);
  await otherLists(page);
  await ofEvents(page);
  await page.end();
});

async function fill(page, values) {
  for (const [name, value] of Object.entries(values)) {
    const field = page.locator(`.filters #${name}`);
    if (RARE.includes(name) && !await field.isVisible()) await page.getByText("More filters").click();
    if (await field.evaluate((it) => it.localName) === "select") await field.selectOption(value); else await field.fill(value);
  }
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await page.waitForURL((url) => Object.entries(values).every(([name, value]) => url.searchParams.get(name) === value));
}

/** A form makes an address; back and forward restore both, and so does opening it elsewhere. */
async function byForm(page, values, fits) {
  const said = JSON.stringify(values);
  const names = Object.keys(values);
  assert.ok(fitting(fits).length > 0, `${said} fits something`);
  await fill(page, values);
  const address = page.url();
  const isShown = async () => {
    assert.deepEqual(await listed(page), fitting(fits), said);
    assert.deepEqual(await filled(page, names), values);
    for (const name of names) assert.ok(await page.locator(`#${name}`).isVisible(), `${name} is set, so it is seen`);
  };
  await isShown();
  await page.goBack();
  assert.equal(new URL(page.url()).search, "");
  assert.deepEqual(await listed(page), fitting(() => true));
  await page.goForward();
  assert.equal(page.url(), address);
  await isShown();
  await page.getByRole("link", { name: "Clear filters" }).click();
  assert.equal(page.url(), `${base}/executions`);
}

/** Chips add up with each other and with the form. */
async function byChips(page) {
  const press = (name) => page.locator(".chips a", { hasText: name }).click();
  const isKo = (row) => row.status === "ko";
  await press("KO");
  assert.equal(new URL(page.url()).search, "?status=ko");
  assert.deepEqual(await listed(page), fitting(isKo));
  await press("mapping");
  const mapping = (row) => isKo(row) && row.class === "mapping";
  assert.deepEqual(await listed(page), fitting(mapping));
  await fill(page, { text: "2026-12-01" });
  assert.deepEqual(await listed(page), fitting((row) => mapping(row) && says("2026-12-01")(row)));
  await press("7 days");
  assert.deepEqual(Object.fromEntries(new URL(page.url()).searchParams), { status: "ko", class: "mapping", text: "2026-12-01", from: "7d" });
  await press("any status");
  await press("mapping");
  await press("any time");
  assert.equal(new URL(page.url()).search, "?text=2026-12-01");
  await press("KO");
  await press("OK");
  await page.getByRole("link", { name: "Clear filters" }).click();
}

async function emptyAndWrong(page) {
  await fill(page, { text: "nowhere" });
  await page.getByRole("heading", { name: "No execution fits" }).waitFor();
  await page.locator("main").getByRole("link", { name: "clear filters", exact: true }).click();
  assert.deepEqual(await listed(page), fitting(() => true));
  page.mayComplain = /status of 422/;
  await fill(page, { from: "someday" });
  assert.match(await page.locator("main").innerText(), /from.*someday/s, "what is wrong is named with its value");
  await holds(page, "a problem");
  await page.goBack();
  assert.deepEqual(await listed(page), fitting(() => true));
}

/** Older and newer pages, each execution once, whatever fits. */
async function byPages(page) {
  await page.goto(`${base}/executions?limit=3&interface=shop`);
  const shop = fitting((row) => row.interface === "shop");
  const way = (name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name });
  const pages = [await listed(page)];
  while (await way(/older/).count() > 0) {
    await way(/older/).click();
    pages.push(await listed(page));
    assert.equal(new URL(page.url()).searchParams.get("interface"), "shop");
  }
  assert.ok(pages.length > 2);
  assert.deepEqual(pages.flat(), shop);
  for (const rows of pages.toReversed().slice(1)) {
    await way(/newer/).click();
    assert.deepEqual(await listed(page), rows);
  }
  assert.equal(await way(/newer/).count(), 0, "this is the newest page");
}

async function otherLists(page) {
  const rows = () => page.locator("tr[data-row] a[data-open]").allInnerTexts();
  await page.goto(`${base}/schedules`);
  await fill(page, { text: "tick" });
  assert.deepEqual(await rows(), ["shop/tickets"]);
  await page.getByRole("link", { name: "Clear filters" }).click();
  await fill(page, { interface: "bank" });
  assert.deepEqual(await rows(), ["bank/statements"]);
  await fill(page, { state: "paused" });
  await page.getByRole("heading", { name: "No schedule fits" }).waitFor();
  await page.goto(`${base}/interfaces`);
  await fill(page, { text: "sales@" });
  assert.deepEqual(await rows(), ["Ticket shop"]);
  await fill(page, { text: "nobody" });
  await page.getByRole("heading", { name: "No interface fits" }).waitFor();
}

async function ofEvents(page) {
  const cells = (n) => page.locator(`tr[data-row] td:nth-child(${n})`).allInnerTexts();
  const positions = async () => (await cells(1)).map(Number);
  await page.goto(`${base}/events`);
  const newest = await positions();
  assert.equal(newest.length, 50);
  await page.getByRole("link", { name: "Older" }).click();
  const older = await positions();
  assert.deepEqual([...newest, ...older], [...newest, ...older].toSorted((one, other) => other - one));
  assert.equal(older[0], newest.at(-1) - 1, "no event is left out");
  await page.getByRole("link", { name: "First page" }).click();
  await fill(page, { type: "closed" });
  assert.deepEqual(new Set(await cells(4)), new Set(["closed"]));
  assert.equal((await positions()).length, all.length);
  await fill(page, { stream: `execution/${all[0].id}` });
  assert.deepEqual(await cells(5), [`execution/${all[0].id}`]);
  await page.getByRole("link", { name: "Clear filters" }).click();
  await fill(page, { after: "10" });
  assert.equal((await positions())[0], 11);
  await page.goBack();
  assert.deepEqual(await positions(), newest);
  await fill(page, { stream: "schedule/no/where" });
  await page.getByRole("heading", { name: "No event fits" }).waitFor();
}
