// Every page, wide, narrow and dark: accessible, no wider than its window, light enough, without a complaint.
import { assert, facts, journey, narrow, open, sound, weight, wide } from "./lib.mjs";

const dark = { ...wide, colorScheme: "dark" };

await journey(async () => {
  assert.ok(facts.pages.length > 0);
  const wrong = [];
  const told = async (step) => {
    try {
      await step();
    } catch (error) {
      wrong.push(error.message);
    }
  };
  for (const path of facts.pages) {
    for (const options of [wide, narrow, dark]) await told(() => sound(path, options));
    await told(async () => {
      const picture = await open(path);
      await picture.screenshot({ path: `${process.env.DAYBOOK_PICTURES}/${path.replace(/[^a-z0-9]+/gi, "_")}.png`, fullPage: true });
      await picture.end();
    });
    await told(async () => console.log(path, await weight(path), "bytes"));
  }
  assert.equal(wrong.join("\n\n"), "", "a page is not sound");
});
