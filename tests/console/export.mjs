// Files for others: each link brings one, whole, and of what the page shows.
import { readFileSync } from "node:fs";
import { assert, facts, journey, listed, open } from "./lib.mjs";

/** Rows of a CSV text, by RFC 4180: a cell in quotes may hold anything. */
function rows(text) {
  const all = [[""]];
  let quoted = false;
  for (let n = 0; n < text.length; n++) {
    const [letter, row] = [text[n], all.at(-1)];
    if (quoted && letter === '"' && text[n + 1] === '"') { row[row.length - 1] += letter; n++; }
    else if (letter === '"') quoted = !quoted;
    else if (!quoted && letter === ",") row.push("");
    else if (!quoted && letter === "\n") all.push([""]);
    else if (quoted || letter !== "\r") row[row.length - 1] += letter;
  }
  assert.deepEqual(all.pop(), [""], "the last line has its end");
  return all;
}

/** Clicks on a link; the file that it brings. */
async function file(page, name) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name, exact: true }).click()]);
  const path = `${facts.folder}/${download.suggestedFilename()}`;
  await download.saveAs(path);
  return { path, bytes: readFileSync(path), text: readFileSync(path, "utf8") };
}

const table = (text) => {
  const [head, ...body] = rows(text.replace(/^\ufeff/, ""));
  for (const row of body) assert.equal(row.length, head.length, "each row has all cells");
  return body.map((row) => Object.fromEntries(head.map((name, n) => [name, row[n]])));
};
const objects = (text) => text.trimEnd().split("\n").map((row) => JSON.parse(row));

await journey(async () => {
  const made = {};
  const list = await open("/executions?status=ko&interface=shop");
  const ids = await listed(list);
  assert.equal(ids.length, facts.ko.length);
  made.list = (await file(list, "Excel")).path;
  const csv = table((await file(list, "CSV")).text);
  assert.deepEqual(csv.map((row) => row.id).toSorted(), ids.toSorted());
  assert.deepEqual(new Set(csv.map((row) => row.status)), new Set(["ko"]));
  const json = objects((await file(list, "JSON Lines")).text);
  assert.deepEqual(json.map((row) => row.id), csv.map((row) => row.id));
  await list.end();

  const page = await open(`/executions/${facts.ko[0]}`);
  made.one = (await file(page, "Excel")).path;
  const lines = objects((await file(page, "JSON Lines")).text).filter((it) => it.row === "line");
  const cells = table((await file(page, "CSV")).text);
  assert.equal(cells.length, lines.length);
  assert.ok(lines.some((line) => line.text?.includes("no product for code FNAC-12")));
  assert.ok(cells.some((row) => Object.values(row).some((cell) => cell.includes("no product for code FNAC-12"))));
  await page.end();

  // The log's own links bring the same.
  const log = await open(`/executions/${facts.ko[0]}/log`);
  assert.deepEqual(objects((await file(log, "JSON Lines")).text).filter((it) => it.row === "line"), lines);
  assert.match((await file(log, "text")).text, /no product for code FNAC-12/);
  for (const path of Object.values(made)) assert.equal(readFileSync(path, "latin1").slice(0, 2), "PK");
  console.log(JSON.stringify(made));
  await log.end();
});
