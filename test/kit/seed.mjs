// Loaded before every test file: CI tries the same cases each time, so that it fails for what a change did; elsewhere each
// run tries new ones.
import fc from 'fast-check';

if (process.env.CI) fc.configureGlobal({ seed: 20261121 });
