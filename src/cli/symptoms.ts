import type { Symptom } from '../router/explain-layers.js';

/** The branches of the decision tree, as a person would tell of them. */
export const SYMPTOM_WORDS: { readonly [S in Symptom]: string } = {
  'wrong-account': 'OpenClaw runs on another account than the one you chose',
  'switch-not-followed': 'you switched, and this chat or its /status did not follow',
  'usage-not-followed': 'the label shows the new account, and turns or the usage line another',
  'works-sometimes': 'it works sometimes: not every turn runs on the same account',
  'broken-token': 'the login is broken: turns fail, or soon will',
  'display-differs': 'the name that is shown is not the account that runs',
};
