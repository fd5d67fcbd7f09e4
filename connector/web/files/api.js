// The REST API, as whoever looks at the page.

const TOKEN = 'waltap.token';
const TIMEOUT = 10_000;

let token = '';
try {
  token = sessionStorage.getItem(TOKEN) || '';
} catch { /* storage is switched off: it is asked for again after a reload */ }

export const hasToken = () => token !== '';

export function setToken(text) {
  token = text;
  try {
    if (text) sessionStorage.setItem(TOKEN, text);
    else sessionStorage.removeItem(TOKEN);
  } catch { /* see above */ }
}

/** Failed is an answer that is none: status 0 when nobody has answered. */
export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** call asks for a path and returns what the JSON of the answer says, null when there is none. */
export async function call(method, path, body) {
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = 'Bearer ' + token;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  let text;
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(TIMEOUT),
    });
    text = await response.text();
  } catch (e) {
    throw new Failed(0, e.name === 'TimeoutError' ? 'no answer within ' + TIMEOUT / 1000 + ' s' : 'the worker cannot be reached');
  }
  let answer = null;
  try {
    if (text) answer = JSON.parse(text);
  } catch {
    if (response.ok) throw new Failed(response.status, 'the answer of ' + path + ' is no JSON');
  }
  if (!response.ok) throw new Failed(response.status, (answer && answer.message) || text.trim() || response.statusText);
  return answer;
}

export const get = (path) => call('GET', path);

/** of is the path of a connector, whatever its name holds. */
export const of = (name, rest) => '/v1/connectors/' + encodeURIComponent(name) + rest;
