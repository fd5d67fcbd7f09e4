// What is shown of a migration: its steps, its gate, what verify has found.
import { h } from './dom.js';
import { bytes, count, duration, moment, none, plural } from './format.js';

// A process that has said nothing for so long is gone.
const FRESH = 10_000;

const PHASES = ['started', 'fencing', 'cut over', 'reversing', 'cleaning', 'cleaned'];

export function migrations(list, page) {
  return list.flatMap((m) => m.waves.map((w) => wave(m, w, page)));
}

function wave(m, w, page) {
  const st = w.state;
  const processes = w.processes || [];
  const alive = processes.filter((p) => !p.stopped && page.now() - p.at < FRESH);
  const sum = processes.flatMap((p) => p.connectors || []);
  return h('section', { key: 'm:' + m.name + '/' + w.name, class: 'panel', 'data-migration': m.name, 'data-wave': w.name, 'aria-label': 'Migration ' + m.name },
    h('header', null, h('h2', null, m.name), w.name !== 'all' && h('span', { class: 'quiet' }, 'wave ' + w.name),
      h('span', { class: 'pill ' + (st.phase === 'cut over' || st.phase === 'cleaned' ? 'good' : 'busy'), 'data-field': 'phase', 'data-value': st.phase }, st.phase.toUpperCase()),
      st.paused && h('span', { class: 'pill warn' }, 'PAUSED'),
      h('span', { class: 'grow' }), h('span', { class: 'quiet' }, alive.length ? 'in ' + plural(alive.length, 'process', 'processes') + ': ' + alive.map((p) => p.host).join(', ') : 'no process runs its connectors')),
    steps(w, sum),
    (st.left || []).map((l, i) => h('p', { class: 'note', key: 'left' + i }, l)),
    gate(w),
    verify(st),
    flow(sum, alive),
    tables(st, sum));
}

// steps are what is done, is being done and is left.
function steps(w, views) {
  const st = w.state;
  const at = PHASES.indexOf(st.phase === 'undoing' ? 'fencing' : st.phase);
  const sources = views.filter((v) => v.class === 'HBaseSource');
  const scanned = sources.some((v) => v.state === 'RUNNING' && (!v.snapshot || v.snapshot.shardsDone >= v.snapshot.shardsTotal));
  const verified = st.verified && st.verified.base;
  const list = [
    ['Copy', at > 0 || scanned || (verified && verified.clean)],
    ['Follow', at > 0, scanned],
    ['Verify', at > 0 || (verified && verified.clean), verified && !verified.clean],
    ['Writes stopped', at > 1 || (st.fence && st.fence.closed > 0 && at === 1)],
    ['Gate green', at > 1 || (w.gate && w.gate.fenced && w.gate.green)],
    ['Cut over', at > 1],
    (st.reverse || st.phase === 'reversing') && ['Way back kept', at > 3, st.phase === 'reversing'],
    ['Cleaned up', at === 5, at === 4],
  ].filter(Boolean);
  const now = list.findIndex(([, done]) => !done);
  return h('ol', { class: 'steps' }, list.map(([name, done, busy], i) => {
    const kind = done ? 'done' : i === now || busy ? 'now' : 'todo';
    return h('li', { key: name, class: kind, 'data-step': name, 'data-value': kind, 'aria-current': kind === 'now' ? 'step' : undefined }, name,
      h('span', { class: 'hidden' }, { done: ', done', now: ', now', todo: ', to do' }[kind]));
  }));
}

function gate(w) {
  const g = w.gate;
  if (!g) {
    return h('section', { class: 'part', 'data-part': 'gate' }, h('h3', null, 'Cut-over gate'),
      h('p', { class: 'quiet' }, 'Not judged yet. A rehearsal judges it, and closes nothing: ', h('code', null, 'waltap migrate cutover --rehearse')));
  }
  return h('section', { class: 'part', 'data-part': 'gate' },
    h('h3', null, 'Cut-over gate', h('span', { class: 'pill ' + (g.green ? 'good' : 'bad'), 'data-field': 'gate', 'data-value': g.green ? 'green' : 'red' }, g.green ? 'GREEN' : 'RED'),
      h('span', { class: 'quiet' }, (g.fenced ? 'judged for the cut-over, ' : 'judged by a rehearsal, ') + moment(g.at))),
    h('ul', { class: 'gate' }, g.conditions.map((c) => h('li', { key: c.name, class: c.green ? 'good' : 'bad', 'data-condition': c.name, 'data-value': c.green ? 'green' : 'red' },
      h('span', { class: 'light', role: 'img', 'aria-label': c.green ? 'green' : 'red' }, c.green ? '✓' : '✕'), h('b', null, c.name), h('span', null, c.text)))));
}

function verify(st) {
  const v = st.verified || {};
  if (!v.base && !v.final) {
    return h('section', { class: 'part', 'data-part': 'verify' }, h('h3', null, 'Verify'), h('p', { class: 'quiet' }, 'No pass was made yet: ', h('code', null, 'waltap migrate verify')));
  }
  return h('section', { class: 'part', 'data-part': 'verify' }, h('h3', null, 'Verify'),
    v.base && pass('base', v.base), v.final && pass('final', v.final));
}

const KINDS = {
  missing: 'only the source has it', extra: 'only the target has it', version: 'another version', value: 'another value', tags: 'other tags', marker: 'a delete marker of one end',
};

function pass(id, p) {
  const kinds = Object.entries(p.differences || {}).filter(([, n]) => n > 0).sort();
  return h('div', { key: id, class: 'pass', 'data-pass': id },
    h('p', { class: 'line' }, h('b', null, id === 'final' ? 'Behind the fence' : 'Last pass'),
      h('span', { class: 'pill ' + (p.clean ? 'good' : 'bad'), 'data-field': 'clean', 'data-value': String(p.clean) }, p.clean ? 'EQUAL' : 'DIFFERS'),
      h('span', { class: 'n' }, h('span', { 'data-field': 'badRows', 'data-value': p.badRows }, count(p.badRows)), ' of ',
        h('span', { 'data-field': 'rows', 'data-value': p.rows }, plural(p.rows, 'row')), p.badRows === 1 ? ' differs' : ' differ'),
      p.exceptedRows > 0 && h('span', { class: 'quiet' }, plural(p.exceptedRows, 'row') + ' with an exception'),
      h('span', { class: 'quiet' }, p.mode + ', ' + (p.proved ? 'proved by the watermark' : 'not proved') + ', ' + moment(p.ended) + ', took ' + duration(p.ended - p.began))),
    kinds.length > 0 && h('p', { class: 'line' }, h('span', { class: 'quiet' }, 'Cells that differ'),
      kinds.map(([k, n]) => h('span', { key: k, class: 'chip', title: KINDS[k] || '', 'data-kind': k, 'data-value': n }, k, h('b', { class: 'n' }, count(n))))),
    !p.clean && p.byTable && h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Table'), h('th', null, 'At the target'), h('th', { class: 'n' }, 'Equal rows'), h('th', { class: 'n' }, 'Rows that differ'))),
      h('tbody', null, p.byTable.map((t) => h('tr', { key: t.table, 'data-table': t.table },
        h('td', { class: 'code' }, t.table), h('td', { class: 'code' }, t.target), h('td', { class: 'n' }, count(t.goodRows)),
        h('td', { class: 'n' + (t.badRows ? ' bad' : ''), 'data-field': 'badRows', 'data-value': t.badRows }, count(t.badRows))))))),
    (p.firstDifferences || []).length > 0 && h('div', { class: 'scroll' }, h('table', { class: 'differences' },
      h('thead', null, h('tr', null, h('th', null, 'Kind'), h('th', null, 'Only at'), h('th', null, 'Table'), h('th', null, 'Cell'))),
      h('tbody', null, p.firstDifferences.map((d, i) => h('tr', { key: i, 'data-difference': d.kind },
        h('td', null, h('span', { class: 'chip' }, d.kind)), h('td', { class: 'quiet' }, d.at || 'both'), h('td', { class: 'code' }, d.table), h('td', { class: 'code' }, d.text)))))));
}

// flow is what the connectors do, by those processes that are there.
function flow(all, alive) {
  const views = alive.flatMap((p) => p.connectors || []);
  if (!views.length) return null;
  return h('div', { class: 'scroll' }, h('table', { class: 'flow' },
    h('thead', null, h('tr', null, h('th', null, 'Connector'), h('th', null, 'State'), h('th', { class: 'n' }, 'Records'), h('th', { class: 'n' }, 'Bytes'), h('th', { class: 'n' }, 'Not applied'), h('th', { class: 'n' }, 'Watermark behind'), h('th', null, ''))),
    h('tbody', null, views.map((v, i) => h('tr', { key: v.name + i, 'data-connector': v.name },
      h('td', { class: 'code' }, v.name), h('td', null, v.state), h('td', { class: 'n', 'data-field': 'records', 'data-value': v.records }, count(v.records)), h('td', { class: 'n' }, bytes(v.bytes)),
      h('td', { class: 'n' }, count(v.lagRecords)), h('td', { class: 'n' }, v.watermark && v.watermark.lagMs !== undefined ? duration(v.watermark.lagMs) : none),
      h('td', { class: 'text' }, v.error || v.phase || ''))))));
}

// shards is such as 3/8, of the process that has seen most of them done.
function shards(table, views) {
  const parts = views.flatMap((v) => (v.snapshot && v.snapshot.tables) || []).filter((t) => t.name === table).flatMap((t) => t.parts).sort((a, b) => b.done - a.done);
  return parts.length ? count(parts[0].done) + '/' + count(parts[0].shards) : none;
}

function tables(st, views) {
  const count1 = (name, kind, field) => views.filter((v) => v.class === kind).flatMap((v) => v.tables || []).filter((t) => t.name === name).reduce((n, t) => n + t[field], 0);
  return h('details', { class: 'part', key: 'tables', open: st.tables && st.tables.length <= 6 }, h('summary', null, h('h3', null, plural((st.tables || []).length, 'table'))),
    h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Source'), h('th', null, 'Target'), h('th', { class: 'n' }, 'Shards scanned'), h('th', { class: 'n' }, 'Rows read'), h('th', { class: 'n' }, 'Records into Kafka'), h('th', { class: 'n' }, 'Applied'))),
      h('tbody', null, (st.tables || []).map((t) => h('tr', { key: t.source },
        h('td', { class: 'code' }, t.source), h('td', { class: 'code' }, t.target), h('td', { class: 'n' }, shards(t.source, views)),
        h('td', { class: 'n' }, count(count1(t.source, 'HBaseSource', 'snapshotRows'))),
        h('td', { class: 'n' }, count(count1(t.source, 'HBaseSource', 'records'))), h('td', { class: 'n' }, count(count1(t.source, 'HBaseSink', 'records')))))))));
}
