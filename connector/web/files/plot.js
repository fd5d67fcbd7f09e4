// Plots over time, as SVG. A sample that was not taken is a gap, never a line.
import { h } from './dom.js';
import { clock } from './format.js';

const HEIGHT = 112;
const TOP = 16;
const BOTTOM = 16;

/** ceiling is the next of 1, 2, 5, 10, 20 … at or above n. */
export function ceiling(n) {
  if (!(n > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  for (const f of [1, 2, 5]) {
    if (n <= f * power * 1.000001) return f * power;
  }
  return 10 * power;
}

// times are round times of day between from and to.
function times(from, to) {
  const span = to - from;
  const step = [60_000, 300_000, 21_600_000].find((s) => span / s <= 6) || 21_600_000;
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const out = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) out.push(t);
  return out;
}

/**
 * plot draws one figure over time: {key, title, samples, value, text, unit, from, to, step, width, hover, least}. value of a sample is a
 * number, or null when it is not known; text shows one; least is the lowest upper end of the scale; color a class. on holds the handlers.
 */
export function plot(p) {
  const width = Math.max(160, p.width || 300);
  const points = p.samples.filter((s) => s.at >= p.from).map((s) => ({ at: s.at, v: p.value(s) }));
  let most = p.least || 0;
  for (const q of points) if (q.v !== null && q.v > most) most = q.v;
  const max = ceiling(most);
  const x = (at) => ((at - p.from) / (p.to - p.from)) * width;
  const y = (v) => HEIGHT - BOTTOM - (Math.min(v, max) / max) * (HEIGHT - TOP - BOTTOM);
  const runs = [];
  let run = null;
  for (const q of points) {
    if (q.v === null) {
      run = null;
    } else if (run && q.at - run[run.length - 1].at <= p.step * 2.6) {
      run.push(q);
    } else {
      run = [q];
      runs.push(run);
    }
  }
  const n1 = (n) => n.toFixed(1);
  const line = runs.map((r) => 'M' + r.map((q) => n1(x(q.at)) + ' ' + n1(y(q.v))).join('L') + (r.length === 1 ? 'h.1' : '')).join('');
  const area = runs.map((r) => 'M' + n1(x(r[0].at)) + ' ' + (HEIGHT - BOTTOM) + 'L' + r.map((q) => n1(x(q.at)) + ' ' + n1(y(q.v))).join('L')
    + 'L' + n1(x(r[r.length - 1].at)) + ' ' + (HEIGHT - BOTTOM) + 'Z').join('');
  const shown = p.hover > 0 ? nearest(points, p.hover, p.step) : points[points.length - 1];
  const known = points.filter((q) => q.v !== null);
  const label = known.length === 0 ? p.title + ': nothing is known yet'
    : p.title + ': now ' + p.text(known[known.length - 1].v) + ', at most ' + p.text(Math.max(...known.map((q) => q.v))) + ' since ' + clock(known[0].at);
  return h('figure', { key: p.key, class: 'plot ' + (p.color || ''), 'data-plot': p.key },
    h('figcaption', null, h('span', { class: 'what' }, p.title),
      h('span', { class: 'value n' }, shown && shown.v !== null ? p.text(shown.v) : '–'),
      h('span', { class: 'at n' }, p.hover > 0 && shown ? clock(shown.at) : '')),
    h('svg', { viewBox: '0 0 ' + width + ' ' + HEIGHT, width, height: HEIGHT, role: 'img', 'aria-label': label, ...p.on },
      [0, 0.5, 1].map((f) => h('line', { class: f ? 'grid' : 'axis', x1: 0, x2: width, y1: n1(y(f * max)), y2: n1(y(f * max)) })),
      times(p.from, p.to).map((t) => h('text', { class: 'tick', x: n1(x(t)), y: HEIGHT - 3, 'text-anchor': x(t) < 16 ? 'start' : x(t) > width - 16 ? 'end' : 'middle' }, clock(t, false))),
      area && h('path', { class: 'area', d: area }),
      line && h('path', { class: 'line', d: line }),
      [0.5, 1].map((f) => h('text', { class: 'tick', x: 2, y: n1(y(f * max) - 3) }, p.text(f * max))),
      p.hover > 0 && shown && h('line', { class: 'cross', x1: n1(x(shown.at)), x2: n1(x(shown.at)), y1: TOP - 8, y2: HEIGHT - BOTTOM }),
      p.hover > 0 && shown && shown.v !== null && h('circle', { class: 'spot', cx: n1(x(shown.at)), cy: n1(y(shown.v)), r: 3 })));
}

function nearest(points, at, step) {
  let best = null;
  for (const q of points) {
    if (!best || Math.abs(q.at - at) < Math.abs(best.at - at)) best = q;
  }
  return best && Math.abs(best.at - at) <= step * 2 ? best : null;
}
