// The protocol's TypeScript SDK: node mcp.mjs URL TOKEN. Connected at the first call.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { serve } from './serve.mjs';

const [url, token] = process.argv.slice(2);
const client = new Client({ name: 'tests', version: '1' });

async function connect() {
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return client.getServerVersion();
}

const tools = async () => (await client.listTools()).tools;
const call = (name, args) => client.callTool({ name, arguments: args });

await serve({ connect, tools, call });
