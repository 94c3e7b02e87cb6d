'use strict';
// The state of the run, each second; what is open, focused or scrolled stays so.
const state = document.getElementById('state');
const said = document.getElementById('said');
const say = (text) => { if (said.textContent !== text) said.textContent = text; };
async function update() {
  try {
    const answer = await fetch('/update', { cache: 'no-store' });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    const open = [...state.querySelectorAll('figure details[open]')].map((one) => one.closest('figure').id);
    const focused = document.activeElement?.closest?.('figure')?.id;
    if (focused === undefined) {
      state.innerHTML = text;
      for (const id of open) {
        const details = document.getElementById(id)?.querySelector('details');
        if (details) details.open = true;
      }
    }
    say({
      over: 'The run is over: this is how it ended. Its report.html is in the run directory, or will be in a moment.',
      killed: 'The run tells nothing any more: it was killed. These are its last seconds; it has no report.',
    }[answer.headers.get('Din-State')] ?? 'Updated each second.');
  } catch {
    say('Nobody answers: din watch has ended. This is the last that it told.');
  }
}
setInterval(update, 1000);
