// Who the page speaks as, and with which token. The demo's identities are given a new token when the old one is refused.
import { tokenOf, type Choice, type Config } from './identity/identities.ts';

export interface Session {
  readonly endpoint: string;
  /** Names the user for what is kept and shared in this browser. */
  readonly viewer: string;
  /** Null: there is none, and none can be had without a person. Throws if it cannot be had at the moment. */
  readonly token: (ask: { renew: boolean }) => Promise<string | null>;
}

/** `reload` fetches `config.json` again, with fresh tokens. */
export function createSession(config: Config, choice: Choice, reload: () => Promise<Config>): Session {
  let current = tokenOf(choice, config.identities);
  let renewing: Promise<string | null> | null = null;

  async function renew(): Promise<string | null> {
    try {
      current = choice.name === null ? null : tokenOf(choice, (await reload()).identities);
      return current;
    } finally {
      renewing = null;
    }
  }

  return {
    endpoint: config.endpoint,
    viewer: choice.name ?? `pasted:${fingerprint(choice.pasted)}`,
    token: async (ask) => (ask.renew ? (renewing ??= renew()) : current),
  };
}

/** Tells tokens apart without giving them away: it goes into the names of what is stored. */
function fingerprint(token: string): string {
  let hash = 0;
  for (const character of token) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0;
  return (hash >>> 0).toString(36);
}
