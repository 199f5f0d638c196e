// Figures of the log viewer on a log of `facts.lines` lines, one of which, `facts.needle`, holds "needle".
import { facts, journey, open } from "./lib.mjs";

const log = `/executions/${facts.long}/log`;
const figures = {};
const share = (values, q) => values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * q))];

await journey(async () => {
  const page = await open("/");
  await page.goto(new URL(log, page.url()).href, { waitUntil: "commit" });
  // A quick viewer is there before the lines of the page were seen.
  await page.waitForFunction(() => document.querySelector(".loglines li[id], .logview .logrow"), null, { polling: "raf" });
  figures["first rows of the page, ms"] = await page.evaluate(() => Math.round(performance.now()));
  const whole = () => page.waitForFunction(() => {
    const rows = [...document.querySelectorAll(".logview .logrow:not([hidden])")];
    return rows.length > 0 && !rows.some((row) => row.classList.contains("coming"));
  }, null, { polling: "raf" });
  await whole();
  figures["first rows of the viewer, ms"] = await page.evaluate(() => Math.round(performance.now()));

  // Jumps of the bar to anywhere, until every row in sight is there.
  const jumps = await page.evaluate(async (count) => {
    const view = document.querySelector(".logview");
    const took = [];
    let seed = 7;
    for (let n = 0; n < count; n++) {
      seed = (seed * 48271) % 2147483647;
      const began = performance.now();
      view.scrollTop = (seed / 2147483647) * (view.scrollHeight - view.clientHeight);
      await new Promise((done) => {
        const look = () => {
          const rows = [...view.querySelectorAll(".logrow:not([hidden])")];
          if (performance.now() - began > 5 && !rows.some((row) => row.classList.contains("coming"))) done(); else requestAnimationFrame(look);
        };
        requestAnimationFrame(() => requestAnimationFrame(look));
      });
      took.push(performance.now() - began);
    }
    return took;
  }, 60);
  figures["60 jumps, median ms"] = Math.round(share(jumps, 0.5));
  figures["60 jumps, p99 ms"] = Math.round(share(jumps, 0.99));

  // A wheel that turns for ten seconds.
  await page.locator(".logview").hover();
  await page.evaluate(() => {
    window.frames_ = [];
    let last = performance.now();
    const frame = (now) => { window.frames_.push(now - last); last = now; window.raf_ = requestAnimationFrame(frame); };
    window.raf_ = requestAnimationFrame(frame);
  });
  const until = Date.now() + 10_000;
  while (Date.now() < until) { await page.mouse.wheel(0, 120); await page.waitForTimeout(16); }
  const frames = await page.evaluate(() => { cancelAnimationFrame(window.raf_); return window.frames_.slice(1); });
  figures["frames of the wheel"] = frames.length;
  // A frame of a display with 60 Hz lasts 16.67 ms; one that was missed, twice as long.
  figures["of which missed, %"] = Math.round((frames.filter((ms) => ms > 25).length / frames.length) * 1000) / 10;
  figures["longest frame, ms"] = Math.round(Math.max(...frames));

  await page.goto(new URL(log, page.url()).href);
  await whole();
  await page.keyboard.press("/");
  await page.keyboard.type("needle");
  const began = Date.now();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".logview mark"), null, { polling: "raf" });
  figures[`search up to line ${facts.needle}, ms`] = Date.now() - began;
  const client = await page.context().newCDPSession(page);
  await client.send("HeapProfiler.collectGarbage");
  const { usedSize } = await client.send("Runtime.getHeapUsage");
  figures["heap, MB"] = Math.round(usedSize / 1e5) / 10;
  figures["elements"] = await page.evaluate(() => document.querySelectorAll("*").length);
  await page.end();
});
console.log(JSON.stringify(figures, null, 2));
