/**
 * Defines `<inver-player>` and `<inver-publisher>`.
 *
 * Importing this module is all that a page needs; importing it twice does no harm.
 * @module
 */

import { InverPlayerElement } from "./elements/player.js";
import { InverPublisherElement } from "./elements/publisher.js";

if (!customElements.get("inver-player")) customElements.define("inver-player", InverPlayerElement);
if (!customElements.get("inver-publisher")) customElements.define("inver-publisher", InverPublisherElement);

export { InverPlayerElement, InverPublisherElement };
