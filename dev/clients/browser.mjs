// Headless Chromium as a client: it opens one of the server's own pages, or an empty page of the
// server's origin that speaks WHIP or WHEP by itself, and reports what the browser measures.
//
//   browser.mjs page    --url PAGE                       a page of the product
//   browser.mjs publish --url WHIP --codec vp8|h264|...  the fake camera and microphone
//   browser.mjs watch   --url WHEP
//   browser.mjs offered --url WHEP --answer PATCH|POST   the server offers; --counter 1 asks for that
//
// --relay HOST:PORT replaces the candidates of every WHIP and WHEP answer, --only tcp leaves those
// of one transport, --token T is sent as bearer, --simulcast N sends N layers, --beats 1
// sends and measures a flash with a tone each second, --hear 1 tells the loudest frequency.
//
// The event `stats` comes four times a second: every peer connection that any script of the page
// made, every video and audio element that plays something, every picture of a room. Commands: {"do":"click","role":..,
// "name":..}, {"do":"hover"} over the player, {"do":"wind","back":seconds} along its bar, {"do":"unmute"}, {"do":"restart"}, {"do":"end"}, {"do":"screenshot","path":..}, {"do":"text"}.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setInterval } from 'node:timers';

import { onlyTransport, throughRelay } from './lib/exchange.mjs';
import { emit, fail, obey, options, tool } from './lib/terms.mjs';
import { collect, measure, publish, takeOffer, watch } from './lib/in-page.mjs';

const DEADLINE = 20_000;
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome'];

const option = options(['url', 'codec', 'relay', 'only', 'token', 'simulcast', 'beats', 'hear', 'answer', 'counter']);
const { chromium } = tool('playwright-core');

const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/bin'];
const executablePath =
  folders
    .flatMap((folder) => BROWSERS.map((name) => path.join(folder, name)))
    .find((file) => existsSync(file)) ?? fail('chromium is missing: run `cargo xtask setup`');

const profile = mkdtempSync(path.join(os.tmpdir(), 'inver-browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  timeout: DEADLINE,
  ignoreHTTPSErrors: true,
  permissions: ['camera', 'microphone'],
  viewport: { width: 1280, height: 800 },
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--use-fake-device-for-media-stream=fps=30',
    '--use-fake-ui-for-media-stream',
    '--autoplay-policy=no-user-gesture-required',
  ],
});
const page = context.pages()[0] ?? (await context.newPage());
page.setDefaultTimeout(DEADLINE);
page.on('pageerror', (error) => emit('error', { message: String(error.stack ?? error) }));
page.on('console', (line) => emit('console', { type: line.type(), text: line.text() }));
await page.addInitScript(collect);

if (option.relay || option.only) {
  await page.route(
    (url) => /\/wh[ie]p\//.test(url.pathname),
    async (route) => {
      if (route.request().method() !== 'POST') return route.continue();
      const response = await route.fetch();
      const answer = onlyTransport(await response.text(), option.only);
      const body = throughRelay(answer, option.relay);
      return route.fulfill({ response, body });
    },
  );
}

if (option.role === 'page') {
  await page.goto(option.url, { waitUntil: 'load' });
} else {
  const blank = new URL('/blank-page-of-the-test', option.url).href;
  const html = '<!doctype html><title>Test</title><video autoplay playsinline></video>';
  await page.route(blank, (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.goto(blank);
  const client = { publish, watch, offered: takeOffer }[option.role];
  const result = await page.evaluate(client, option);
  if (result.refused) fail(`${option.url} answered ${result.refused}: ${result.body}`);
  emit('answered', result);
}
emit('ready');

let busy = false;
const timer = setInterval(async () => {
  if (busy) return;
  busy = true;
  try {
    emit('stats', await page.evaluate(measure));
  } catch (error) {
    // A navigation discards the page's state; the next round sees the new page.
    emit('unmeasured', { message: String(error) });
  } finally {
    busy = false;
  }
}, 250);

await obey(
  {
    click: async ({ role, name }) => {
      await page.getByRole(role, { name: new RegExp(name, 'i') }).first().click();
    },
    hover: async () => {
      await page.locator('inver-player').first().hover();
    },
    wind: async ({ back }) => {
      const bar = page.locator('inver-player .timeline').first();
      await bar.waitFor({ state: 'attached' });
      await bar.evaluate((input, seconds) => {
        if (input.hidden) throw new Error('the bar is hidden');
        input.value = String(Number(input.max) - seconds);
        for (const name of ['input', 'change']) input.dispatchEvent(new Event(name));
      }, back);
    },
    unmute: async () => {
      await page.evaluate(() => {
        for (const element of globalThis.inverTest.elements) {
          element.muted = false;
          element.volume = 1;
        }
      });
    },
    screenshot: async ({ path: file }) => {
      await page.screenshot({ path: file });
    },
    text: async () => ({
      text: await page.evaluate(() => {
        /** @param {Document | ShadowRoot} root @returns {string[]} */
        const texts = (root) =>
          [...root.querySelectorAll('*')].flatMap((element) => [
            element.children.length === 0 && element.checkVisibility() ? (element.textContent ?? '') : '',
            ...(element.shadowRoot ? texts(element.shadowRoot) : []),
          ]);
        return texts(document).filter(Boolean).join('\n');
      }),
    }),
    restart: async () => page.evaluate(() => globalThis.inverTest.restart()),
    end: async () => ({ status: await page.evaluate(() => globalThis.inverTest.end?.()) }),
  },
  async () => {
    clearInterval(timer);
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  },
);
