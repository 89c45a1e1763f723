/**
 * Style sheets of the elements.
 *
 * Owns: looks only. Pages adapt them by the custom properties `--inver-accent` and `--inver-radius`.
 * @module
 */

import { sheet } from "./dom.js";

export const common = sheet(`
:host {
  --accent: var(--inver-accent, #2fb5a8);
  --warm: #f0aa5c;
  --deep: #06181f;
  display: block;
  position: relative;
  overflow: hidden;
  aspect-ratio: 16 / 9;
  background: var(--deep);
  color: #f3f8f8;
  border-radius: var(--inver-radius, 0);
  font: 500 14px/1.4 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color-scheme: dark;
  user-select: none;
  -webkit-user-select: none;
}
:host([hidden]) { display: none; }
:host(:fullscreen) { border-radius: 0; }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; background: transparent; }
button {
  font: inherit; color: inherit; background: none; border: 0; padding: 0; margin: 0; cursor: pointer;
  -webkit-tap-highlight-color: transparent; touch-action: manipulation;
}
button.icon { width: 40px; height: 40px; display: grid; place-items: center; border-radius: 10px; flex: none; transition: background .12s; }
button.icon:hover { background: rgb(255 255 255 / .14); }
button.icon svg { width: 22px; height: 22px; }
button.pill {
  display: inline-flex; align-items: center; gap: 8px; min-height: 44px; padding: 0 20px; border-radius: 999px;
  background: #f3f8f8; color: #06222b; font-weight: 650; box-shadow: 0 6px 24px rgb(0 0 0 / .35);
}
button.pill:hover { background: #fff; }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.screen {
  position: absolute; inset: 0; display: grid; place-content: center; justify-items: center; text-align: center;
  gap: 10px; padding: 24px 20px 64px; background: radial-gradient(120% 120% at 50% 0, #0e3a45 0, #082029 55%, #06181f 100%);
}
.screen.over { background: rgb(4 18 24 / .55); }
.screen h2 { margin: 0; font-size: clamp(17px, 4.6cqi, 26px); font-weight: 650; letter-spacing: -.01em; text-wrap: balance; }
.screen p { margin: 0; max-width: 44ch; color: #b9d0d3; font-size: clamp(13px, 2.6cqi, 15px); text-wrap: pretty; }
.screen button { margin-top: 8px; }
.waves { position: absolute; inset: auto 0 0 0; width: 100%; height: 46%; opacity: .5; pointer-events: none; }
.screen.over .waves { display: none; }
.waves path { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; animation: flow 60s linear infinite; }
.waves .a { stroke: #44c4ba; }
.waves .b { stroke: #f0aa5c; }
@keyframes flow { to { stroke-dashoffset: -1400; } }
.screen > :not(.waves) { position: relative; }
.spinner { width: 34px; height: 34px; border-radius: 50%; border: 3px solid rgb(255 255 255 / .18); border-top-color: var(--accent); animation: turn .9s linear infinite; }
@keyframes turn { to { transform: rotate(1turn); } }
.badge {
  display: inline-flex; align-items: center; gap: 6px; height: 24px; padding: 0 9px; border-radius: 6px; white-space: nowrap;
  font-size: 12px; font-weight: 700; letter-spacing: .04em; background: rgb(255 255 255 / .14); color: #f3f8f8;
}
.badge::before { content: ""; width: 7px; height: 7px; border-radius: 50%; background: #9fb4b7; }
.badge[data-state="playing"], .badge[data-state="live"] { background: #d4313d; }
.badge[data-state="playing"]::before, .badge[data-state="live"]::before { background: #fff; }
.badge[data-state="connecting"]::before, .badge[data-state="reconnecting"]::before { background: var(--warm); }
.badge[data-state="error"]::before { background: #ff6b6b; }
.gap { flex: 1; min-width: 0; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.bar {
  position: absolute; inset: auto 0 0 0; display: flex; align-items: center; gap: 4px; padding: 28px 10px 8px;
  background: linear-gradient(transparent, rgb(3 12 16 / .82)); transition: opacity .2s, visibility .2s;
}
@media (prefers-reduced-motion: reduce) {
  .waves path { animation: none; }
  .spinner { animation-duration: 3s; }
  .bar { transition: none; }
}
`);

export const player = sheet(`
.frame { position: absolute; inset: 0; container-type: inline-size; outline-offset: -3px; }
.frame.quiet { cursor: none; }
.frame.quiet .bar { opacity: 0; visibility: hidden; }
.volume { display: flex; align-items: center; }
input[type="range"] {
  appearance: none; -webkit-appearance: none; width: 84px; height: 24px; margin: 0 8px 0 0; background: none; cursor: pointer;
}
.bar { flex-wrap: wrap; }
input.timeline { flex: 1 0 calc(100% - 8px); width: calc(100% - 8px); margin: 0 4px; height: 28px; accent-color: var(--accent); touch-action: none; }
button.golive {
  display: inline-flex; align-items: center; height: 28px; padding: 0 10px; margin-left: 6px; border-radius: 6px; white-space: nowrap;
  font-size: 12px; font-weight: 700; background: #d4313d; color: #fff;
}
button.golive:hover { background: #e2414d; }
input[type="range"]::-webkit-slider-runnable-track { height: 4px; border-radius: 2px; background: rgb(255 255 255 / .35); }
input[type="range"]::-moz-range-track { height: 4px; border-radius: 2px; background: rgb(255 255 255 / .35); }
input[type="range"]::-webkit-slider-thumb { -webkit-appearance: none; width: 14px; height: 14px; margin-top: -5px; border-radius: 50%; background: #fff; }
input[type="range"]::-moz-range-thumb { width: 14px; height: 14px; border: 0; border-radius: 50%; background: #fff; }
.latency { margin-left: 6px; font-variant-numeric: tabular-nums; font-size: 12px; color: #d6e6e7; white-space: nowrap; }
.chip { position: absolute; left: 50%; bottom: 68px; transform: translateX(-50%); white-space: nowrap; }
.chip svg { width: 20px; height: 20px; }
.frame.withTimeline .chip { bottom: 104px; }
.frame:not(.withControls) .chip { bottom: 16px; }
.chosen { font-size: 12px; font-weight: 700; }
button.icon.quality { width: auto; min-width: 40px; padding: 0 8px; display: inline-flex; gap: 5px; align-items: center; justify-content: center; }
.menu {
  position: absolute; right: 10px; bottom: 56px; min-width: 190px; max-height: calc(100% - 72px); overflow: auto; padding: 6px;
  border-radius: 12px; background: rgb(9 29 36 / .97); box-shadow: 0 10px 40px rgb(0 0 0 / .5), inset 0 0 0 1px rgb(255 255 255 / .1);
}
.menu h3 { margin: 0; padding: 8px 12px 4px; font-size: 11px; font-weight: 700; letter-spacing: .05em; text-transform: uppercase; color: #9db8bc; }
.menu [role="group"] + [role="group"] { margin-top: 4px; border-top: 1px solid rgb(255 255 255 / .1); }
.menu button { display: flex; align-items: center; gap: 10px; width: 100%; min-height: 40px; padding: 0 12px 0 8px; border-radius: 8px; text-align: left; }
.menu button:hover, .menu button:focus-visible { background: rgb(255 255 255 / .1); outline-offset: -2px; }
.menu svg { width: 18px; height: 18px; flex: none; visibility: hidden; color: var(--accent); }
.menu [aria-checked="true"] svg { visibility: visible; }
.menu small { margin-left: auto; color: #9db8bc; font-variant-numeric: tabular-nums; }
.stats {
  position: absolute; left: 10px; top: 10px; width: min(400px, calc(100% - 20px)); max-height: calc(100% - 72px); overflow: auto;
  padding: 10px 14px 12px; border-radius: 12px; background: rgb(4 17 22 / .86); box-shadow: inset 0 0 0 1px rgb(255 255 255 / .1);
  font-size: 12px; user-select: text; -webkit-user-select: text;
}
.stats header { display: flex; align-items: center; gap: 4px; margin: -4px -8px 2px 0; }
.stats h2 { margin: 0; font-size: 13px; flex: 1; }
.stats button.icon { width: 32px; height: 32px; }
.stats button.icon svg { width: 18px; height: 18px; }
.stats dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 0; }
.stats dt { color: #9db8bc; white-space: nowrap; }
.stats dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.stats canvas { display: block; width: 100%; height: 44px; margin: 4px 0 8px; border-radius: 6px; background: rgb(255 255 255 / .05); }
@container (max-width: 480px) {
  .volume input { display: none; }
  .latency { display: none; }
  .bar { gap: 0; padding-inline: 4px; }
  .golive:not([hidden]) ~ .figures { display: none; }
  .stats { font-size: 11px; }
}
@container (min-width: 360px) and (max-width: 480px) { .golive[hidden] ~ .latency { display: inline; } }
@media (hover: none) { .volume input { display: none; } input.timeline { height: 44px; } }
`);

export const publisher = sheet(`
:host { container-type: inline-size; }
video.mirrored { transform: scaleX(-1); }
.top { position: absolute; top: 12px; left: 12px; right: 12px; display: flex; gap: 8px; align-items: center; pointer-events: none; }
.figures { font-size: 12px; font-variant-numeric: tabular-nums; padding: 3px 9px; border-radius: 6px; background: rgb(3 12 16 / .6); }
.note { position: absolute; left: 12px; right: 12px; bottom: 76px; margin: 0 auto; width: fit-content; max-width: 60ch; padding: 8px 14px; border-radius: 10px; background: rgb(90 16 22 / .94); text-align: center; }
.bar { gap: 8px; padding: 40px 14px 14px; }
button.icon { background: rgb(6 24 31 / .6); width: 44px; height: 44px; border-radius: 50%; }
button.icon:hover { background: rgb(6 24 31 / .85); }
button.icon[aria-pressed="true"] { background: #d4313d; }
button.go { min-width: 128px; justify-content: center; background: #d4313d; color: #fff; }
button.go:hover { background: #e2414d; }
button.go[data-live="true"] { background: #f3f8f8; color: #06222b; }
`);

/** Two waters that meet; decoration of empty screens. */
export const wavesMarkup = `<svg class="waves" viewBox="0 0 600 200" preserveAspectRatio="none" aria-hidden="true">
<path class="a" stroke-dasharray="310 16" d="M0 22C160 20 240 96 340 112S520 122 600 120"/><path class="b" stroke-dasharray="240 13" d="M0 190C160 188 240 142 340 132S520 132 600 130"/>
<path class="a" stroke-dasharray="420 12" d="M0 50C160 48 250 110 350 124S520 138 600 137"/><path class="b" stroke-dasharray="370 18" d="M0 168C150 168 230 150 340 146S520 148 600 147"/>
<path class="a" stroke-dasharray="280 15" d="M0 82C150 80 250 128 350 140S520 154 600 155"/></svg>`;
