/**
 * Defines `<inver-player>` and `<inver-publisher>`.
 *
 * Importing this module is all that a page needs; importing it twice does no harm.
 * @module
 */

import { InverPlayerElement } from "./elements/player.js";
import { InverPublisherElement } from "./elements/publisher.js";

// Where pages are rendered on a server there is no registry, and nothing to define.
const registry = globalThis.customElements;
if (registry && !registry.get("inver-player")) registry.define("inver-player", InverPlayerElement);
if (registry && !registry.get("inver-publisher")) registry.define("inver-publisher", InverPublisherElement);

export { InverPlayerElement, InverPublisherElement };
