// Who comes in, how, and what others may not.
import { assert, base, facts, journey, stranger } from "./lib.mjs";

const link = process.env.DAYBOOK_LOGIN;
const path = (page) => new URL(page.url()).pathname;
const says = async (page, text) => assert.match(await page.locator("main").innerText(), text);

await journey(async () => {
  await byLink();
  await byToken();
  await asViewer();
  await fromElsewhere();
  // Last, since it counts against this machine's address.
  await byGuessing();
});

/** A link works once, and leaves no secret in an address. */
async function byLink() {
  const page = await stranger("/login");
  await page.goto(link);
  assert.equal(page.url(), `${base}/`);
  const cookies = await page.context().cookies();
  assert.deepEqual(cookies.map(({ name, httpOnly, sameSite, path }) => ({ name, httpOnly, sameSite, path })),
    [{ name: "daybook_session", httpOnly: true, sameSite: "Lax", path: "/" }]);
  assert.equal(await page.evaluate(() => document.cookie), "", "no script reads it");
  assert.ok(!link.endsWith(cookies[0].value), "it is another secret");
  await page.end();

  const other = await stranger("/login");
  other.mayComplain = /status of 401/;
  const answer = await other.goto(link);
  assert.equal(answer.status(), 401);
  await says(other, /was used/);
  assert.ok(!(await other.content()).includes(new URL(link).pathname), "the page repeats no secret");
  await other.getByRole("link", { name: "Log in" }).click();
  assert.equal(path(other), "/login");
  await other.end();
}

/** A token gives what it may do, and leads to what was wanted, on this site alone. */
async function byToken() {
  const page = await stranger("/schedules/shop/sales");
  assert.equal(page.url(), `${base}/login?next=%2Fschedules%2Fshop%2Fsales`);
  assert.equal(await page.evaluate(() => document.activeElement.id), "token");
  assert.equal(await page.locator("#token").getAttribute("type"), "password");
  await page.keyboard.type(facts.operator);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${base}/schedules/shop/sales`);
  assert.equal(await page.locator(".who [title]:not(button)").innerText(), "operator");
  await page.getByText("Run now").first().waitFor();
  await page.end();

  const lured = await stranger("/login?next=https%3A%2F%2Fevil.example%2F");
  await lured.locator("#token").fill(facts.operator);
  await lured.keyboard.press("Enter");
  await lured.waitForURL(`${base}/`);
  await lured.end();
}

/** Somebody who may only look sees nothing that he may not do, and is told so where he tries. */
async function asViewer() {
  const page = await stranger(`/login?next=${encodeURIComponent(`/executions/${facts.ko}`)}`);
  await page.locator("#token").fill(facts.viewer);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${base}/executions/${facts.ko}`);
  const absent = async (...names) => {
    for (const name of names) assert.equal(await page.getByText(name).count(), 0, `${page.url()}: ${name}`);
  };
  await absent("Run again…", "Write it down");
  await page.keyboard.press("R");
  await page.goto(`${base}/executions?status=ko`);
  await absent("Run the selected again…", "Run again all that fit…");
  assert.equal(await page.locator("input[type=checkbox]").count(), 0);
  await page.goto(`${base}/schedules/shop/tickets`);
  await absent("Run now", "Pause", "Backfill", "Skip the next slot");
  await page.goto(`${base}/interfaces/shop`);
  await absent("Pause", "Test the connection");
  await page.goto(`${base}/events`);
  await absent("Is all of it whole?");

  page.mayComplain = /status of 403/;
  const answer = await page.goto(`${base}/executions/rerun?ids=${facts.ko}`);
  assert.equal(answer.status(), 403);
  await says(page, /needs the role operator, and the caller is viewer/);
  await page.end();
}

/** Another site cannot make a browser that is logged in change something. */
async function fromElsewhere() {
  const page = await stranger("/login");
  await page.locator("#token").fill(facts.operator);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${base}/`);
  const runs = async () => (await page.request.get(`${base}/api/executions?schedule=sales`)).json().then(({ items }) => items.length);
  const before = await runs();
  // With the cookie, but from another origin, or from none that is named.
  for (const headers of [{ origin: "http://evil.example" }, { origin: "null" }, { "sec-fetch-site": "cross-site" }, {}]) {
    const answer = await page.request.post(`${base}/schedules/shop/sales`, { headers: { ...headers, accept: "text/html" }, form: { do: "run" } });
    assert.equal(answer.status(), 403, JSON.stringify(headers));
    assert.match(await answer.text(), /must come from the console's own pages/);
  }
  // A page of another site, as a browser sends its form.
  await page.context().route("http://evil.example/", (route) => route.fulfill({
    contentType: "text/html",
    body: `<form method="post" action="${base}/schedules/shop/sales"><button name="do" value="run">Win</button></form>`,
  }));
  page.mayComplain = /evil\.example|status of 40[13]/;
  await page.goto("http://evil.example/");
  const [answer] = await Promise.all([page.waitForResponse(`${base}/schedules/shop/sales`), page.getByRole("button", { name: "Win" }).click()]);
  assert.ok([401, 403].includes(answer.status()), `${answer.status()}`);
  assert.equal(await runs(), before, "nothing ran");
  await page.end();
}

/** Wrong tokens are refused, then slowed down; a right one still works. */
async function byGuessing() {
  const page = await stranger("/login");
  page.mayComplain = /status of (401|429)/;
  const enter = async (token) => {
    await page.goto(`${base}/login`);
    await page.locator("#token").fill(token);
    const said = page.waitForResponse((it) => it.request().method() === "POST");
    const [answer] = await Promise.all([said, page.waitForEvent("load"), page.keyboard.press("Enter")]);
    return answer;
  };
  const first = await enter("not-a-token");
  assert.equal(first.status(), 401);
  await says(page, /The token or link is not valid/i);
  assert.ok(!page.url().includes("not-a-token") && !(await page.content()).includes("not-a-token"));
  let tries = 1;
  let answer = first;
  while (answer.status() === 401 && tries < 50) { answer = await enter("not-a-token"); tries++; }
  assert.equal(answer.status(), 429, `after ${tries} tries`);
  assert.ok(Number(answer.headers()["retry-after"]) > 0);
  await says(page, /too many failed logins/i);
  assert.equal((await enter(facts.viewer)).status(), 303);
  await page.waitForURL(`${base}/`);
  await page.end();
}
