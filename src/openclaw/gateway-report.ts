import * as z from 'zod/mini';

/** ms epoch of the slot's login; null when the gateway has none there; `silent` when it does not say. */
export type Reported = number | null | 'silent';

const authStatusSchema = z.looseObject({
  ts: z.optional(z.number()),
  providers: z.array(
    z.looseObject({
      provider: z.string(),
      profiles: z.array(
        z.looseObject({ profileId: z.string(), expiry: z.optional(z.looseObject({ at: z.number() })) }),
      ),
    }),
  ),
});

/** The answer of `models.authStatus` (4.15 and later), about one profile. */
export function parseReported(payload: unknown, slot: { provider: string; profileId: string }): Reported {
  const parsed = authStatusSchema.safeParse(payload);
  // 5.7 leaves a provider out when the config names only others.
  const provider = parsed.data?.providers.find((one) => one.provider === slot.provider);
  if (provider === undefined) return 'silent';
  const profile = provider.profiles.find((one) => one.profileId === slot.profileId);
  if (profile === undefined) return null;
  return profile.expiry?.at ?? 'silent';
}

/** When the gateway looked, ms epoch; null when its answer does not say. */
export function parseLookedAt(payload: unknown): number | null {
  return authStatusSchema.safeParse(payload).data?.ts ?? null;
}

const sessionsSchema = z.looseObject({
  sessions: z.array(z.looseObject({ key: z.string(), hasActiveRun: z.boolean() })),
});

/** The keys with a running turn, from the answer of `sessions.list`; null when its rows do not tell. */
export function parseActiveRuns(payload: unknown): ReadonlySet<string> | null {
  const parsed = sessionsSchema.safeParse(payload);
  if (!parsed.success) return null;
  return new Set(parsed.data.sessions.filter((row) => row.hasActiveRun).map((row) => row.key));
}
