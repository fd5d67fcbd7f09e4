// The questions that stand before everything that changes something.
import { Failed, of } from './api.js';
import { h, patch } from './dom.js';

// text says what is going to happen.
const TEXT = {
  pause: (c) => (c.type === 'source'
    ? 'Its tasks stay and move nothing. Its replication peer is disabled: HBase keeps all WALs from now on until it is resumed. Watch the room in the source’s file system.'
    : 'Its tasks stay and apply nothing. Records wait in Kafka, for as long as the topics keep them.'),
  resume: () => 'It goes on where it was.',
  stop: (c) => (c.type === 'source'
    ? 'It has no tasks any more, and its offsets can be changed. Its replication peer is disabled: HBase keeps all WALs from now on until it is resumed or deleted. Watch the room in the source’s file system.'
    : 'It has no tasks any more, and its offsets can be changed. Records wait in Kafka, for as long as the topics keep them.'),
  restart: () => 'The connector and those of its tasks that have failed are started again.',
  'scan-pause': () => 'The scan reads nothing until it is resumed. If changes queue behind it, HBase keeps their WALs meanwhile.',
  'scan-resume': () => 'The scan goes on where it was.',
  rate: () => 'The scan is held to these limits at once, on all workers, until it is restarted. Empty: as it is. 0: no limit.',
};

const TITLE = {
  pause: 'Pause', resume: 'Resume', stop: 'Stop', restart: 'Restart', 'scan-pause': 'Pause the scan of', 'scan-resume': 'Resume the scan of', rate: 'Set the rate of',
};

const VERB = { 'scan-pause': 'Pause scan', 'scan-resume': 'Resume scan', rate: 'Set rate' };

// request is what is asked for: [method, path, body].
function request(what, c, form) {
  switch (what) {
    case 'pause': case 'resume': case 'stop':
      return ['PUT', of(c.name, '/' + what)];
    case 'restart':
      return ['POST', of(c.name, '/restart?includeTasks=true&onlyFailed=true')];
    case 'scan-pause':
      return ['POST', of(c.name, '/signals'), { type: 'pause-snapshot' }];
    case 'scan-resume':
      return ['POST', of(c.name, '/signals'), { type: 'resume-snapshot' }];
    case 'rate': {
      const data = {};
      for (const field of ['rows-per-second', 'bytes-per-second']) {
        const text = form.elements[field].value.trim();
        if (text !== '') data[field] = Number(text);
      }
      return ['POST', of(c.name, '/signals'), { type: 'set-rate', data }];
    }
  }
  throw new Error('no such action: ' + what);
}

/** confirmation asks whether what is to be done to a connector. send sends it; what it throws is shown, and it may be tried again. */
export function confirmation(dialog, what, c, send) {
  let refused = '';
  let sending = false;
  const submit = async (event) => {
    event.preventDefault();
    if (sending) return;
    sending = true;
    draw();
    try {
      await send(...request(what, c, event.target));
      dialog.close();
    } catch (e) {
      if (!(e instanceof Failed)) throw e;
      refused = (e.status ? e.status + ': ' : '') + e.message;
    } finally {
      sending = false;
      draw();
    }
  };
  const number = (name, label, now) => h('p', { class: 'field' }, h('label', { for: 'field-' + name }, label),
    h('input', { id: 'field-' + name, name, type: 'number', min: 0, step: 1, inputmode: 'numeric', placeholder: now ? String(now) : 'no limit' }));
  const draw = () => patch(dialog, h('form', { key: what + ' ' + c.name, onsubmit: submit },
    h('h2', { id: 'dialog-title' }, TITLE[what] + ' ' + c.name + '?'),
    h('p', null, TEXT[what](c)),
    what === 'rate' && [number('rows-per-second', 'Rows per second', c.snapshot.limits.rowsPerSecond), number('bytes-per-second', 'Bytes per second', c.snapshot.limits.bytesPerSecond)],
    refused && h('p', { class: 'refused', role: 'alert', 'data-field': 'refused' }, refused),
    h('p', { class: 'buttons' },
      h('button', { type: 'button', 'data-action': 'cancel', onclick: () => dialog.close() }, 'Cancel'),
      h('button', { type: 'submit', class: 'main' + (what === 'stop' || what === 'pause' ? ' careful' : ''), disabled: sending, 'data-action': 'confirm' }, VERB[what] || TITLE[what]))));
  draw();
  dialog.showModal();
}
