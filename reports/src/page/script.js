'use strict';
// Values under the pointer, and lines that can be hidden. Without this script nothing is missing:
// the numbers are in the tables.
for (const figure of document.querySelectorAll('figure[data-area]')) {
  const svg = figure.querySelector('svg');
  const box = figure.querySelector('.scroll');
  for (const item of figure.querySelectorAll('.legend li')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.title = 'Show or hide';
    button.setAttribute('aria-pressed', 'true');
    button.append(...item.childNodes);
    item.append(button);
    const colour = `var(--tone-${item.dataset.tone})`;
    const drawn = svg.querySelectorAll(`[stroke="${colour}"], [fill="${colour}"]`);
    button.addEventListener('click', () => {
      const shown = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(shown));
      for (const shape of drawn) shape.style.display = shown ? '' : 'none';
    });
  }
  if (figure.dataset.hover !== 'true') continue;
  const [left, right, top, bottom] = figure.dataset.area.split(' ').map(Number);
  const [from, to] = figure.dataset.places.split(' ').map(Number);
  const place = {
    linear: (value) => value,
    log: (value) => Math.log10(value),
    nines: (value) => -Math.log10(Math.max(1 - value / 100, 1e-5)),
  }[figure.dataset.scale];
  const table = figure.querySelector('.data table');
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  let rows = null;
  const read = () => rows ??= [...table.tBodies[0].rows].map((row) => {
    const cells = [...row.cells].map((cell) => cell.textContent);
    return { at: place(Number(cells[0])), cells };
  });
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  figure.append(tip);
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  line.setAttribute('stroke', 'var(--mark)');
  line.setAttribute('y1', top);
  line.setAttribute('y2', bottom);
  line.style.display = 'none';
  svg.append(line);
  let index = -1;
  const hide = () => { tip.hidden = true; line.style.display = 'none'; };
  const show = (at) => {
    const all = read();
    if (all.length === 0) return;
    index = Math.min(Math.max(at, 0), all.length - 1);
    const row = all[index];
    const x = left + ((row.at - from) / (to - from)) * (right - left);
    line.setAttribute('x1', x);
    line.setAttribute('x2', x);
    line.style.display = '';
    tip.textContent = heads.map((head, column) => `${head}  ${row.cells[column] || '–'}`).join('\n');
    tip.hidden = false;
    const drawn = svg.getBoundingClientRect();
    const around = figure.getBoundingClientRect();
    const across = drawn.left - around.left + (x / svg.viewBox.baseVal.width) * drawn.width;
    const room = around.width - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(across + 12, room))}px`;
    tip.style.top = `${drawn.top - around.top + 24}px`;
  };
  svg.addEventListener('pointermove', (event) => {
    const drawn = svg.getBoundingClientRect();
    const x = ((event.clientX - drawn.left) / drawn.width) * svg.viewBox.baseVal.width;
    if (x < left || x > right) { hide(); return; }
    const at = from + ((x - left) / (right - left)) * (to - from);
    const all = read();
    let nearest = 0;
    for (let one = 1; one < all.length; one += 1) {
      if (Math.abs(all[one].at - at) < Math.abs(all[nearest].at - at)) nearest = one;
    }
    show(nearest);
  });
  svg.addEventListener('pointerleave', hide);
  box.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (event.key === 'Escape') hide();
    if (step === undefined) return;
    event.preventDefault();
    show(index < 0 ? 0 : index + step);
  });
  box.addEventListener('blur', hide);
}
