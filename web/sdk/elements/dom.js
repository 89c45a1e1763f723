/**
 * Small helpers for building the elements' shadow trees under a strict content security policy.
 *
 * Owns: icons, style sheets, lookup. Never holds state.
 * @module
 */

/** Outlines on a 24 by 24 grid, drawn for this project. */
const ICONS = {
  play: '<path d="M8 5.6v12.8c0 .8.9 1.3 1.6.8l9.6-6.4c.6-.4.6-1.2 0-1.6L9.6 4.800c-.7-.5-1.6 0-1.6.8z" fill="currentColor" stroke="none"/>',
  pause: '<rect x="6.5" y="5" width="4" height="14" rx="1.2" fill="currentColor" stroke="none"/><rect x="13.5" y="5" width="4" height="14" rx="1.2" fill="currentColor" stroke="none"/>',
  sound: '<path d="M4 9.500v5h3.200L12 18.500v-13L7.2 9.500z"/><path d="M15.5 9a4.2 4.2 0 0 1 0 6M18 6.500a7.8 7.8 0 0 1 0 11"/>',
  muted: '<path d="M4 9.500v5h3.200L12 18.500v-13L7.2 9.500z"/><path d="m16 9.8 4.4 4.400m0-4.400L16 14.2"/>',
  quality: '<path d="M4 7h8m5 0h3M4 12h2m5 0h9M4 17h10m5 0h1"/><circle cx="14.5" cy="7" r="2.2"/><circle cx="8.5" cy="12" r="2.2"/><circle cx="16.5" cy="17" r="2.2"/>',
  stats: '<path d="M4 19.500h16"/><path d="M6.5 16v-4m4 4V6.500m4 9.500v-6m4 6V9"/>',
  pip: '<rect x="3.5" y="5" width="17" height="14" rx="2.2"/><rect x="11.5" y="11.5" width="6.5" height="5" rx="1" fill="currentColor" stroke="none"/>',
  fullscreen: '<path d="M4.5 9V6a1.5 1.5 0 0 1 1.5-1.500h3m6 0h3A1.5 1.5 0 0 1 19.5 6v3m0 6v3a1.5 1.5 0 0 1-1.5 1.500h-3m-6 0H6A1.5 1.5 0 0 1 4.5 18v-3"/>',
  shrink: '<path d="M9 4.500v3A1.5 1.5 0 0 1 7.5 9h-3m15 0h-3A1.5 1.5 0 0 1 15 7.500v-3m0 15v-3a1.5 1.5 0 0 1 1.5-1.500h3m-15 0h3A1.5 1.5 0 0 1 9 16.500v3"/>',
  close: '<path d="m6.5 6.5 11 11m0-11-11 11"/>',
  check: '<path d="m5.5 12.5 4.2 4.2 8.8-9.4"/>',
  copy: '<rect x="8.5" y="8.5" width="11" height="11" rx="2"/><path d="M15.5 8.500v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2"/>',
  mic: '<rect x="9" y="3.5" width="6" height="11" rx="3"/><path d="M5.5 11.500a6.5 6.5 0 0 0 13 0M12 18v2.5"/>',
  micOff: '<path d="M9 9V6.500a3 3 0 0 1 6 0v5m-1 2.500a3 3 0 0 1-5-2.5"/><path d="M5.5 11.500a6.5 6.5 0 0 0 10.5 5m2.2-2.700c.2-.7.3-1.5.3-2.300M12 18v2.500M4.5 4.500l15 15"/>',
  camera: '<rect x="3.5" y="6.5" width="12" height="11" rx="2.2"/><path d="m15.5 10.5 5-2.700v8.400l-5-2.700z"/>',
  cameraOff: '<path d="M8 6.500h5.300a2.2 2.2 0 0 1 2.2 2.200v1.800l5-2.700v8.400l-3-1.600M14.8 16.800a2.2 2.2 0 0 1-1.5.7H5.700a2.2 2.2 0 0 1-2.2-2.200V8.700c0-.8.4-1.5 1-1.900M4.5 4.500l15 15"/>',
};

/** @typedef {keyof typeof ICONS} IconName */

/**
 * @param {IconName} name
 * @returns {string} Markup of an icon that screen readers skip.
 */
export function iconMarkup(name) {
  return `<svg viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">${ICONS[name]}</svg>`;
}

/**
 * Replaces a button's icon and names.
 * @param {HTMLElement} button
 * @param {IconName} name
 * @param {string} label
 */
export function setIcon(button, name, label) {
  if (button.dataset.icon !== name) {
    button.dataset.icon = name;
    button.innerHTML = iconMarkup(name);
  }
  button.setAttribute("aria-label", label);
  button.title = label;
}

/**
 * A style sheet that is made when it is first used, so that importing the SDK outside a browser does no harm.
 * @param {string} text
 * @returns {() => CSSStyleSheet}
 */
export function sheet(text) {
  /** @type {CSSStyleSheet | undefined} */
  let made;
  return () => {
    if (!made) {
      made = new CSSStyleSheet();
      made.replaceSync(text);
    }
    return made;
  };
}

/**
 * The one element of a class in a tree that we wrote.
 * @template {Element} [Kind=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {Kind}
 */
export function find(root, selector) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the template has no ${selector}`);
  return /** @type {Kind} */ (found);
}

/** @param {number} bitrate Bits per second. */
export function formatBitrate(bitrate) {
  if (bitrate >= 1e6) return `${(bitrate / 1e6).toFixed(bitrate >= 1e7 ? 0 : 2)} Mbit/s`;
  return `${Math.round(bitrate / 1000)} kbit/s`;
}

/** @param {number | undefined} value */
export function formatMs(value) {
  return value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/**
 * A delay as a viewer reads it.
 * @param {number} milliseconds
 */
export function formatDelay(milliseconds) {
  if (milliseconds < 1000) return `${Math.max(1, Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  return `${seconds < 60 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

/** @param {number} share 0 to 1. */
export function formatShare(share) {
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 2 : 1)} %`;
}
