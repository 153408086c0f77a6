// One driver a client, all with the same handles: node drivers.mjs CLIENT. Where a client has words of its own for a thing, they are used.

import fs from 'node:fs/promises';
import module from 'node:module';
import WebSocket from 'ws';
import { serve } from './serve.mjs';

// ---------------------------------------------------------------- a Worker's binding, outside of Workers

// In a Worker this is all it takes in the place of env.BROWSER: {fetch: (url, init) => fetch(router + path, {...init, headers})}.
function binding(router, headers) {
  return {
    async fetch(url, init = {}) {
      const { pathname, search } = new URL(url);
      const asked = { ...init, headers: { ...init.headers, ...headers } };
      if (!init.headers?.Upgrade) return fetch(router + pathname + search, asked);
      return upgraded(router.replace(/^http/, 'ws') + pathname + search, asked.headers);
    },
  };
}

// Node's fetch does not upgrade; a Worker's does, and answers with a socket that is silent until it is accepted. Each message is a task of its
// own there, as the web's standard has it; ws would hand on in one all that came at once, and playwright miss what the first of them promised.
function upgraded(url, { Upgrade: _, ...headers }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers, maxPayload: 0, allowSynchronousEvents: false });
    socket.binaryType = 'arraybuffer';
    socket.once('unexpected-response', (_request, answer) => reject(new Error(`the upgrade was answered ${answer.statusCode}`)));
    socket.once('error', reject);
    socket.once('open', () => {
      socket.pause();
      socket.accept = () => socket.resume();
      resolve({ status: 101, webSocket: socket });
    });
  });
}

// ---------------------------------------------------------------- puppeteer

const fill = (element, name, text) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name, { type: 'text/plain' }));
  element.files = transfer.files;
  element.dispatchEvent(new Event('change', { bubbles: true }));
};

class Puppeteer {
  #pages = new Map();

  constructor(browser) {
    this.browser = browser;
  }

  async open(name, url) {
    const page = await this.browser.newPage();
    await page.goto(url);
    this.#pages.set(name, page);
  }

  async titles() {
    return Promise.all((await this.browser.pages()).map((page) => page.title()));
  }

  async evaluate(name, expression) {
    return this.#pages.get(name).evaluate(expression);
  }

  async dialog(name, expression, answer) {
    const page = this.#pages.get(name);
    let said;
    page.once('dialog', async (dialog) => {
      said = dialog.message();
      await dialog.accept(answer);
    });
    return { given: await page.evaluate(expression), said };
  }

  async upload(name, selector, file, text) {
    await this.#pages.get(name).$eval(selector, fill, file, text);
  }

  async uploadPath(name, selector, path) {
    await (await this.#pages.get(name).$(selector)).uploadFile(path);
  }

  async download(name, selector) {
    const cdp = await this.browser.target().createCDPSession();
    await cdp.send('Browser.setDownloadBehavior', { behavior: 'allowAndName', downloadPath: '/tmp', eventsEnabled: true });
    const suggested = new Promise((resolve) => cdp.once('Browser.downloadWillBegin', (said) => resolve(said.suggestedFilename)));
    const done = new Promise((resolve) => {
      cdp.on('Browser.downloadProgress', ({ state }) => state !== 'inProgress' && resolve(state));
    });
    await this.#pages.get(name).click(selector);
    return { suggested: await suggested, state: await done };
  }

  async screenshot(name, width, height, path) {
    const page = this.#pages.get(name);
    await page.setViewport({ width, height });
    await fs.writeFile(path, await page.screenshot({ optimizeForSpeed: true }));
  }

  async disconnect() {
    await this.browser.disconnect();
  }

  async close() {
    await this.browser.close();
  }
}

// ---------------------------------------------------------------- playwright

class Playwright {
  #pages = new Map();

  constructor(browser) {
    this.browser = browser;
  }

  async open(name, url) {
    const page = await this.browser.contexts()[0].newPage();
    await page.goto(url);
    this.#pages.set(name, page);
  }

  async titles() {
    return Promise.all(this.browser.contexts()[0].pages().map((page) => page.title()));
  }

  async evaluate(name, expression) {
    return this.#pages.get(name).evaluate(expression);
  }

  async dialog(name, expression, answer) {
    const page = this.#pages.get(name);
    let said;
    page.once('dialog', async (dialog) => {
      said = dialog.message();
      await dialog.accept(answer);
    });
    return { given: await page.evaluate(expression), said };
  }

  async upload(name, selector, file, text) {
    const payload = { name: file, mimeType: 'text/plain', buffer: Buffer.from(text) };
    await this.#pages.get(name).setInputFiles(selector, payload);
  }

  async uploadPath(name, selector, path) {
    await this.#pages.get(name).setInputFiles(selector, path);
  }

  async download(name, selector) {
    const page = this.#pages.get(name);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
    const failure = await download.failure();
    return { suggested: download.suggestedFilename(), state: failure ?? 'completed' };
  }

  async screenshot(name, width, height, path) {
    const page = this.#pages.get(name);
    await page.setViewportSize({ width, height });
    await fs.writeFile(path, await page.screenshot());
  }

  // To close a browser that it did not start only disconnects playwright from it.
  async disconnect() {
    await this.browser.close();
  }

  async close() {
    const cdp = await this.browser.newBrowserCDPSession();
    await Promise.all([new Promise((resolve) => this.browser.once('disconnected', resolve)), cdp.send('Browser.close').catch(() => {})]);
  }
}

// ---------------------------------------------------------------- who is who

// With ``persistent``, which puppeteer does without, playwright leaves its pages to whoever connects next.
async function worker(library, Driver, named) {
  const acquired = { keep_alive: 60_000, persistent: true };
  const connect = async (how, session) => new Driver(await library.connect(binding(how.router, how.headers), named(session)));
  return {
    // A browser that playwright launched is closed by close(); one that it connected to is only left.
    launch: async (how) => {
      if (library.acquire === undefined) {
        const browser = await library.launch(binding(how.router, how.headers), acquired);
        return [new Driver(browser), browser.sessionId()];
      }
      const { sessionId } = await library.acquire(binding(how.router, how.headers), acquired);
      return [await connect(how, sessionId), sessionId];
    },
    connect: async (how) => {
      const listed = (await library.sessions(binding(how.router, how.headers))).find((one) => one.sessionId === how.session);
      if (listed === undefined || listed.connectionId) throw new Error(`not free: ${JSON.stringify(listed)}`);
      return connect(how, how.session);
    },
    // Everything else that there is to ask of a binding.
    tour: async (how) => {
      const endpoint = binding(how.router, how.headers);
      const browser = await library.launch(endpoint, acquired);
      const session = browser.sessionId();
      const [page] = browser.contexts ? [await browser.newPage()] : await browser.pages();
      const title = await page.evaluate("document.title = 'toured'");
      const [open] = await library.sessions(endpoint);
      const limits = await library.limits(endpoint);
      await browser.close();
      return { session, title, open, limits, history: await library.history(endpoint) };
    },
  };
}

const clients = {
  'puppeteer-core': async () => {
    const { default: puppeteer } = await import('puppeteer-core');
    const connect = async ({ endpoint }) => new Puppeteer(await puppeteer.connect({ browserWSEndpoint: endpoint }));
    return { launch: async (how) => [await connect(how), null], connect };
  },
  'playwright-core': async () => {
    const { chromium } = await import('playwright-core');
    const connect = async ({ endpoint }) => new Playwright(await chromium.connectOverCDP(endpoint));
    return { launch: async (how) => [await connect(how), null], connect };
  },
  '@cloudflare/puppeteer': async () => worker((await import('@cloudflare/puppeteer')).default, Puppeteer, (session) => session),
  '@cloudflare/puppeteer-1.0': async () => worker((await import('@cloudflare/puppeteer-1.0')).default, Puppeteer, (session) => session),
  '@cloudflare/playwright': async () => {
    // What a Worker's runtime has, and Node has not.
    const source = 'data:text/javascript,export const env = {}';
    module.registerHooks({
      resolve: (name, context, next) =>
        name === 'cloudflare:workers' ? { url: source, format: 'module', shortCircuit: true } : next(name, context),
    });
    const library = await import('@cloudflare/playwright');
    return worker(library, Playwright, (sessionId) => ({ sessionId, persistent: true }));
  },
};

const client = await clients[process.argv[2]]();
let driver;

await serve({
  launch: async (how) => {
    let session;
    [driver, session] = await client.launch(how);
    return session;
  },
  connect: async (how) => {
    driver = await client.connect(how);
  },
  tour: (how) => client.tour(how),
  drive: (what, ...given) => driver[what](...given),
});
