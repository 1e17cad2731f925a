/**
 * Preloaded into OpenClaw (NODE_OPTIONS=--import): sends what it would fetch from OpenAI to the test's issuer on loopback
 * (TEST_ISSUER_URL), and lets no socket go anywhere but loopback, whoever opens it (2026.3.28 tries a WebSocket to
 * api.openai.com at every turn).
 */
import { Socket } from 'node:net';

const OPENAI = /^https:\/\/(auth\.openai\.com|chatgpt\.com)(?=\/)/;
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

const fetchIt = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const url = String(input instanceof Request ? input.url : input);
  const issuer = process.env.TEST_ISSUER_URL;
  if (!issuer || !OPENAI.test(url)) return fetchIt(input, init);
  const target = url.replace(OPENAI, issuer);
  return fetchIt(input instanceof Request ? new Request(target, input) : target, init);
};

const connect = Socket.prototype.connect;
Socket.prototype.connect = function (...args) {
  const [first, second] = Array.isArray(args[0]) ? args[0] : args;
  const { host, path } =
    typeof first === 'object' && first !== null
      ? first
      : typeof first === 'string' && !/^\d+$/.test(first)
        ? { path: first }
        : { host: typeof second === 'string' ? second : undefined };
  if (path || host === undefined || LOOPBACK.has(host)) return connect.apply(this, args);
  process.nextTick(() => this.destroy(new Error(`a test may not connect to ${host}`)));
  return this;
};
