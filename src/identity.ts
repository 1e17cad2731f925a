import { RouterError } from './errors.js';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** The workspace: the claim `chatgpt_account_id`. Two people of one Team share it. */
export type AccountId = Branded<'AccountId'>;
/** The seat: the claim `chatgpt_user_id`, else `user_id`. One person keeps it across workspaces. */
export type UserId = Branded<'UserId'>;
/** `<accountId>/<userId>`: the text form of an identity's key, also accepted as a selector. */
export type IdentityKey = Branded<'IdentityKey'>;

/** Who a login belongs to. Strings other than the two ids come from outside: clean them before they are shown. */
export interface Identity {
  readonly accountId: AccountId;
  readonly userId: UserId;
  readonly email: string | null;
  /** Kept verbatim; OpenAI adds plans faster than any list (facts: Codex 0.169 knows 20). */
  readonly plan: string | null;
  /** The workspace's name, when some source knew it; tokens do not carry it. */
  readonly workspace: string | null;
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._:@|=+-]{0,199}$/;

/** @throws IDENTITY_UNREADABLE unless `text` is 1 to 200 plain characters without a slash or blank. */
export function parseAccountId(text: unknown): AccountId {
  return parseId(text, 'account id') as AccountId;
}

/** @throws IDENTITY_UNREADABLE unless `text` is 1 to 200 plain characters without a slash or blank. */
export function parseUserId(text: unknown): UserId {
  return parseId(text, 'user id') as UserId;
}

function parseId(text: unknown, what: string): string {
  if (typeof text === 'string' && ID.test(text)) return text;
  throw new RouterError('IDENTITY_UNREADABLE', `the login carries no usable ${what}`, {
    hint: 'codex-router login makes a new one',
  });
}

export function identityKey(who: Pick<Identity, 'accountId' | 'userId'>): IdentityKey {
  return `${who.accountId}/${who.userId}` as IdentityKey;
}

export function sameIdentity(
  a: Pick<Identity, 'accountId' | 'userId'>,
  b: Pick<Identity, 'accountId' | 'userId'>,
): boolean {
  return a.accountId === b.accountId && a.userId === b.userId;
}
