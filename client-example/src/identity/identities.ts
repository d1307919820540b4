// Who a page speaks as: an identity that the server offers (only its demo does), or a token that somebody pasted.

export interface Identity {
  name: string;
  description: string;
  token: string;
}

/** What the demo lets this visitor do; nothing on any other server. */
export interface Demo {
  /** How much faster than elsewhere the client gives up and tries again. */
  speed: number;
  /** The faults that can be ordered. */
  faults: string[];
}

export interface Config {
  endpoint: string;
  identities: Identity[];
  demo: Demo;
}

/** `name` is null for the pasted token. Of an offered identity only the name is kept: its token is new at every start. */
export interface Choice {
  name: string | null;
  pasted: string;
}

type Store = Pick<Storage, 'getItem' | 'setItem'>;

const NAME = 'divisionbell.identity';
const PASTED = 'divisionbell.token';

/** Read what `config.json` says. Throws an Error that names the first thing wrong. */
export function parseConfig(value: unknown, configUrl: string): Config {
  if (!isRecord(value) || typeof value.endpoint !== 'string') throw new Error('config.json has no "endpoint"');
  if (!Array.isArray(value.identities)) throw new Error('config.json has no list of "identities"');
  const identities = value.identities.map((identity: unknown) => {
    if (!isRecord(identity)) throw new Error('config.json has an identity that is no object');
    const { name, description, token } = identity;
    if (typeof name !== 'string' || typeof description !== 'string' || typeof token !== 'string') {
      throw new Error('config.json has an identity without name, description or token');
    }
    return { name, description, token };
  });
  return { endpoint: new URL(value.endpoint, configUrl).href, identities, demo: parseDemo(value.demo) };
}

function parseDemo(value: unknown): Demo {
  const { speed, faults } = isRecord(value) ? value : {};
  return {
    speed: typeof speed === 'number' && speed > 0 ? speed : 1,
    faults: Array.isArray(faults) ? faults.filter((fault) => typeof fault === 'string') : [],
  };
}

/** What was chosen in this browser tab, else the first identity offered, else a token to be pasted. */
export function loadChoice(store: Store, identities: readonly Identity[]): Choice {
  const [name, pasted] = [read(store, NAME), read(store, PASTED) ?? ''];
  if (identities.some((identity) => identity.name === name)) return { name, pasted };
  if (name === '' || pasted !== '') return { name: null, pasted };
  return { name: identities[0]?.name ?? null, pasted };
}

export function saveChoice(store: Store, { name, pasted }: Choice): void {
  try {
    store.setItem(NAME, name ?? '');
    store.setItem(PASTED, pasted);
  } catch {
    // Storage is switched off: the choice lasts until the page is left.
  }
}

export function tokenOf({ name, pasted }: Choice, identities: readonly Identity[]): string | null {
  if (name === null) return pasted || null;
  return identities.find((identity) => identity.name === name)?.token ?? null;
}

/** What was pasted, without the line breaks, quotes or "Bearer" that come along with a copy. */
export function cleanToken(pasted: string): string {
  return pasted.trim().replace(/^(authorization:\s*)?bearer\s+/i, '').replace(/["'\s]/g, '');
}

function read(store: Store, key: string): string | null {
  try {
    return store.getItem(key);
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
