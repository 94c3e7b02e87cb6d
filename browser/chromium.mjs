// The distribution's Chromium, without a screen and without a network.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { HtmlValidate } from 'html-validate';

const require = createRequire(import.meta.url);
const AXE = require.resolve('axe-core/axe.min.js');
const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function launch() {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  assert.ok(executablePath, 'there is no Chromium: `just test-browser` installs it');
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
  return chromium.launch({ executablePath, args });
}

/** A page that fails the test when it logs an error or asks for anything that is not its own. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  const own = new URL(url);
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (to.protocol !== 'data:' && to.origin !== own.origin) wrong.push(`asked for ${to}`);
  });
  await page.goto(url);
  return { page, wrong, close: () => context.close() };
}

/** No finding that axe calls serious or critical. */
export async function accessible(page, what) {
  await page.evaluate(() => document.querySelectorAll('details').forEach((one) => { one.open = true; }));
  // The page's own policy lets no foreign script in: axe comes by the debugger.
  await page.addScriptTag({ path: AXE }).catch(() => page.evaluate(require('node:fs').readFileSync(AXE, 'utf8')));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
  const told = serious.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' | ')}`);
  assert.deepEqual(told, [], what);
}

const validator = new HtmlValidate({
  extends: ['html-validate:standard'],
  rules: {
    // Inline style is what a page in one file has.
    'no-inline-style': 'off',
    'require-sri': 'off',
    'long-title': 'off',
    'no-redundant-role': 'error',
  },
});

/** HTML that keeps to its standard. */
export async function valid(html, what) {
  const report = await validator.validateString(html);
  const told = report.results.flatMap((result) => result.messages.map((one) => `${one.ruleId}: ${one.message} (line ${one.line})`));
  assert.deepEqual([...new Set(told)].slice(0, 20), [], what);
}
