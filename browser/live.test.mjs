// The page of `din watch` while a run goes on.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { accessible, launch, open, valid } from './chromium.mjs';
import { DIN, Runs } from './runs.mjs';

const PATIENCE = 60_000;
let browser;
let runs;
const started = [];

before(async () => {
  browser = await launch();
  runs = new Runs();
});

after(async () => {
  for (const child of started) child.kill();
  await browser?.close();
  runs?.remove();
});

/** Waits until something holds. */
async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await sleep(50);
  }
}

test('the page of a running test goes on by itself, and says when the run is over', async () => {
  const { out, child } = runs.start('live', 'phase.burst.hold=12s');
  started.push(child);
  await until('the first second', () => existsSync(`${out}/progress.json`));
  const watch = spawn(DIN, ['watch', out]);
  started.push(watch);
  const url = await new Promise((resolve) => {
    watch.stdout.on('data', (text) => resolve(/http:\S+/.exec(text)[0]));
  });

  const { page, wrong, close } = await open(browser, url, { bypassCSP: false });
  assert.equal(await page.locator('h1').textContent(), 'Shown in a browser');
  const rows = () => page.locator('figure#frames .data tbody tr').count();
  const first = await rows();
  await until('more seconds', async () => (await rows()) > first);
  assert.ok(await page.locator('figure#response-latency svg').count() === 1, 'the plots of the report');
  const opened = page.locator('figure#cpu details');
  await opened.locator('summary').click();
  const before = await rows();
  // What has the focus is left alone; elsewhere the page goes on, and what was open stays open.
  await page.evaluate(() => document.activeElement.blur());
  await until('another second', async () => (await rows()) > before);
  assert.equal(await opened.evaluate((one) => one.open), true);
  assert.match(await page.locator('#said').textContent(), /Updated each second/);

  const html = await (await fetch(url)).text();
  await valid(html, 'the live page');
  const second = await open(browser, url, { colorScheme: 'dark', bypassCSP: true });
  await accessible(second.page, 'the live page');
  await second.close();

  await until('the end of the run', async () => /run is over/.test(await page.locator('#said').textContent()));
  assert.ok(existsSync(`${out}/report.html`) || child.exitCode === null);
  watch.kill('SIGINT');
  await until('that nobody answers', async () => /Nobody answers/.test(await page.locator('#said').textContent()));
  assert.deepEqual(wrong.filter((one) => !/Failed to (load|fetch)|ERR_CONNECTION/.test(one)), []);
  await close();
});
