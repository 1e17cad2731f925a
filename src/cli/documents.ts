import type * as z from 'zod';
import type { ErrorCandidate } from '../errors.js';
import type { Identity } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import type { SlotAddress } from '../slot/slot.js';
import type * as contract from './contract.js';
import type * as bundle from './contract-bundle.js';
import type * as config from './contract-config.js';
import type * as doctor from './contract-doctor.js';
import type * as failover from './contract-failover.js';
import type * as failoverWatch from './contract-failover-watch.js';
import type * as hosts from './contract-hosts.js';
import type * as logins from './contract-logins.js';
import type * as plugin from './contract-plugin.js';
import type * as session from './contract-session.js';
import type * as switches from './contract-switches.js';
import type * as usage from './contract-usage.js';

export type ErrorDocument = z.infer<typeof contract.ErrorDocument>;
export type UseDocument = z.infer<typeof switches.UseDocument>;
export type ListDocument = z.infer<typeof contract.ListDocument>;
export type StatusDocument = z.infer<typeof contract.StatusDocument>;
export type HostDocument = z.infer<typeof contract.HostDocument>;
export type HostAdoptDocument = z.infer<typeof contract.HostAdoptDocument>;
export type DoctorDocument = z.infer<typeof doctor.DoctorDocument>;
export type DoctorUndoDocument = z.infer<typeof doctor.DoctorUndoDocument>;
export type AliasDocument = z.infer<typeof contract.AliasDocument>;
export type RemoveDocument = z.infer<typeof contract.RemoveDocument>;
export type RefreshDocument = z.infer<typeof switches.RefreshDocument>;
export type SyncDocument = z.infer<typeof switches.SyncDocument>;
export type SessionDocument = z.infer<typeof session.SessionDocument>;
export type SessionShowDocument = z.infer<typeof session.SessionShowDocument>;
export type UndoDocument = z.infer<typeof switches.UndoDocument>;
export type HistoryDocument = z.infer<typeof switches.HistoryDocument>;
export type RestoreDocument = z.infer<typeof contract.RestoreDocument>;
export type ImportDocument = z.infer<typeof contract.ImportDocument>;
export type LoginStartDocument = z.infer<typeof logins.LoginStartDocument>;
export type LoginStatusDocument = z.infer<typeof logins.LoginStatusDocument>;
export type LoginCancelDocument = z.infer<typeof logins.LoginCancelDocument>;
export type LoginDocument = z.infer<typeof logins.LoginDocument>;
export type EjectDocument = z.infer<typeof hosts.EjectDocument>;
export type UninstallDocument = z.infer<typeof hosts.UninstallDocument>;
export type LendDocument = z.infer<typeof logins.LendDocument>;
export type UnlendDocument = z.infer<typeof logins.UnlendDocument>;
export type LogoutDocument = z.infer<typeof logins.LogoutDocument>;
export type ExportDocument = z.infer<typeof logins.ExportDocument>;
export type UsageDocument = z.infer<typeof usage.UsageDocument>;
export type UsageHistoryDocument = z.infer<typeof usage.UsageHistoryDocument>;
export type ExplainDocument = z.infer<typeof doctor.ExplainDocument>;
export type BundleDocument = z.infer<typeof bundle.BundleDocument>;
export type BundleWrittenDocument = z.infer<typeof bundle.BundleWrittenDocument>;
export type ConfigDocument = z.infer<typeof config.ConfigDocument>;
export type ConfigSnippetDocument = z.infer<typeof config.ConfigSnippetDocument>;
export type FailoverRoundDocument = z.infer<typeof failover.FailoverRoundDocument>;
export type FailoverLeaveDocument = z.infer<typeof failover.FailoverLeaveDocument>;
export type FailoverWatchDocument = z.infer<typeof failoverWatch.FailoverWatchDocument>;
export type FailoverLogDocument = z.infer<typeof failoverWatch.FailoverLogDocument>;
export type FailoverStatusDocument = z.infer<typeof failoverWatch.FailoverStatusDocument>;
export type FailoverStopDocument = z.infer<typeof failoverWatch.FailoverStopDocument>;
export type FailoverUnitDocument = z.infer<typeof failoverWatch.FailoverUnitDocument>;
export type PluginDocument = z.infer<typeof plugin.PluginDocument>;

/** What every successful document begins with. */
export const DONE = { schemaVersion: 1, ok: true } as const;

/** Somebody found in a slot: with an alias where they are stored here. */
export function personIn(identity: Identity, entries: readonly IndexEntry[]): ErrorCandidate {
  const { accountId, userId, email, plan } = identity;
  const entry = entries.find(
    (candidate) => candidate.identity.accountId === accountId && candidate.identity.userId === userId,
  );
  return { accountId, userId, alias: entry?.alias ?? null, email, plan };
}

export function slotOf({ layout, agent, profileId }: SlotAddress): UseDocument['slot'] {
  return { layout, agent, profileId };
}
