/**
 * Preloaded into OpenClaw from 2026.5.28 on, like redirect.mjs. Those releases look a host's address up and connect to it past
 * `fetch`, unless they find that a test has replaced `fetch`: its `mock` tells them (`isMockedFetch`).
 */
import './redirect.mjs';

globalThis.fetch.mock = {};
