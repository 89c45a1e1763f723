/**
 * Typed events on top of `EventTarget`.
 *
 * Owns: the mapping from an event's name to the type of its detail. Never holds application state.
 * @module
 */

/**
 * An `EventTarget` whose events are `CustomEvent`s with a typed `detail`.
 *
 * `addEventListener` works as on any target and receives the `CustomEvent`; `on` and `once` hand the detail over.
 * @template {Record<string, any>} Events Event name to detail.
 */
export class Emitter extends EventTarget {
  /**
   * Calls `listener` with the detail of every event called `name`.
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   * @param {{ once?: boolean, signal?: AbortSignal }} [options] `signal` removes the listener when it aborts.
   * @returns {() => void} Removes the listener.
   */
  on(name, listener, options) {
    const handle = (/** @type {Event} */ event) => listener(/** @type {CustomEvent<Events[Name]>} */ (event).detail);
    this.addEventListener(name, handle, options);
    return () => this.removeEventListener(name, handle);
  }

  /**
   * Resolves with the detail of the next event called `name`.
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {{ signal?: AbortSignal }} [options] Rejects with the signal's reason when it aborts first.
   * @returns {Promise<Events[Name]>}
   */
  once(name, { signal } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.on(
        name,
        (detail) => {
          signal?.removeEventListener("abort", abort);
          resolve(detail);
        },
        { once: true, signal },
      );
    });
  }

  /**
   * Dispatches an event.
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {Events[Name]} detail
   * @protected
   */
  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
