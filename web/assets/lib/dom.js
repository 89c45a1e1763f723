/**
 * Building and updating documents.
 *
 * Owns: element creation, copying, toasts. Text is always set as text, never as markup.
 * @module
 */

const ICONS = {
  copy: "M8.5 8.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2zM15.5 8.500v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2",
  check: "m5.5 12.5 4.2 4.2 8.8-9.4",
  eye: "M2.5 12c2.3-4.3 5.5-6.4 9.5-6.400s7.2 2.1 9.5 6.400c-2.3 4.3-5.5 6.4-9.5 6.400S4.8 16.3 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6",
  share: "M12 15V4m0 0L8 8m4-4 4 4M6 11.500v6a2 2 0 0 0 2 2h8a2 2 0 0 0 2-2v-6",
  code: "m8.5 7-5 5 5 5m7-10 5 5-5 5",
  dice: "M6.5 4.500h11a2 2 0 0 1 2 2v11a2 2 0 0 1-2 2h-11a2 2 0 0 1-2-2v-11a2 2 0 0 1 2-2zM9 9h.01M15 15h.01M12 12h.01M15 9h.01M9 15h.01",
  key: "M14.5 13.500a5 5 0 1 0-4-4L4 16v4h4v-2.500h2.500V15zM16 8h.01",
};

/** @typedef {keyof typeof ICONS} IconName */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {IconName} name
 * @returns {SVGElement} Hidden from screen readers.
 */
export function icon(name) {
  const path = svg("path", { d: ICONS[name] });
  return svg(
    "svg",
    {
      viewBox: "0 0 24 24",
      width: "20",
      height: "20",
      fill: "none",
      stroke: "currentColor",
      "stroke-width": "1.8",
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
      "aria-hidden": "true",
    },
    path,
  );
}

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...SVGElement} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** @typedef {Node | string | number | false | null | undefined} Child */

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | boolean | number | undefined | ((event: any) => void)>} [properties] `on…` are listeners,
 *   `true` is an empty attribute, `false` and `undefined` none.
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, String(value));
  }
  for (const child of children) {
    if (child !== false && child !== null && child !== undefined) made.append(child instanceof Node ? child : String(child));
  }
  return made;
}

/**
 * The one element of the page that matches.
 * @template {Element} [Kind=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {Kind}
 */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return /** @type {Kind} */ (found);
}

/**
 * Sets text where it differs, so that selections and screen readers are left alone.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Shows names with their values in a `<dl>`, changing only what differs.
 * @param {Element} list
 * @param {[string, string][]} rows
 */
export function setFigures(list, rows) {
  if (list.childElementCount !== rows.length) list.replaceChildren(...rows.map(() => h("div", {}, h("dt"), h("dd"))));
  rows.forEach(([name, value], index) => {
    const pair = list.children[index];
    if (!pair) return;
    setText(find("dt", pair), name);
    setText(find("dd", pair), value);
  });
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} Whether it is on the clipboard.
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages without https have no clipboard: the old way still works there.
    const area = h("textarea", { readonly: true, class: "visually-hidden" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/**
 * A button that copies what `text` gives at that moment.
 * @param {string} label What is copied, for screen readers.
 * @param {() => string} text
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, text) {
  const button = h("button", { class: "copy", type: "button", "aria-label": label, title: label }, icon("copy"));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  button.addEventListener("click", async () => {
    const done = await copyText(text());
    toast(done ? "Copied" : "Copying is not allowed here; select the text instead", !done);
    if (!done) return;
    button.replaceChildren(icon("check"));
    button.classList.add("done");
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.replaceChildren(icon("copy"));
      button.classList.remove("done");
    }, 1800);
  });
  return button;
}

/**
 * Text to copy, with its button.
 * @param {string} text
 * @param {string} label
 * @returns {HTMLElement}
 */
export function snippet(text, label) {
  const code = h("code", {}, text);
  return h("div", { class: "snippet" }, h("pre", { tabindex: 0 }, code), copyButton(label, () => code.textContent ?? ""));
}

/**
 * A message that goes away by itself.
 * @param {string} text
 * @param {boolean} [bad]
 */
export function toast(text, bad = false) {
  const old = document.querySelector(".toasts");
  const host = old ?? h("div", { class: "toasts", role: "status", "aria-live": "polite" });
  // An open dialog hides what is not inside it.
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (host.parentElement !== place) place.append(host);
  const one = h("div", { class: bad ? "toast bad" : "toast" }, text);
  host.append(one);
  setTimeout(() => one.remove(), bad ? 6000 : 2400);
}

/**
 * State of the page, for people and for automated browsers.
 * @param {string} state
 */
export function setPageState(state) {
  document.documentElement.dataset.state = state;
}
