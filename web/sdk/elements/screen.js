/**
 * What lies over the picture while there is none: why, and what can be done.
 *
 * Owns: these words, and saying them to screen readers. Never acts.
 * @module
 */

import { PlayerState } from "../player.js";
import { words } from "./base.js";
import { find } from "./dom.js";

/**
 * @typedef {object} Situation
 * @property {import("../player.js").PlayerStateValue} state
 * @property {string} room
 * @property {boolean} paused
 * @property {boolean} windable Whether playing goes on where it was left.
 * @property {boolean} everPlayed
 * @property {string} [obstacle]
 * @property {import("../errors.js").InverError} [error]
 */

export class Screen {
  #root;
  #spinner;
  #title;
  #detail;
  #again;
  #status;

  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} status
   */
  constructor(root, status) {
    this.#root = root;
    this.#status = status;
    this.#spinner = find(root, ".spinner");
    this.#title = find(root, "h2");
    this.#detail = find(root, "p");
    this.#again = find(root, ".again");
  }

  /** @param {string} text */
  say(text) {
    this.#status.textContent = text;
  }

  /** @param {Situation} now */
  show(now) {
    const { state, paused } = now;
    const stillThere = now.everPlayed && state === PlayerState.Reconnecting;
    this.#root.classList.toggle("over", stillThere || (state === PlayerState.Playing && paused));
    this.#root.hidden = state === PlayerState.Playing && !paused;
    this.#spinner.hidden = state !== PlayerState.Connecting && state !== PlayerState.Reconnecting;
    switch (state) {
      case PlayerState.Idle:
      case PlayerState.Closed:
        this.#set("", "", "Play");
        break;
      case PlayerState.Connecting:
        this.#set("Connecting…", "", "");
        break;
      case PlayerState.Reconnecting:
        this.#set("Connecting again…", "", "");
        break;
      case PlayerState.Offline:
        if (now.obstacle) this.#set("This cannot be shown", now.obstacle, "");
        else this.#set(now.room ? `${now.room} is offline` : "Nobody is live right now", "The picture starts by itself when somebody goes live.", "");
        break;
      case PlayerState.Error: {
        const said = now.error ? words(now.error, "whep") : { title: "That did not work", detail: "" };
        this.#set(said.title, said.detail, "Try again");
        break;
      }
      default:
        if (paused) this.#set("Paused", "", now.windable ? "Play" : "Back to live");
        else if (this.#title.textContent) {
          this.#set("", "", "");
          this.say("Playing");
        }
    }
  }

  /**
   * @param {string} head
   * @param {string} text
   * @param {string} button
   */
  #set(head, text, button) {
    if (this.#title.textContent !== head) {
      this.#title.textContent = head;
      if (head) this.say(`${head} ${text}`.trim());
    }
    this.#detail.textContent = text;
    this.#again.textContent = button;
    this.#again.hidden = button === "";
  }
}
