/**
 * Preloaded into OpenClaw (NODE_OPTIONS=--import): sends what it would fetch from OpenAI to the test's issuer on loopback
 * (TEST_ISSUER_URL), and refuses every other host that is not loopback.
 */
const OPENAI = /^https:\/\/(auth\.openai\.com|chatgpt\.com)(?=\/)/;
const LOOPBACK = /^(https?:\/\/(127\.0\.0\.1|localhost|\[::1\])[:/]|data:|file:|blob:)/;
const original = globalThis.fetch;

globalThis.fetch = (input, init) => {
  const url = String(input instanceof Request ? input.url : input);
  const issuer = process.env.TEST_ISSUER_URL;
  if (OPENAI.test(url) && issuer) {
    const target = url.replace(OPENAI, issuer);
    return original(input instanceof Request ? new Request(target, input) : target, init);
  }
  if (LOOPBACK.test(url)) return original(input, init);
  return Promise.reject(new TypeError(`a test may not fetch from ${new URL(url).host}`));
};
