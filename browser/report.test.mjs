// report.html as people use it: looked at, pointed at, by keyboard, on a phone, on paper.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { accessible, launch, open, valid } from './chromium.mjs';
import { Runs } from './runs.mjs';

let browser;
let runs;
let single;
let failed;
let overlay;

before(async () => {
  browser = await launch();
  runs = new Runs();
  const good = runs.run('good');
  const bad = runs.run('bad', 'thresholds.frames_lost== 0', 'gateway.faults.dropped_replies=20%');
  single = `${good}/report.html`;
  failed = `${bad}/report.html`;
  overlay = runs.report('overlay', good, bad);
});

after(async () => {
  await browser?.close();
  runs?.remove();
});

const url = (file) => pathToFileURL(file).href;

test('a page is whole: no error, nothing asked for, every section', async () => {
  for (const file of [single, failed, overlay]) {
    const { page, wrong, close } = await open(browser, url(file));
    const ids = await page.$$eval('section', (all) => all.map((one) => one.id));
    assert.deepEqual(ids, ['thresholds', 'over-time', 'latency', 'playout', 'pool', 'integrity', 'trust', 'again']);
    for (const link of await page.$$eval('nav a', (all) => all.map((one) => one.getAttribute('href')))) {
      assert.equal(await page.locator(link).count(), 1, link);
    }
    assert.deepEqual(wrong, [], file);
    await close();
  }
});

test('pointing at a line shows what its table says', async () => {
  const { page, close } = await open(browser, url(single));
  const figure = page.locator('figure#frames');
  await figure.scrollIntoViewIfNeeded();
  const box = await figure.locator('svg').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const tip = figure.locator('.tip');
  assert.equal(await tip.isVisible(), true);
  const shown = (await tip.textContent()).split('\n').map((line) => line.split('  '));
  const heads = await figure.locator('.data thead th').allTextContents();
  assert.deepEqual(shown.map(([head]) => head), heads);
  const rows = await figure.locator('.data tbody tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
  const numbers = shown.map(([, number]) => (number === '–' ? '' : number));
  assert.ok(rows.some((row) => row.join() === numbers.join()), `${numbers} in the table`);
  await page.mouse.move(box.x + box.width / 2, box.y - 60);
  assert.equal(await tip.isVisible(), false);
  await close();
});

test('the keyboard goes through the values too', async () => {
  const { page, close } = await open(browser, url(single));
  const figure = page.locator('figure#devices');
  await figure.locator('.scroll').first().focus();
  await page.keyboard.press('ArrowRight');
  const first = await figure.locator('.tip').textContent();
  await page.keyboard.press('ArrowRight');
  assert.notEqual(await figure.locator('.tip').textContent(), first);
  await page.keyboard.press('Escape');
  assert.equal(await figure.locator('.tip').isVisible(), false);
  await close();
});

test('a line can be hidden and shown again', async () => {
  const { page, close } = await open(browser, url(single));
  const figure = page.locator('figure#response-latency');
  const button = figure.locator('.legend button', { hasText: 'max' });
  const tone = await figure.locator('.legend li', { hasText: 'max' }).getAttribute('data-tone');
  const lines = figure.locator(`svg [stroke="var(--tone-${tone})"]`);
  assert.ok(await lines.count() > 0, 'the line is drawn');
  const visible = () => lines.evaluateAll((all) => all.filter((one) => getComputedStyle(one).display !== 'none').length);
  const all = await visible();
  await button.click();
  assert.equal(await button.getAttribute('aria-pressed'), 'false');
  assert.equal(await visible(), 0);
  await button.press('Enter');
  assert.equal(await visible(), all);
  await close();
});

test('a table opens, and what is downloaded says the same', async () => {
  const { page, close } = await open(browser, url(single));
  const figure = page.locator('figure#memory');
  const table = figure.locator('.data table');
  assert.equal(await table.isVisible(), false);
  await figure.locator('summary').click();
  assert.equal(await table.isVisible(), true);
  const [download] = await Promise.all([page.waitForEvent('download'), figure.locator('a[download]').click()]);
  assert.equal(download.suggestedFilename(), 'memory.csv');
  const csv = readFileSync(await download.path(), 'utf8').trimEnd().split('\n').map((line) => line.split(','));
  const shown = await table.locator('tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
  assert.deepEqual(csv, shown);
  await close();
});

test('without its script everything is still there', async () => {
  const { page, close } = await open(browser, url(single), { javaScriptEnabled: false });
  assert.ok(await page.locator('figure svg').count() >= 10);
  assert.ok(await page.locator('.legend li').count() > 10);
  await page.locator('figure#cpu summary').click();
  assert.equal(await page.locator('figure#cpu .data table').isVisible(), true);
  await close();
});

test('it fits a phone, and paper', async () => {
  for (const file of [single, failed, overlay]) {
    const { page, close } = await open(browser, url(file), { viewport: { width: 390, height: 844 } });
    const [inner, whole] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(whole <= inner, `${file}: ${whole} wide on ${inner}`);
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.locator('nav').isVisible(), false);
    const pdf = await page.pdf({ format: 'A4' });
    assert.equal(pdf.subarray(0, 5).toString(), '%PDF-');
    assert.ok(pdf.length > 20_000, `${pdf.length} bytes of PDF`);
    await close();
  }
});

test('people who cannot see it well can use it, in light and in dark', async () => {
  for (const file of [single, failed, overlay]) {
    for (const colorScheme of ['light', 'dark']) {
      const { page, close } = await open(browser, url(file), { colorScheme, bypassCSP: true });
      await accessible(page, `${file} in ${colorScheme}`);
      await close();
    }
  }
});

test('what looks for mistakes finds them', async () => {
  const bad = '<!DOCTYPE html><html><head><title>x</title></head><body><img src="data:,"><p style="color:#777;background:#666">pale</p><div></span></body></html>';
  const { page, close } = await open(browser, `data:text/html,${encodeURIComponent(bad)}`);
  await assert.rejects(accessible(page, 'a bad page'), /image-alt|color-contrast/);
  await assert.rejects(valid(bad, 'a bad page'), /close-order|Unexpected close/);
  await close();
  const asking = await open(browser, 'data:text/html,<img src="http://127.0.0.1:9/x" alt="">');
  await asking.page.waitForTimeout(200);
  assert.ok(asking.wrong.some((one) => one.includes('127.0.0.1:9')), asking.wrong.join());
  await asking.close();
});

test('the HTML is valid', async () => {
  for (const file of [single, failed, overlay]) await valid(readFileSync(file, 'utf8'), file);
});
