// Lists that change without losing the place, the focus or what was being typed.

/** Make `container` show `items`: elements of unchanged items stay, others are made anew by `render`. */
export function sync(container, items, keyOf, render) {
  const known = new Map();
  for (const child of [...container.children]) {
    if (child.syncKey === undefined || known.has(child.syncKey)) child.remove();
    else known.set(child.syncKey, child);
  }
  let before = null;
  for (const item of items) {
    const key = String(keyOf(item));
    const text = JSON.stringify(item);
    let child = known.get(key);
    known.delete(key);
    if (child === undefined || child.syncText !== text) {
      const made = render(item);
      made.syncKey = key;
      made.syncText = text;
      if (child !== undefined) exchange(child, made);
      child = made;
    }
    const place = before === null ? container.firstChild : before.nextSibling;
    if (child !== place) container.insertBefore(child, place);
    before = child;
  }
  for (const child of known.values()) child.remove();
}

/** Put `made` in the place of `old`; the focus stays on the element with the same data-key. */
export function exchange(old, made) {
  const key = old.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  old.replaceWith(made);
  if (key !== undefined) {
    const again = made.dataset.key === key ? made : made.querySelector(`[data-key="${CSS.escape(key)}"]`);
    again?.focus({ preventScroll: true });
  }
}

/** Run `act` soon, however often it is asked for; at most about ten times a second. */
export function soon(act, everyMs = 100) {
  let waits = false;
  let lastMs = 0;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      lastMs = performance.now();
      act();
    }, Math.max(0, everyMs - (performance.now() - lastMs)));
  };
}
