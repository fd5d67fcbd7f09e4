// Numbers, sizes and times for the eye. A narrow no-break space separates thousands, as the blank does in waltap's progress lines.

const NARROW = '\u202f';
const NONE = '–';

export const none = NONE;

/** count is such as 1 234 567. */
export function count(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return NONE;
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, NARROW);
}

/** rate is a count with a decimal below ten. */
export function rate(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return NONE;
  return n < 9.95 && !Number.isInteger(n) ? n.toFixed(1) : count(n);
}

/** bytes is such as [12.3, 'MB']. Units are those of the progress lines: a MB has 1 000 000 bytes. */
export function bytesOf(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return [NONE, ''];
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let i = 0;
  while (Math.abs(n) >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return [i === 0 || n >= 99.95 ? count(n) : n.toFixed(1), units[i]];
}

export function bytes(n) {
  const [value, unit] = bytesOf(n);
  return unit ? value + NARROW + unit : value;
}

/** durationOf is such as [1.2, 's'] of milliseconds. */
export function durationOf(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms) || ms < 0) return [NONE, ''];
  if (ms < 1000) return [String(Math.round(ms)), 'ms'];
  if (ms < 99_950) return [(ms / 1000).toFixed(1), 's'];
  if (ms < 5_400_000) return [String(Math.round(ms / 60_000)), 'min'];
  if (ms < 172_800_000) return [(ms / 3_600_000).toFixed(1), 'h'];
  return [(ms / 86_400_000).toFixed(1), 'd'];
}

export function duration(ms) {
  const [value, unit] = durationOf(ms);
  return unit ? value + NARROW + unit : value;
}

const two = (n) => String(n).padStart(2, '0');

/** clock is the time of day, here. */
export function clock(at, seconds = true) {
  const d = new Date(at);
  return two(d.getHours()) + ':' + two(d.getMinutes()) + (seconds ? ':' + two(d.getSeconds()) : '');
}

/** moment is a time of day, with the date when it is not today's. */
export function moment(at) {
  if (!at) return NONE;
  const d = new Date(at);
  const day = d.getFullYear() + '-' + two(d.getMonth() + 1) + '-' + two(d.getDate());
  return d.toDateString() === new Date().toDateString() ? clock(d) : day + ' ' + clock(d);
}

/** plural is such as "1 row", "2 rows". */
export function plural(n, one, many = one + 's') {
  return count(n) + ' ' + (n === 1 ? one : many);
}
