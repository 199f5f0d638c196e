// Every page, wide, narrow and dark: accessible, no wider than its window, light enough, without a complaint.
import { assert, facts, holds, journey, narrow, open, weight, wide } from "./lib.mjs";

const SHAPES = [["wide", wide, "light"], ["narrow", narrow, "light"], ["dark", wide, "dark"]];
const wrong = [];

/** Does a step, and keeps what was wrong for the end. */
async function told(step) {
  try {
    await step();
  } catch (error) {
    wrong.push(error.message);
  }
}

/** Looks at a page in each shape. */
async function look(page, name) {
  const file = name.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "id").replace(/[^a-z0-9]+/gi, "_");
  const picture = `${process.env.DAYBOOK_PICTURES}/${file}`;
  for (const [shape, window, colorScheme] of SHAPES) {
    await page.setViewportSize(window.viewport);
    // Colours that still change would be measured.
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await told(() => holds(page, `${name}, ${shape},`));
    await page.screenshot({ path: `${picture}-${shape}.png`, fullPage: true });
  }
  await told(() => page.end());
}

await journey(async () => {
  assert.ok(facts.pages.length > 0);
  for (const path of facts.pages) {
    const page = await open(path);
    await told(async () => console.log(path, await weight(page), "bytes"));
    await look(page, path);
  }
  // Pages that a form leads to.
  for (const [path, button] of facts.forms) {
    const page = await open(path);
    await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: button }).click()]);
    await look(page, `${path} ${button}`);
  }
  assert.equal(wrong.join("\n\n"), "", "a page is not sound");
});
