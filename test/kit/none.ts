/** For `t.match`, which takes a pattern of `[]` for any array: one that is empty. */
export const NONE = { length: 0 } as const;
