// The official TypeScript SDK: node sdk.mjs BASE. Each call says which method, by its path, and what it is given.

import Cloudflare from 'cloudflare';
import { serve } from './serve.mjs';

const [baseURL] = process.argv.slice(2);
let attempts = 0;

async function call({ token, headers, raw }, path, ...given) {
  attempts = 0;
  const client = new Cloudflare({
    apiToken: token,
    baseURL,
    defaultHeaders: headers,
    fetch: (...asked) => {
      attempts += 1;
      return fetch(...asked);
    },
  });
  const names = path.split('.');
  const method = names.pop();
  const resource = names.reduce((found, name) => found[name], client);
  try {
    const asked = resource[method](...given);
    const done = await plain(raw ? await asked.asResponse() : await asked);
    return { ...done, attempts };
  } catch (error) {
    const { status, errors, error: body } = error;
    throw Object.assign(error, { fields: { attempts, status: status ?? null, errors: errors ?? [], body: body ?? null } });
  }
}

async function plain(value) {
  if (value instanceof Response) return { bytes: Buffer.from(await value.arrayBuffer()).toString('base64') };
  return { value: value?.iterPages ? value.getPaginatedItems() : value };
}

await serve({ call });
