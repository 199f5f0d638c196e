// Every page, wide, narrow and dark: accessible, no wider than its window, light enough, without a complaint.
import { assert, facts, journey, narrow, open, sound, weight, wide } from "./lib.mjs";

const dark = { ...wide, colorScheme: "dark" };

await journey(async () => {
  for (const path of facts.pages) {
    for (const options of [wide, narrow, dark]) await sound(path, options);
    const picture = await open(path);
    await picture.screenshot({ path: `${process.env.DAYBOOK_PICTURES}/${path.replace(/[^a-z0-9]+/gi, "_")}.png`, fullPage: true });
    await picture.end();
    console.log(path, await weight(path), "bytes");
  }
  assert.ok(facts.pages.length > 0);
});
