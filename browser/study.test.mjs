// The pages of searches, plans, comparisons and histories: whole, on a phone, for those who see badly.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { accessible, launch, open, valid } from './chromium.mjs';
import { Runs } from './runs.mjs';

let browser;
let runs;
let pages;

before(async () => {
  browser = await launch();
  runs = new Runs();
  const one = join(runs.directory, 'one.toml');
  writeFileSync(one, readFileSync(runs.scenario, 'utf8').replace(/\[\[phase\]\]\nname = "burst"[^]*\[thresholds\]/, '[thresholds]').replace(/"burst[^\n]*/, ''));
  const found = runs.study('search', one, '--trial', '2', '--sum', '2', '--most', '2', '--set', 'gateway.workers=1');
  const compared = runs.study('compare', one, '--pairs', '1', '--b', 'gateway.dispatch=sticky');
  const history = runs.study('history', found);
  pages = { search: found, compare: compared, history, plan: runs.study('plan', ...searches(found)) };
  for (const name in pages) pages[name] = join(pages[name], 'report.html');
});

/** The search as it would be with 1, 2 and 4 workers. */
function searches(found) {
  const kept = JSON.parse(readFileSync(join(found, 'search.json'), 'utf8'));
  const level = (workers) => {
    const [met, missed] = [workers * 50, workers * 52];
    const trial = (value) => ({ ...kept.trials[0], value, good: value === met, seen: { ...kept.trials[0].seen, workers } });
    const accounts = { [met]: { good_s: 2, bad_s: 0 }, [missed]: { good_s: 0, bad_s: 2 } };
    const directory = join(runs.directory, `with-${workers}`);
    mkdirSync(directory);
    writeFileSync(join(directory, 'search.json'), JSON.stringify({ ...kept, search: { ...kept.search, accounts }, trials: [trial(met), trial(missed)] }));
    return directory;
  };
  return [1, 2, 4].map(level);
}

after(async () => {
  await browser?.close();
  runs?.remove();
});

const each = (look) => Promise.all(Object.entries(pages).map(([name, file]) => look(file, name)));
const url = (file) => pathToFileURL(file).href;

test('a page is whole: no error, nothing asked for, an answer and every section', async () => {
  await each(async (file, name) => {
    const { page, wrong, close } = await open(browser, url(file));
    assert.ok((await page.locator('.badge').textContent()).length > 2, name);
    const links = await page.$$eval('nav a', (all) => all.map((one) => one.getAttribute('href')));
    assert.ok(links.length >= 2, name);
    for (const link of links) assert.equal(await page.locator(link).count(), 1, link);
    assert.ok(await page.locator('figure svg').count() >= 1, name);
    assert.match(await page.locator('#basis pre').textContent(), new RegExp(`^din ${name} `));
    assert.deepEqual(wrong, [], name);
    await close();
  });
});

test('it fits a phone, and is readable in light and in dark', async () => {
  for (const [name, file] of Object.entries(pages)) {
    const phone = await open(browser, url(file), { viewport: { width: 390, height: 844 } });
    const [inner, whole] = await phone.page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(whole <= inner, `${name}: ${whole} wide on ${inner}`);
    await phone.close();
    for (const colorScheme of ['light', 'dark']) {
      const { page, close } = await open(browser, url(file), { colorScheme, bypassCSP: true });
      await accessible(page, `${name} in ${colorScheme}`);
      await close();
    }
  }
});

test('the HTML is valid', async () => {
  await each((file, name) => valid(readFileSync(file, 'utf8'), name));
});
