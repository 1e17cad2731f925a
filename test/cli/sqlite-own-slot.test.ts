import { sqliteBed } from './failover-bed.js';
import { ownSlotFeatures } from './own-slot-features.js';

ownSlotFeatures('databases', sqliteBed);
