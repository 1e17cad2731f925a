// Puts an identity into an own slot, or brings its sessions back: own-slot-hand.ts, with the request as its one argument.
import { fileURLToPath } from 'node:url';
import { bundled } from './bundled.mjs';

await bundled(fileURLToPath(new URL('./own-slot-hand.ts', import.meta.url)));
