/**
 * The menu of the player: quality, and the way that media comes.
 *
 * Owns: its items, the focus among them, the button that opens it. Never acts; it tells what was picked.
 * @module
 */

import { find, iconMarkup } from "./dom.js";

/**
 * @typedef {object} Item
 * @property {string} group What the item belongs to; items of one group follow one another.
 * @property {string} label
 * @property {string} [note]
 * @property {boolean} checked
 * @property {() => void} pick
 */

export class PlayerMenu {
  #root;
  #button;
  #menu;
  /** @type {Item[]} */
  #items = [];
  /** Names of what is drawn: buttons are kept while these are the same, so that the focus stays. */
  #drawn = "";

  /**
   * @param {ShadowRoot} root
   * @param {HTMLElement} button
   * @param {HTMLElement} menu
   */
  constructor(root, button, menu) {
    this.#root = root;
    this.#button = button;
    this.#menu = menu;
    button.addEventListener("click", () => this.open(Boolean(menu.hidden)));
    menu.addEventListener("keydown", (event) => this.#key(event));
    menu.addEventListener("focusout", (event) => {
      if (event.relatedTarget !== button && !menu.contains(/** @type {Node | null} */ (event.relatedTarget))) this.open(false);
    });
  }

  get isOpen() {
    return !this.#menu.hidden;
  }

  /**
   * @param {Item[]} items
   * @param {string} chosen What the button says.
   */
  show(items, chosen) {
    this.#items = items;
    this.#button.hidden = items.length === 0;
    if (items.length === 0) this.open(false);
    find(this.#button, ".chosen").textContent = chosen;
    const name = chosen ? `Quality: ${chosen}` : "Quality and transport";
    this.#button.setAttribute("aria-label", name);
    this.#button.title = name;
    const names = JSON.stringify(items.map(({ group, label }) => [group, label]));
    if (names !== this.#drawn) this.#draw(names);
    const buttons = this.#buttons();
    items.forEach(({ note, checked }, index) => {
      const button = buttons[index];
      if (!button) return;
      button.setAttribute("aria-checked", String(checked));
      find(button, "small").textContent = note ?? "";
    });
  }

  /** @param {boolean} open */
  open(open) {
    if (this.isOpen === open) return;
    this.#menu.hidden = !open;
    this.#button.setAttribute("aria-expanded", String(open));
    if (open) (/** @type {HTMLElement | null} */ (this.#menu.querySelector("[aria-checked=true]")) ?? this.#buttons()[0])?.focus();
  }

  /** @param {string} names */
  #draw(names) {
    this.#drawn = names;
    this.#menu.replaceChildren();
    /** @type {HTMLElement | undefined} */
    let group;
    this.#items.forEach((item, index) => {
      if (group?.getAttribute("aria-label") !== item.group) {
        group = document.createElement("div");
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", item.group);
        const head = document.createElement("h3");
        head.textContent = item.group;
        head.setAttribute("aria-hidden", "true");
        group.append(head);
        this.#menu.append(group);
      }
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "menuitemradio");
      button.tabIndex = -1;
      button.innerHTML = `${iconMarkup("check")}<span></span><small></small>`;
      find(button, "span").textContent = item.label;
      button.addEventListener("click", () => {
        this.open(false);
        this.#button.focus();
        this.#items[index]?.pick();
      });
      group.append(button);
    });
  }

  /** @returns {HTMLElement[]} */
  #buttons() {
    return [...this.#menu.querySelectorAll("button")];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = this.#buttons();
    const at = items.indexOf(/** @type {HTMLElement} */ (this.#root.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length]?.focus();
    else if (event.key === "Home") items[0]?.focus();
    else if (event.key === "End") items.at(-1)?.focus();
    else if (event.key === "Escape") {
      this.open(false);
      this.#button.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
