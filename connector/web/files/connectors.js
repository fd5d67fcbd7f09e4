// What is shown of a connector.
import { h } from './dom.js';
import { bytes, bytesOf, clock, count, duration, durationOf, moment, none, plural, rate } from './format.js';
import { plot } from './plot.js';

// A lag above these is shown as one: the watermark is some seconds behind at the best of times.
export const LATE_MS = 10_000;

/** combine sums up what the workers of a connector say. */
export function combine(name, entry) {
  const said = entry.progress || [];
  const views = said.map((p) => p.status);
  const sum = (field) => views.reduce((n, v) => n + (v[field] || 0), 0);
  const c = {
    name, type: entry.status ? entry.status.type : '', status: entry.status || null, workers: said.length,
    class: views.length ? views[0].class : '', at: Math.max(0, ...said.map((p) => p.at)), views,
    records: sum('records'), bytes: sum('bytes'), cells: sum('cells'), retries: sum('retries'), replays: sum('replays'),
    deadLettered: sum('deadLettered'), lagRecords: sum('lagRecords'), lateRecords: sum('lateRecords'), bulkLoads: sum('bulkLoads'),
    lagMs: null, watermark: null, snapshot: null, tables: tablesOf(views),
    error: views.map((v) => v.error).filter(Boolean)[0] || '', phase: views.map((v) => v.phase).filter(Boolean)[0] || '',
  };
  for (const v of views) {
    if (v.lagMs !== undefined) c.lagMs = Math.max(c.lagMs || 0, v.lagMs);
    const w = v.watermark;
    if (w && (!c.watermark || (w.time || '') > (c.watermark.time || ''))) c.watermark = w;
  }
  c.snapshot = snapshotOf(views);
  c.state = stateOf(c);
  return c;
}

// tablesOf sums up tables by name.
function tablesOf(views) {
  const all = new Map();
  for (const v of views) {
    for (const t of v.tables || []) {
      const to = all.get(t.name) || { name: t.name, records: 0, cells: 0, bytes: 0, snapshotRows: 0, lastRecord: '' };
      to.records += t.records;
      to.cells += t.cells;
      to.bytes += t.bytes;
      to.snapshotRows += t.snapshotRows;
      if ((t.lastRecord || '') > to.lastRecord) to.lastRecord = t.lastRecord;
      all.set(t.name, to);
    }
  }
  return [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

// snapshotOf takes the counters of all workers, and of the plan, which is one for all, what the one that is farthest says.
function snapshotOf(views) {
  let out = null;
  for (const v of views) {
    const s = v.snapshot;
    if (!s) continue;
    if (!out) {
      out = { ...s, tables: s.tables || [], limits: s.limits || {} }; // an older worker says less
      continue;
    }
    out.rows += s.rows;
    out.bytes += s.bytes;
    if (s.shardsDone > out.shardsDone) Object.assign(out, { shardsDone: s.shardsDone, shardsTotal: s.shardsTotal, tables: s.tables || out.tables });
    out.secondsLeft = Math.max(out.secondsLeft || 0, s.secondsLeft || 0);
  }
  return out;
}

// stateOf is the worst of what Connect's status says, else what the connector does. Words are those of the REST API and of the command line.
function stateOf(c) {
  const s = c.status;
  if (s) {
    if (s.connector.state !== 'RUNNING') return s.connector.state;
    if (s.tasks.some((t) => t.state === 'FAILED')) return 'FAILED';
  }
  const order = ['FAILED', 'WAITING', 'STARTING', 'SNAPSHOT', 'RUNNING', 'STOPPED'];
  const states = c.views.map((v) => v.state).sort((a, b) => order.indexOf(a) - order.indexOf(b));
  return states[0] || (s && s.tasks.length && s.tasks[0].state) || 'UNASSIGNED';
}

const TONE = {
  RUNNING: 'good', SNAPSHOT: 'busy', STARTING: 'busy', RESTARTING: 'busy', WAITING: 'warn', PAUSED: 'warn', UNASSIGNED: 'warn', STOPPED: 'idle', FAILED: 'bad',
};

export const pill = (state) => h('span', { class: 'pill ' + (TONE[state] || 'idle'), 'data-field': 'state', 'data-value': state }, state);

/** late says why a connector lags, "" when it does not. */
export function late(c) {
  if (c.state === 'PAUSED' || c.state === 'STOPPED') return '';
  const w = c.watermark;
  if (w && w.lagMs > LATE_MS && c.state === 'RUNNING') return 'watermark ' + duration(w.lagMs) + ' behind';
  if (c.lagRecords > 0 && (c.state === 'WAITING' || c.lagMs > LATE_MS)) return plural(c.lagRecords, 'record') + ' not applied';
  return '';
}

const figure = (label, field, value, [text, unit], tone = '') => h('div', { class: 'figure ' + tone },
  h('dt', null, label), h('dd', { class: 'n', 'data-field': field, 'data-value': value ?? '' }, text, unit && h('small', null, unit)));

const latest = (samples) => (samples.length ? samples[samples.length - 1] : null);

/** summary is the line of a connector in the table of all. */
export function summary(c, page) {
  const s = latest(page.samples(c.name, 'recent'));
  const open = page.isOpen(c.name);
  const warning = late(c);
  const w = c.watermark;
  return h('tr', { key: c.name, 'data-connector': c.name, class: open ? 'open' : '' },
    h('th', { scope: 'row' }, h('button', { class: 'link', 'aria-expanded': String(open), onclick: () => page.toggle(c.name) }, c.name)),
    h('td', { class: 'quiet' }, c.type),
    h('td', null, pill(c.state), warning && h('span', { class: 'pill warn', 'data-field': 'late' }, 'LAGGING')),
    h('td', { class: 'n' }, c.status ? c.status.tasks.filter((t) => t.state === 'RUNNING').length + '/' + c.status.tasks.length : none),
    h('td', { class: 'n', 'data-field': 'recordsPerSecond', 'data-value': s ? s.recordsPerSecond : '' }, s ? rate(s.recordsPerSecond) : none),
    h('td', { class: 'n' }, s ? bytes(s.bytesPerSecond) : none),
    h('td', { class: 'n' }, c.type === 'sink' ? plural(c.lagRecords, 'record') : duration(w && w.lagMs)),
    h('td', { class: 'n', 'data-field': 'records', 'data-value': c.records }, count(c.records)),
    h('td', { class: 'n' + (c.deadLettered ? ' warn' : '') }, count(c.deadLettered)));
}

/** panel is all of a connector. */
export function panel(c, page) {
  const warning = late(c);
  return h('section', { key: 'c:' + c.name, class: 'panel', 'data-connector': c.name, 'aria-label': 'Connector ' + c.name },
    h('header', null,
      h('h2', null, c.name), pill(c.state), warning && h('span', { class: 'pill warn', 'data-field': 'late' }, 'LAGGING'),
      h('span', { class: 'quiet' }, c.class),
      h('span', { class: 'phase', 'data-field': 'phase', title: c.phase }, c.state === 'WAITING' ? '' : warning || c.phase),
      page.admin() && actions(c, page)),
    c.state === 'WAITING' && c.phase && h('p', { class: 'note', 'data-field': 'waits' }, c.phase),
    c.error && h('pre', { class: 'error', 'data-field': 'error' }, c.error),
    c.status && c.status.peer && peer(c.status.peer, c.state === 'SNAPSHOT'),
    figures(c, page),
    plots(c, page),
    c.snapshot && scan(c, page),
    tables(c),
    tasks(c),
    page.deadLetters(c) && deadLetters(c, page));
}

// peer is quiet while a scan runs: then it is meant to be held.
function peer(p, scans) {
  if (!p.note) return null;
  return h('p', { class: scans ? 'quiet' : 'note', 'data-field': 'peer' }, h('b', null, 'Peer ' + p.id), ', ' + p.state + (p.held_seconds > 0 ? ', for ' + duration(p.held_seconds * 1000) + ' now' : '') + ': ' + p.note);
}

function figures(c, page) {
  const s = latest(page.samples(c.name, 'recent'));
  const w = c.watermark;
  const source = c.type === 'source';
  return h('dl', { class: 'figures' },
    figure(source ? 'Into Kafka' : 'Applied', 'recordsPerSecond', s && s.recordsPerSecond, [s ? rate(s.recordsPerSecond) : none, 'records/s']),
    figure('Volume', 'bytesPerSecond', s && s.bytesPerSecond, s ? [bytesOf(s.bytesPerSecond)[0], bytesOf(s.bytesPerSecond)[1] + '/s'] : [none, '']),
    source && figure('Watermark behind', 'watermarkLagMs', w && w.lagMs, w && w.lagMs !== undefined ? durationOf(w.lagMs) : [none, ''], w && w.lagMs > LATE_MS && c.state === 'RUNNING' ? 'warn' : ''),
    figure('Latest record late by', 'lagMs', c.lagMs, durationOf(c.lagMs)),
    !source && figure('Not applied', 'lagRecords', c.lagRecords, [count(c.lagRecords), 'records'], late(c) ? 'warn' : ''),
    figure('Records', 'records', c.records, [count(c.records), '']),
    figure('Bytes', 'bytes', c.bytes, bytesOf(c.bytes)),
    figure('Repeated', 'retries', c.retries, [count(c.retries), '']),
    figure('Dead letters', 'deadLettered', c.deadLettered, [count(c.deadLettered), ''], c.deadLettered ? 'warn' : ''),
    source && figure('Watermark', 'watermark', w && w.time, w && w.time ? [clock(w.time), w.estimated ? 'estimated' : ''] : [none, '']),
    source && w && w.waits && h('div', { class: 'figure wide' }, h('dt', null, 'The watermark waits for'), h('dd', { class: 'text' }, w.waits)));
}

function plots(c, page) {
  const source = c.type === 'source';
  const samples = page.samples(c.name, page.range.of);
  const scans = source && samples.some((s) => s.rowsPerSecond > 0);
  const one = (id, title, value, text, more = {}) => plot({
    key: c.name + ' ' + id, title, samples, value, text, ...page.window(), step: page.range.step, width: page.width(c.name + ' ' + id),
    hover: page.hover, on: page.pointing(), ...more,
  });
  const known = (n) => (n < 0 ? null : n);
  return h('div', { class: 'plots' },
    one('records', source ? 'Into Kafka, records/s' : 'Applied, records/s', (s) => s.recordsPerSecond, rate, { least: 10 }),
    source && scans ? one('rows', 'Scanned, rows/s', (s) => s.rowsPerSecond, rate, { least: 10 })
      : one('bytes', 'Volume, bytes/s', (s) => s.bytesPerSecond, (n) => bytes(n), { least: 1000 }),
    source ? one('watermark', 'Watermark behind', (s) => known(s.watermarkLagMs), duration, { least: 10_000, color: 'lag' })
      : one('lag', 'Not applied, records', (s) => s.lagRecords, count, { least: 10, color: 'lag' }));
}

// share is how much of a part is scanned, from 0 to 1.
function share(p) {
  if (p.done === p.shards) return 1;
  const done = p.done / p.shards;
  const read = p.bytesTotal > 0 ? Math.min(0.99, p.bytes / p.bytesTotal) : 0;
  return Math.max(done, read);
}

function scan(c, page) {
  const s = c.snapshot;
  const over = s.shardsDone >= s.shardsTotal;
  const limits = [s.limits.rowsPerSecond > 0 && count(s.limits.rowsPerSecond) + ' rows/s', s.limits.bytesPerSecond > 0 && bytes(s.limits.bytesPerSecond) + '/s'].filter(Boolean);
  return h('section', { class: 'part', 'data-part': 'scan' },
    h('h3', null, 'Scan',
      h('span', { class: 'n' }, h('b', { 'data-field': 'shardsDone', 'data-value': s.shardsDone }, count(s.shardsDone)), ' of ',
        h('span', { 'data-field': 'shardsTotal', 'data-value': s.shardsTotal }, count(s.shardsTotal)), ' shards'),
      h('span', { class: 'n', 'data-field': 'scannedRows', 'data-value': s.rows }, plural(s.rows, 'row')),
      h('span', { class: 'n' }, bytes(s.bytes)),
      over ? h('span', { class: 'pill good' }, 'COMPLETE') : s.secondsLeft > 0 && h('span', { class: 'n' }, 'about ' + duration(s.secondsLeft * 1000) + ' left'),
      s.limits.paused && h('span', { class: 'pill warn' }, 'PAUSED'),
      limits.length > 0 && h('span', { class: 'quiet', 'data-field': 'limits' }, 'held to ' + limits.join(', '))),
    s.tables.map((t) => scannedTable(c, t)));
}

function scannedTable(c, t) {
  const shards = t.parts.reduce((n, p) => n + p.shards, 0);
  const done = t.parts.reduce((n, p) => n + p.done, 0);
  const rows = t.parts.reduce((n, p) => n + p.rows, 0);
  const parts = t.parts.map((p, i) => h('span', {
    key: i, class: 'cell' + (p.done === p.shards ? ' done' : p.rows > 0 || p.done > 0 ? ' busy' : ''), style: { '--shards': String(p.shards), '--share': share(p).toFixed(3) },
    title: (p.start || 'the first row') + ': ' + p.done + ' of ' + plural(p.shards, 'shard') + ', ' + plural(p.rows, 'row'),
  }));
  const kept = c.tables.find((x) => x.name === t.name);
  return h('details', { key: t.name, class: 'scanned', 'data-table': t.name },
    h('summary', null, h('span', { class: 'name' }, t.name),
      h('span', { class: 'strip', role: 'img', 'aria-label': done + ' of ' + plural(shards, 'shard') + ' scanned' }, parts),
      h('span', { class: 'n', 'data-field': 'rows', 'data-value': kept ? kept.snapshotRows : rows }, plural(kept ? kept.snapshotRows : rows, 'row')),
      h('span', { class: 'n quiet' }, count(done) + '/' + count(shards))),
    h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'From row'), h('th', { class: 'n' }, 'Shards'), h('th', { class: 'n' }, 'Acknowledged rows'), h('th', { class: 'n' }, 'Read'), h('th', { class: 'n' }, 'Likely size'))),
      h('tbody', null, t.parts.map((p, i) => h('tr', { key: i },
        h('td', { class: 'code' }, p.start || h('span', { class: 'quiet' }, 'the first')),
        h('td', { class: 'n' }, p.done + '/' + p.shards), h('td', { class: 'n' }, count(p.rows)), h('td', { class: 'n' }, bytes(p.bytes)),
        h('td', { class: 'n' }, p.bytesTotal > 0 ? bytes(p.bytesTotal) : none)))))));
}

function tables(c) {
  if (!c.tables.length) return null;
  const source = c.type === 'source';
  return h('details', { class: 'part', key: 'tables', open: c.tables.length <= 6 },
    h('summary', null, h('h3', null, plural(c.tables.length, 'table'))),
    h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Table'), source && h('th', { class: 'n' }, 'Rows scanned'), h('th', { class: 'n' }, source ? 'Records into Kafka' : 'Records applied'),
        h('th', { class: 'n' }, 'Cells'), h('th', { class: 'n' }, 'Bytes'), source && h('th', { class: 'n' }, 'Latest write'))),
      h('tbody', null, c.tables.map((t) => h('tr', { key: t.name, 'data-table': t.name },
        h('td', { class: 'code' }, t.name), source && h('td', { class: 'n' }, count(t.snapshotRows)),
        h('td', { class: 'n', 'data-field': 'records', 'data-value': t.records }, count(t.records)),
        h('td', { class: 'n' }, count(t.cells)), h('td', { class: 'n' }, bytes(t.bytes)), source && h('td', { class: 'n' }, moment(t.lastRecord))))))));
}

function tasks(c) {
  const list = c.status ? c.status.tasks : [];
  return h('details', { class: 'part', key: 'tasks', open: list.some((t) => t.state === 'FAILED') },
    h('summary', null, h('h3', null, plural(list.length, 'task'))),
    h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', { class: 'n' }, 'Task'), h('th', null, 'State'), h('th', null, 'Worker'), h('th', null, 'What it says'))),
      h('tbody', null, list.map((t) => h('tr', { key: t.id, 'data-task': t.id },
        h('td', { class: 'n' }, t.id), h('td', null, pill(t.state)), h('td', { class: 'code' }, t.worker_id), h('td', { class: 'text' }, (t.trace || '').split('\n')[0])))))));
}

function deadLetters(c, page) {
  const d = page.deadLetters(c);
  const body = d.body;
  return h('details', { class: 'part', key: 'dead', open: true, 'data-part': 'dead-letters' },
    h('summary', null, h('h3', null, 'Dead letters', body && h('span', { class: 'quiet' }, body.topic ? 'on ' + body.topic + ', ' + plural(body.records, 'record') : ''))),
    d.error && h('p', { class: 'note' }, d.error),
    body && !body.topic && h('p', { class: 'quiet' }, 'No dead-letter topic is configured (errors.deadletterqueue.topic.name).'),
    body && body.latest.length > 0 && h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Entry'), h('th', null, 'Time'), h('th', null, 'Record'), h('th', null, 'Row'), h('th', null, 'Stage'), h('th', null, 'Reason'), h('th', null, 'Put back'))),
      h('tbody', null, body.latest.map((l) => h('tr', { key: l.entry, 'data-entry': l.entry },
        h('td', { class: 'code' }, l.entry), h('td', { class: 'n' }, moment(l.time)),
        h('td', { class: 'code' }, l.topic ? l.topic + '/' + l.partition + (l.offset >= 0 ? '/' + l.offset : '') : none),
        h('td', { class: 'code' }, l.key), h('td', null, l.stage || none), h('td', { class: 'text' }, l.reason),
        h('td', { class: 'n' }, l.replayed ? moment(l.replayed) : l.before ? 'failed again' : none)))))));
}

function actions(c, page) {
  const button = (what, text) => h('button', { key: what, 'data-action': what, onclick: () => page.ask(what, c) }, text);
  const runs = c.state !== 'PAUSED' && c.state !== 'STOPPED';
  const scans = c.type === 'source' && c.snapshot && c.snapshot.shardsDone < c.snapshot.shardsTotal;
  return h('span', { class: 'actions' },
    scans && button('rate', 'Set rate …'),
    scans && (c.snapshot.limits.paused ? button('scan-resume', 'Resume scan …') : button('scan-pause', 'Pause scan …')),
    c.state === 'FAILED' && button('restart', 'Restart …'),
    runs ? button('pause', 'Pause …') : button('resume', 'Resume …'),
    c.state !== 'STOPPED' && button('stop', 'Stop …'));
}
