import { jsonBed } from './failover-bed.js';
import { ownSlotFeatures } from './own-slot-features.js';

ownSlotFeatures('files', jsonBed);
