// The page: asks the worker again and again, and shows what it says.
import { call, Failed, get, hasToken, setToken } from './api.js';
import { combine, panel, summary } from './connectors.js';
import { confirmation } from './controls.js';
import { h, patch } from './dom.js';
import { clock, duration } from './format.js';
import { migrations } from './migrations.js';

const EVERY = 2000; // ms between two questions
const SELDOM = 5000; // what changes seldom
const AFTER_FAULT = 30_000; // what was refused
const DAY_EVERY = 60_000;
const OPEN_AT_MOST = 3; // connectors that are shown whole without being asked for

const RANGES = [
  { id: '5m', text: '5 min', of: 'recent', ms: 300_000, step: 2000 },
  { id: '15m', text: '15 min', of: 'recent', ms: 900_000, step: 2000 },
  { id: '24h', text: '24 h', of: 'day', ms: 86_400_000, step: 120_000 },
];

const state = {
  worker: null, session: null, connectors: [], names: '', migrations: [], migrationsError: '', samples: { recent: new Map(), day: new Map() },
  deadLetters: new Map(), answered: 0, fault: '', since: 0, signIn: false, wrong: '', notices: [], toggled: new Map(), range: RANGES[0], hover: 0, skew: 0, due: {},
};

/** page is what the parts of the page know of it. */
const page = {
  now: () => Date.now() + state.skew, // by the worker's clock
  admin: () => state.session !== null && state.session.role === 'admin',
  samples(name, of) {
    const recent = state.samples.recent.get(name) || [];
    if (of === 'recent') return recent;
    const day = state.samples.day.get(name) || []; // and what is not merged yet
    return day.concat(recent.filter((s) => !day.length || s.at > day[day.length - 1].at));
  },
  get range() { return state.range; },
  get hover() { return state.hover; },
  window: () => ({ from: page.now() - state.range.ms, to: page.now() }),
  width: (key) => widths.get(key),
  isOpen: (name) => (state.toggled.has(name) ? state.toggled.get(name) : state.connectors.length <= OPEN_AT_MOST),
  toggle(name) {
    state.toggled.set(name, !page.isOpen(name));
    draw();
  },
  pointing: () => ({ onpointermove: point, onpointerleave: () => { state.hover = 0; draw(); } }),
  deadLetters: (c) => (c.deadLettered > 0 ? state.deadLetters.get(c.name) : undefined),
  ask(what, c) {
    confirmation(document.getElementById('dialog'), what, c, async (method, path, body) => {
      await call(method, path, body);
      tell(c.name + ': ' + what.replace('-', ' ') + ' is accepted');
      state.due = {};
      ask();
    });
  },
};

function point(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const { from, to } = page.window();
  state.hover = from + ((event.clientX - box.left) / box.width) * (to - from);
  draw();
}

// Plots are as wide as their places.
const widths = new Map();
const observer = new ResizeObserver((entries) => {
  let changed = false;
  for (const e of entries) {
    const width = Math.floor(e.contentRect.width);
    if (width > 0 && widths.get(e.target.dataset.plot) !== width) {
      widths.set(e.target.dataset.plot, width);
      changed = true;
    }
  }
  if (changed) draw();
});
const observed = new WeakSet();

function tell(text) {
  state.notices = [{ text, at: Date.now() }];
  draw();
}

// due tells whether something is to be asked for again, and notes that it is.
function due(what, every) {
  if (Date.now() < (state.due[what] || 0)) return false;
  state.due[what] = Date.now() + every - 100;
  return true;
}

let timer = 0;
let asking = false;

/** ask asks for all that is due, and for itself again. */
async function ask() {
  clearTimeout(timer);
  if (asking || state.signIn) return;
  asking = true;
  try {
    if (!state.session || due('session', AFTER_FAULT)) [state.session, state.worker] = await Promise.all([get('/v1/session'), get('/')]);
    await Promise.all([askConnectors(), askSamples()]);
    state.fault = '';
    state.since = 0;
    state.answered = Date.now();
    document.documentElement.dataset.answered = String(state.answered);
  } catch (e) {
    failed(e);
  }
  asking = false;
  draw();
  if (!state.fault && !state.signIn) askSeldom(); // beside, it may take its time
  timer = setTimeout(ask, document.hidden ? 5 * EVERY : EVERY);
}

function failed(e) {
  if (!(e instanceof Failed)) {
    state.fault = 'this page is at fault: ' + e.message;
    console.error(e);
  } else if (e.status === 401) {
    state.wrong = hasToken() ? e.message : '';
    state.signIn = true;
    setToken('');
    return;
  } else {
    state.fault = e.message;
  }
  if (!state.since) state.since = state.answered || Date.now();
}

async function askConnectors() {
  const all = await get('/connectors?expand=status&expand=progress');
  const list = Object.keys(all).sort().map((name) => combine(name, all[name]));
  state.connectors = [...list.filter((c) => c.type !== 'sink'), ...list.filter((c) => c.type === 'sink')]; // as records go
}

async function askSamples() {
  if (due('recent', EVERY)) await more('recent', 900_000);
  if (state.range.of === 'day' && due('day', DAY_EVERY)) await more('day', 86_400_000);
}

// more asks for the samples that came since, and keeps those that are not too old: also those of a worker that has begun anew since.
async function more(of, ms) {
  let since = 0;
  for (const list of state.samples[of].values()) if (list.length) since = Math.max(since, list[list.length - 1].at);
  const answer = await get('/v1/samples?of=' + of + (since ? '&since=' + (since - 1) : ''));
  state.skew = answer.now - Date.now();
  const next = new Map([...state.samples[of]].filter(([name]) => state.connectors.some((c) => c.name === name)));
  for (const c of answer.connectors) {
    const kept = state.samples[of].get(c.connector) || [];
    const last = kept.length ? kept[kept.length - 1].at : 0;
    next.set(c.connector, kept.concat(c.samples.filter((s) => s.at > last)).filter((s) => s.at > answer.now - ms));
  }
  state.samples[of] = next;
}

async function askSeldom() {
  if (due('migrations', SELDOM)) {
    try {
      state.migrations = await get('/v1/migrations');
      state.migrationsError = '';
    } catch (e) {
      state.migrationsError = e.message;
      if (e.status !== 0) state.due.migrations = Date.now() + (e.status === 503 ? SELDOM : AFTER_FAULT);
    }
  }
  for (const c of state.connectors) {
    const known = state.deadLetters.get(c.name);
    if (c.deadLettered === 0 || known && known.at === c.deadLettered && !due('dead ' + c.name, AFTER_FAULT)) continue;
    try {
      state.deadLetters.set(c.name, { at: c.deadLettered, body: await get('/v1/connectors/' + encodeURIComponent(c.name) + '/dead-letters') });
    } catch (e) {
      state.deadLetters.set(c.name, { at: c.deadLettered, error: e.message });
    }
  }
  draw();
}

let drawing = false;

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    patch(document.getElementById('top'), top());
    patch(document.getElementById('notice'), notices());
    patch(document.getElementById('main'), main());
    document.documentElement.classList.toggle('stale', state.fault !== '');
    const failed = state.connectors.filter((c) => c.state === 'FAILED').length;
    document.title = state.fault ? 'no answer – waltap' : failed ? failed + ' failed – waltap' : 'waltap';
    for (const node of document.querySelectorAll('[data-plot]')) {
      if (!observed.has(node)) {
        observed.add(node);
        observer.observe(node);
      }
    }
  });
}

const THEMES = ['auto', 'light', 'dark'];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('waltap.theme', theme);
  } catch { /* storage is switched off: until the page is loaded again */ }
  draw();
}

function choice(label, options, chosen, choose) {
  return h('span', { class: 'choice', role: 'group', 'aria-label': label },
    options.map(([id, text]) => h('button', { key: id, 'aria-pressed': String(id === chosen), 'data-choice': id, onclick: () => choose(id) }, text)));
}

function top() {
  const live = state.signIn ? null : h('span', { class: 'live ' + (state.fault ? 'bad' : 'good'), 'data-field': 'live', 'data-value': state.fault ? 'no' : 'yes' },
    h('span', { class: 'dot' }), state.fault ? 'no answer' : state.answered ? 'live' : 'asking');
  return [
    h('h1', null, 'waltap'),
    state.worker && h('span', { class: 'quiet about' }, state.worker.version, state.worker.kafka_cluster_id && h('span', null, ' · Kafka ', h('span', { class: 'code' }, state.worker.kafka_cluster_id))),
    h('span', { class: 'grow' }),
    state.session && !page.admin() && h('span', { class: 'pill idle', 'data-field': 'role', 'data-value': 'viewer', title: 'These credentials may read only' }, 'READ ONLY'),
    live,
    choice('Time that the plots show', RANGES.map((r) => [r.id, r.text]), state.range.id, (id) => {
      state.range = RANGES.find((r) => r.id === id);
      state.due.day = 0;
      draw();
      ask();
    }),
    choice('Colours', THEMES.map((t) => [t, t]), document.documentElement.dataset.theme, setTheme),
    hasToken() && h('button', { 'data-action': 'sign-out', onclick: signOut }, 'Sign out'),
  ];
}

function notices() {
  const out = [];
  if (state.fault) {
    out.push(h('p', { class: 'outage', 'data-field': 'outage' }, h('b', null, 'No answer from the worker since ' + clock(state.since) + ': '), state.fault,
      '. What is shown is from then; it is asked again every ' + duration(EVERY) + '.'));
  }
  for (const n of state.notices.filter((x) => Date.now() - x.at < 8000)) out.push(h('p', { class: 'told', 'data-field': 'told' }, n.text));
  return out;
}

function main() {
  if (state.signIn) return signInForm();
  if (!state.answered) return h('p', { class: 'quiet' }, 'Asking the worker …');
  const shown = state.connectors.filter((c) => page.isOpen(c.name));
  return [
    state.connectors.length ? h('section', { key: 'all', class: 'panel all', 'aria-label': 'All connectors' }, h('div', { class: 'scroll' }, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Connector'), h('th', null, 'Type'), h('th', null, 'State'), h('th', { class: 'n' }, 'Tasks'), h('th', { class: 'n' }, 'Records/s'),
        h('th', { class: 'n' }, 'Bytes/s'), h('th', { class: 'n' }, 'Behind'), h('th', { class: 'n' }, 'Records'), h('th', { class: 'n' }, 'Dead letters'))),
      h('tbody', null, state.connectors.map((c) => summary(c, page))))))
      : h('section', { key: 'none', class: 'panel' }, h('p', { class: 'quiet', 'data-field': 'no-connectors' }, 'There is no connector. ', h('code', null, 'waltap connectors create'), ' makes one.')),
    shown.map((c) => panel(c, page)),
    migrations(state.migrations, page),
    state.migrationsError && h('p', { key: 'migrations', class: 'quiet', 'data-field': 'migrations-error' }, 'Migrations are not shown: ' + state.migrationsError),
  ];
}

function signInForm() {
  return h('form', { key: 'sign-in', class: 'panel sign-in', onsubmit: signIn },
    h('h2', null, 'Who asks?'),
    h('p', { class: 'quiet' }, 'This port asks for credentials. Type the bearer token of rest.auth.admin.token or rest.auth.viewer.token; it is kept until this tab is closed. A name and a password are asked for by the browser: load the page again.'),
    h('label', { for: 'token' }, 'Token'),
    h('input', { id: 'token', name: 'token', type: 'password', autocomplete: 'off', required: true, autofocus: true }),
    state.wrong && h('p', { class: 'refused', 'data-field': 'refused' }, state.wrong),
    h('button', { type: 'submit', class: 'main' }, 'Go on'));
}

function signIn(event) {
  event.preventDefault();
  setToken(document.getElementById('token').value.trim());
  Object.assign(state, { signIn: false, wrong: '', session: null, due: {} });
  ask();
}

function signOut() {
  setToken('');
  Object.assign(state, { signIn: true, session: null, connectors: [], migrations: [], answered: 0 });
  draw();
}

// The document itself was refused: the browser's user has no name and password, so a token is asked for.
const navigation = performance.getEntriesByType('navigation')[0];
state.signIn = Boolean(navigation && navigation.responseStatus === 401 && !hasToken());

document.addEventListener('visibilitychange', () => { if (!document.hidden) ask(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
draw();
ask();
