// A tree of plain objects and what makes the document like it. Text goes in as text nodes and attributes only, never as markup.

/** h makes a node: h('td', {class: 'n'}, 'text', h('b', null, 'more')). Of children, null, false and '' are left out. */
export function h(tag, props, ...children) {
  return { tag, props: props || {}, children: children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== '') };
}

const SVG = 'http://www.w3.org/2000/svg';

/** patch makes the children of parent those that are given. Nodes that stay keep focus, scroll place and what is open. */
export function patch(parent, children, svg = parent.namespaceURI === SVG) {
  const old = [...parent.childNodes];
  const keyed = new Map();
  for (const node of old) {
    if (node.waltapKey !== undefined) keyed.set(node.waltapKey, node);
  }
  let at = parent.firstChild;
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === '') continue;
    const node = match(at, keyed, child);
    const next = node ? update(node, child) : create(child, svg);
    if (next === at) {
      at = at.nextSibling;
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// match finds the node that a child may take over: the one of its key, else the next one when that has none.
function match(at, keyed, child) {
  if (typeof child !== 'object') return at && at.nodeType === Node.TEXT_NODE ? at : null;
  const key = child.props.key;
  if (key !== undefined) {
    const node = keyed.get(key);
    return node && node.localName === child.tag ? node : null;
  }
  return at && at.localName === child.tag && at.waltapKey === undefined ? at : null;
}

function create(child, svg) {
  if (typeof child !== 'object') return document.createTextNode(String(child));
  const inSVG = svg || child.tag === 'svg';
  const node = inSVG ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  if (child.props.key !== undefined) node.waltapKey = child.props.key;
  return update(node, child);
}

function update(node, child) {
  if (typeof child !== 'object') {
    if (node.data !== String(child)) node.data = String(child);
    return node;
  }
  const was = node.waltapProps || {};
  for (const name of Object.keys(was)) {
    if (!(name in child.props)) set(node, name, undefined);
  }
  for (const [name, value] of Object.entries(child.props)) {
    if (name === 'style' || was[name] !== value) set(node, name, value);
  }
  node.waltapProps = child.props;
  patch(node, child.children, node.namespaceURI === SVG);
  return node;
}

function set(node, name, value) {
  if (name === 'key') return;
  if (name.startsWith('on')) {
    node[name] = value || null;
  } else if (name === 'style') { // through the object model: the page's policy forbids the attribute
    for (const [property, v] of Object.entries(value || {})) node.style.setProperty(property, v);
  } else if (name === 'open' && node.localName === 'details') { // only how it begins: then it is the reader's
    if (value && node.waltapProps === undefined) node.open = true;
  } else if (name === 'value' || name === 'disabled' || name === 'hidden') {
    if (node[name] !== (value ?? '')) node[name] = value ?? '';
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? '' : value);
  }
}
