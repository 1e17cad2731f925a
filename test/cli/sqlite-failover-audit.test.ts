import { auditFailover } from './failover-audit.js';
import { sqliteBed } from './failover-bed.js';

auditFailover(sqliteBed);
