// Runs for the pages to show: short ones, made once for all tests, into a directory of their own.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const DIN = resolve(process.env.DIN ?? '../target/debug/din');
const SCENARIO = `
title = "Shown in a browser"
question = "Do 6 devices get their own speech back?"
[gateway]
backend = "relay"
workers = { min = 1, max = 3 }
burn = { kind = "wait", time = "5ms" }
[[phase]]
name = "calm"
devices = 2
hold = "2s"
[[phase]]
name = "burst"
devices = 6
hold = "2s"
[[action]]
name = "storm"
at = "burst + 1s"
do = "devices.drop"
share = "50%"
[thresholds]
"frames_received" = "> 0"
"burst.response_latency.p99" = "< 10s"
`;

export class Runs {
  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'din-browser-'));
    this.scenario = join(this.directory, 'shown.toml');
    writeFileSync(this.scenario, SCENARIO);
  }

  /** Runs the scenario with changes, and returns its run directory. */
  run(name, ...changes) {
    const out = join(this.directory, name);
    const set = changes.flatMap((change) => ['--set', change]);
    const args = ['run', this.scenario, '--quiet', '--out', out, '--priority', 'ordinary', ...set];
    try {
      execFileSync(DIN, args, { stdio: 'pipe', timeout: 60_000 });
    } catch (error) {
      // A run that fails, or that a busy machine makes INVALID, has a report as well.
      if (![1, 3].includes(error.status)) throw error;
    }
    return out;
  }

  /** Starts it and does not wait. */
  start(name, ...changes) {
    const out = join(this.directory, name);
    const set = changes.flatMap((change) => ['--set', change]);
    const child = spawn(DIN, ['run', this.scenario, '--quiet', '--out', out, '--priority', 'ordinary', ...set]);
    return { out, child };
  }

  /** A command about more than one run, and the directory of its page. */
  study(command, ...args) {
    const out = join(this.directory, command);
    const how = ['search', 'compare'].includes(command) ? ['--priority', 'ordinary'] : [];
    try {
      execFileSync(DIN, [command, ...args, '--out', out, ...how], { stdio: 'pipe', timeout: 120_000 });
    } catch (error) {
      // What is not met or not known has a page as well.
      if (![1, 4].includes(error.status)) throw error;
    }
    return out;
  }

  report(name, ...directories) {
    const out = join(this.directory, name);
    execFileSync(DIN, ['report', ...directories, '--out', out], { stdio: 'pipe', timeout: 60_000 });
    return join(out, 'report.html');
  }

  remove() {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
