#!/usr/bin/env node
declare const CODEX_ROUTER_VERSION: string;

const [first, ...more] = process.argv.slice(2);
if (more.length === 0 && (first === '--version' || first === '-V')) {
  process.stdout.write(`${CODEX_ROUTER_VERSION}\n`);
} else {
  void import('../src/cli/main.js')
    .then(({ main }) => main(process.argv.slice(2), CODEX_ROUTER_VERSION))
    .then((status) => {
      process.exitCode = status;
    });
}
